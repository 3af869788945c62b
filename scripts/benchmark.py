"""Ratios of speed, from one run on this machine: ``python scripts/benchmark.py`` eap, generate, train, stream,
lspin, raphe or dec.

Rounds alternate between what is compared and the median of their ratios is printed, because machines are shared.
"""

import os
import platform
import sys
from pathlib import Path

import tyro
from benchmark_dec import benchmark as dec
from benchmark_eap import benchmark as eap
from benchmark_generate import benchmark as generate
from benchmark_lspin import benchmark as lspin
from benchmark_raphe import benchmark as raphe
from benchmark_stream import benchmark as stream
from benchmark_train import benchmark as train

from spiketype.edge import guard, versions


def machine() -> str:
    """Processor, cores and memory of this machine, and the versions of what runs on it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = {line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")}
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    processor = ", ".join(sorted(names)) or platform.processor() or platform.machine()
    program = ", ".join(f"{name} {version}" for name, version in versions().items() if version)
    return f"{processor}, {os.cpu_count()} cores, {memory_gib:.0f} GiB; {program}"


if __name__ == "__main__":
    with guard():
        if not {"-h", "--help"} & set(sys.argv):
            print(machine(), flush=True)
        subjects = {
            "eap": eap,
            "train": train,
            "lspin": lspin,
            "raphe": raphe,
            "dec": dec,
            "stream": stream,
            "generate": generate,
        }
        tyro.extras.subcommand_cli_from_dict(subjects, prog="python scripts/benchmark.py")
