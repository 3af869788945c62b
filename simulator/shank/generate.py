"""A labelled stand-in for hippocampal shank recordings: ``python -m simulator.shank --out DIR``.

Spikes of the 13 cell models before 8 contacts at 20 kHz, 32 samples each, in several animals that differ in placement,
noise, gain, filter and pace. Written in both published forms: ``stream/`` (int16 and parameter text,
`datasets.waveform_stream`) and ``hc3/`` (.xml, .spk, .clu, .res and hc3-cell.csv, `datasets.waveform_hc3`).

What is an assumption: how units of one cell model differ (their place and a lognormal time scale of 12 %), how they
fire, and that sorting is perfect. All animals have the same 13 cell models, so animals held out are new placements, new
recordings and new units, but no new cell models: for those see the EAP tasks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spiketype.datasets.waveforms import stream as waveform_stream
from spiketype.edge import UserError, progress
from spiketype.simulator.eap.probes import probe
from spiketype.simulator.neuron import cells, membrane
from spiketype.simulator.shank import files as shank_files
from spiketype.simulator.shank import units as shank_units
from spiketype.simulator.shank.units import Unit

NOISE = 3  # stream of random numbers
SHANK_UNITS = 10  # units on each shank of an animal


@dataclass(frozen=True)
class ShankConfig:
    """A simulated set of recordings; together with the program's versions this determines every byte of it."""

    animals: int = 6
    """How many animals, with one session each."""
    units: int = 60
    """Units of each animal, ten on a shank."""
    spikes: int = 60
    """Spikes of each unit."""
    seed: int = 0
    """Seed of everything."""

    def __post_init__(self) -> None:
        for name, least, most in (("animals", 1, 99), ("units", 1, 990), ("spikes", 2, 10_000), ("seed", 0, 2**32 - 1)):
            if not least <= getattr(self, name) <= most:
                raise UserError(f"--{name} is {getattr(self, name)}: it must be from {least} to {most}")


def generate(config: ShankConfig, out: Path) -> Path:
    """Write the recordings that `config` describes to the folder `out` and return it.

    Raises:
        UserError: `out` exists; a cell model cannot be simulated.
    """
    if out.exists():
        raise UserError(f"{out} exists already: choose another folder or remove it")
    models = cells.catalogue()
    sources = membrane.simulate(models)
    partial = out.with_name(f".{out.name}.partial")
    (partial / "stream").mkdir(parents=True, exist_ok=True)
    rows: list[list[str]] = []
    with progress() as bar:
        shown = bar.add_task("units before a shank", total=config.animals * config.units)
        currents = shank_units.factors([sources[model.name] for model in models])
        for number in range(1, config.animals + 1):
            of = shank_units.animal(config.seed, f"sim{config.seed:03d}{number:02d}")
            units = []
            for k in range(1, config.units + 1):
                units.append(shank_units.unit(config.seed, of, k, models, currents, config.spikes))
                bar.advance(shown)
            rows += _write(config, of, units, partial, first_id=len(rows) + 1)
    shank_files.write_cells(partial / "hc3" / "hc3-cell.csv", rows)
    partial.rename(out)
    return out


def _write(
    config: ShankConfig, of: shank_units.Animal, units: Sequence[Unit], out: Path, first_id: int
) -> list[list[str]]:
    """Write one animal's session in both forms; returns its rows of the table of cells."""
    session = f"{of.name}.01"
    roots = shank_units.noise_factors(of, probe("linear8").contact_um)
    waveform, number = [], []
    for k, unit in enumerate(units, start=1):
        rng = shank_units.generator(config.seed, of.name, k, NOISE)
        uV = shank_units.spikes_uV(unit, rng) + shank_units.noise(roots, config.spikes, rng)
        waveform.append(np.clip(np.round(uV * of.gain_per_uV), -32768, 32767).astype(np.int16))
        number.append(np.full(config.spikes, k))
    time = np.concatenate([unit.time_ms for unit in units])
    order = np.argsort(time, kind="stable")
    spikes, of_unit = np.concatenate(waveform)[order], np.concatenate(number)[order]
    sample = np.round(time[order] * shank_units.RATE_KHZ).astype(np.int64)
    shank, cluster = 1 + (of_unit - 1) // SHANK_UNITS, 2 + (of_unit - 1) % SHANK_UNITS
    fields = _fields(of, units, of_unit, shank, cluster, sample)
    waveform_stream.write(out / "stream" / f"{session}.dat", spikes, fields)
    shank_files.write_session(out / "hc3" / session / session, spikes, shank, cluster, sample, shank_units.RATE_KHZ)
    return [
        shank_files.cell_row(first_id + k, session, of.name, 1 + k // SHANK_UNITS, 2 + k % SHANK_UNITS, unit)
        for k, unit in enumerate(units)
    ]


def _fields(
    of: shank_units.Animal,
    units: Sequence[Unit],
    of_unit: np.ndarray,
    shank: np.ndarray,
    cluster: np.ndarray,
    sample: np.ndarray,
) -> dict[str, np.ndarray]:
    """The eleven parameters of each spike, in order; a unit's number is shank x 100 + cluster."""

    def each(values: Sequence[object]) -> np.ndarray:
        return np.array(values)[of_unit - 1]

    return {
        "spike": np.arange(1, len(of_unit) + 1),
        "animal": np.full(len(of_unit), of.name),
        "session": np.full(len(of_unit), 1),
        "shank": shank,
        "sample": sample,
        "unit": 100 * shank + cluster,
        "type": each(["p" if unit.model.excitatory else "i" for unit in units]),
        "m_type": each([unit.model.m_type for unit in units]),
        "excites": each([unit.excites for unit in units]),
        "inhibits": each([unit.inhibits for unit in units]),
        "distance_um": each([round(float(np.linalg.norm(unit.position_um))) for unit in units]),
    }
