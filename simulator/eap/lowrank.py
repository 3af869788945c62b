"""Membrane currents as few spatial times few temporal factors, with the error in uV that this leaves."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from spiketype.edge import UserError
from spiketype.simulator.eap.box import DEFAULT_BOX, Box
from spiketype.simulator.eap.forward import (
    SEGMENTS_PER_CHUNK,
    UV_FROM_NA_PER_UM,
    Factors,
    as_segments,
    in_cell_frame,
    line_source,
)
from spiketype.simulator.eap.placement import ROTATIONS, draw
from spiketype.simulator.eap.probes import probe
from spiketype.simulator.neuron.source import Source

FIT, CHECK = 6, 26  # placements of every rotation set: the factors are fitted to some and judged by others
BLOCK = 20  # placements whose transfer matrices are held at once
PLACEMENT_SEED = 0
MARGIN = 2  # placements that were not checked can be worse: 156 others had up to 1.7 times the worst of the first 156


class Spots(NamedTuple):
    """A `simulator.eap.placement.Placement` as NumPy arrays."""

    position_um: Float[np.ndarray, "n 3"]
    rotation: Float[np.ndarray, "n 3 3"]
    spike: Int[np.ndarray, " n"]


def factorise(
    source: Source,
    error_uV: float = 1e-3,
    contact_um: Float[np.ndarray, "channel 3"] | None = None,
    box: Box = DEFAULT_BOX,
    sigma_S_per_m: float = 0.3,
) -> tuple[Factors, float, int]:
    """Find factors of a rank whose potentials are within ``error_uV`` of those of the full currents, with a margin.

    The temporal factors of a spike are the principal components of its potentials in 36 random placements, which
    are fewer than those of its currents, because currents are largest where they cancel. The error is the worst
    over 156 other placements of all rotation sets, contacts and times, against the full product.

    Args:
        source: segments and currents of one cell.
        error_uV: the error to reach.
        contact_um: by default the 10 x 10 array.
        box: where the soma will be.
        sigma_S_per_m: conductivity of the medium.

    Returns:
        The factors, the error reached (uV) and the rank.

    Raises:
        UserError: the error is smaller than what single precision leaves at any rank.
    """
    contact_um = probe().contact_um if contact_um is None else contact_um
    fit, check = _placements(source, box, len(source.current_nA))
    basis = _components(source, fit, contact_um, sigma_S_per_m)
    spatial = source.current_nA @ basis
    temporal = np.ascontiguousarray(np.swapaxes(basis, 1, 2))
    blocks = list(_transfers(source, check, contact_um, sigma_S_per_m))
    exact_nA = source.current_nA.astype(np.float64)
    rank = _smallest(_of_spikes(exact_nA @ basis, blocks), basis[check.spike], error_uV)
    left_nA = exact_nA - spatial[:, :, :rank].astype(np.float64) @ temporal[:, :rank].astype(np.float64)
    error = float(np.abs(_of_spikes(left_nA, blocks)).max())
    if error > error_uV:
        raise UserError(
            f"cell {source.name}: rank {rank} leaves an error of {error:.2g} uV,"
            f" not the {error_uV:g} uV asked for: allow a larger error"
        )
    return _factors(source, spatial[:, :, :rank], temporal[:, :rank]), error, rank


def _components(source: Source, fit: Spots, contact_um: np.ndarray, sigma_S_per_m: float) -> np.ndarray:
    """Return principal components ``(spike, time, component)`` of each spike's potentials, the most visible first."""
    n_spike, n_segment, n_time = source.current_nA.shape
    gram = np.zeros((n_spike, n_time, n_time))
    for _, matrices in _transfers(source, fit, contact_um, sigma_S_per_m):
        flat = matrices.reshape(-1, n_segment)
        for spike, current_nA in enumerate(source.current_nA):
            seen = (flat @ current_nA).astype(np.float64)
            gram[spike] += seen.T @ seen  # one array twice: half the products
    _, basis = np.linalg.eigh(gram)
    components: np.ndarray = basis[:, :, ::-1].astype(np.float32)
    return components


def _of_spikes(
    per_segment: Float[np.ndarray, "spike segment column"], blocks: Iterable[tuple[np.ndarray, np.ndarray]]
) -> Float[np.ndarray, "n channel column"]:
    """Return the products with the arrays of the spikes, in float32: small columns keep their digits.

    Whatever is a difference of large potentials, which in float32 alone loses 1e-3 uV beside a soma, is therefore a
    difference of currents before it comes here.
    """
    columns = per_segment.astype(np.float32)
    return np.concatenate(
        [np.stack([m @ columns[k] for k, m in zip(spike, matrices, strict=True)]) for spike, matrices in blocks]
    )


def pad(factors: Factors, segments: int, rank: int) -> Factors:
    """Pad a cell to at least `segments` segments and to `rank` factors, to share compiled code."""
    return _grow(factors, _whole_chunks(segments), rank)


def _factors(source: Source, spatial: np.ndarray, temporal: np.ndarray) -> Factors:
    n_segment, rank = spatial.shape[1:]
    factors = Factors(
        start_um=jnp.asarray(source.start_um),
        end_um=jnp.asarray(source.end_um),
        diameter_um=jnp.asarray(source.diameter_um),
        spatial=jnp.asarray(spatial),
        temporal=jnp.asarray(temporal),
        segments=jnp.int32(n_segment),
    )
    return _grow(factors, _whole_chunks(n_segment), rank)


def _whole_chunks(segments: int) -> int:
    return -(-segments // SEGMENTS_PER_CHUNK) * SEGMENTS_PER_CHUNK


def _grow(factors: Factors, segments: int, rank: int) -> Factors:
    """Pad in NumPy, which does not compile anything for each new shape."""
    rows, columns = segments - factors.spatial.shape[1], rank - factors.spatial.shape[2]

    def padded(array: jax.Array, *widths: tuple[int, int], value: float = 0.0) -> jax.Array:
        return jnp.asarray(np.pad(np.asarray(array, np.float32), widths, constant_values=value))

    return Factors(
        start_um=padded(factors.start_um, (0, rows), (0, 0)),
        end_um=padded(factors.end_um, (0, rows), (0, 0)),
        diameter_um=padded(factors.diameter_um, (0, rows), value=1.0),  # without a radius it could be touched
        spatial=padded(factors.spatial, (0, 0), (0, rows), (0, columns)),
        temporal=padded(factors.temporal, (0, 0), (0, columns), (0, 0)),
        segments=factors.segments,
    )


def _placements(source: Source, box: Box, n_spike: int) -> tuple[Spots, Spots]:
    """Return fixed placements to fit to and others to check with, every rotation set in both."""
    sets = [draw(PLACEMENT_SEED, source.name, "BP", True, 0, FIT + CHECK, r, box, n_spike) for r in ROTATIONS]
    stacked = [np.stack(arrays) for arrays in zip(*sets, strict=True)]
    fit, check = (Spots(*(np.concatenate(x[:, p]) for x in stacked)) for p in (slice(FIT), slice(FIT, None)))
    return fit, check


def _transfers(
    source: Source, placement: Spots, contact_um: np.ndarray, sigma_S_per_m: float
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield spikes ``(block,)`` and matrices from nA to uV ``(block, channel, segment)``, in blocks."""
    n_segment = len(source.diameter_um)
    geometry = [np.asarray(x, np.float32) for x in (source.start_um, source.end_um, source.diameter_um)]
    scale = UV_FROM_NA_PER_UM / (4 * np.pi * sigma_S_per_m)
    rows = np.arange(_whole_chunks(n_segment)).reshape(-1, SEGMENTS_PER_CHUNK).clip(max=n_segment - 1)
    for first in range(0, len(placement.spike), BLOCK):
        position, rotation, spike = (x[first : first + BLOCK] for x in placement)
        columns = [_transfer(contact_um, position, rotation, *(x[chunk] for x in geometry)) for chunk in rows]
        matrix = np.concatenate(columns, axis=1)[:, :n_segment] * np.float32(scale)
        yield spike, matrix.reshape(len(spike), len(contact_um), n_segment)


@jax.jit
def _transfer(
    contact_um: jax.Array,
    position_um: jax.Array,
    rotation: jax.Array,
    start_um: jax.Array,
    end_um: jax.Array,
    diameter_um: jax.Array,
) -> jax.Array:
    contact = in_cell_frame(contact_um, position_um, rotation).reshape(3, -1)
    return line_source(contact, as_segments(start_um, end_um, diameter_um))


def _smallest(
    coefficient: Float[np.ndarray, "n channel component"],
    basis: Float[np.ndarray, "n time component"],
    error_uV: float,
) -> int:
    """Return the smallest rank with an error of at most half of ``error_uV``, or the full rank.

    It is found by bisection, as the error falls with the rank. The error of a rank is what the components after it
    add. They are orthonormal, so that no sample of a contact is farther off than the norm of its coefficients: only
    contacts where that is more than the limit, few of a long probe, are computed.
    """
    limit_uV = error_uV / MARGIN
    squares = np.square(coefficient[:, :, ::-1], dtype=np.float64)
    tail_uV = np.sqrt(np.cumsum(squares, axis=2)[:, :, ::-1])

    def within(rank: int) -> bool:
        doubtful = tail_uV[:, :, rank] > limit_uV
        return not any(
            np.abs(coefficient[n, doubtful[n], rank:] @ basis[n, :, rank:].T).max() > limit_uV
            for n in np.flatnonzero(doubtful.any(axis=1))
        )

    low, high = 0, int(basis.shape[2])
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if within(middle) else (middle, high)
    return high
