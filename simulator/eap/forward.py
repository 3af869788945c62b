"""The potential outside a neuron: line or point sources in an infinite homogeneous medium, batched, jitted.

The contacts are moved into the cell's frame instead of the cell before the array, the sum over segments runs
in chunks that fit the cache, and the currents are in low-rank factors (`simulator.eap.lowrank`), so an EAP costs
one logarithm per segment and contact and two thin matrix products. All is float32 and runs on any device.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from spiketype.edge import PyTree

SEGMENTS_PER_CHUNK = 64
UV_FROM_NA_PER_UM = 1e3  # nA / (S/m um) is mV
EXACT = jax.lax.Precision.HIGHEST  # GPUs and TPUs would round the factors of a product to 10 or 8 bits
Kind = Literal["line", "point"]
Coordinates = Float[Array, "3 contact"] | tuple[Float[Array, " contact"], ...]  # x, y and z of contacts
PerAxis = tuple[Float[Array, " segment"], Float[Array, " segment"], Float[Array, " segment"]]  # along x, y and z


class Factors(NamedTuple):
    """One cell's geometry and its currents, ``spatial[spike] @ temporal[spike]``, padded with currents of 0.

    Each spike has its own factors: half as many as all spikes together need. Cells padded to the same shapes
    (`simulator.eap.lowrank.pad`) share one compiled program; more segments cost nothing but in the last chunk, because
    only ``segments`` of them are visited.
    """

    start_um: Float[Array, "segment 3"]  # in the cell's frame
    end_um: Float[Array, "segment 3"]
    diameter_um: Float[Array, " segment"]
    spatial: Float[Array, "spike segment rank"]  # nA
    temporal: Float[Array, "spike rank time"]  # any linear map over time (resampling, filters) may be applied
    segments: Int[Array, ""]  # how many segments are real


class Segments(NamedTuple):
    """Segments as one-dimensional arrays, one per coordinate: the form in which XLA vectorises on a CPU."""

    centre_um: PerAxis
    axis: PerAxis  # unit vectors; zero for a segment without length
    half_um: Float[Array, " segment"]  # half the length
    radius_um: Float[Array, " segment"]


def as_segments(
    start_um: Float[Array, "segment 3"], end_um: Float[Array, "segment 3"], diameter_um: Float[Array, " segment"]
) -> Segments:
    """Return centres, directions, half lengths and radii of segments given by their ends."""
    centre, along = (start_um + end_um) / 2, end_um - start_um
    length = jnp.sqrt(jnp.sum(along**2, axis=1))
    axis = along / jnp.where(length > 0, length, 1.0)[:, None]
    return Segments(tuple(centre.T), tuple(axis.T), length / 2, diameter_um / 2)


def line_source(contact_um: Coordinates, segments: Segments) -> Float[Array, "contact segment"]:
    """Return the mean of 1/distance over each segment, in 1/um.

    With p and q the distances along the axis from the contact to the far and to the near end of the segment
    (q is negative beside it), r the distance from the axis, not less than the radius, and L the length,

        mean = ln((a + p) / (b + q)) / L,    a = sqrt(p^2 + r^2),  b = sqrt(q^2 + r^2)

    (Holt and Koch 1999, J Comput Neurosci 6:169, eq. 2, turned so that p >= 0). Beside a segment b + q
    cancels and is written r^2 / (b - q). Far from it the logarithm of nearly 1 loses digits, so there the
    same function is summed as 2 artanh(L / (a + b)) / L, whose first term is the point source: segments
    without length are that.
    """
    x, y, z = (c[:, None] - m[None, :] for c, m in zip(contact_um, segments.centre_um, strict=True))
    u, v, w = (t[None, :] for t in segments.axis)
    half, radius = segments.half_um[None, :], segments.radius_um[None, :]
    along = x * u + y * v + z * w
    x, y, z = x - along * u, y - along * v, z - along * w
    r2 = jnp.maximum(x * x + y * y + z * z, radius * radius)
    along = jnp.abs(along)
    p, q = along + half, along - half
    a, b = jnp.sqrt(p * p + r2), jnp.sqrt(q * q + r2)
    beside = q < 0
    ratio = (a + p) * jnp.where(beside, b - q, 1.0) / jnp.where(beside, r2, b + q)
    inverse = 1 / (a + b)
    s = (2 * half * inverse) ** 2
    far = 2 * inverse * (1 + s * (1 / 3 + s * (1 / 5 + s * (1 / 7))))
    return jnp.where(s < 0.02, far, jnp.log(ratio) * (0.5 / jnp.maximum(half, 1e-6)))


def point_source(contact_um: Coordinates, segments: Segments) -> Float[Array, "contact segment"]:
    """Return 1/distance from each segment's centre, in 1/um; the distance is at least the segment's radius."""
    x, y, z = (c[:, None] - m[None, :] for c, m in zip(contact_um, segments.centre_um, strict=True))
    radius = segments.radius_um[None, :]
    return jax.lax.rsqrt(jnp.maximum(x * x + y * y + z * z, radius * radius))


def in_cell_frame(
    contact_um: Float[Array, "contact 3"], position_um: Float[Array, "n 3"], rotation: Float[Array, "n 3 3"]
) -> Float[Array, "3 n contact"]:
    """Return contacts in the frames of n placed cells."""
    from_soma = contact_um[None] - position_um[:, None]
    return jnp.einsum("nij,nci->jnc", rotation, from_soma, precision=EXACT)


def project(
    factors: Factors, contact_um: Float[Array, "3 n contact"], spike: Int[Array, " n"], kind: Kind
) -> Float[Array, "n contact rank"]:
    """Sum source times the spike's spatial factor over segments, in nA/um.

    Contacts are in the frames of n cells, and ``spike`` says whose currents they see.

    It takes one chunk of segments at a time, so that (contact, segment) never exists whole; the number of chunks is
    a run-time value, so that a small cell padded to the shape of a large one needs neither compilation nor more time.
    """
    n = len(spike)
    segments = as_segments(factors.start_um, factors.end_um, factors.diameter_um)
    source = {"line": line_source, "point": point_source}[kind]
    # Separate buffers: fused into the loop, columns are gathered anew for every element, ten times slower.
    barrier: Callable[[PyTree], PyTree] = jax.lax.optimization_barrier  # has no types
    contact, segments = barrier((tuple(contact_um.reshape(3, -1)), segments))

    def chunk(i: jax.Array, total: jax.Array) -> jax.Array:
        def here(x: jax.Array, axis: int = 0) -> jax.Array:
            return jax.lax.dynamic_slice_in_dim(x, i * SEGMENTS_PER_CHUNK, SEGMENTS_PER_CHUNK, axis)

        matrix = source(contact, jax.tree.map(here, segments)).reshape(n, -1, SEGMENTS_PER_CHUNK)
        return total + jnp.einsum("ncs,nsr->ncr", matrix, here(factors.spatial, 1)[spike], precision=EXACT)

    chunks = (factors.segments + SEGMENTS_PER_CHUNK - 1) // SEGMENTS_PER_CHUNK
    shape = (n, contact_um.shape[2], factors.spatial.shape[2])
    total: jax.Array = jax.lax.fori_loop(0, chunks, chunk, jnp.zeros(shape, jnp.float32))
    return total


@partial(jax.jit, static_argnames="kind")
def potentials(
    factors: Factors,
    contacts_um: Float[Array, "channel point 3"],
    position_um: Float[Array, "n 3"],
    rotation: Float[Array, "n 3 3"],
    spike: Int[Array, " n"],
    sigma_S_per_m: float | Float[Array, ""] = 0.3,
    kind: Kind = "line",
) -> Float[Array, "n channel time"]:
    """Return the extracellular action potentials, in uV, of one cell in n placements.

    phi = 1 / (4 pi sigma) * sum over segments of I * mean(1 / distance), averaged over a contact's points. As the
    function is jitted, NumPy arrays are accepted as well.

    Args:
        factors: the cell, from `simulator.eap.lowrank.factorise`, float32.
        contacts_um: from `simulator.eap.probes.points`; one point is a point contact.
        position_um: of the soma. The working memory is 64 numbers per contact point and placement:
            n of 16 to 64 keeps it in a CPU's cache, a GPU wants thousands.
        rotation: world = rotation @ local + position.
        spike: which of the recorded spikes.
        sigma_S_per_m: conductivity of the medium.
        kind: "line" spreads a segment's current evenly along its axis, "point" puts it in the middle.
    """
    channel, point, _ = contacts_um.shape
    n = position_um.shape[0]
    contact = in_cell_frame(jnp.reshape(contacts_um, (-1, 3)), position_um, rotation)
    projected = project(factors, contact, spike, kind).reshape(n, channel, point, -1).mean(axis=2)
    scale = UV_FROM_NA_PER_UM / (4 * jnp.pi * sigma_S_per_m)
    return jnp.einsum("ncr,nrt->nct", scale * projected, factors.temporal[spike], precision=EXACT)
