"""Where the soma is and how the cell is turned: a pure function of (seed, cell name, block, candidate number)."""

import zlib
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int, PRNGKeyArray

from spiketype.edge import UserError
from spiketype.simulator.eap.box import DEFAULT_BOX, Box

ROTATIONS = ("norot", "xrot", "yrot", "zrot", "physrot", "3drot")
UPRIGHT_M_TYPES = ("BP", "MC")  # and all excitatory (pyramidal) cells: the vertical ones of physrot
MAX_TILT_RAD = np.pi / 12
ALIGNED = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], np.float32)  # 90 degrees about x: the apical +y to +z


class Placement(NamedTuple):
    """n placements: world = rotation @ local + position."""

    position_um: Float[Array, "n 3"]
    rotation: Float[Array, "n 3 3"]
    spike: Int[Array, " n"]


def draw(
    seed: int,
    cell_name: str,
    m_type: str,
    excitatory: bool,
    first: int,
    count: int,
    rotation: str,
    box: Box = DEFAULT_BOX,
    n_spikes: int = 10,
    block: int | None = None,
) -> Placement:
    """Draw candidate placements number ``first`` to ``first + count - 1`` of a cell, float32 and int32.

    Candidate k's key is ``fold_in(stream(seed, cell_name, block), k)``, so neither the batches nor the other cells
    change it. Rotation sets, all after the alignment of the apical dendrite (native +y) with +z:

    - norot: none; xrot, yrot, zrot: about that axis, the angle uniform on the circle;
    - physrot: BP, MC and excitatory cells any angle about their own axis, which is uniform on the cap within
      15 degrees of +z; the other cells as 3drot;
    - 3drot: Haar-uniform on SO(3).

    Raises:
        UserError: the rotation set is unknown, or the seed does not fit 32 bits.
    """
    if not 0 <= seed < 2**32:
        raise UserError(f"seed {seed}: give an integer from 0 to 2**32 - 1")
    key = stream(seed, cell_name, block)
    which = number_of(rotation, m_type, excitatory)
    placed: Placement = drawn(key, np.uint32(first), count, which, *corners_um(box), np.float32(n_spikes))
    return placed


def number_of(rotation: str, m_type: str, excitatory: bool) -> np.int32:
    """Return the number of the rotation set, in `ROTATIONS`, that a cell is turned by.

    Raises:
        UserError: the rotation set is unknown.
    """
    if rotation not in ROTATIONS:
        raise UserError(f"unknown rotation {rotation!r}: choose one of {', '.join(ROTATIONS)}")
    if rotation == "physrot" and not (excitatory or m_type in UPRIGHT_M_TYPES):
        rotation = "3drot"
    return np.int32(ROTATIONS.index(rotation))


def corners_um(box: Box) -> tuple[Float32[np.ndarray, "3"], Float32[np.ndarray, "3"]]:
    """Return the lowest and the highest corner of a box."""
    low, high = np.array([box.x_um, box.y_um, box.z_um], np.float32).T
    return low, high


def stream(seed: int, cell_name: str, block: int | None = None) -> PRNGKeyArray:
    """Return the key of a cell's candidates, or of those of one of its blocks."""
    key = jax.random.fold_in(jax.random.key(np.uint32(seed)), np.uint32(zlib.crc32(cell_name.encode())))
    return key if block is None else jax.random.fold_in(key, np.uint32(block))


@partial(jax.jit, static_argnames="count")
def drawn(
    key: jax.Array,
    first: jax.Array,
    count: int,
    rotation: jax.Array,
    low_um: jax.Array,
    high_um: jax.Array,
    n_spikes: jax.Array,
) -> Placement:
    """Draw as `draw`, inside a program: ``key`` is of a `stream`, ``rotation`` a number in `ROTATIONS`.

    One program and one draw of numbers serve all rotation sets: each takes XLA a second to compile.
    """

    def one(candidate: jax.Array) -> Placement:
        uniform = jax.random.uniform(jax.random.fold_in(key, candidate), (7,), jnp.float32)
        turn = jax.lax.switch(rotation, TURNS, uniform[3:6])
        return Placement(
            position_um=low_um + (high_um - low_um) * uniform[:3],
            rotation=_product(turn, jnp.asarray(ALIGNED)),
            spike=jnp.minimum(n_spikes * uniform[6], n_spikes - 1).astype(jnp.int32),
        )

    return jax.vmap(one)(first + jnp.arange(count, dtype=jnp.uint32))


def _product(*matrices: jax.Array) -> jax.Array:
    return jnp.linalg.multi_dot(matrices, precision=jax.lax.Precision.HIGHEST)


def about(axis: int, angle_rad: Float[Array, ""]) -> Float[Array, "3 3"]:
    """Return the rotation matrix about coordinate axis 0, 1 or 2, counter-clockwise seen against the axis."""
    cos, sin = jnp.cos(angle_rad), jnp.sin(angle_rad)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    return jnp.eye(3, dtype=jnp.float32).at[(i, i, j, j), (i, j, i, j)].set(jnp.stack([cos, -sin, sin, cos]))


def upright(uniform: Float[Array, "3"]) -> Float[Array, "3 3"]:
    """Return the rotation by any angle about the cell's own axis, which is uniform on the cap within 15 degrees of +z.

    It is made of 3 uniform numbers; on a sphere a uniform area is a uniform cosine (Archimedes).
    """
    own, azimuth, height = uniform
    tilt = jnp.arccos(1 - height * (1 - np.float32(np.cos(MAX_TILT_RAD))))
    return _product(about(2, 2 * jnp.pi * azimuth), about(1, tilt), about(2, 2 * jnp.pi * own))


def haar(uniform: Float[Array, "3"]) -> Float[Array, "3 3"]:
    """Return a rotation matrix uniform on SO(3) from 3 uniform numbers: a unit quaternion uniform on the 3-sphere.

    Shoemake 1992, "Uniform random rotations", Graphics Gems III, p. 129: the squared lengths of a normal
    vector's two halves share 1 uniformly, and the directions of both are uniform.
    """
    share, first, second = uniform
    first, second = 2 * jnp.pi * first, 2 * jnp.pi * second
    x, y = jnp.sqrt(1 - share) * jnp.sin(first), jnp.sqrt(1 - share) * jnp.cos(first)
    z, w = jnp.sqrt(share) * jnp.sin(second), jnp.sqrt(share) * jnp.cos(second)
    return jnp.stack(
        [
            jnp.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)]),
            jnp.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)]),
            jnp.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]),
        ]
    )


def _turn_about(axis: int) -> Callable[[jax.Array], jax.Array]:
    return lambda uniform: about(axis, 2 * jnp.pi * uniform[0])


TURNS = (  # in the order of ROTATIONS
    lambda uniform: jnp.eye(3, dtype=jnp.float32),
    _turn_about(0),
    _turn_about(1),
    _turn_about(2),
    upright,
    haar,
)
