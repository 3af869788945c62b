"""The judgement of the unit task: what networks and baselines say of tested rows and units; other data."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from spiketype.edge import UserError
from spiketype.models.unit_nets import UnitNet
from spiketype.train.judging.scale import Scale
from spiketype.train.tasks.unit import baselines as unit_baselines
from spiketype.train.tasks.unit import data as unit_data
from spiketype.train.tasks.unit.baselines import LOGISTIC_NAME, SVC_NAME
from spiketype.train.tasks.unit.data import UnitData
from spiketype.train.tasks.unit.report import figures
from spiketype.train.tasks.unit.summary import summary

NETWORK, TUNED = "network", "network, tuned on {} units of the animal"
AVERAGE = f"average of network, {SVC_NAME} and {LOGISTIC_NAME}"
BATCH = 1000


class Member(NamedTuple):
    """One training: the number of its fold, over all repeats, and its seed."""

    fold: int
    seed: int


def apply(net: UnitNet, variables: Any, z: jax.Array, shape: Sequence[int], **options: Any) -> jax.Array:
    """Logits for standardised inputs z (row, feature) whose waveforms have (channel, time) `shape`."""
    points = shape[0] * shape[1]
    return jnp.asarray(net.apply(variables, z[:, :points].reshape(-1, *shape), z[:, points:], **options))


def say(net: UnitNet, variables: Any, member: int, z: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Probabilities (row, class) that a member gives to standardised rows."""
    own = jax.tree.map(lambda a: a[member], variables)
    said = []
    for first in range(0, len(z), BATCH):
        part = z[first : first + BATCH]
        padded = jnp.asarray(np.pad(part, ((0, BATCH - len(part)), (0, 0))))  # one shape, one program
        said.append(np.asarray(_apply(net, own, padded, tuple(shape)))[: len(part)])
    return np.asarray(jax.nn.softmax(np.concatenate(said)), np.float64)


_apply = jax.jit(apply, static_argnums=(0, 3))


def ensemble(
    net: UnitNet, variables: Any, members: Sequence[Member], data: UnitData, scales: Sequence[Scale]
) -> list[np.ndarray]:
    """Probabilities (test row, class) of each fold, averaged over the fold's members."""
    found = []
    for number, (fold, scale) in enumerate(zip(data.folds, scales, strict=True)):
        z = scale.apply(data.x[fold.test])
        own = [k for k, member in enumerate(members) if member.fold == number]
        found.append(np.mean([say(net, variables, k, z, data.shape) for k in own], axis=0))
    return found


def judge(
    config: Any,
    net: UnitNet,
    data: UnitData,
    scales: Sequence[Scale],
    members: Sequence[Member],
    about: dict[str, Any],
    finetune: Callable[[Sequence[Member], Any], Any],
    variables: Any,
    history: list[dict[str, Any]],
    folder: Path,
) -> dict[str, Any]:
    """Judge all models on rows that their training parts do not have; write predictions and figures."""
    models = {NETWORK: ensemble(net, variables, members, data, scales)}
    if data.adapt is not None:
        tuned = finetune(members, variables)
        models[TUNED.format(config.finetune)] = ensemble(net, tuned, members, data, scales)
    table = data.table
    most = unit_baselines.MOST_ROWS if table.level == "spike" else None
    models |= unit_baselines.out_of_fold(
        data.x, table.label, table.unit, len(table.class_names), data.folds, scales, config.seed, most
    )
    models = {AVERAGE: unit_baselines.average(models, (NETWORK, SVC_NAME, LOGISTIC_NAME))} | models
    result = summary(config, data, {name: _rows(data, config.repeats, each) for name, each in models.items()})
    _write(folder, data, models, config.repeats)
    figures(result, data.table, history, folder / "figures")
    return result


def _rows(data: UnitData, repeats: int, said: Sequence[np.ndarray]) -> np.ndarray:
    """Probabilities (repeat, row, class) of the tested rows from those of folds; NaN where a row is not tested."""
    found = np.full((repeats, len(data.x), said[0].shape[1]), np.nan)
    per_repeat = len(data.folds) // repeats
    for number, (fold, each) in enumerate(zip(data.folds, said, strict=True)):
        found[number // per_repeat, fold.test] = each
    return found


def _write(folder: Path, data: UnitData, models: Mapping[str, Sequence[np.ndarray]], repeats: int) -> None:
    arrays: dict[str, Any] = {
        "probability": (
            ("model", "repeat", "row", "class"),
            np.stack([_rows(data, repeats, said) for said in models.values()]).astype(np.float32),
        ),
        "label": ("row", data.table.label),
        "unit": ("row", data.table.unit),
        "animal": ("row", data.table.animal),
    }
    # Names as attributes: Zarr 3 has no specification for text yet.
    named = {"models": list(models), "classes": list(data.table.class_names), "units": list(data.table.unit_names)}
    found = xr.Dataset(arrays, attrs=named)
    found.to_zarr(folder / "predictions.zarr", mode="w", zarr_format=3, consolidated=False)


def other(config: Any, about: dict[str, Any], net: UnitNet, variables: Any, path: Path) -> tuple[Any, np.ndarray]:
    """The table of a path, and what the mean over all members says of its rows (row, class).

    Raises:
        UserError: waveforms of another shape, or without the histograms that the network was trained with.
    """
    table, x, shape = unit_data.read(config, path, about["shape"], about["rate_kHz"])
    if x.shape[1] != about["features"]:
        raise UserError(
            f"{path} gives {x.shape[1]} inputs, the network was trained on {about['features']}: it needs the same"
            " histograms (isi, autocorrelogram) with as many bins, or train with --no-histograms"
        )
    scales = [Scale.from_json(values) for values in about["scales"]]
    said = [say(net, variables, k, scales[m["fold"]].apply(x), shape) for k, m in enumerate(about["members"])]
    return table, np.mean(said, axis=0)


def evaluate(config: Any, about: dict[str, Any], net: UnitNet, variables: Any, path: Path, folder: Path) -> Any:
    """Judge on other labelled waveforms.

    Raises:
        UserError: the waveforms of the training itself; no labels; classes that the network does not know.
    """
    table, said = other(config, about, net, variables, path)
    if unit_data.digest(table.take(table.label >= 0)) == about["trained_on"]:
        raise UserError(f"{path} is what the run was trained on: its own judgement is in summary.json")
    if unknown := sorted(set(table.class_names) - set(about["classes"])):
        raise UserError(f"{path} has classes that the network does not know: {', '.join(unknown)}")
    if not (table.label >= 0).any():
        raise UserError(f"{path} has no labels: use train.predict, or name their column with --label when training")
    ours = np.array([about["classes"].index(name) for name in table.class_names])
    known = np.flatnonzero(table.label >= 0)
    table = dataclasses.replace(table.take(known), class_names=tuple(about["classes"]))
    table = dataclasses.replace(table, label=ours[table.label].astype(np.int32))
    split = "animal" if len(np.unique(table.animal)) > 1 else "unit"
    data = UnitData(table, np.zeros((len(known), 0)), tuple(about["shape"]), (), None, split, False)
    result = summary(config, data, {NETWORK: said[known][None]})
    figures(result, table, [], folder)
    return result


def predict(config: Any, about: dict[str, Any], net: UnitNet, variables: Any, path: Path) -> dict[str, Any]:
    """Columns of a table with one row a unit: the mean over its rows and over members."""
    config = dataclasses.replace(config, label=None)
    table, said = other(config, about, net, variables, path)
    units, first, index, count = np.unique(table.unit, return_index=True, return_inverse=True, return_counts=True)
    sums = np.zeros((len(units), said.shape[1]))
    np.add.at(sums, index, said)
    mean = sums / count[:, None]
    return {
        "unit": np.array(table.unit_names)[units],
        "animal": np.array(table.animal_names)[table.animal[first]],
        "rows": count,
        "call": np.array(about["classes"])[mean.argmax(axis=1)],
        "probability": mean.max(axis=1),
    } | {f"p_{name}": mean[:, k] for k, name in enumerate(about["classes"])}
