"""Ratios of speed, from one run on this machine: ``python scripts/benchmark.py SUBJECT --out FILE.json``.

Rounds alternate between what is compared and the median of their ratios is printed, because machines are shared.
"""

import contextlib
import dataclasses
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import wraps
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Union

import benchmark_dec
import benchmark_eap
import benchmark_generate
import benchmark_lspin
import benchmark_raphe
import benchmark_scaling
import benchmark_start
import benchmark_store
import benchmark_stream
import benchmark_tasks
import benchmark_train
import tyro
from measuring import Results
from tyro.conf import CascadeSubcommandArgs, OmitSubcommandPrefixes, arg, subcommand

from spiketype.edge import Json, UserError, cores, guard, versions, whole, write_json

SUBJECTS: dict[str, Callable[..., Results]] = {
    "start": benchmark_start.benchmark,
    "eap": benchmark_eap.benchmark,
    "generate": benchmark_generate.benchmark,
    "store": benchmark_store.benchmark,
    "train": benchmark_train.benchmark,
    "tasks": benchmark_tasks.benchmark,
    "stream": benchmark_stream.benchmark,
    "scaling": benchmark_scaling.benchmark,
    "lspin": benchmark_lspin.benchmark,
    "raphe": benchmark_raphe.benchmark,
    "dec": benchmark_dec.benchmark,
}
Chosen = tuple[str, Mapping[str, object]]  # name and options of a subject
PEERS = ("LFPykit", "torch", "clustpy", "distributed", "moto")
# In a process of its own: JAX in this one would take most of a GPU's memory from the processes that subjects start.
ACCELERATORS = """
from spiketype.edge import check_platform, guard
with guard():
    check_platform()
import collections, jax
kinds = collections.Counter(device.device_kind for device in jax.devices() if device.platform != "cpu")
print(", ".join(f"{count} {kind}" for kind, count in kinds.items()))
"""


def machine() -> Json:
    """Return processor, cores, memory and accelerator of this machine; None where it has no such."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = {line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")}
    asked = subprocess.run([sys.executable, "-c", ACCELERATORS], stdout=subprocess.PIPE, text=True)
    if asked.returncode:
        raise SystemExit(asked.returncode)  # it has said why
    return {
        "processor": ", ".join(sorted(names)) or platform.processor() or platform.machine(),
        "cores": cores(),
        "memory_GiB": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "accelerator": asked.stdout.strip() or None,
    }


def installed() -> dict[str, str]:
    """Return the versions of this program, of what it runs on, and of what it is compared with."""
    found = versions()
    for name in PEERS:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def check_new(out: Path) -> None:
    """Refuse a file that cannot be written at the end.

    Raises:
        UserError: it exists, or its folder does not.
    """
    if out.exists():
        raise UserError(f"{out} exists already, and each run has a file of its own: choose another --out")
    if not out.absolute().parent.is_dir():
        raise UserError(f"{out} cannot be written, there is no such folder: make it, or choose another --out")


def as_json(options: Mapping[str, object]) -> Json:
    """Return the options of a subject as JSON."""

    def plain(value: Any) -> object:
        return dataclasses.asdict(value) if dataclasses.is_dataclass(value) else str(value)

    found: Json = json.loads(json.dumps(options, default=plain))
    return found


def taken(name: str) -> Callable[..., Chosen]:
    """Return what the command line calls with the options of a subject, which is measured when all of it is read."""

    @wraps(SUBJECTS[name])
    def take(**options: object) -> Chosen:
        return name, options

    return take


Subject = Union[tuple(Annotated[Any, subcommand(name, constructor=taken(name))] for name in SUBJECTS)]  # noqa: UP007


def main(
    subject: Annotated[Subject, arg(name="")], out: Annotated[Path | None, arg(metavar="FILE.json")] = None
) -> None:
    """Measure the speed of one subject on this machine, beside what it is compared with.

    Args:
        subject: What is measured.
        out: Write date, machine, versions, options and results to this file, which must be new.
    """
    if out is not None:
        check_new(out)
    here, program = machine(), installed()
    began = datetime.now(UTC).isoformat(timespec="seconds")
    print(", ".join(f"{name} {value}" for name, value in (here | program).items() if value), flush=True)
    name, options = subject
    results = SUBJECTS[name](**options)
    if out is not None:
        about = {"date": began, "machine": here, "versions": program, "subject": name}
        write_json(out, about | {"options": as_json(options), "results": results})


if __name__ == "__main__":
    with guard(), whole():
        tyro.cli(main, prog="python scripts/benchmark.py", config=(CascadeSubcommandArgs, OmitSubcommandPrefixes))
