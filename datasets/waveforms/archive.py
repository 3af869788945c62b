"""Tables of waveforms in a .zip: the one file or folder in it that can be read."""

import shutil
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from spiketype import reading
from spiketype.damage import check_size, readable
from spiketype.datasets.waveforms import columns, npz, zarr_group
from spiketype.datasets.waveforms.table import WaveformTable
from spiketype.edge import UserError

READ = (".npz", ".npy", ".csv", ".mat", ".nwb")


def load(
    path: Path,
    label: str | None,
    rate_kHz: float | None,
    read: Callable[[Path, str | None, float | None], WaveformTable],
) -> WaveformTable:
    """Unpack an archive into a temporary folder and `read` what is in it; messages name the archive.

    Raises:
        UserError: a damaged archive; none or several tables in it; what the reader refuses.
    """
    with tempfile.TemporaryDirectory() as folder, readable(path, ".zip"):
        with zipfile.ZipFile(path) as archive:
            names = [info.filename for info in archive.infolist()]
            size = sum(info.file_size for info in archive.infolist())
            check_size(str(path), size, path.stat().st_size)
            if f"{columns.WAVEFORM}.npy" in names:  # an .npz by another name
                return npz.load(path, label, rate_kHz)
            if size > shutil.disk_usage(folder).free:
                raise UserError(f"{path} holds {size / 1e9:.1f} GB, more than is free in {folder}: unpack it yourself")
            archive.extractall(folder)
        inside = _inside(path, Path(folder))
        with reading.recorded(silent=True) as said:
            try:
                found = read(inside, label, rate_kHz)
            except UserError as error:
                raise UserError(_renamed(str(error), folder, path)) from None
        for text in said.notes:
            source, _, note = _renamed(text, folder, path).partition(": ")
            reading.note(source, note)
    return replace(found, source=path)


def _inside(path: Path, folder: Path) -> Path:
    """Return the only Zarr group or file that can be read, by the names there are."""
    groups = [p.parent for p in sorted(folder.rglob("*")) if p.name in ("zarr.json", ".zgroup")]
    outermost = [g for g in groups if zarr_group.is_group(g) and not any(g != o and o in g.parents for o in groups)]
    files = [p for p in sorted(folder.rglob("*")) if p.suffix in READ and p.is_file() and not _hidden(p, folder)]
    found = sorted({*outermost, *(f for f in files if not any(g in f.parents for g in outermost))})
    if len(found) == 1:
        return found[0]
    if not found:
        raise UserError(f"{path} holds no Zarr group and no file of {', '.join(READ)}: unpack it yourself")
    told = ", ".join(str(p.relative_to(folder)) for p in found[:4])
    raise UserError(f"{path} holds {len(found)} tables ({told}): unpack it, and give one of them")


def _hidden(path: Path, folder: Path) -> bool:
    """Say whether a file is one that macOS adds to archives."""
    return any(part.startswith(("._", "__MACOSX")) for part in path.relative_to(folder).parts)


def _renamed(text: str, folder: str, path: Path) -> str:
    return text.replace(f"{folder}/", f"{path}/").replace(folder, str(path))
