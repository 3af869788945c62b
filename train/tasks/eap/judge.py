"""The judgement of the tasks on EAP stores: predictions of every member, tables, figures, other stores."""

import dataclasses
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from spiketype.datasets import eap, store
from spiketype.datasets.eap import EapTable
from spiketype.datasets.splits import Split
from spiketype.edge import UserError
from spiketype.models.cnn import CNN
from spiketype.train.judging.baselines import logistic_baseline, majority_baseline
from spiketype.train.judging.figures import save
from spiketype.train.judging.report import classification_figures, location_figures
from spiketype.train.tasks.eap.footprints import feature_figure
from spiketype.train.tasks.eap.predictions import Locations, Predictions
from spiketype.train.tasks.eap.summary import location_summary, summary

LENGTH_UM = 50.0  # positions are learned in units of this
BATCH = 1000
BASELINE_SAMPLES = 20_000


def outputs(net: CNN, variables: Any, member: int, inputs: eap.Inputs, index: np.ndarray) -> np.ndarray:
    """What one member says of samples `index`, ascending: logits, or positions in LENGTH_UM."""
    own = jax.tree.map(lambda a: a[member], variables)
    said = [np.asarray(_apply(net, own, x)) for x in inputs.pieces(index, BATCH)]
    return np.concatenate(said)[: len(index)]


@partial(jax.jit, static_argnames="net")  # one program for all members
def _apply(net: CNN, variables: Any, x: jax.Array) -> Any:
    return net.apply(variables, x)


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax over the last axis, in float64."""
    return np.asarray(jax.nn.softmax(logits, axis=-1), np.float64)


@dataclasses.dataclass(frozen=True)
class Judged:
    """Rows of predictions before they are judged: what each member said of its test samples."""

    said: np.ndarray  # (row, output)
    index: np.ndarray  # (row,) sample
    seed: np.ndarray  # (row,)
    fold: np.ndarray  # (row,)


def say(
    net: CNN, variables: Any, inputs: eap.Inputs, members: Sequence[tuple[int, int]], tests: Sequence[np.ndarray]
) -> Judged:
    """Every member's outputs for its test samples; members are (seed, fold), tests the samples of each."""
    said = [outputs(net, variables, m, inputs, test) for m, test in enumerate(tests)]
    seed, fold = (
        np.concatenate([np.full(len(t), member[i]) for member, t in zip(members, tests, strict=True)]) for i in (0, 1)
    )
    return Judged(np.concatenate(said), np.concatenate(list(tests)), seed, fold)


def classified(judged: Judged, table: EapTable, label: np.ndarray, classes: Sequence[str]) -> Predictions:
    """Predictions with what judges them."""
    i = judged.index
    return Predictions(
        probability=probabilities(judged.said),
        label=label[i],
        cell=table.cell[i],
        seed=judged.seed,
        fold=judged.fold,
        index=i,
        distance_um=table.distance_um[i],
        amplitude_uV=table.amplitude_uV[i],
        class_names=tuple(classes),
        cell_names=table.cell_names,
    )


def located(judged: Judged, table: EapTable) -> Locations:
    """Predicted positions in um with the true ones."""
    i = judged.index
    return Locations(
        judged.said * LENGTH_UM,
        table.position_um[i],
        table.cell[i],
        judged.seed,
        judged.fold,
        i,
        table.cell_names,
    )


def judge(
    config: Any,
    net: CNN,
    table: EapTable,
    inputs: eap.Inputs,
    label: np.ndarray | None,
    classes: Sequence[str],
    split: Split,
    members: Sequence[tuple[int, int]],
    variables: Any,
    history: list[dict[str, Any]],
    folder: Path,
) -> dict[str, Any]:
    """Judge all members on their test parts; write predictions and figures into the run folder."""
    judged = say(net, variables, inputs, members, [split.folds[fold].test for _, fold in members])
    title = f"{config.task}, {config.rotation}, {config.features}"
    save(_examples(table, inputs), folder / "figures" / "inputs.png")
    if label is None:
        locations = located(judged, table)
        mean_um = np.stack([table.position_um[split.folds[f].train].mean(axis=0) for f in judged.fold])
        result = location_summary(locations, not split.optimistic, mean_um, split.kind, config.seed)
        location_figures(locations, result, history, title, folder / "figures")
        _write(
            folder,
            judged,
            {"predicted_um": locations.predicted_um, "true_um": locations.true_um},
            ("x", "y", "z"),
        )
        return result
    predictions = classified(judged, table, label, classes)
    baselines = _baselines(predictions, inputs, label, split, config.seed)
    result = summary(predictions, not split.optimistic, split.kind, baselines, config.seed)
    classification_figures(result, history, title, folder / "figures")
    _write(folder, judged, {"probability": predictions.probability}, classes, label=predictions.label)
    return result


def _baselines(
    p: Predictions, inputs: eap.Inputs, label: np.ndarray, split: Split, seed: int
) -> dict[str, Predictions]:
    """The commonest class and logistic regression on the same inputs and folds (or 20,000 samples of them)."""
    n_class, first = len(p.class_names), p.seed == p.seed.min()
    majority, logistic = np.zeros((2, int(first.sum()), n_class))
    for number, fold in enumerate(split.folds):
        rows, train = p.fold[first] == number, fold.train
        majority[rows] = majority_baseline(label[train], len(fold.test), n_class)
        if len(train) > BASELINE_SAMPLES:
            train = np.sort(np.random.default_rng(seed).choice(train, BASELINE_SAMPLES, replace=False))
        logistic[rows] = logistic_baseline(inputs.rows(train), label[train], inputs.rows(fold.test), n_class)
    fields = {f.name: getattr(p, f.name) for f in dataclasses.fields(p)}
    one_seed = {name: v[first] if isinstance(v, np.ndarray) else v for name, v in fields.items()}
    return {
        "majority class": Predictions(**one_seed | {"probability": majority}),
        "logistic regression": Predictions(**one_seed | {"probability": logistic}),
    }


def _examples(table: EapTable, inputs: eap.Inputs) -> Figure:
    """The inputs of the largest EAP of (up to 20) cell models, as in Fig. 3; of a waveform its deepest moment."""
    cells = np.unique(table.cell)[:20]
    largest = np.array([max(np.flatnonzero(table.cell == c), key=lambda i: table.amplitude_uV[i]) for c in cells])
    images = np.concatenate([inputs.rows(largest[i : i + 1]) for i in range(len(largest))])
    if inputs.images == eap.IMAGES["waveform"]:
        images = images.min(axis=-1, keepdims=True)
    names = [table.cell_names[c].split("_")[1] if "_" in table.cell_names[c] else table.cell_names[c] for c in cells]
    title = "Inputs: the largest EAP of each cell model"
    return feature_figure(np.moveaxis(images, -1, 1), names, list(inputs.images), title)


def _write(
    folder: Path,
    judged: Judged,
    values: dict[str, np.ndarray],
    columns: Sequence[str],
    label: np.ndarray | None = None,
) -> None:
    """predictions.zarr: one row a prediction."""
    arrays: dict[str, Any] = {name: (("row", "output"), v.astype(np.float32)) for name, v in values.items()}
    arrays |= {"sample": ("row", judged.index), "seed": ("row", judged.seed), "fold": ("row", judged.fold)}
    if label is not None:
        arrays["label"] = ("row", label)
    dataset = xr.Dataset(arrays, attrs={"outputs": list(columns)})
    dataset.to_zarr(folder / "predictions.zarr", mode="w", zarr_format=3, consolidated=False)


def other_inputs(config: Any, about: dict[str, Any], data: Path) -> eap.Inputs:
    """The network's inputs from another store.

    Raises:
        UserError: a store whose grid or features are not those that the network was trained on.
    """
    inputs = eap.Inputs(data, config.features, config.scaled)
    grid, images = list(inputs.shape[1:3]), inputs.shape[3]
    if grid != about["grid"] or images != about["images_in_a_sample"]:
        raise UserError(
            f"{data} has {images} images of {grid[0]}x{grid[1]} contacts; the network was trained on"
            f" {about['images_in_a_sample']} of {about['grid'][0]}x{about['grid'][1]} ({config.features}):"
            " make a store with the same --probe and --waveform-khz"
        )
    return inputs


def evaluate(config: Any, about: dict[str, Any], net: CNN, variables: Any, data: Path, folder: Path) -> dict[str, Any]:
    """Judge a trained network on another store with labels: on cell models that a member was not trained on, if any.

    Raises:
        UserError: the store of the training itself; classes that the network does not know.
    """
    if store.attributes(data, "eap")["config"] == about["store_config"]:
        raise UserError(
            f"{data} is what the run was trained on: simulate another (python -m simulator.eap --seed 1 ...)"
        )
    table, inputs = eap.load(data), other_inputs(config, about, data)
    known = [set(member["trained_on"]) for member in about["members"]]
    new = [np.flatnonzero([table.cell_names[c] not in cells for c in table.cell]) for cells in known]
    by_group = all(len(rows) for rows in new)
    tests = new if by_group else [np.arange(len(table.cell))] * len(known)
    seeds = [(member["seed"], number) for number, member in enumerate(about["members"])]
    judged = say(net, variables, inputs, seeds, tests)
    name = "other store"
    title = f"{config.task}, {config.features}, {data.name}"
    if config.task == "location":
        locations = located(judged, table)
        result = location_summary(
            locations, by_group, np.mean([m["mean_um"] for m in about["members"]], axis=0), name, config.seed
        )
        location_figures(locations, result, [], title, folder)
        return result
    predictions = classified(judged, table, _known_labels(config, about, table, data), about["classes"])
    result = summary(predictions, by_group, name, {}, config.seed)
    classification_figures(result, [], title, folder)
    return result


def _known_labels(config: Any, about: dict[str, Any], table: EapTable, data: Path) -> np.ndarray:
    if config.task == "binary":
        return table.excitatory.astype(np.int32)
    if unknown := sorted(set(table.m_type_names) - set(about["classes"])):
        raise UserError(f"{data} has m-types that the network does not know: {', '.join(unknown)}")
    return np.array([about["classes"].index(name) for name in table.m_type_names])[table.m_type]


def predict(config: Any, about: dict[str, Any], net: CNN, variables: Any, data: Path) -> dict[str, Any]:
    """Columns of a table, one row a sample: the mean over members and how far they differ."""
    inputs = other_inputs(config, about, data)
    index = np.arange(inputs.shape[0])
    said = np.stack([outputs(net, variables, m, inputs, index) for m in range(len(about["members"]))])
    sample = {"sample": index}
    if config.task == "location":
        mean, sd = said.mean(axis=0) * LENGTH_UM, said.std(axis=0) * LENGTH_UM
        return (
            sample
            | {f"{a}_um": mean[:, i] for i, a in enumerate("xyz")}
            | {f"{a}_sd_um": sd[:, i] for i, a in enumerate("xyz")}
        )
    probability = probabilities(said)
    mean = probability.mean(axis=0)
    best = mean.argmax(axis=1)
    chosen = {"class": np.array(about["classes"])[best], "probability": mean.max(axis=1)}
    chosen["sd_over_members"] = probability.std(axis=0)[np.arange(len(best)), best]
    return sample | chosen | {f"p_{name}": mean[:, i] for i, name in enumerate(about["classes"])}
