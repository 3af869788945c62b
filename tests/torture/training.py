"""A small training to be killed, and the run folder that an undisturbed one leaves."""

import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from spiketype.train import asked, checkpoints, runs
from tests import eap_store, run_folder
from tests.simulator.eap_program import different, files
from tests.torture.killing import Victim, ended_badly

STORE = "eap.zarr"
ROOT = Path(__file__).resolve().parents[2]
OPTIONS = ("--task", "mtype", "--network", "xs", "--batch", "32", "--steps", "300", "--save-every", "0")
UNEQUAL = {Path(asked.CONFIG), Path(runs.SUMMARY)}  # the folder's name and the seconds are in them


@dataclass(frozen=True)
class Training:
    """A training in a folder: the run to be made, and one that was made undisturbed.

    Attributes:
        folder: of both, and of the store that they learn from.
        seconds: how long the undisturbed one took.
        steps: lines of metrics and files that it left: steps of its work that can be seen from outside.
    """

    folder: Path
    seconds: float = 0.0
    steps: int = 1

    @property
    def whole(self) -> Path:
        """The run that was made undisturbed."""
        return self.folder / "whole"

    @property
    def out(self) -> Path:
        """The run to be made."""
        return self.folder / "run"

    def start(self, out: Path | None = None) -> "subprocess.Popen[str]":
        """Start a training, or continue it as its own message says."""
        out = out or self.out
        again = ("--resume", str(out), "--save-every", "0")
        new = (*OPTIONS, "--data", str(self.folder / STORE), "--out", str(out))
        command = [sys.executable, "-m", "train.run", *(again if runs.exists(out) else new)]
        return subprocess.Popen(
            command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )

    def progress(self, out: Path | None = None) -> int:
        """Return how many lines of metrics and files there are."""
        out = out or self.out
        try:
            return len(run_folder.metrics(out)) + len(files(out))
        except OSError:  # a file was renamed meanwhile
            return 0

    def wrong(self, out: Path | None = None) -> str:
        """Return what differs from the undisturbed run: metrics, model, predictions, pictures, summary."""
        out = out or self.out
        # A run that was killed may have one checkpoint more, or one less, than the other.
        ignored = UNEQUAL | {Path(checkpoints.LAST), Path(checkpoints.PREVIOUS)}
        found = [str(name) for name in different(self.whole, out) if name not in ignored]
        if not found and _numbers(out) != _numbers(self.whole):
            found = [runs.SUMMARY]
        return f"{len(found)} files differ: {', '.join(found[:5])}" if found else ""

    def clear(self) -> None:
        """Remove the run."""
        shutil.rmtree(self.out, ignore_errors=True)

    def victim(self) -> Victim:
        """Return what `torture` kills."""
        return Victim(self.start, self.progress, self.steps, self.seconds, self.wrong, self.clear)


def _numbers(out: Path) -> dict[str, object]:
    return {name: value for name, value in runs.read_summary(out).items() if name != "seconds"}


def make(folder: Path) -> Training:
    """Make a store and the undisturbed run in a folder; what is compiled is kept in it, and found by all that follow.

    Raises:
        RuntimeError: even undisturbed it does not end well.
    """
    eap_store.write(folder / STORE)
    made = Training(folder)
    began = time.monotonic()
    if found := ended_badly(made.start(made.whole)):
        raise RuntimeError(found)
    return Training(folder, time.monotonic() - began, made.progress(made.whole))
