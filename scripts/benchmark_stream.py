"""What a training step costs whose batch is simulated in it, beside one that draws its batch from memory."""

import statistics

from measuring import Results, Training, seconds_each, stepper

from spiketype.train.tasks.eap.config import EapTaskConfig
from spiketype.train.tasks.eap.task import prepare

RANDOM = EapTaskConfig(split="random")


def benchmark(rounds: int = 5, steps: int = 10, config: EapTaskConfig = RANDOM) -> Results:
    """Whole steps of a run on an EAP store, with and without --stream.

    Args:
        rounds: Times that each is measured, in turn.
        steps: Steps in a round.
        config: Options of the run.
    """
    given = vars(config)
    experiments = [prepare(EapTaskConfig(**{**given, "stream": stream})) for stream in (False, True)]
    runs = [stepper(Training.of(experiment)) for experiment in experiments]
    for run in runs:
        run(3)
    pairs = [tuple(seconds_each(run, steps) for run in runs) for _ in range(rounds)]
    memory_s, stream_s = (statistics.median(each) for each in zip(*pairs, strict=True))
    ratio = statistics.median(b / a for a, b in pairs)
    print(
        f"{config.features}, batches of {config.batch}: from memory {memory_s:.4f} s a step, streamed {stream_s:.4f} s"
    )
    print(f"ratio, median of {rounds}: {ratio:.1f}")
    found = {"from_memory_s_per_step": memory_s, "streamed_s_per_step": stream_s, "ratio": ratio}
    if stream_s > memory_s:  # else the simulation is lost in what else the machine does
        found["accepted_EAP_per_s"] = config.batch / (stream_s - memory_s)
        print(f"{found['accepted_EAP_per_s']:.0f} accepted EAPs a second beside training")
    return found
