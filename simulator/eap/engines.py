"""What runs the tasks of a store: this process, processes of one thread each, or the workers of a Dask cluster.

Each engine takes tasks and yields them as they are finished, in any order.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from types import ModuleType

from spiketype.edge import UserError, cores, install
from spiketype.simulator.eap import factored
from spiketype.simulator.eap.blocks import BlockTask, cell_of, medium_of, write_block
from spiketype.simulator.workers import ONE_THREAD, pool


def here(tasks: Iterable[BlockTask]) -> Iterator[BlockTask]:
    """Run tasks in this process, on JAX's default device."""
    for task in tasks:
        write_block(task)
        yield task


def processes(tasks: Iterable[BlockTask], workers: int) -> Iterator[BlockTask]:
    """Run tasks in `workers` processes of one thread each.

    Raises:
        UserError: one of them died.
    """
    queue = _Queue(tasks)
    with pool(workers) as submit:
        running: dict[Future[None], BlockTask] = {}
        for task in queue.first(workers):
            running[submit(write_block, task)] = task
        while running:
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                task = running.pop(future)
                future.result()
                # For the worker that has just become free: it knows the cell.
                if (following := queue.after(task)) is not None:
                    running[submit(write_block, following)] = following
                yield task


def factorised(tasks: Sequence[BlockTask]) -> Iterator[Path]:
    """Yield, in order, where the factors of the tasks' cells are, found by processes of one thread where missing."""
    paths = [factored.cache_path(task.source, medium_of(task.config, task.layout), True) for task in tasks]
    missing = {path: task for path, task in zip(paths, tasks, strict=True) if not path.exists()}
    with pool(min(cores(), max(1, len(missing)))) as submit:
        running = {path: submit(_factorise, task) for path, task in missing.items()}
        for path in paths:
            if path in running:
                running[path].result()
            yield path


def _factorise(task: BlockTask) -> None:
    cell_of(task)


def cluster(tasks: Sequence[BlockTask], scheduler: str) -> Iterator[BlockTask]:
    """Run tasks on the workers of a Dask cluster, given the address of its scheduler or the file that it wrote.

    Raises:
        UserError: Dask is not installed; or as `cluster.run`.
    """
    yield from _dask().run(write_block, tasks, scheduler, ONE_THREAD)


def check_cluster(scheduler: str) -> None:
    """Refuse a scheduler that does not answer.

    Raises:
        UserError: there is none, or Dask is not installed.
    """
    _dask().check(scheduler)


def _dask() -> ModuleType:
    try:
        from spiketype.simulator.eap import cluster as dask
    except ImportError as error:
        raise UserError(f"--scheduler needs Dask ({error}): {install('spiketype[cluster]')}") from error
    return dask


class _Queue:
    """Tasks by cell: a worker stays with its cell, whose factors take a while, as long as there are blocks of it.

    Cells are begun in the order of the tasks. The blocks of a cell begin at one by chance: two programs that write the
    same store then help each other, because what is done is skipped, instead of writing the same blocks together.
    """

    def __init__(self, tasks: Iterable[BlockTask]) -> None:
        self._of_cell: dict[int, list[BlockTask]] = {}
        for task in tasks:
            self._of_cell.setdefault(task.cell, []).append(task)
        for cell, found in self._of_cell.items():
            begin = random.randrange(len(found))
            self._of_cell[cell] = found[begin:] + found[:begin]
        self._begun: set[int] = set()

    def first(self, workers: int) -> Iterator[BlockTask]:
        """Yield a task for each worker, as far as there are any."""
        for _ in range(workers):
            if (task := self._other()) is not None:
                yield task

    def after(self, task: BlockTask) -> BlockTask | None:
        """Return a task for the worker that has finished this one."""
        left = self._of_cell[task.cell]
        return left.pop(0) if left else self._other()

    def _other(self) -> BlockTask | None:
        """Return a task of a cell that nobody is at, else of the one with most to do."""
        left = [cell for cell, found in self._of_cell.items() if found]
        if not left:
            return None
        fresh = [cell for cell in left if cell not in self._begun]
        cell = fresh[0] if fresh else max(left, key=lambda c: len(self._of_cell[c]))
        self._begun.add(cell)
        return self._of_cell[cell].pop(0)
