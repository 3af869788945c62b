"""Processes that work for this one, of one thread each, and end with it however it ends."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Protocol, TypeVar

from spiketype.edge import UserError, keeping_signals

# One thread in each worker: the bits of a sum depend on how it is divided among threads.
ONE_THREAD = {
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
Task = TypeVar("Task")
Done = TypeVar("Done")


class Submit(Protocol):
    """What has a worker do a task."""

    def __call__(self, work: Callable[[Task], Done], task: Task, /) -> Future[Done]:
        """Return the promise of work(task)."""
        ...


@contextmanager
def pool(workers: int) -> Iterator[Submit]:
    """Yield what runs tasks in processes of one thread each.

    Raises:
        UserError: one of them died.
    """
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)  # the children start with these; this process has read its own already
    context = get_context("spawn")
    theirs, ours = context.Pipe(duplex=False)
    executor = ProcessPoolExecutor(workers, context, _end_when_closed, (theirs,))

    def submit(work: Callable[[Task], Done], task: Task, /) -> Future[Done]:
        with keeping_signals():  # processes are started here
            return executor.submit(work, task)

    try:
        yield submit
        executor.shutdown()
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process died: what is finished is kept. Out of memory, use fewer workers (--workers);"
            ' in a script, keep what it runs under `if __name__ == "__main__":`, for workers import the script'
        ) from error
    finally:
        ours.close()
        executor.shutdown(cancel_futures=True)
        theirs.close()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _end_when_closed(connection: Connection) -> None:
    """End this worker when the other end is closed: on Ctrl-C, or on a death that would leave it writing alone."""

    def watch() -> None:
        connection.poll(None)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
