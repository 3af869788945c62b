"""The readings of `piped` by copies of one process, which has imported its libraries: 5 ms a file in place of 1 s.

It runs this file. A line of its input names a program and a path; the answer is a line with the exit status and the
length of what the copy has said, and that.
"""

import contextlib
import json
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace

ENDLESS_S = 1  # of the processor for a tiny file; HDF5 never comes to the end of one damaged file in a hundred


class _Copier:
    """Does what `subprocess.run` does for `piped`."""

    def __init__(self, piped: ModuleType) -> None:
        assert piped.__file__ is not None
        self._command = [sys.executable, "-P", __file__, piped.__file__]
        self._start()

    def _start(self) -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            self._command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, start_new_session=True
        )

    def run(self, command: list[str], **_: bool) -> "subprocess.CompletedProcess[bytes]":
        """Return what became of a command of `piped.ask`; whatever interrupts it ends the process and its copy."""
        if self._process.poll() is not None:
            self._start()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(command[-2:]).encode() + b"\n")
            self._process.stdin.flush()
            code, length = json.loads(self._process.stdout.readline())
            said = self._process.stdout.read(length)
        except BaseException:
            self.close()
            raise
        return subprocess.CompletedProcess(command, code, b"" if code else said, said if code else b"")

    def close(self) -> None:
        """End the process, and a copy that still reads."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()


@contextlib.contextmanager
def copied() -> Iterator[None]:
    """Let `piped` ask copies of one process."""
    from spiketype.datasets import piped  # here: the process that copies itself is to be small

    copier, whole = _Copier(piped), piped.subprocess
    piped.subprocess = SimpleNamespace(run=copier.run)  # type: ignore[assignment]
    try:
        yield
    finally:
        piped.subprocess = whole
        copier.close()


def _serve(piped_file: str) -> None:
    import h5py  # noqa: F401
    import scipy.io  # noqa: F401

    main = runpy.run_path(piped_file)["main"]
    main.__globals__["LEAST_S"] = ENDLESS_S
    answers, imported = sys.stdout.buffer, set()
    for line in sys.stdin:
        program, path = json.loads(line)
        if program not in imported:
            runpy.run_path(program)  # what it imports
            imported.add(program)
        code, said = _by_copy(main, program, path)
        answers.write(json.dumps([code, len(said)]).encode() + b"\n" + said)
        answers.flush()


def _by_copy(main: Callable[[str, str], None], program: str, path: str) -> tuple[int, bytes]:
    source, sink = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(sink, 1)
        code = 1
        try:
            main(program, path)
            code = 0
        except Exception as error:
            sys.stdout.buffer.write(f"{error or type(error).__name__}".encode("utf-8", "replace"))
        with contextlib.suppress(Exception):
            sys.stdout.buffer.flush()
        os._exit(code)
    os.close(sink)
    with open(source, "rb") as answer:
        said = answer.read()
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), said


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        _serve(sys.argv[1])
