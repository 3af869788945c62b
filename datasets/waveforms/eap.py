"""EAP stores of our own as tables of waveforms: every sample is a unit, and its cell model stands for the animal."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from spiketype.datasets import store
from spiketype.datasets.values import check_together
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
    waveform, contact_um, time_ms = (store.read(path, name) for name in ("eap_uV", "contact_um", "time_ms"))
    dimensions = {"eap_uV": ("sample", "channel", "time"), "contact_um": ("channel", "axis"), "time_ms": ("time",)}
    check_together(path, {"eap_uV": waveform, "contact_um": contact_um, "time_ms": time_ms}, dimensions)
    if len(time_ms) < 2 or not np.ptp(time_ms) > 0:
        raise UserError(f"{path}: its {len(time_ms)} times say no sampling rate: delete the store and make it again")
    words = (
        np.array(table.m_type_names)[table.m_type]
        if label == "m_type"
        else np.where(table.excitatory, "excitatory", "inhibitory")
    )
    found = build(
        path,
        waveform,
        round(float((len(time_ms) - 1) / np.ptp(time_ms.astype(np.float64))), 6),
        words,
        animal=np.array(table.cell_names)[table.cell],
        units="uV",
        producer=store.producer(store.attributes(path, "eap")),
        contact_um=contact_um,
    )
    return replace(found, group_word="cell model")


def is_store(path: Path) -> bool:
    """Say whether a folder is an EAP store."""
    return store.kind_of(path) == "eap"
