"""Name the type of a neuron from its electrical footprint.

The four rooms `simulator`, `datasets`, `models` and `train` stand at the top of the repository and are installed, and
always imported, as parts of this package.
"""

from importlib import metadata
from pathlib import Path

from spiketype.api import Run, call_units, evaluate, load_units, open_store, predict, simulate, train

__version__ = metadata.version("spiketype")
__all__ = ["Run", "call_units", "evaluate", "load_units", "open_store", "predict", "simulate", "train"]

_rooms = Path(__file__).resolve().parent
if not (_rooms / "train").is_dir():  # a clone without symbolic links, as on Windows: the rooms stand one level up
    __path__.append(str(_rooms.parent))
