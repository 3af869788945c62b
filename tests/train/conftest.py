"""What several tests of trainings need."""

import optax
import pytest
from optimizers import adam


@pytest.fixture
def lenient_adam(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tasks use Adam under strict promotion."""
    monkeypatch.setattr(optax, "adam", adam)
