"""What a run folder holds, as somebody who looks into it reads it."""

import json
from pathlib import Path
from typing import Any


def drawn(*names: str) -> set[str]:
    """Return the files of these pictures."""
    return {f"{name}.{kind}" for name in names for kind in ("png", "svg")}


def metrics(folder: Path) -> list[dict[str, Any]]:
    """Return the whole lines of metrics.jsonl, to which a run may just be writing."""
    path = folder / "metrics.jsonl"
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
