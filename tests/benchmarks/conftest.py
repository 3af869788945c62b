"""The tiny benchmark: in the place of those that come with the program, of made-up currents, and made once."""

from collections.abc import Iterator
from pathlib import Path

import optax
import pytest

from spiketype.bench.make import make
from spiketype.datasets.benchmarks import specification
from spiketype.simulator.eap.means import Means
from tests.benchmarks import tiny
from tests.simulator.eap_program import folder_of
from tests.simulator.synthetic_source import stand_in
from tests.train.optimizers import adam


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of(tmp_path_factory.mktemp("models") / "four", list(tiny.CELLS))


@pytest.fixture(scope="session")
def made(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The benchmark in a folder: only to be read."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        stand_in(patch, tmp_path_factory.mktemp("sources"))
        patch.setattr(specification, "FOLDER", tiny.write(folder / "specifications", models))
        return make(tiny.NAME, folder / "tiny", None, Means(workers=0))


@pytest.fixture
def tiny_alone(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The tiny benchmark is the only one, and its currents are made up."""
    with pytest.MonkeyPatch.context() as patch:
        stand_in(patch, tmp_path_factory.mktemp("sources"))
        patch.setattr(specification, "FOLDER", made.parent / "specifications")
        patch.setattr(optax, "adam", adam)
        yield
