"""One of several processes that train together, for tests: they train a while and write what they found, or for ever.

It imports little: a process takes a second to start.
"""

import json
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from spiketype.edge import UserError, guard
from spiketype.train import asked, checkpoints, last_words, loop, processes, watch
from spiketype.train.loop import Problem
from spiketype.train.processes import Spread

BATCH, STEPS, ROWS = 8, 6, 30  # rows that no number of devices here divides
RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS, 5)).astype(np.float32)
Y = X @ np.arange(5, dtype=np.float32)
PARTS = np.stack([np.arange(20), np.arange(10, 30), np.arange(5, 25)]).astype(np.int32)  # rows that members train on


def problem() -> Problem:
    """Linear regression by gradient descent, with a state that counts."""

    def init(key: jax.Array) -> Any:
        return {"w": jax.random.normal(key, (5,))}, {"count": jnp.zeros((), jnp.int32)}

    def draw(common: Any, member: jax.Array, key: jax.Array) -> Any:
        row = member[jax.random.randint(key, (BATCH,), 0, len(member))]
        return common[0][row], common[1][row]

    def loss(params: Any, state: Any, batch: Any, key: jax.Array) -> Any:
        error = batch[0] @ params["w"] + 0.1 * jax.random.normal(key, batch[1].shape) - batch[1]
        return (error**2).mean(), ({"count": state["count"] + 1}, {"largest": jnp.abs(error).max()})

    return Problem(init, draw, loss, optax.sgd(0.01))


def trained(x: Any, devices: int, members: int, steps: int = STEPS) -> Any:
    """What training leaves, and the metrics of each step; two members divide the devices, one and three the batch."""
    keys = jnp.stack([jax.random.key(seed) for seed in range(members)])
    looks: list[dict[str, list[float]]] = []
    mesh = loop.member_mesh(members, BATCH, jax.devices()[:devices])
    common, member = (x, Y), PARTS[:members]
    state = loop.fit(
        problem(),
        keys,
        lambda step: (common, member),
        steps,
        mesh,
        ["a", "b", "c"][:members],
        report=lambda step, metrics: looks.append({name: values.tolist() for name, values in metrics.items()}),
        every=1,
    )
    mine = jax.device_get(processes.whole(state))
    return {"w": mine.params["w"].tolist(), "count": mine.state["count"].tolist(), "looks": looks}


def finite(folder: Path) -> None:
    """Train a while, and ask all that processes can ask each other."""
    read: list[tuple[int, int]] = []

    def rows(begin: int, stop: int) -> np.ndarray:
        read.append((begin, stop))
        return X[begin:stop]

    found: dict[str, Any] = {"same": trained(X, jax.device_count(), 2)}
    found["spread"] = trained(Spread(X.shape, rows), jax.device_count(), 3)
    found["read"] = read
    found["parts"] = processes.in_parts(lambda begin, stop: X[begin:stop, 0], ROWS).tolist()
    assert processes.of_first("word", lambda: {"number": jax.process_index()}) == {"number": 0}
    assert processes.largest(jax.process_index()) == jax.process_count() - 1
    state = {"on": np.array([processes.first(), True]), "n": np.int32(7 if processes.first() else 0)}
    state = processes.from_first(state)
    assert (state["on"].tolist(), state["n"].tolist()) == ([True, True], 7)
    found["kept"] = kept(folder)
    try:
        processes.check_equal({"x": X + (jax.process_index() == 1)}, "data")
    except UserError as error:
        found["other data"] = str(error)
    (folder / f"{jax.process_index()}.json").write_text(json.dumps(found))
    watch.finish()


def begun(scale: float = 1.0) -> loop.TrainState:
    """Return a state of two members, which the devices divide, with parameters other than those it begins with."""
    mesh = loop.member_mesh(2, BATCH)
    state = loop.start(problem(), jnp.stack([jax.random.key(seed) for seed in range(2)]), mesh)
    return state._replace(params=jax.tree.map(lambda w: w * scale, state.params))


def kept(folder: Path) -> dict[str, Any]:
    """Write a checkpoint in parts, and read one that a single process has written."""
    nobodys = folder / f"seen by {jax.process_index()} alone"
    nobodys.mkdir()
    shared = [processes.share(place) for place in (folder, nobodys)]
    for step in (5, 6):
        checkpoints.save_in_parts(folder, step, begun(step), [{"step": step, "loss": [0.5]}])
    processes.wait("kept")
    others = checkpoints.state_in_parts(folder / "alone" / checkpoints.LAST_PARTS, begun())
    try:
        checkpoints.state_in_parts(nobodys / checkpoints.LAST_PARTS, begun())
    except UserError as error:
        told = str(error)
    w = jax.device_get(processes.whole(others.params["w"]))
    return {"shared": shared, "others": w.tolist(), "unseen": told}


def endless(folder: Path) -> None:
    """Train until something ends it; a file says that it has begun."""
    trained(X, jax.device_count(), 1)
    (folder / f"{jax.process_index()}.json").write_text("{}")
    trained(X, jax.device_count(), 1, 10**9)


def main(folder: Path, what: str, given: list[str]) -> None:
    """Be one of the processes."""
    options = dict(zip(("coordinator", "processes", "process"), given[2::2], strict=True))
    with last_words.heard(), watch.ending(), guard():
        where = asked.meeting(True, options)
        assert where is not None
        processes.join(where)
        {"finite": finite, "endless": endless}[what](folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
