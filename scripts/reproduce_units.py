"""The README's rows of --task unit: python scripts/reproduce_units.py --a1 a1_lakunina2020.npz --out runs/units.

A1: opto-tagged units of Lakunina et al. 2020, divided anew five times (seeds 0 to 4). The defaults of training were
chosen on divisions with seeds 100 to 102 of A1, and on a stand-in (`simulator.shank`) of seed 1; this one has seed 0.
Runs that are finished are not repeated; all of them take about 40 minutes on one core.
"""

from dataclasses import replace
from pathlib import Path

import tyro

from spiketype.edge import Json, guard
from spiketype.models.options import UnitNetwork
from spiketype.simulator.shank.config import ShankConfig
from spiketype.simulator.shank.generate import generate
from spiketype.train import execute
from spiketype.train.judging.report import number, text_table
from spiketype.train.tasks.unit.config import UnitConfig
from spiketype.train.tasks.unit.judge import AVERAGE, BALANCED, NETWORK, TUNED

HEADER = (
    "data",
    "held out",
    "network",
    "units",
    "network (%)",
    "average (%)",
    "best baseline (%)",
    "single spikes (%)",
)

KINDS: tuple[UnitNetwork, ...] = ("dense", "conv", "gru")


def main(a1: Path | None = None, out: Path = Path("runs/units"), seed: int = 0) -> None:
    """Run what is missing and print the table of balanced accuracies by unit, with 95 % intervals.

    Args:
        a1: a1_lakunina2020.npz; without it only the simulated recordings are judged.
        out: Folder of the runs and of the simulated recordings.
        seed: Of the splits, the trainings and the simulated recordings.
    """
    made = out / f"shank{seed}"
    if not made.exists():
        out.mkdir(parents=True, exist_ok=True)
        generate(ShankConfig(seed=seed), made)
    stand_in = UnitConfig(data=made / "stream", seed=seed, seeds=1)
    plan: dict[str, UnitConfig] = {}
    if a1 is not None:
        tagged = UnitConfig(data=a1, rate_kHz=30.0, seed=seed)
        plan["A1 dense"] = replace(tagged, repeats=5)
    plan |= {"stand-in dense": stand_in, "stand-in dense spike": replace(stand_in, split="spike")}
    plan["stand-in dense finetune"] = replace(stand_in, finetune=10)
    plan["stand-in dense histograms"] = replace(stand_in, data=made / "hc3")
    plan |= {f"stand-in {kind}": replace(stand_in, network=kind) for kind in KINDS[1:]}
    if a1 is not None:
        plan["A1 dense waveforms"] = replace(tagged, repeats=5, histograms=False)
        plan |= {f"A1 {kind}": replace(tagged, network=kind) for kind in KINDS[1:]}
    results = {name: execute.once(config, out / name.replace(" ", "-").lower()) for name, config in plan.items()}
    print(text_table(HEADER, [_row(name, plan[name], result) for name, result in results.items()]))
    for name, result in results.items():
        each = ", ".join(f"{v:.1f}" for v in result["each_repeat"][AVERAGE])
        print(f"{name}: average in each division {each}; over the best baseline {_gain(result)}")


def _row(name: str, config: UnitConfig, result: Json) -> list[str]:
    rows, held_out = result["rows"], f"{result['split']}{' (optimistic)' if result['optimistic'] else ''}"
    baseline = result["over_best_baseline"][AVERAGE]["baseline"]
    data = "A1, EXC/PV/SOM" if name.startswith("A1") else "stand-in, pyramidal/interneuron"
    seen = " and histograms" if ("A1" in name and config.histograms) or "histograms" in name else ""
    single = result["by_spike"][NETWORK][BALANCED] if "by_spike" in result else None
    lines = [f"{data}{seen}", held_out, config.network, str(result["units"]), number(rows[NETWORK][BALANCED])]
    if config.finetune:
        tuned = number(rows[TUNED.format(config.finetune)][BALANCED])
        lines[4] = f"{lines[4]}; tuned on {config.finetune}: {tuned}"
    best = f"{number(rows[baseline][BALANCED])} {baseline}"
    return [*lines, number(rows[AVERAGE][BALANCED]), best, "-" if single is None else number(single)]


def _gain(result: Json) -> str:
    gains = result["over_best_baseline"]
    return ", ".join(f"{name}: {number(gains[name]['percent'])} ({gains[name]['baseline']})" for name in gains)


if __name__ == "__main__":
    with guard():
        tyro.cli(main)
