"""The tasks by name: adding one is adding its folder and a line here."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from spiketype.edge import UserError
from spiketype.train.config import TaskOptions

if TYPE_CHECKING:  # its import takes seconds, and options are checked before
    from spiketype.train.task import Task

# Name: the folder, whose module `config` has its options and `task` the rest. Imported when asked for, so that the
# needs of a task stay its own.
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


def options(name: str) -> TaskOptions:
    """Return what the task of that name may be asked for.

    Raises:
        UserError: there is none; the valid names are listed.
    """
    found: TaskOptions = import_module(f"spiketype.train.tasks.{_folder(name)}.config").OPTIONS
    return found


def get(name: str) -> "Task[Any, Any]":
    """Return the task of that name.

    Raises:
        UserError: there is none; the valid names are listed.
    """
    tasks: dict[str, Task[Any, Any]] = import_module(f"spiketype.train.tasks.{_folder(name)}.task").TASKS
    return tasks[name]


def _folder(name: str) -> str:
    if name not in MODULES:
        raise UserError(f"--task is {name}: choose one of {', '.join(MODULES)}")
    return MODULES[name]
