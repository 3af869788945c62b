"""A labelled stand-in for hippocampal shank recordings: ``python -m simulator.shank --out DIR``.

Spikes of the 13 cell models before 8 contacts at 20 kHz, 32 samples each, in several animals that differ in placement,
noise, gain, filter and pace. Written in both published forms: ``stream/`` (int16 and parameter text, and our table of
animals, `datasets.waveforms.stream`) and ``hc3/`` (topdir/session/session.xml, .spk, .clu and .res, hc3-session.csv and
hc3-cell.csv, `datasets.waveforms.hc3`).

Assumptions: how units of one cell model differ (their place and a lognormal time scale of 12 %), how they
fire, and that sorting is perfect. All animals have the same 13 cell models, so animals held out are new placements, new
recordings and new units, but no new cell models: for those see the EAP tasks.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spiketype.datasets.waveforms import stream
from spiketype.edge import UserError, progress
from spiketype.simulator.eap import forward
from spiketype.simulator.eap.probes import probe
from spiketype.simulator.neuron import cells, membrane
from spiketype.simulator.shank import files, units
from spiketype.simulator.shank.config import ShankConfig
from spiketype.simulator.shank.units import RATE_KHZ, Animal, Unit

NOISE, NUMBERS = 3, 4  # streams of random numbers
SHANK_UNITS = 10  # units on each shank of an animal


def generate(config: ShankConfig, out: Path) -> Path:
    """Write the recordings that `config` describes to the folder `out` and return it.

    Raises:
        UserError: `out` exists; a cell model cannot be simulated.
    """
    if out.exists():
        raise UserError(f"{out} exists already: choose another folder or remove it")
    models = cells.catalogue()
    sources = membrane.simulate(models)
    currents = units.factors([sources[model.name] for model in models])
    # Of this process alone, and begun anew: nothing of another seed, or of a run that was stopped, gets into it.
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        _simulate(config, models, currents, partial)
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return out


def _simulate(
    config: ShankConfig, models: Sequence[cells.CellModel], currents: Sequence[forward.Factors], out: Path
) -> None:
    """Write the recordings of all animals, and the tables, to `out`."""
    (out / "stream").mkdir(parents=True)
    cell_rows: list[list[str]] = []
    session_rows: list[list[str]] = []
    stream_rows: list[list[str]] = []
    names = _names(config)
    with progress() as bar:
        shown = bar.add_task("units before a shank", total=config.animals * config.units)
        for number in range(1, config.animals + 1):
            animal = units.animal(config.seed, f"sim{config.seed:03d}{number:02d}")
            made = []
            for k in range(1, config.units + 1):
                made.append(units.unit(config.seed, animal, k, models, currents, config.spikes))
                bar.advance(shown)
            topdir, session = names[number - 1]
            duration_s = _write(config, animal, made, out, out / "hc3" / topdir / session / session)
            cell_rows += [
                files.cell_row(
                    len(cell_rows) + k + 1, topdir, animal.name, 1 + k // SHANK_UNITS, 2 + k % SHANK_UNITS, unit
                )
                for k, unit in enumerate(made)
            ]
            session_rows.append(files.session_row(number, topdir, session, duration_s))
            stream_rows.append([_stream_name(animal), animal.name])
    files.write_table(out / "hc3" / "hc3-cell.csv", cell_rows)
    files.write_table(out / "hc3" / "hc3-session.csv", session_rows)
    files.write_table(out / "stream" / stream.ANIMALS, [["session", "animal"], *stream_rows])


def _names(config: ShankConfig) -> list[tuple[str, str]]:
    """Return (topdir, session) of each animal: numbers that have to do neither with each other nor with the animal.

    As in hc-3, topdirs begin alike though they are of several animals, and the number of a session begins like that of
    another topdir: only the tables say what belongs together.
    """
    rng = units.generator(config.seed, "hc3", 0, NUMBERS)
    numbers = np.sort(rng.choice(np.arange(100, 1000), config.animals + 1, replace=False)).tolist()
    digits = rng.integers(0, 10, config.animals).tolist()
    return [
        (f"made{config.seed:03d}.{own}", f"made{config.seed:03d}.{other}{digit}")
        for own, other, digit in zip(numbers[:-1], numbers[1:], digits, strict=True)
    ]


def _write(config: ShankConfig, animal: Animal, made: Sequence[Unit], out: Path, base: Path) -> float:
    """Write one animal's session in both forms, as hc-3 to `base`; return how long it lasts, in s."""
    roots = units.noise_factors(animal, probe("linear8").contact_um)
    waveform, number = [], []
    for k, unit in enumerate(made, start=1):
        rng = units.generator(config.seed, animal.name, k, NOISE)
        uV = units.spikes_uV(unit, rng) + units.noise(roots, config.spikes, rng)
        waveform.append(np.clip(np.round(uV * animal.gain_per_uV), -32768, 32767).astype(np.int16))
        number.append(np.full(config.spikes, k))
    time = np.concatenate([unit.time_ms for unit in made])
    order = np.argsort(time, kind="stable")
    spikes, of_unit = np.concatenate(waveform)[order], np.concatenate(number)[order]
    sample = np.round(time[order] * RATE_KHZ).astype(np.int64)
    shank, cluster = 1 + (of_unit - 1) // SHANK_UNITS, 2 + (of_unit - 1) % SHANK_UNITS
    fields = _fields(animal, made, of_unit, shank, cluster, sample)
    stream.write(out / "stream" / f"{_stream_name(animal)}.dat", spikes, fields)
    files.write_session(base, spikes, shank, cluster, sample, RATE_KHZ)
    return float(time.max()) / 1000


def _stream_name(animal: Animal) -> str:
    return f"{animal.name}.01"


def _fields(
    animal: Animal,
    made: Sequence[Unit],
    of_unit: np.ndarray,
    shank: np.ndarray,
    cluster: np.ndarray,
    sample: np.ndarray,
) -> dict[str, np.ndarray]:
    """Return the eleven parameters of each spike, in order; a unit's number is shank x 100 + cluster."""

    def each(values: Sequence[str | int]) -> np.ndarray:
        of_spike: np.ndarray = np.array(values)[of_unit - 1]
        return of_spike

    return {
        "spike": np.arange(1, len(of_unit) + 1),
        "animal": np.full(len(of_unit), animal.name),
        "session": np.full(len(of_unit), 1),
        "shank": shank,
        "sample": sample,
        "unit": 100 * shank + cluster,
        "type": each(["p" if unit.model.excitatory else "i" for unit in made]),
        "m_type": each([unit.model.m_type for unit in made]),
        "excites": each([unit.excites for unit in made]),
        "inhibits": each([unit.inhibits for unit in made]),
        "distance_um": each([round(float(np.linalg.norm(unit.position_um))) for unit in made]),
    }
