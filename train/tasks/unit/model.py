"""What networks say of rows and of units: the model that users get, and its calls of new units."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int, UInt64

from spiketype.datasets.fingerprint import of_rows, of_shapes
from spiketype.datasets.options import UnitSplit
from spiketype.datasets.waveforms import divide, matrix
from spiketype.datasets.waveforms.divide import Division
from spiketype.datasets.waveforms.matrix import Form
from spiketype.datasets.waveforms.seen import seen
from spiketype.datasets.waveforms.table import WaveformTable
from spiketype.edge import Json, PyTree
from spiketype.models import unit_nets
from spiketype.models.scale import Scale
from spiketype.models.unit_nets import UnitNet
from spiketype.models.usual import Usual
from spiketype.train.config import Member
from spiketype.train.judging.calls import Calls
from spiketype.train.task import Variables, in_pieces, of_member
from spiketype.train.tasks.unit import beginning
from spiketype.train.tasks.unit.config import UnitConfig

BATCH = 1000
UNUSUAL = "a waveform unlike all that were trained on"
MOST_SHAPES = 5000  # rows from which usual shapes are learned

_apply = jax.jit(unit_nets.apply, static_argnums=(0, 3))


class UnitData(NamedTuple):
    """Labelled rows, as a table and as inputs of the network, and how they are divided."""

    table: WaveformTable
    x: Float[np.ndarray, "row feature"]
    form: Form
    division: Division


def read(
    config: UnitConfig, path: Path, like: Form | None = None, labels: bool = True
) -> tuple[WaveformTable, Float[np.ndarray, "row feature"], Form]:
    """Return the table of a path, its inputs, and their form; with ``--init``, what that model says is the last input.

    Raises:
        UserError: as `matrix.read` and `beginning.load`.
    """
    more = int(config.init is not None)
    expected = like._replace(features=like.features - more) if like else None
    table, parts, form = matrix.read(config, path, expected, labels)
    if config.init is not None:
        parts.append(beginning.column(config.init, table))
    return table, np.concatenate(parts, axis=1), form._replace(features=form.features + more)


def scale_of(config: UnitConfig, x: Float[np.ndarray, "row feature"]) -> Scale:
    """Return the scale of training rows; what another model says keeps its own."""
    scale = Scale.of(x)
    if config.init is not None:
        scale.mean[-1], scale.sd[-1] = 0.0, 1.0
    return scale


def network(config: UnitConfig, class_names: tuple[str, ...], source: Path) -> UnitNet:
    """Return the network of every member, for classes of the data `source`.

    Raises:
        UserError: as `beginning.directions`.
    """
    directions = () if config.init is None else beginning.directions(class_names, source)
    return UnitNet(len(class_names), config.network, config.width, config.dropout, directions)


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
    for number, (fold, scale) in enumerate(zip(data.division.folds, scales, strict=True)):
        z = scale.apply(data.x[fold.test])
        mine = [k for k, member in enumerate(members) if member.fold == number]
        found.append(np.mean([probability(net, variables, k, z, data.form.shape) for k in mine], axis=0))
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
        form: of the inputs.
        seen: fingerprints of the waveforms trained on, as of `known_by`.
        groups: names of the animals trained on, or of what stands for them; none in older runs, or where nobody says.
        usual: shapes of the waveforms.
    """

    net: UnitNet
    variables: Variables
    members: tuple[Member, ...]
    scales: tuple[Scale, ...]
    classes: tuple[str, ...]
    form: Form
    seen: UInt64[np.ndarray, " seen"]
    groups: tuple[str, ...]
    usual: Usual

    def probability(self, x: Float[np.ndarray, "row feature"]) -> Float[np.ndarray, "row class"]:
        """Return the class probabilities of rows as `inputs_of` gives them."""
        z = [scale.apply(x) for scale in self.scales]
        of_members = [
            probability(self.net, self.variables, k, z[member.fold], self.form.shape)
            for k, member in enumerate(self.members)
        ]
        return np.asarray(np.mean(of_members, axis=0))

    def arrays(self) -> PyTree:
        """Return the variables, and what they were trained on."""
        return {"networks": self.variables, "seen": self.seen, "usual": self.usual.arrays()}

    def manifest(self) -> Json:
        """Return all but the variables."""
        return {
            "classes": list(self.classes),
            "shape": list(self.form.shape),
            "features": self.form.features,
            "rate_kHz": self.form.rate_kHz,
            "members": [{"seed": member.seed, "fold": member.fold} for member in self.members],
            "scales": [scale.to_json() for scale in self.scales],
            "groups": list(self.groups),
        }


def restore(config: UnitConfig, arrays: PyTree, manifest: Json) -> UnitModel:
    """Return the model that was taken apart."""
    return UnitModel(
        network(config, tuple(manifest["classes"]), config.data or Path()),
        arrays["networks"],
        tuple(Member(member["seed"], member["fold"]) for member in manifest["members"]),
        tuple(Scale.from_json(values) for values in manifest["scales"]),
        tuple(manifest["classes"]),
        Form.from_json(manifest),
        arrays["seen"],
        tuple(manifest.get("groups", ())),
        Usual.restore(arrays["usual"]),
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


def by_unit(table: WaveformTable, probability: Float[np.ndarray, "repeat row class"], split: UnitSplit) -> Calls:
    """Return the calls of a table's units, which are means over their rows."""
    units, first, count = np.unique(table.unit, return_index=True, return_counts=True)
    return Calls(
        unit_means(probability, table.unit),
        table.label[first],
        divide.groups(table, split)[0][first],
        table.class_names,
        tuple(table.unit_names[unit] for unit in units),
        {_column(table): np.array(table.animal_names)[table.animal[first]], "rows": count},
    )


def _column(table: WaveformTable) -> str:
    """Return the name of the column of animals, or of what stands for them."""
    return table.group_word.replace(" ", "_")


def in_order(table: WaveformTable, probability: Float[np.ndarray, "repeat row class"]) -> Calls:
    """Return the calls of a table's units in the order of the data."""
    first = np.unique(table.unit, return_index=True)[1]
    return by_unit(table, probability, divide.natural(table)).take(np.argsort(first))


def by_spike(table: WaveformTable, probability: Float[np.ndarray, "repeat row class"], split: UnitSplit) -> Calls:
    """Return the calls of single spikes; each is named by its unit and its number in the unit, from 0 on."""
    unit = np.array(table.unit_names)[table.unit]
    order = np.argsort(table.unit, kind="stable")
    _, first, count = np.unique(table.unit[order], return_index=True, return_counts=True)
    number = np.empty(len(order), int)
    number[order] = np.arange(len(order)) - np.repeat(first, count)
    return Calls(
        probability,
        table.label,
        divide.groups(table, split)[0],
        table.class_names,
        tuple(f"{name}:{k}" for name, k in zip(unit, number, strict=True)),
        {_column(table): np.array(table.animal_names)[table.animal], "unit": unit},
    )


def known_by(table: WaveformTable) -> UInt64[np.ndarray, "3 row"]:
    """Return what each waveform of a table is known by: any of the three will do, the first alone in older runs."""
    return np.concatenate([of_rows(table.waveform)[None], of_shapes(table.waveform)])


def usual_of(config: UnitConfig, table: WaveformTable) -> Usual:
    """Learn usual shapes from the rows that are trained on."""
    return Usual.of(shapes(config, table.take(np.arange(0, len(table.unit), -(-len(table.unit) // MOST_SHAPES)))))


def shapes(config: UnitConfig, table: WaveformTable, rate_kHz: float | None = None) -> Float[np.ndarray, "row point"]:
    """Return the waveforms of rows as a network sees them, 0 where one has ended."""
    found: np.ndarray = np.nan_to_num(seen(config, table, rate_kHz).waveform)
    return found.reshape(len(found), -1)


def inputs_of(
    config: UnitConfig, model: UnitModel, path: Path, labels: bool = True
) -> tuple[WaveformTable, Float[np.ndarray, "row feature"]]:
    """Return the table of a path and its inputs, as the model takes them.

    Raises:
        UserError: as `read`.
    """
    table, x, _ = read(config, path, model.form, labels)
    return table, x


def predict(config: UnitConfig, model: UnitModel, path: Path) -> dict[str, np.ndarray]:
    """Return the columns of a table with one row a unit, as they stand in the data; labels are not read.

    Raises:
        UserError: as `inputs_of`.
    """
    table, x = inputs_of(config, model, path, labels=False)
    table = replace(table, label=np.full_like(table.label, -1), class_names=model.classes)
    far = model.usual.distance(shapes(config, table, model.form.rate_kHz)) > model.usual.limit
    first = np.unique(table.unit, return_index=True)[1]  # as `in_order`
    share = unit_means(far[None, :, None].astype(float), table.unit)[0, np.argsort(first), 0]
    return in_order(table, model.probability(x)[None]).table(config.certain, {UNUSUAL: share > 0.5})
