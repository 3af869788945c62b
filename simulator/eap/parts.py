"""What a store is made of beside its configuration, which only names it: cell models and a probe."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from spiketype.edge import Json, UserError
from spiketype.reading import note
from spiketype.simulator.eap.config import EapConfig
from spiketype.simulator.eap.probes import Probe, probe
from spiketype.simulator.neuron import cells, membrane
from spiketype.simulator.neuron.cells import CellModel


class Parts(NamedTuple):
    """What the names in a configuration stand for, here and now."""

    models: Sequence[CellModel]
    """The cell models, or their variants."""
    contents: Mapping[str, str]
    """Name of each published model, be it able or not -> digest of its files and types."""
    layout: Probe

    @property
    def key(self) -> Json:
        """What stores of one configuration differ by, on all machines."""
        return {"contents": dict(self.contents), "contact_um": self.layout.contact_um.tolist(), **contacts(self.layout)}


def of(config: EapConfig) -> Parts:
    """Return what a configuration names; its files are read.

    Raises:
        UserError: a cell model or the probe is not there, incomplete or damaged; the common average of one contact.
    """
    layout = probe(config.probe)
    if config.common_average and len(layout.contact_um) < 2:
        raise UserError(f"--common-average: {config.probe} has one contact, from which nothing would be left")
    models = cells.catalogue(config.cell_models, config.exclude, config.axon)
    if differing := cells.axons_differ(models):
        note("cell models", differing)
    contents = {model.name: membrane.content(model) for model in models}
    if config.variants:
        models = cells.vary(models, config.variants, config.seed, config.variant_width)
    return Parts(models, contents, layout)


def contacts(layout: Probe) -> Json:
    """Return form and extent of the contacts, over which potentials may be averaged, as attributes of a store."""
    return {"contact_shape": layout.contact_shape, "contact_size_um": layout.contact_size_um.tolist()}
