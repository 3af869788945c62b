"""Strict numerics, and every annotation of the package checked where it is called."""

import os
import signal
from collections.abc import Iterator

import jax
import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

from tests import typecheck

# Ignored under nohup and in the background of a script, and then in all programs that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_enable_compilation_cache", False)  # tests share nothing
# In CI the same examples every time: chance finds bugs on a developer's machine, not in somebody else's landing.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")
install_import_hook("spiketype", f"{typecheck.__name__}.check")


@pytest.fixture(autouse=True, scope="module")
def _programs_of_a_module() -> Iterator[None]:
    """Forget the programs that JAX has compiled for a module, which are gigabytes in the end."""
    yield
    jax.clear_caches()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what takes minutes in sum, and repeats for another task what a test of each kind shows already."""
    skip = pytest.mark.skip(reason="takes minutes on two cores: set SPIKETYPE_LONG=1 to run it")
    for item in items:
        if "long" in item.keywords and "SPIKETYPE_LONG" not in os.environ:
            item.add_marker(skip)
