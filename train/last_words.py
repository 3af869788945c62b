"""The last words of a process that dies without any: killed, out of memory, or aborted inside XLA.

A tiny second process holds the end of a pipe, which closes when the first one is gone, in whatever way. It then says
the last line that came through the pipe; an empty one means that the first has said all itself.
"""

import contextlib
import subprocess
import sys
from collections.abc import Iterator

DIED = "error: the program died (killed, out of memory, or aborted: see above)"
_listener: "subprocess.Popen[str] | None" = None


@contextlib.contextmanager
def heard() -> Iterator[None]:
    """Have a second process listen, while the block runs."""
    global _listener
    command = [sys.executable, "-I", "-S", __file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True, start_new_session=True) as _listener:
        will_be(f"{DIED}: repeat the command")
        try:
            yield
        finally:
            will_be("")
            _listener = None


def will_be(text: str) -> None:
    """Say what is to be said if this process dies; empty: nothing. Without `heard` nothing is."""
    if _listener is not None and _listener.stdin is not None:
        with contextlib.suppress(OSError):  # it was killed itself
            _listener.stdin.write(text.replace("\n", " ") + "\n")
            _listener.stdin.flush()


def main() -> None:
    """Listen to the end, and say the last line."""
    text = ""
    for line in sys.stdin:
        text = line.strip()
    if text:
        print(text, file=sys.stderr)


if __name__ == "__main__":
    main()
