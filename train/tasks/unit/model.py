"""What networks say of rows and of units: the model that users get, and its calls of new units."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from spiketype.datasets.waveforms.table import WaveformTable
from spiketype.edge import Json, PyTree, UserError
from spiketype.models.unit_nets import UnitNet
from spiketype.train.apply import in_pieces, of_member
from spiketype.train.judging.calls import Calls
from spiketype.train.judging.scale import Scale
from spiketype.train.task import Member, Variables
from spiketype.train.tasks.unit import data as unit_data
from spiketype.train.tasks.unit.config import Split, UnitConfig
from spiketype.train.tasks.unit.data import UnitData

BATCH = 1000


def network(config: UnitConfig, classes: int) -> UnitNet:
    """Return the network of every member."""
    return UnitNet(classes, config.network, config.width, config.dropout)


def apply(
    net: UnitNet,
    variables: Mapping[str, PyTree],
    z: Float[Array | np.ndarray, "row feature"],
    shape: tuple[int, int],
    **options: Any,
) -> Float[Array, "row class"]:
    """Return logits for standardised inputs whose waveforms have (channel, time) `shape`; options of flax's apply."""
    points = shape[0] * shape[1]
    return jnp.asarray(net.apply(variables, z[:, :points].reshape(-1, *shape), z[:, points:], **options))


_apply = jax.jit(apply, static_argnums=(0, 3))


def probability(
    net: UnitNet, variables: Variables, member: int, z: Float[np.ndarray, "row feature"], shape: tuple[int, int]
) -> Float[np.ndarray, "row class"]:
    """Return the class probabilities that a member gives to standardised rows."""
    mine = of_member(variables, member)
    logits = in_pieces(lambda part: _apply(net, mine, part, shape), z, BATCH)
    return np.asarray(jax.nn.softmax(logits), np.float64)


def ensemble(
    net: UnitNet, variables: Variables, members: Sequence[Member], data: UnitData, scales: Sequence[Scale]
) -> list[np.ndarray]:
    """Return the probabilities (test row, class) of each fold, means over the fold's members."""
    found = []
    for number, (fold, scale) in enumerate(zip(data.folds, scales, strict=True)):
        z = scale.apply(data.x[fold.test])
        mine = [k for k, member in enumerate(members) if member.fold == number]
        found.append(np.mean([probability(net, variables, k, z, data.shape) for k in mine], axis=0))
    return found


@dataclass(frozen=True)
class UnitModel:
    """The networks of all members; what they say together is the mean over them.

    Attributes:
        net: the network.
        variables: its parameters, of all members.
        members: of the run.
        scales: of the folds.
        classes: names.
        shape: (channel, time) of the waveforms.
        features: inputs in all, with those of the histograms.
        rate_kHz: sampling rate of the waveforms.
        fingerprint: of the rows trained on.
    """

    net: UnitNet
    variables: Variables
    members: tuple[Member, ...]
    scales: tuple[Scale, ...]
    classes: tuple[str, ...]
    shape: tuple[int, int]
    features: int
    rate_kHz: float
    fingerprint: str

    def probability(self, x: Float[np.ndarray, "row feature"]) -> Float[np.ndarray, "row class"]:
        """Return the class probabilities of rows as `data.read` gives them."""
        z = [scale.apply(x) for scale in self.scales]
        of_members = [
            probability(self.net, self.variables, k, z[member.fold], self.shape)
            for k, member in enumerate(self.members)
        ]
        return np.asarray(np.mean(of_members, axis=0))

    def arrays(self) -> PyTree:
        """Return the variables."""
        return self.variables

    def manifest(self) -> Json:
        """Return all but the variables."""
        return {
            "classes": list(self.classes),
            "shape": list(self.shape),
            "features": self.features,
            "rate_kHz": self.rate_kHz,
            "fingerprint": self.fingerprint,
            "members": [{"seed": member.seed, "fold": member.fold} for member in self.members],
            "scales": [scale.to_json() for scale in self.scales],
        }


def restore(config: UnitConfig, arrays: PyTree, manifest: Json) -> UnitModel:
    """Return the model that was taken apart."""
    channels, times = manifest["shape"]
    return UnitModel(
        network(config, len(manifest["classes"])),
        arrays,
        tuple(Member(member["seed"], member["fold"]) for member in manifest["members"]),
        tuple(Scale.from_json(values) for values in manifest["scales"]),
        tuple(manifest["classes"]),
        (channels, times),
        manifest["features"],
        manifest["rate_kHz"],
        manifest["fingerprint"],
    )


def unit_means(
    probability: Float[np.ndarray, "repeat row class"], unit: Int[np.ndarray, " row"]
) -> Float[np.ndarray, "repeat unit class"]:
    """Return mean probabilities over the rows of each unit, in ascending order of units."""
    units, index, count = np.unique(unit, return_inverse=True, return_counts=True)
    sums = np.zeros((len(probability), len(units), probability.shape[2]))
    for one, each in zip(sums, probability, strict=True):
        np.add.at(one, index, each)
    return np.asarray(sums / count[:, None])


def by_unit(table: WaveformTable, probability: Float[np.ndarray, "repeat row class"], split: Split) -> Calls:
    """Return the calls of a table's units, which are means over their rows."""
    units, first, count = np.unique(table.unit, return_index=True, return_counts=True)
    return Calls(
        unit_means(probability, table.unit),
        table.label[first],
        (table.animal if split == "animal" else table.unit)[first],
        table.class_names,
        tuple(table.unit_names[unit] for unit in units),
        {"animal": np.array(table.animal_names)[table.animal[first]], "rows": count},
    )


def by_spike(table: WaveformTable, probability: Float[np.ndarray, "repeat row class"], split: Split) -> Calls:
    """Return the calls of single spikes; each is named by its unit and its number in the unit, from 0 on."""
    unit = np.array(table.unit_names)[table.unit]
    order = np.argsort(table.unit, kind="stable")
    _, first, count = np.unique(table.unit[order], return_index=True, return_counts=True)
    number = np.empty(len(order), int)
    number[order] = np.arange(len(order)) - np.repeat(first, count)
    return Calls(
        probability,
        table.label,
        table.animal if split == "animal" else table.unit,
        table.class_names,
        tuple(f"{name}:{k}" for name, k in zip(unit, number, strict=True)),
        {"animal": np.array(table.animal_names)[table.animal], "unit": unit},
    )


def inputs_of(config: UnitConfig, model: UnitModel, path: Path) -> tuple[WaveformTable, np.ndarray]:
    """Return the table of a path and its inputs (row, feature), as the model takes them.

    Raises:
        UserError: waveforms of another shape, or without the histograms that the network was trained with.
    """
    table, x, _ = unit_data.read(config, path, model.shape, model.rate_kHz)
    if x.shape[1] != model.features:
        raise UserError(
            f"{path} gives {x.shape[1]} inputs, the network was trained on {model.features}: it needs the same"
            " histograms (isi, autocorrelogram) with as many bins, or train with --no-histograms"
        )
    return table, x


def predict(config: UnitConfig, model: UnitModel, path: Path) -> dict[str, np.ndarray]:
    """Return the columns of a table with one row a unit; labels, if there are any, are not read.

    Raises:
        UserError: as `inputs_of`.
    """
    table, x = inputs_of(replace(config, label=None), model, path)
    table = replace(table, label=np.full_like(table.label, -1), class_names=model.classes)
    calls = by_unit(table, model.probability(x)[None], unit_data.natural_split(table))
    return calls.table(config.certain)
