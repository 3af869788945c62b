"""Cell models never seen: python scripts/reproduce_new_cells.py --cells s1_netpyne_cells.zip --out runs/new-cells.

Prints the tables of docs/results/new-cells.md: excitatory or inhibitory on m/e types that were not trained on, with
stub and with full axons, with noise and without; and m-types of layer 5 on cell models that were not trained on. The
models are those of a NetPyNE collection, whose axons are stubs, and the 13 that MEArec brings, with full axons (for
m-types with stubs). All settings were fixed beforehand. Stores and runs that are finished are not made again.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import tyro
import xarray as xr
from jaxtyping import Bool, Float, Int

from spiketype.datasets import eap, store
from spiketype.edge import guard, write_json
from spiketype.simulator.eap.config import EapConfig
from spiketype.simulator.eap.generate import generate
from spiketype.train import runs
from spiketype.train.execute import once
from spiketype.train.judging.intervals import bootstrap
from spiketype.train.judging.metrics import balanced_accuracy, selective
from spiketype.train.judging.report import number, text_table
from spiketype.train.tasks.eap.config import EapTaskConfig

Features = Literal["aw", "waveform"]
PER_CELL, SEED = 80, 1
NOISES_uV = (0.0, 30.0)
STEPS: dict[str, dict[Features, int]] = {
    "binary": {"aw": 800, "waveform": 400},
    "mtype": {"aw": 2000, "waveform": 1000},
}
STREAMED: dict[Features, int] = {"aw": 1200, "waveform": 800}  # steps of batches that are simulated
SURE = 0.8  # share of the samples that are the surest
OTHER_LAYERS = ("L1_*", "L23_*", "L4_*", "L6_*")
ALONE = ("*_TTPC2_*", "*_UTPC_*", "*_SBC_*")  # m-types of layer 5 of which no second model can be simulated
# m-types that look alike: a call inside a row is no grave mistake.
ALIKE = (("STPC", "TTPC1"), ("LBC", "NBC", "SBC"), ("BP", "BTC", "DBC", "MC"), ("ChC",), ("NGC",))


class Tested(NamedTuple):
    """What a run says of samples that it did not train on, and what they are.

    Attributes:
        probability, label: of the network.
        logistic: probability of the baseline.
        type: of the cell model, which intervals redraw.
        full: it has a full axon.
        classes: names.
    """

    probability: Float[np.ndarray, "row class"]
    label: Int[np.ndarray, " row"]
    logistic: Float[np.ndarray, "row class"]
    type: Int[np.ndarray, " row"]
    full: Bool[np.ndarray, " row"]
    classes: tuple[str, ...]


def main(
    cells: Path,
    out: Path = Path("runs/new-cells"),
    workers: int | None = None,
    seeds: int = 1,
    stream: bool = False,
) -> None:
    """Make what is missing, and print the tables.

    Args:
        cells: Folder or zip archive of NetPyNE cell files, such as those of S1_Thal_NetPyNE_Frontiers_2022.
        out: Folder of the stores and runs.
        workers: Processes at once; by default one per core.
        seeds: Networks of each run, whose probabilities are averaged.
        stream: Simulate every batch of the first four runs anew, instead of drawing from the store.
    """
    both = EapConfig(per_cell=PER_CELL, seed=SEED, cell_models=("bbp", str(cells.resolve())), axon="full")
    stores = {
        noise_uV: generate(replace(both, noise_uV=noise_uV), out / f"cells-{noise_uV:g}uV.zarr", workers)
        for noise_uV in NOISES_uV
    }
    layer5 = replace(both, per_cell=3 * PER_CELL, axon="as-given", exclude=(*OTHER_LAYERS, *ALONE))
    of_types = generate(layer5, out / "layer5.zarr", workers)
    print(_told(stores[0.0]), end="\n\n")
    print(_excitatory(stores, out, seeds, stream), end="\n\n")
    print(_m_types(of_types, out, seeds))


def _told(path: Path) -> str:
    """Return what cell models there are."""
    table = eap.load(path)
    excitatory = len(np.unique(table.cell[table.excitatory]))
    axon = store.read(path, "axon")
    return (
        f"{len(table.cell_names)} cell models ({excitatory} excitatory) of {len(table.type_names)} m/e types;"
        f" {np.sum(axon == 'full')} with full axons"
    )


def _excitatory(stores: dict[float, Path], out: Path, seeds: int, stream: bool) -> str:
    """Return how well excitatory and inhibitory are told on types that were not trained on, and trained on 13 alone."""
    rows = []
    for noise_uV, path in stores.items():
        for features, steps in STEPS["binary"].items():
            config = EapTaskConfig(task="binary", data=path, features=features, split="type", steps=steps, seeds=seeds)
            folder, trained = out / f"binary-{features}-{noise_uV:g}uV", "other types"
            if stream:
                config = replace(config, stream=True, steps=STREAMED[features])
                folder, trained = folder.with_name(f"{folder.name}-stream"), "other types, samples never twice"
            rows += _rows(trained, noise_uV, features, _run(config, folder))
    path = stores[0.0]
    lists = _thirteen(path, out / "13.json")
    few = EapTaskConfig(task="binary", data=path, split="lists", lists=lists, steps=STEPS["binary"]["aw"], seeds=seeds)
    rows += _rows("the 13 of layer 5", 0.0, "aw", _run(few, out / "binary-aw-13"))
    header = ["trained on", "noise (uV)", "inputs", "axons of the tested", "types", "balanced (%)"]
    header += ["of the surest 80 % right", "logistic regression, balanced (%)"]
    return "excitatory or inhibitory, m/e types held out\n" + text_table(header, rows)


def _rows(trained: str, noise_uV: float, features: Features, tested: Tested) -> list[list[str]]:
    rows = []
    for axon, chosen in (("stub", ~tested.full), ("full", tested.full)):
        if not chosen.any():
            continue
        y, p, unit = tested.label[chosen], tested.probability[chosen], tested.type[chosen]
        found = [
            _balanced(y, p, unit),
            f"{100 * selective(y, p, SURE):.1f}",
            _balanced(y, tested.logistic[chosen], unit),
        ]
        rows.append([trained, f"{noise_uV:g}", features, axon, str(len(np.unique(unit))), *found])
    return rows


def _balanced(y: np.ndarray, p: np.ndarray, unit: np.ndarray) -> str:
    """Return the balanced accuracy (%) with an interval over types."""
    rng = np.random.default_rng(0)
    return number(bootstrap(lambda r: np.asarray(100 * balanced_accuracy(y[r], p[r])), unit, rng, 500).to_json())


def _thirteen(path: Path, lists: Path) -> Path:
    """Write which cell models are trained on: the 13 and their copies; and tested: all of other types."""
    table = eap.load(path)
    names, axon, model = table.cell_names, store.read(path, "axon"), store.read(path, "model_name")
    train = sorted(set(map(str, model[axon == "full"])))
    types = {name.rpartition("_")[0] for name in train}
    test = [name for name in names if name.rpartition("_")[0] not in types]
    write_json(lists, {"train": train, "test": test})
    return lists


def _run(config: EapTaskConfig, folder: Path) -> Tested:
    """Return what a run says, which is made where it is missing."""
    if config.seeds > 1:
        folder = folder.with_name(f"{folder.name}-{config.seeds}seeds")
    once(config, folder)
    assert config.data is not None
    table, axon = eap.load(config.data), store.read(config.data, "axon")
    with xr.open_zarr(folder / runs.PREDICTIONS, consolidated=False) as found:
        names = [str(name) for name in found["model_name"].values]
        sample = found["row"].values.astype(int)
        probability = found["probability"].values.mean(axis=2).astype(np.float64)
        label = found["label"].values.astype(int)
        classes = tuple(map(str, found["class_name"].values))
    full = axon[store.read(config.data, "cell")] == "full"
    return Tested(
        probability[:, 0],
        label,
        probability[:, names.index("logistic regression")],
        table.type[sample],
        full[sample],
        classes,
    )


def _m_types(path: Path, out: Path, seeds: int) -> str:
    """Return how well m-types of layer 5 are called: of models that were not trained on, and recognised again."""
    rows, confusions = [], []
    for split, name in (("group", "cell models not trained on"), ("random", "cell models trained on (optimistic)")):
        for features, steps in STEPS["mtype"].items():
            config = EapTaskConfig(task="mtype", data=path, features=features, split=split, steps=steps, seeds=seeds)
            tested = _run(config, out / f"mtype-{features}-{split}")
            alike = _alike(tested.classes)
            y, p, unit = tested.label, tested.probability, tested.type
            second = np.argsort(-p, axis=1)[:, :2]
            rows.append(
                [
                    name,
                    features,
                    _balanced(y, p, unit),
                    f"{100 * np.mean((second == y[:, None]).any(axis=1)):.1f}",
                    _balanced(alike[y], _summed(p, alike), unit),
                    _balanced(y, tested.logistic, unit),
                ]
            )
            if split == "group":
                confusions.append(_confused(features, tested))
    header = [
        "tested",
        "inputs",
        "balanced (%)",
        "right or second (%)",
        "look-alikes as one (%)",
        "logistic regression",
    ]
    title = f"m-types of layer 5 ({len(tested.classes)}; chance {100 / len(tested.classes):.1f} %, {len(ALIKE)} kinds)"
    return "\n\n".join([f"{title}\n{text_table(header, rows)}", *confusions])


def _alike(classes: Sequence[str]) -> Int[np.ndarray, " class"]:
    return np.array([next(k for k, names in enumerate(ALIKE) if name in names) for name in classes])


def _summed(p: np.ndarray, alike: np.ndarray) -> np.ndarray:
    """Return probabilities of kinds: of equally frequent kinds, not m-types."""
    found = np.stack([p[:, alike == k].mean(axis=1) for k in range(len(ALIKE))], axis=1)
    return np.asarray(found / found.sum(axis=1, keepdims=True))


def _confused(features: Features, tested: Tested) -> str:
    """Return what each m-type is called, in percent of its samples."""
    called = tested.probability.argmax(axis=1)
    rows = [
        [name, *(f"{100 * np.mean(called[tested.label == k] == c):.0f}" for c in range(len(tested.classes)))]
        for k, name in enumerate(tested.classes)
    ]
    return f"called (%), {features}, cell models not trained on\n" + text_table(["true", *tested.classes], rows)


if __name__ == "__main__":
    with guard():
        tyro.cli(main)
