"""EAP stores of our own as tables of waveforms: every sample is a unit, and its cell model stands for the animal."""

from pathlib import Path

import numpy as np

from spiketype.datasets import store
from spiketype.datasets.waveforms.table import WaveformTable, build
from spiketype.edge import UserError

LABELS = ("excitatory", "m_type")


def load(path: Path, label: str | None) -> WaveformTable:
    """Read the waveforms (uV) of a store on all contacts.

    Args:
        path: a store of `simulator.eap` with waveforms.
        label: ``excitatory`` (the default; classes excitatory and inhibitory) or ``m_type``.

    Raises:
        UserError: the store is unfinished, damaged or without waveforms; the label is unknown.
    """
    from spiketype.datasets import eap  # here, because it needs JAX, and other waveforms do without

    label = label or LABELS[0]
    if label not in LABELS:
        raise UserError(f"{path} has no column {label!r}; it has {', '.join(LABELS)}")
    store.validate(path, "eap", ("eap_uV", "time_ms"))
    table = eap.load(path)
    time_ms = store.read(path, "time_ms").astype(np.float64)
    words = (
        np.array(table.m_type_names)[table.m_type]
        if label == "m_type"
        else np.where(table.excitatory, "excitatory", "inhibitory")
    )
    return build(
        path,
        store.read(path, "eap_uV"),
        round(float((len(time_ms) - 1) / np.ptp(time_ms)), 6),
        words,
        animal=np.array(table.cell_names)[table.cell],
        units="uV",
        producer=store.producer(store.attributes(path, "eap")),
        contact_um=store.read(path, "contact_um"),
    )


def is_store(path: Path) -> bool:
    """Say whether a folder is an EAP store."""
    return store.kind_of(path) == "eap"
