"""The networks of a run on an EAP store, in use: what every member says of the samples of a store."""

from dataclasses import dataclass
from functools import partial

import jax
import numpy as np
from jaxtyping import Float, Int, UInt64

from spiketype.datasets import store
from spiketype.datasets.eap import EapTable, Inputs
from spiketype.datasets.fingerprint import of_rows
from spiketype.edge import Json, PyTree, UserError
from spiketype.location import Location
from spiketype.models.cnn import CNN
from spiketype.train.task import Variables, of_member
from spiketype.train.tasks.eap.config import EapTaskConfig
from spiketype.train.tasks.eap.origin import check_probe

LENGTH_UM = 50.0  # positions are learned in units of this
BATCH = 1000
PLACES = 2  # decimals by which placements are known again


@dataclass(frozen=True)
class EapModel:
    """All networks of a run; what they say together is the mean over them.

    Attributes:
        net: the network.
        about: what the run tells of itself: classes, grid, members.
        variables: of all members.
        seen: fingerprints of the samples of the run's store, and of their placements, which runs of before do not have.
    """

    net: CNN
    about: Json
    variables: Variables
    seen: UInt64[np.ndarray, "... seen"]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; none for positions."""
        return tuple(self.about["classes"])

    @property
    def members(self) -> list[Json]:
        """Seed, fold, cell models trained on and mean position of each member."""
        return list(self.about["members"])

    def outputs(self, member: int, inputs: Inputs, index: Int[np.ndarray, " row"]) -> Float[np.ndarray, "row output"]:
        """Return what one member gives for samples `index`, ascending: probabilities, or positions in um."""
        variables = of_member(self.variables, member)
        found = [np.asarray(_apply(self.net, variables, x)) for x in inputs.pieces(index, BATCH)]
        raw = np.concatenate(found)[: len(index)]
        if self.classes:
            return np.asarray(jax.nn.softmax(raw, axis=-1), np.float64)
        position_um: np.ndarray = raw * LENGTH_UM + inputs.middle_um[index]
        return position_um

    def each(self, inputs: Inputs) -> Float[np.ndarray, "member row output"]:
        """Return what every member gives for all samples."""
        index = np.arange(inputs.shape[0])
        return np.stack([self.outputs(number, inputs, index) for number in range(len(self.members))])

    def probability(self, inputs: Inputs) -> Float[np.ndarray, "row class"]:
        """Return the mean class probabilities over members, of all samples of a store."""
        return np.asarray(self.each(inputs).mean(axis=0))

    def arrays(self) -> PyTree:
        """Return the variables, and what they were trained on."""
        return {"networks": self.variables, "seen": self.seen}

    def manifest(self) -> Json:
        """Return what the run tells of itself."""
        return self.about


@partial(jax.jit, static_argnums=0)  # one program for all members
def _apply(net: CNN, variables: Variables, x: jax.Array | np.ndarray) -> PyTree:
    return net.apply(variables, x)


def network(config: EapTaskConfig, outputs: int) -> CNN:
    """Return the network of every member."""
    return CNN(outputs, config.network, config.dropout, config.precision)


def restore(config: EapTaskConfig, arrays: PyTree, manifest: Json) -> EapModel:
    """Return the model that was taken apart."""
    return EapModel(network(config, len(manifest["classes"]) or 3), manifest, arrays["networks"], arrays["seen"])


def classes_of(config: EapTaskConfig, table: EapTable) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Return the class of each sample (sample,) int32 and the names of the classes; None for positions."""
    if config.task == "location":
        return None, ()
    if config.task == "binary":
        return table.excitatory.astype(np.int32), ("inhibitory", "excitatory")
    return table.m_type, table.m_type_names


def seen_of(table: EapTable) -> UInt64[np.ndarray, "2 sample"]:
    """Return what tells each sample from others, and each placement of a cell, whatever probe or noise recorded it.

    Numbers of a placement are rounded, so that an accelerator's are those of a processor.
    """
    placed = [table.position_um]
    if "rotation" in store.validate(table.store, "eap", ()):  # one seed has the same places in all sets of rotations
        placed.append(store.read(table.store, "rotation"))
    rounded = [np.round(each.astype(np.float64), PLACES) + 0.0 for each in placed]  # no -0
    return np.stack([of_rows(table.position_um, table.amplitude_uV), of_rows(*rounded)])


def other_inputs(config: EapTaskConfig, manifest: Json, data: Location) -> Inputs:
    """Return the network's inputs from another store; a network that sees a lattice takes any probe.

    Raises:
        UserError: a store whose grid, contacts or features are not those that the network was trained on.
    """
    inputs = Inputs(data, config.features, config.scaled, pitch_um=manifest.get("lattice_um"))
    grid, images = list(inputs.shape[1:3]), inputs.shape[3]
    if grid != manifest["grid"] or images != manifest["images_in_a_sample"]:
        rows, columns = manifest["grid"]
        of = "nodes of a lattice" if inputs.lattice else "contacts"
        raise UserError(
            f"{data} has {images} images of {grid[0]}x{grid[1]} {of}; the network was trained on"
            f" {manifest['images_in_a_sample']} of {rows}x{columns} ({config.features}):"
            " make a store with the same --probe and --waveform-khz"
        )
    check_probe(manifest, data)
    return inputs
