"""Small labelled EAP stores, written in a moment: random cells whose footprints can be told apart, no NEURON."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from spiketype.datasets import store
from spiketype.simulator.eap.blocks import variables
from spiketype.simulator.eap.config import EapConfig

CELLS = (  # name, m-type, excitatory: several cells of most m-types
    *(("BP_1", "BP", False), ("BP_2", "BP", False), ("LBC_1", "LBC", False), ("LBC_2", "LBC", False)),
    *(("STPC_1", "STPC", True), ("STPC_2", "STPC", True), ("TTPC1_1", "TTPC1", True), ("TTPC1_2", "TTPC1", True)),
)
PITCH_UM, DT_MS, N_TIME = 15.0, 0.5, 14  # a window of 7 ms


def write(
    path: Path,
    cells: Sequence[tuple[str, str, bool]] = CELLS,
    per_cell: int = 20,
    seed: int = 0,
    grid: tuple[int, int] = (10, 10),
    finished: bool = True,
    probe: np.ndarray | None = None,
    **options: Any,
) -> Path:
    """Write a store to `path` in the schema of simulator.eap, and return the path; `options` are of EapConfig.

    probe: contacts (channel, 3) that are on no grid, in its place.

    An EAP is a negative Gaussian in time that falls off with the square of the distance, followed by a positive
    one: its time is the class's (m-type), the width of the fall that of excitatory or inhibitory.
    """
    config = EapConfig(per_cell=per_cell, seed=seed, waveform_kHz=1 / DT_MS, **options)
    contact_um = contacts(grid) if probe is None else probe
    time_ms = DT_MS * np.arange(N_TIME, dtype=np.float32)
    sizes = {"sample": per_cell * len(cells), "channel": len(contact_um), "cell_model": len(cells)}
    sizes |= {"axis": 3, "world": 3, "local": 3, "time": N_TIME}
    about, by_cell = store.Coordinate, ("cell_model",)
    coordinates = {
        "cell_name": about(by_cell, np.array([name for name, _, _ in cells]), "1", "cell model"),
        "m_type": about(by_cell, np.array([m_type for _, m_type, _ in cells]), "1", "morphological type"),
        "e_type": about(by_cell, np.array(["cAD"] * len(cells)), "1", "electrical type"),
        "layer": about(by_cell, np.array(["L5"] * len(cells)), "1", "cortical layer"),
        "excitatory": about(by_cell, np.array([e for _, _, e in cells]), "1", "excitatory, else inhibitory"),
        "contact_um": about(("channel", "axis"), contact_um, "um", "contact position"),
        "time_ms": about(("time",), time_ms, "ms", "time from the start of the cut"),
    }
    attributes = {
        "config": json.dumps(asdict(config), sort_keys=True),
        "seed": seed,
        "sources": "{}",
        "created_with": "{}",
        "probe_grid": list(grid) if probe is None else [],
    }
    store.create(path, "eap", sizes, per_cell, variables(config, N_TIME), coordinates, attributes)
    m_types = sorted({m_type for _, m_type, _ in CELLS} | {m_type for _, m_type, _ in cells})
    for index, (_, m_type, excitatory) in enumerate(cells):
        if not finished and index == len(cells) - 1:
            break
        rng = np.random.default_rng([seed, index])
        block = _block(rng, contact_um, per_cell, m_types.index(m_type), excitatory, index)
        store.write_block(path, per_cell, index, block)
        store.mark_done(path, index, {"rank": (index, 1), "rank_error_uV": (index, 1e-4)})
    store.finish(path)
    return path


def contacts(grid: tuple[int, int] = (10, 10)) -> np.ndarray:
    """Contacts (channel, 3) of a square array: rows along z ascending, columns along y ascending."""
    z, y = (PITCH_UM * (np.arange(n) - (n - 1) / 2) for n in grid)
    rows, columns = np.meshgrid(z, y, indexing="ij")
    return np.stack([np.zeros(rows.size), columns.ravel(), rows.ravel()], axis=1).astype(np.float32)


def _block(
    rng: np.random.Generator, contact_um: np.ndarray, n: int, m_type: int, excitatory: bool, index: int
) -> dict[str, np.ndarray]:
    position = rng.uniform([10, -75, -75], [60, 75, 75], (n, 3)).astype(np.float32)
    away = np.linalg.norm(position[:, None] - contact_um, axis=2)
    size = (300 if excitatory else 150) / (1 + (away / 30) ** 2)
    width = 0.5 * (1 + m_type) + 0.05 * rng.random((n, 1)) + 0 * size
    time = DT_MS * np.arange(N_TIME)
    waveform = -size[..., None] * np.exp(-((time - 2) ** 2))
    waveform += 0.3 * size[..., None] * np.exp(-((time - 2 - width[..., None]) ** 2))
    quiet = size < 5
    block = {
        "amplitude_uV": np.where(quiet, 0, size),
        "width_ms": np.where(quiet, 7, width),
        "fwhm_ms": np.where(quiet, 7, 0.5 * width),
        "depolarising_uV_per_ms": -size,
        "repolarising_uV_per_ms": size / width,
        "cell": np.full(n, index),
        "spike": np.zeros(n),
        "candidate": np.arange(n),
        "position_um": position,
        "rotation": np.broadcast_to(np.eye(3), (n, 3, 3)),
        "eap_uV": waveform,
    }
    kinds = {"cell": np.int16, "spike": np.int16, "candidate": np.int32}
    return {name: values.astype(kinds.get(name, np.float32)) for name, values in block.items()}
