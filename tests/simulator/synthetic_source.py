"""A made-up neuron: a branching tree with currents like an action potential's that spreads from the soma."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spiketype.simulator.eap import template
from spiketype.simulator.neuron import membrane
from spiketype.simulator.neuron.cells import CellModel
from spiketype.simulator.neuron.membrane import Attempt, Cached, Failure
from spiketype.simulator.neuron.source import Source


def synthetic_source(segments: int = 130, spikes: int = 3, samples: int = 224, seed: int = 0, **other: Any) -> Source:
    """Random tree rooted in a 15 um soma, currents of a spike, 32 kHz; other fields replace those made."""
    rng = np.random.default_rng(seed)
    start, end = np.zeros((segments, 3)), np.zeros((segments, 3))
    diameter = rng.uniform(0.3, 3.0, segments)
    delay_ms = np.zeros(segments)
    start[0], end[0], diameter[0] = (0, -7.5, 0), (0, 7.5, 0), 15.0
    heading = rng.normal(size=(segments, 3))
    for i in range(1, segments):
        parent = rng.integers(max(0, i - 12), i)
        heading[i] = heading[parent] + 0.5 * rng.normal(size=3)
        heading[i] /= np.linalg.norm(heading[i])
        start[i] = end[parent]
        end[i] = start[i] + rng.uniform(5, 40) * heading[i]
        delay_ms[i] = delay_ms[parent] + 0.05
    time = np.arange(samples) / 32 - 2
    width = 0.15 + 0.1 * rng.random((spikes, 1, 1)) + 0.3 * delay_ms[None, :, None]
    late = (time - delay_ms[:, None]) / width
    strength = np.where(np.arange(segments) == 0, -3.0, rng.normal(size=segments) * np.exp(-delay_ms))
    current = strength[:, None] * (np.exp(-(late**2)) - 0.4 * np.exp(-((late - 2) ** 2) / 4))
    current -= current.mean(axis=1, keepdims=True)
    fields: dict[str, Any] = {
        "name": f"synthetic{seed}",
        "start_um": start.astype(np.float32),
        "end_um": end.astype(np.float32),
        "diameter_um": diameter.astype(np.float32),
        "current_nA": current.astype(np.float32),
        "soma_mV": np.full((spikes, samples), -70.0, np.float32),
        "dt_ms": 2.0**-5,
        "provenance": {},
    }
    return Source(**(fields | other))


def attempted(
    folder: Path, models: Sequence[CellModel], failures: dict[str, Failure] | None = None, **other: Any
) -> Attempt:
    """Sources of models, of as many segments as their names are long, in files; some models fail."""
    failures = failures or {}
    paths = {m.name: folder / f"{m.name}.npz" for m in models if m.name not in failures}
    for name, path in paths.items():
        synthetic_source(20 + len(name), name=name, **other).save(path)
    return Attempt(Cached(paths), failures)


def stand_in(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let made-up currents, kept in a folder, be those of all cell models, in stores without versions."""
    patch.setattr(membrane, "attempt", lambda models, workers=None: attempted(folder, models))
    patch.setattr(template, "versions", dict)
