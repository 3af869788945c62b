"""Whitening of the templates in a phy folder, undone where its files say for certain how it was done."""

from pathlib import Path

import numpy as np

from spiketype.datasets.waveforms.phy_arrays import array, is_kilosort_4
from spiketype.edge import UserError


def undone(path: Path, template: np.ndarray) -> tuple[np.ndarray, str, str]:
    """Return templates with the whitening undone where the folder says for certain how, their units, and what to tell.

    Kilosort 1 and 2 multiply data (time, channel) by the matrix on their right, so its inverse goes there too. Kilosort
    4 multiplies data (channel, time) on their left: the inverse is applied transposed. Kilosort 2.5, 3, and 4 before
    4.0.7 store 200 times the identity as inverse, for phy to show whitened data; only Kilosort 4 stores the matrix
    itself as well (``whitening_mat_dat.npy``), the others keep it in ``rez.mat``.

    Args:
        path: the folder.
        template: (template, time, channel).

    Raises:
        UserError: a matrix of another size, or damaged.
    """
    inverse, matrix, data = matrices = tuple(
        _square(path, name, template.shape[2]) for name in ("whitening_mat_inv", "whitening_mat", "whitening_mat_dat")
    )
    if all(m is None or np.array_equal(m, np.eye(len(m))) for m in matrices):
        return template, "as stored", ""
    undo = _undo(inverse, matrix, data)
    if isinstance(undo, str):
        return template, "as stored", f"templates stay whitened, as stored: {undo}"
    kilosort_4 = is_kilosort_4(path)
    transposed = kilosort_4 or (matrix is not None and _regularised(undo, matrix))
    scaled = kilosort_4 or (path / "amplitudes.npy").exists()  # else templates have norm 1 before unwhitening
    told = f"whitening undone as Kilosort {'4' if transposed else '1 and 2'} applied it"
    return template @ (undo.T if transposed else undo), "as recorded" if scaled else "as stored", told


def _undo(inverse: np.ndarray | None, matrix: np.ndarray | None, data: np.ndarray | None) -> np.ndarray | str:
    """Return the inverse of the whitening matrix from the three matrices of a folder, or why it is not certain."""
    if data is not None:
        if inverse is None or _is_scaled_identity(inverse):
            found = _inverse(data)
            return "whitening_mat_dat.npy has no inverse" if found is None else found
        return inverse if _inverts(inverse, data) else "whitening_mat_inv.npy does not invert whitening_mat_dat.npy"
    if inverse is None:
        inverse = _inverse(matrix)
        if inverse is None:
            return "whitening_mat.npy has no inverse"
    elif matrix is not None and not _inverts(inverse, matrix):
        return "whitening_mat_inv.npy does not invert whitening_mat.npy"
    if _is_scaled_identity(inverse):
        return "the folder lacks the whitening matrix, as Kilosort 2.5 and 3 write it (it is in rez.mat)"
    return inverse


def _is_scaled_identity(matrix: np.ndarray) -> bool:
    return bool(np.allclose(matrix, matrix[0, 0] * np.eye(len(matrix)), 0, 1e-6 * abs(matrix[0, 0])))


def _square(path: Path, name: str, channels: int) -> np.ndarray | None:
    matrix = array(path, name, 2)
    if matrix is None:
        return None
    if matrix.shape != (channels, channels):
        raise UserError(f"{path}: {name}.npy is for {len(matrix)} channels, not {channels}")
    if not np.isfinite(matrix).all():
        raise UserError(f"{path / name}.npy has values that are not finite: it is damaged")
    return matrix.astype(np.float64)


def _inverse(matrix: np.ndarray | None) -> np.ndarray | None:
    """Return the inverse, None if there is none in the precision of the files."""
    if matrix is None or not np.linalg.cond(matrix) < 1e6:
        return None
    return np.linalg.inv(matrix)


def _inverts(inverse: np.ndarray, matrix: np.ndarray) -> bool:
    """Say whether a matrix is another's inverse, but for what Kilosort 4 adds to the diagonal before it inverts."""
    eye = np.eye(len(matrix))
    return any(bool(np.allclose(inverse @ (matrix + more * eye), eye, atol=0.01)) for more in (0, 1e-5))


def _regularised(inverse: np.ndarray, matrix: np.ndarray) -> bool:
    """Say whether 0.00001 was added to the diagonal before inverting, which only Kilosort 4 does."""
    found = _inverse(inverse)
    return found is not None and bool(np.allclose(found - matrix, 1e-5 * np.eye(len(matrix)), 0, 3e-6))
