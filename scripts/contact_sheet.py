"""Every picture that spiketype draws, on a few pages to look at before a release.

    python scripts/contact_sheet.py --out runs/contact-sheet

Simulates small data (13 cell models, 153 raphe cells, 90 units; tables of Allen features are made up), makes a short
run of every task through the command line, asks `spiketype units`, and lays the pictures out on pages of twelve, with
the run and the file name above each. Needs no data; takes some minutes on two cores, more where the cell models have
to be simulated first. What is in --out already is not made again: delete a run to have it drawn anew.
"""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tyro
from matplotlib.figure import Figure
from matplotlib.image import imread

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the small tables are the tests'

from spiketype.datasets import waveforms
from spiketype.edge import UserError, guard, whole_file
from tests.datasets import five_subclasses, two_species

# Data: how `spiketype simulate` makes them. Tables of Allen features cannot be simulated.
SIMULATED = {
    "eap.zarr": ("eap", "--per-cell", "60"),
    "raphe.zarr": ("raphe", "--most-spikes", "12"),
    "shank": ("shank", "--animals", "3", "--units", "30", "--spikes", "20"),
}
WRITTEN = {"subclass": five_subclasses.folder, "species": two_species.folder}
UNITS = "units.npz"  # the means of the spikes of each unit of the shank; `spiketype units` is asked of them, too
FEW = ("--steps", "100")
EAPS = ("--network", "s", "--steps", "150")
CLUSTERS = ("--seeds", "3", "--hidden", "32", "--cluster-steps", "100", "--window-ms", "0.5", "1", *FEW)
# Run: task, data, options. Cell models stand for animals in one run of units and clusters each.
RUNS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "mtype": ("mtype", "eap.zarr", EAPS),
    "binary": ("binary", "eap.zarr", EAPS),
    "location": ("location", "eap.zarr", EAPS),
    "raphe": ("raphe", "raphe.zarr", ("--widths", "5", "9", "--folds", "3", *FEW)),
    "subclass": ("subclass", "subclass", ("--repeats", "1", "--folds", "3", *FEW)),
    "species": ("species", "species", ("--seeds", "1", *FEW)),
    "unit": ("unit", UNITS, ("--seeds", "1", "--folds", "3", *FEW)),
    "unit-window": ("unit", "eap.zarr", ("--seeds", "1", "--folds", "3", "--window-ms", "0.5", "1", *FEW)),
    "cluster": ("cluster", UNITS, ("--most", "6", *CLUSTERS)),
    "cluster-cells": ("cluster", "eap.zarr", ("--clusters", "8", "--channels", "largest", *CLUSTERS)),
}
CALLED = "units"  # the folder of what `spiketype units` draws
COLUMNS, ROWS = 4, 3  # of a page


def main(out: Path) -> None:
    """Make the runs that are missing, and draw the pages.

    Args:
        out: Folder of data, runs and pages.
    """
    out.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    simulations, runs = _simulations(out), _runs(out)
    for number, (name, command) in enumerate([*simulations, *runs], 1):
        if number == len(simulations) + 1:
            _write(out)
        print(f"{number} of {len(simulations) + len(runs)}, {time.monotonic() - start:.0f} s: {name}", flush=True)
        _spiketype(command, out / f"{name}.log")
    for path in pages(pictures(out), out):
        print(path)


def _simulations(out: Path) -> list[tuple[str, tuple[str, ...]]]:
    """Return the commands that make the data that are missing."""
    return [(f"simulate-{kind}", ("simulate", kind, *options, "--out", str(out / name)))
            for name, (kind, *options) in SIMULATED.items() if not (out / name).exists()]  # fmt: skip


def _write(out: Path) -> None:
    """Write what no command simulates."""
    for name, write in WRITTEN.items():
        write(out / name)
    spikes = waveforms.load(out / "shank" / "hc3")
    first = np.unique(spikes.unit, return_index=True)[1]
    mean = [spikes.waveform[spikes.unit == k].mean(axis=0) for k in np.unique(spikes.unit)]
    label, animal = np.array(spikes.class_names)[spikes.label], np.array(spikes.animal_names)[spikes.animal]
    np.savez(out / UNITS, waveform=np.stack(mean), rate_kHz=spikes.rate_kHz, label=label[first], animal=animal[first])


def _runs(out: Path) -> list[tuple[str, tuple[str, ...]]]:
    """Return the commands of all runs that are not finished."""
    found = []
    for name, (task, data, options) in RUNS.items():
        folder = out / "runs" / name
        if not (folder / "summary.json").exists():
            again = ("--resume", str(folder)) if folder.exists() else ("--task", task, "--data", str(out / data))
            found.append((name, ("train", *again, *(() if folder.exists() else (*options, "--out", str(folder))))))
    called = out / "runs" / CALLED / "figures" / "units.csv"
    called.parent.mkdir(parents=True, exist_ok=True)
    if not called.exists():
        found.append((CALLED, ("units", str(out / UNITS), "--out", str(called))))
    return found


def _spiketype(arguments: Sequence[str], log: Path) -> None:
    """Run a command; what it prints goes into a file.

    Raises:
        UserError: it failed; with the end of what it printed.
    """
    with open(log, "w") as file:
        done = subprocess.run([sys.executable, "-m", "spiketype", *arguments], stdout=file, stderr=subprocess.STDOUT)
    if done.returncode:
        last = " ".join(log.read_text().splitlines()[-3:])
        raise UserError(f"spiketype {' '.join(arguments)} failed, see {log}: {last}")


def pictures(out: Path) -> dict[str, Path]:
    """Return all pictures of the runs, by run and name, in the order of the runs."""
    order = [*RUNS, CALLED]
    found = sorted((out / "runs").glob("*/figures/*.png"), key=lambda path: (order.index(path.parts[-3]), path.name))
    return {f"{path.parts[-3]}: {path.name}": path for path in found}


def pages(shown: dict[str, Path], out: Path) -> list[Path]:
    """Lay pictures out on pages, and return the files; pages of an earlier, longer sheet are removed."""
    for old in out.glob("sheet-*.png"):
        old.unlink()
    each, written = COLUMNS * ROWS, []
    names = list(shown)
    for number, first in enumerate(range(0, len(names), each), 1):
        figure = Figure(figsize=(6 * COLUMNS, 5 * ROWS), layout="constrained")
        grid = np.ravel(figure.subplots(ROWS, COLUMNS))
        for axes in grid:
            axes.set_axis_off()
        for axes, name in zip(grid, names[first : first + each], strict=False):
            axes.imshow(imread(shown[name]), interpolation="antialiased")
            axes.set_title(name, fontsize=12, fontweight="bold")
        written.append(out / f"sheet-{number}.png")
        with whole_file(written[-1]) as partial:
            figure.savefig(partial, dpi=110, format="png")
    return written


if __name__ == "__main__":
    with guard():
        tyro.cli(main, description=__doc__)
