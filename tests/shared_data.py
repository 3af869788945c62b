"""Data that stay outside the repository: where tests find them, or skip."""

import os
from pathlib import Path

import pytest


def path(*parts: str) -> Path:
    """A file or folder of the shared data: in SPIKETYPE_DATA, else in ../shared/data."""
    root = os.environ.get("SPIKETYPE_DATA")
    base = Path(root) if root else Path(__file__).resolve().parents[2] / "shared" / "data"
    found = base.joinpath(*parts)
    if not found.exists():
        pytest.skip(f"needs {found}: set SPIKETYPE_DATA to the shared data")
    return found
