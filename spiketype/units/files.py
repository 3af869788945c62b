"""What a call of units leaves: a table as text and Parquet, a picture, and text for the methods section of a paper."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spiketype import pictures, tables
from spiketype.datasets.waveforms import WaveformTable
from spiketype.edge import Json, versions, whole_file
from spiketype.units import figures
from spiketype.units.call import FEWEST_SPIKES, UnitCalls
from spiketype.units.model import NAME, UnitsModel

LETTERS = 400  # of a note of the reader that are told: it may list many units


def write(paths: Sequence[Path], found: UnitCalls, table: WaveformTable, model: UnitsModel, read: Json) -> None:
    """Write all files, each whole or not at all.

    Args:
        paths: from `beside`.
        found: the calls.
        table: the units.
        model: that called them.
        read: what was read, kept in the Parquet's metadata and told in the text.
    """
    *to_tables, to_png, _, to_md = paths
    for path in to_tables:
        tables.write(path, found.columns, read)
    pictures.save(figures.units(found, table, model), to_png)
    with whole_file(to_md) as partial:
        partial.write_text(methods(found, table, model, read))


def methods(found: UnitCalls, table: WaveformTable, model: UnitsModel, read: Json) -> str:
    """Return text for a paper: what was done, with which versions, how good it is, and what was not called."""
    installed = versions()
    names, counts = np.unique(found.columns["call"], return_counts=True)
    called = ", ".join(f"{count} {name}" for name, count in zip(names, counts, strict=True))
    facts = found.facts
    estimated = (
        f" The share of excitatory units was estimated at {facts['share_excitatory_estimated']:.2f} by expectation"
        f" maximisation, and spikes were {facts['time_scale']:.2f} times as fast as those of published cell models;"
        " neither was used."
        if facts["time_scale"] is not None
        else ""
    )
    given = facts["share_excitatory_given"]
    prior = (
        "both classes being taken as equally frequent"
        if given is None
        else f"a share of {given:g} of the units being taken to be excitatory"
    )
    flipped = ", turned upside down," if any(source.get("flipped") for source in read["sources"]) else ""
    notes = (*found.notes, *(_shortened(note.removeprefix(f"{table.source}: ")) for note in read["notes"]))
    return f"""# Methods

Units ({table.producer or "waveforms"}, {table.rate_kHz:g} kHz) were called excitatory or inhibitory with {NAME} of
spiketype {installed["spiketype"]} (Python {installed["python"]}, NumPy {installed["numpy"]}) from the
waveform of the largest channel{flipped or ","} {prior}.
Units whose likelier class had a probability below {facts["certain"]:g}, and units that were positive first, clipped,
cut off, means of fewer than {FEWEST_SPIKES} spikes or unlike those of the training, were not called. Of
{facts["units"]} units: {called}.{estimated}

{NAME} is a mean of logistic regressions of the shape of the spike, trained on {model.card["trained_on"]}. On
laboratories it was not trained on: {model.card["held_out"]}. It was not tested on {model.card["not_tested_on"]}.

{"".join(f"- {note}" + chr(10) for note in notes)}"""


def _shortened(note: str) -> str:
    """Return a note in one line of some length."""
    line = " ".join(note.split())
    return line if len(line) <= LETTERS else f"{line[:LETTERS]} ..."
