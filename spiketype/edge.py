"""Where the program meets the user and the machine: errors, cache, progress, the guard of every command line."""

import contextlib
import errno
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class UserError(ValueError):
    """A mistake that the user can mend: the message names the file or value, and the remedy."""


def cache_dir() -> Path:
    """The folder for what can be made again: ``$XDG_CACHE_HOME/spiketype``, else ``~/.cache/spiketype``."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "spiketype"


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.3g}/s" if task.speed else "", style="progress.data.speed")


def progress() -> Progress:
    """A progress display on stderr: description, bar, count, rate, time spent and time left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


@contextlib.contextmanager
def guard() -> Iterator[None]:
    """Turn the user's mistakes, a full disk and Ctrl-C into one clear line and an exit code, without a traceback."""
    try:
        yield
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("stopped: what is finished is kept; the same command continues from there", file=sys.stderr)
        raise SystemExit(130) from None
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(141) from None
    except OSError as error:
        remedy = ": free some space or choose another folder" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        print(f"error: {error}{remedy}, then repeat the command", file=sys.stderr)
        raise SystemExit(1) from None


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Where to write a file that gets its name when it is complete: what stops half-way leaves nothing behind."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def versions() -> dict[str, str]:
    """Versions of this program, Python and the libraries that decide a result, and the git commit if there is one."""
    found = {"spiketype": metadata.version("spiketype"), "python": platform.python_version()}
    for name in ("jax", "flax", "optax", "numpy", "zarr", "neuron", "LFPy", "MEArec"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    found["git_commit"] = _git("rev-parse", "HEAD") + ("-modified" if _git("status", "--porcelain") else "")
    return found


def _git(*arguments: str) -> str:
    here = Path(__file__).resolve().parent
    try:
        done = subprocess.run(["git", "-C", here, *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
