"""Where the program meets the user and the machine: errors, cache, progress, the guard of every command line."""

import contextlib
import errno
import hashlib
import importlib.util
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar, Protocol, runtime_checkable

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

Json = dict[str, Any]  # an object of JSON: its values are what the file says they are
NO_CALL = "no call"  # in every table: no class is likely enough
Handler = Callable[[int, FrameType | None], Any] | int | signal.Handlers | None  # of a signal
PyTree = Any  # arrays in dicts, lists and named tuples, as JAX takes them: they have no static type


@runtime_checkable
class Dataclass(Protocol):
    """Any dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


LETTERS = 4000  # of a message: a damaged file's words may be as long as the file
START, END = 3000, 900  # what is kept of a longer one


class UserError(ValueError):
    """A mistake that the user can mend: the message names the file or value, and the remedy."""

    def __init__(self, message: str) -> None:
        super().__init__(cut(message))


def cut(message: str) -> str:
    """Return a message, of a very long one its start and its end."""
    if len(message) <= LETTERS:
        return message
    return f"{message[:START]}[... {len(message) - START - END} letters ...]{message[-END:]}"


# What is left of a URL that was given as a path: a Path has one slash where two are.
URL = re.compile(r"(?<![\w.+-])(s3|gs|gcs|https?|ftp|sftp|az|abfss?|hdfs|dandi|file):[/\\](?![/\\])", re.IGNORECASE)
URLS = "URLs are read for EAP stores alone: download it first, and give the path of the file or folder"


def absent(path: Path) -> str:
    """Return the sentence for a path that does not exist: what to do, if it is what is left of a URL."""
    found = URL.search(str(path))
    if found is None:
        return f"{path} does not exist"
    return f"{_restored(found)}: {_remedy(found)}"


def _restored(found: re.Match[str]) -> str:
    """Return the URL of which something is left."""
    scheme = found[1].lower()
    return f"{scheme}{':///' if scheme == 'file' else '://'}{found.string[found.end() :]}"


def _remedy(url: re.Match[str]) -> str:
    return "give the path without file://" if url[1].lower() == "file" else URLS


def _about_urls(message: str) -> str:
    """Return what to add to a message that names what is left of a URL, and does not say so itself."""
    found = URL.search(message)
    return f". {_remedy(found)}" if found and URLS not in message else ""


def check_out(path: Path, flag: str = "--out") -> None:
    """Refuse a file or folder that cannot be made, before the work for it is done; nothing is left behind.

    Args:
        path: to be written; folders above it may be made.
        flag: the option that gave it.

    Raises:
        UserError: names the option, the path, and what is in the way; or it is what is left of a URL.
    """
    if found := URL.match(str(path)):
        raise UserError(
            f"{flag} {_restored(found)}: only stores of EAPs are written to URLs, s3:// and gs://: give the path of a"
            " file or folder"
        )
    above = next(each for each in (path.absolute().parent, *path.absolute().parents) if each.exists())
    if not above.is_dir():
        raise UserError(f"{flag} {path}: {above} is no folder: choose a path in one")
    try:
        with tempfile.TemporaryDirectory(prefix=".spiketype-", dir=above):
            pass
    except OSError as error:
        why = error.strerror or error
        raise UserError(f"{flag} {path}: nothing can be written to {above} ({why}): choose another folder") from error


def install(what: str) -> str:
    """Return the command that installs a package, or an extra of this one such as ``spiketype[umap]``, here.

    An environment that uv has made has no pip; in a clone uv takes extras from its pyproject.toml.
    """
    if importlib.util.find_spec("pip"):
        return f"pip install '{what}'"
    extra = re.fullmatch(r"spiketype\[(.+)\]", what)
    if extra and (Path(__file__).resolve().parents[1] / "pyproject.toml").exists():
        return f"uv sync --extra {extra[1]}"
    return f"uv pip install '{what}'"


def cache_dir() -> Path:
    """Return the folder for what can be made again: ``$XDG_CACHE_HOME/spiketype``, else ``~/.cache/spiketype``."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "spiketype"


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


LINE_EVERY_S = 30.0  # of progress, where it is written to a file


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.3g}/s" if task.speed else "", style="progress.data.speed")


class _Shown(Progress):
    """A display that writes a line now and then where it cannot draw: into a file, or the log of a cluster."""

    told: float | None = None

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        """Advance a task."""
        super().advance(task_id, advance)
        self._tell()

    def update(self, task_id: TaskID, **changes: Any) -> None:
        """Change a task."""
        super().update(task_id, **changes)
        self._tell()

    def _tell(self) -> None:
        now = time.monotonic()
        self.told = now if self.told is None else self.told
        if self.disable or self.console.is_terminal or now - self.told < LINE_EVERY_S:
            return
        self.told = now
        for task in self.tasks:
            if task.total and not task.finished:
                left = "" if task.time_remaining is None else f", {task.time_remaining:.0f} s left"
                done = f"{task.percentage:.0f} %, {task.completed:g} of {task.total:g}"
                line = f"{task.description}: {done}, {task.elapsed or 0:.0f} s{left}"
                print(line, file=sys.stderr, flush=True)


def progress(hidden: bool = False) -> Progress:
    """Return a progress display on stderr, or a hidden one: description, bar, count, rate, time spent and time left."""
    return _Shown(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        # A notebook gets the lines of a log file, though it sets FORCE_COLOR, which rich takes for a terminal.
        console=Console(stderr=True, force_jupyter=False, force_terminal=sys.stderr.isatty()),
        disable=hidden,
    )


class Terminated(KeyboardInterrupt):
    """SIGTERM, from a scheduler or `kill`: what cleans up after Ctrl-C cleans up after it."""


def _terminate(_number: int, _frame: FrameType | None) -> None:
    raise Terminated


@contextlib.contextmanager
def guard() -> Iterator[None]:
    """Turn the user's mistakes, a full disk, Ctrl-C and SIGTERM into one clear line and an exit code."""
    try:
        with _handled(signal.SIGTERM, signal.SIG_DFL, _terminate):
            yield
    except UserError as error:
        print(f"error: {error}{_about_urls(str(error))}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt as stop:
        number = signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT
        kept = str(stop) or "what is finished is kept; the same command continues from there"
        print(f"{STOPPED[number]}: {kept}", file=sys.stderr)
        raise SystemExit(128 + number) from None
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(141) from None
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        remedy = "free some space or choose another folder" if full else "give a path that you may read and write"
        told = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
        print(f"error: {told}: {remedy}, then repeat the command{_about_urls(str(error))}", file=sys.stderr)
        raise SystemExit(1) from None


@contextlib.contextmanager
def whole() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM say, in `guard`, that nothing is kept of what is written whole or not at all."""
    try:
        yield
    except KeyboardInterrupt as stop:
        stop.args = ("nothing is kept; the same command begins anew",)
        raise


STOPPED = {signal.SIGINT: "stopped", signal.SIGTERM: "stopped by SIGTERM"}


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """End the program at once on Ctrl-C or SIGTERM, with one line, while it imports its modules.

    An exception raised in the middle of an import is swallowed by some modules, and leaves others half made.
    """

    def end(number: int, _frame: FrameType | None) -> None:
        os.write(2, f"{STOPPED[signal.Signals(number)]}: nothing was begun\n".encode())
        os._exit(128 + number)

    with (
        _handled(signal.SIGINT, signal.default_int_handler, end),
        _handled(signal.SIGTERM, _terminate, end),
    ):
        yield


@contextlib.contextmanager
def _handled(number: signal.Signals, before: Handler, handler: Handler) -> Iterator[None]:
    """Handle a signal otherwise, if it has the handler `before`: one that is ignored (nohup) or taken stays so."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(number) != before:
        yield
        return
    signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


@contextlib.contextmanager
def keeping_signals() -> Iterator[None]:
    """Start processes within: Ctrl-C and SIGTERM, which go to a whole group, then reach this process alone.

    It is for this process to end those that it started.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a path to write to; the file gets its name when it is complete, and what stops half-way leaves nothing."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        with open(partial, "rb+") as file:  # on the disk before it gets its name, lest a power cut leave it empty
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def json_bytes(value: Json) -> bytes:
    """Return JSON as it is written everywhere; NaN, which JSON lacks, is an error."""
    return json.dumps(value, indent=1, allow_nan=False).encode()


def write_json(path: Path, value: Json) -> None:
    """Write JSON whole or not at all."""
    with whole_file(path) as partial:
        partial.write_bytes(json_bytes(value))


@runtime_checkable
class Readable(Protocol):
    """A file, or an object at a URL."""

    @property
    def name(self) -> str:
        """The last part of where it is."""

    def read_bytes(self) -> bytes:
        """Return its content."""


def read_json(path: Readable, otherwise: str) -> Json:
    """Read a JSON object.

    Raises:
        UserError: there is none; it says `otherwise` and why.
    """
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        raise UserError(f"{otherwise} ({path.name}: {getattr(error, 'strerror', None) or error})") from error
    if not isinstance(value, dict):
        raise UserError(f"{otherwise} ({path.name} holds no JSON object)")
    return value


COMPILED_BYTES = 2**30  # that are kept; the least used go first
# Devices that are threads of one processor wait for each other in every sum over all. XLA aborts after 40 s, which a
# part may take on a machine with other work: of eight devices at a load of 20, three were still computing.
PATIENCE = "--xla_cpu_collective_call_terminate_timeout_seconds"
PATIENCE_S = 3600


def _keep_compiled() -> None:
    """Keep the programs that JAX compiles in the user's cache, unless JAX is told where; processors have their own."""
    import jax

    if jax.config.jax_compilation_cache_dir is not None:  # type: ignore[attr-defined]
        return
    with contextlib.suppress(OSError):  # a home that cannot be written: they are compiled each time
        cpuinfo = Path("/proc/cpuinfo")
        lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
        can = sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))})
        kind = "\n".join([platform.machine(), platform.processor(), *can])
        name = hashlib.sha256(kind.encode()).hexdigest()[:16]
        folder = cache_dir() / "compiled" / name
        folder.mkdir(parents=True, exist_ok=True)
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_compilation_cache_max_size", COMPILED_BYTES)


def check_platform() -> None:
    """Ask JAX for its devices before any work, so that a platform that is not there is said in one sentence.

    What JAX compiles from then on is kept in the user's cache.

    Raises:
        UserError: ``JAX_PLATFORMS`` names a platform that JAX does not find on this machine.
    """
    import jax  # here, because readers and the simulator's children do without it

    wanted, flags = os.environ.get("JAX_PLATFORMS", ""), os.environ.get("XLA_FLAGS", "")
    if PATIENCE not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {PATIENCE}={PATIENCE_S}".strip()
    _keep_compiled()
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:
        if not wanted:
            raise
        why = str(error).splitlines()[0] if str(error) else "it is not installed"
        raise UserError(
            f"JAX_PLATFORMS={wanted}, but JAX finds no such device here ({why}): set JAX_PLATFORMS=cpu, or leave it "
            f"unset to use the best device there is; a GPU needs {install('spiketype[cuda]')}, a TPU "
            f"{install('spiketype[tpu]')}"
        ) from error


def versions(commit: bool = True) -> dict[str, str]:
    """Return the versions of this program, Python and the libraries that decide a result; and the git commit.

    Args:
        commit: with it, if there is one; stores go without, because those of two commits are to have the same bytes.
    """
    found = {"spiketype": metadata.version("spiketype"), "python": platform.python_version()}
    for name in ("jax", "flax", "optax", "numpy", "zarr", "neuron", "LFPy", "MEArec"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    if commit:
        found["git_commit"] = _git("rev-parse", "HEAD") + ("-modified" if _git("status", "--porcelain") else "")
    return found


def _git(*arguments: str) -> str:
    here = Path(__file__).resolve().parent
    try:
        done = subprocess.run(["git", "-C", here, *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
