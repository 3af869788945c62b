"""The tasks by name: adding one is adding its folder and a line here."""

from importlib import import_module
from typing import Any

from spiketype.edge import UserError
from spiketype.train.task import Task

# Name: the folder whose module `task` has it. Imported when asked for, so that its needs stay its own.
MODULES = {
    "binary": "eap",
    "mtype": "eap",
    "location": "eap",
    "raphe": "raphe",
    "subclass": "subclass",
    "species": "species",
    "unit": "unit",
    "cluster": "cluster",
}


def get(name: str) -> Task[Any, Any]:
    """Return the task of that name.

    Raises:
        UserError: there is none; the valid names are listed.
    """
    if name not in MODULES:
        raise UserError(f"unknown task {name!r}: choose one of {', '.join(MODULES)}")
    tasks: dict[str, Task[Any, Any]] = import_module(f"spiketype.train.tasks.{MODULES[name]}.task").TASKS
    return tasks[name]
