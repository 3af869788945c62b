"""What ends the processes of a run together: one that is lost, or fails, is named by all others, and none hangs.

Every process says each second that it lives, through the key-value store of JAX's coordinator, which is in process 0.
Whoever hears no more of another says so and ends: a collective operation with one that is gone would wait for ever. JAX
does the same after 100 s, by aborting.
"""

import contextlib
import json
import os
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from typing import NamedTuple, Protocol, runtime_checkable

import jax
from jax._src.distributed import global_state  # JAX has no public way to its key-value store

from spiketype.train import last_words

KEY = "alive/"
BEAT_S = 1.0
SILENT_S = 60.0  # a process of which nothing was heard for so long is lost
SURELY_S = 10.0  # the same when an operation with all has failed: then somebody is


@runtime_checkable
class Store(Protocol):
    """JAX's key-value store, which all processes see."""

    def key_value_set(self, key: str, value: str, allow_overwrite: bool = ...) -> None:
        """Set a value."""

    def key_value_dir_get(self, key: str) -> list[tuple[str, str]]:
        """Return all keys that begin with this one, and their values."""

    def blocking_key_value_get(self, key: str, timeout_in_ms: int) -> str:
        """Return a value as soon as it is set."""

    def wait_at_barrier(self, barrier_id: str, timeout_in_ms: int) -> None:
        """Wait for all processes."""


def store() -> Store:
    """Return the store; there are several processes."""
    client = global_state.client
    assert client is not None
    found: Store = client
    return found


class Word(NamedTuple):
    """What a process says: how often it did, and when it ends why: empty if all is well."""

    name: str
    beat: int
    ended: str | None = None


class _Watch(threading.Thread):
    """Says that this process lives, hears the others, and ends this process when one of them is lost or has failed."""

    def __init__(self) -> None:
        super().__init__(name="watch", daemon=True)
        self.number, self.count = jax.process_index(), jax.process_count()
        host = f"{socket.gethostname()}, pid {os.getpid()}"
        self.word = Word(f"process {self.number} of {self.count} ({host})", 0)
        self.silent_s, self.over = SILENT_S, threading.Event()
        now = time.monotonic()
        self.heard = {k: (Word(f"process {k} of {self.count}", 0), now) for k in range(self.count) if k != self.number}

    def run(self) -> None:
        while not self.over.wait(BEAT_S):
            try:
                self.speak()
                self.listen()
                trouble = self.trouble()
            except RuntimeError as error:
                coordinator = self.heard[0][0] if self.number else self.word
                trouble = f"{coordinator.name} is gone, or cannot be reached ({str(error).splitlines()[0]})"
            if trouble and not self.over.is_set():
                last_words.will_be(f"error: {trouble}")  # after all that JAX has to say, which may be aborting already
                self.leave(1, "")

    def speak(self, ended: str | None = None) -> None:
        """Say that this process lives, or that it ends."""
        ended = self.word.ended if ended is None else ended
        self.word = Word(self.word.name, self.word.beat + 1, ended)
        store().key_value_set(f"{KEY}{self.number}", json.dumps([self.number, self.word]), allow_overwrite=True)

    def listen(self) -> None:
        """Hear the others."""
        now = time.monotonic()
        for _, text in store().key_value_dir_get(KEY):
            number, word = json.loads(text)
            if number != self.number and Word(*word) != self.heard[number][0]:
                self.heard[number] = Word(*word), now

    def trouble(self) -> str | None:
        """Return what is wrong with another process."""
        for word, when in self.heard.values():
            silent_s = time.monotonic() - when
            if word.ended:
                return f"{word.name} failed: {word.ended}"
            if word.ended is None and silent_s > self.silent_s:
                return f"{word.name} is gone: nothing was heard of it for {silent_s:.0f} s"
        return None

    def leave(self, code: int, why: str) -> None:
        """End this process at once; process 0, whose end takes the store away, when the others have heard why."""
        with contextlib.suppress(RuntimeError):
            self.speak(why)
            until = time.monotonic() + SURELY_S
            while self.number == 0 and time.monotonic() < until and not self.alone():
                time.sleep(BEAT_S / 5)
                self.listen()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

    def alone(self) -> bool:
        """Say whether all others have ended or are silent."""
        now = time.monotonic()
        return all(word.ended is not None or now - when > SURELY_S for word, when in self.heard.values())

    def finish(self) -> None:
        """Wait for process 0, which judges and writes for all, and part from JAX's coordinator."""
        self.speak("")
        while self.number != 0 and self.heard[0][0].ended is None:
            time.sleep(BEAT_S / 5)
        self.over.set()
        self.join()
        jax.distributed.shutdown()


_watch: _Watch | None = None


def start() -> None:
    """Begin to watch; JAX's processes have met."""
    global _watch
    _watch = _Watch()
    _watch.start()


def finish() -> None:
    """Say that all is well here, and end together with the others."""
    global _watch
    if _watch is not None:
        _watch.finish()
        _watch = None


@contextlib.contextmanager
def ending() -> Iterator[None]:
    """Have a failure inside the block end the other processes, too."""
    try:
        yield
    except SystemExit as stopped:
        if _watch is None:
            raise
        last_words.will_be("")
        _watch.leave(stopped.code if isinstance(stopped.code, int) else 1, str(stopped.__context__ or "it was stopped"))
    except Exception:
        if _watch is None:
            raise
        # An operation with all processes fails where one is lost. That is found out, and said, by the watch.
        _watch.silent_s = SURELY_S
        _watch.join(3 * SURELY_S)
        traceback.print_exc()
        last_words.will_be("")
        _watch.leave(1, "an error of the program, which it told")
