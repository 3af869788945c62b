"""The workers of a Dask cluster: run a function on them, in one thread and with the versions of this program.

They need to see the folders that this machine sees. This module imports no JAX: a worker imports it before its settings
are made, which JAX reads when it is imported.
"""

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from distributed import CancelledError, Client, KilledWorker, Worker, WorkerPlugin, as_completed
from distributed.comm.core import CommClosedError
from threadpoolctl import threadpool_limits

from spiketype.edge import UserError, read_json, versions
from spiketype.reading import note

Task = TypeVar("Task")
ATTEMPTS = 5  # to prepare all workers of which one dies meanwhile
ANSWER_S = 30  # a scheduler that has not answered by then is taken for absent


class OneThread(WorkerPlugin):
    """Prepare a worker to give the bits of this program: the same versions, one thread, its environment."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment, self.versions = dict(environment), _versions()

    def setup(self, worker: Worker) -> None:
        """Change the environment of a worker.

        Raises:
            UserError: it has other versions, or runs JAX already.
        """
        here = _versions()
        if differing := [name for name in self.versions if here.get(name) != self.versions[name]]:
            name = differing[0]
            raise UserError(
                f"the Dask worker {worker.address} has {name} {here.get(name)}, and this program {self.versions[name]}:"
                " start workers from the same environment"
            )
        if "jax" in sys.modules and any(os.environ.get(name) != value for name, value in self.environment.items()):
            raise UserError(f"the Dask worker {worker.address} uses JAX in its own way already: start it again")
        os.environ.update(self.environment)
        threadpool_limits(1)  # of libraries that read the environment before


def run(
    function: Callable[[Task], None], tasks: Sequence[Task], scheduler: str, environment: Mapping[str, str]
) -> Iterator[Task]:
    """Run a function on each task, and yield the tasks as they are finished.

    Tasks of a worker that dies are given to others.

    Args:
        function: of a module that the workers can import.
        tasks: what can be pickled.
        scheduler: address of the scheduler, or the JSON file that it wrote.
        environment: variables of the workers.

    Raises:
        UserError: no scheduler, workers of another environment, or several that died with one task.
    """
    address = _address(scheduler)
    with _client(address) as client:
        _prepare(client, address, OneThread(environment))
        if not client.nthreads():
            note("cluster", f"{address} has no workers yet: waiting for some")
        of = dict(zip(client.map(function, tasks, pure=False), tasks, strict=True))
        for future in as_completed(of, loop=client.loop):
            try:
                future.result()
            except KilledWorker as error:
                raise UserError(f"several workers died with one task (out of memory?): {error}") from error
            except (CancelledError, CommClosedError) as error:
                raise UserError(f"the Dask scheduler at {address} is gone: what is finished is kept") from error
            yield of[future]


def _prepare(client: Client, address: str, plugin: OneThread) -> None:
    """Prepare the workers, and those that come later; one that dies meanwhile ends nothing."""
    for _ in range(ATTEMPTS):
        try:
            client.register_plugin(plugin, name="spiketype-one-thread")
        except OSError:  # CommClosedError, too: a worker died before the scheduler knew, or the scheduler did
            check(address)
        else:
            return
    raise UserError(f"workers of the Dask scheduler at {address} die one after another: their logs may say why")


def check(scheduler: str) -> None:
    """Refuse a scheduler that does not answer.

    Raises:
        UserError: there is none.
    """
    _client(_address(scheduler)).close()


def _client(address: str) -> Client:
    try:
        client = Client(address, timeout=ANSWER_S, set_as_default=False)
    except (OSError, ValueError) as error:  # a time that is up is an OSError
        raise UserError(f"no Dask scheduler answers at {address}: start one, or give its address ({error})") from error
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # else tracebacks before the one sentence
    return client


def _address(scheduler: str) -> str:
    if "://" in scheduler:
        return scheduler
    file = Path(scheduler)
    found = read_json(file, f"--scheduler is {file}: give tcp://HOST:PORT, or the JSON file of a Dask scheduler")
    if not isinstance(address := found.get("address"), str):
        raise UserError(f"{file} holds no address of a Dask scheduler: give the file of its --scheduler-file")
    return address


def _versions() -> dict[str, str]:
    """Return what decides the bits of a result; a commit of git may change while workers run."""
    return {name: version for name, version in versions().items() if name != "git_commit"}
