"""Changes to training samples that leave their distribution as it is."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped


def quarter_turns(
    key: PRNGKeyArray, images: Float[Array, "sample row column image"], target: Shaped[Array, "sample ..."]
) -> tuple[Float[Array, "sample row column image"], Shaped[Array, "sample ..."]]:
    """Turn each sample by a random number of quarter turns of a square array about its normal, the x axis.

    Args:
        key: random key.
        images: rows run along z, columns along y.
        target: (sample,) class, which stays, or (sample, 3) position, which turns with the images.
    """
    k = jax.random.randint(key, (len(images),), 0, 4)
    turned = turn(images, k.reshape(-1, 1, 1, 1))
    return turned, target if target.ndim == 1 else turn_position(target, k)


def turn(
    images: Float[Array, "sample row column image"], k: Int[Array, "sample 1 1 1"]
) -> Float[Array, "sample row column image"]:
    """Turn images by k quarter turns from y towards z."""
    images = jnp.where(k % 2 == 1, images.swapaxes(1, 2), images)
    images = jnp.where((k == 2) | (k == 3), images[:, ::-1], images)
    return jnp.where((k == 1) | (k == 2), images[:, :, ::-1], images)


def turn_position(position: Float[Array, "sample 3"], k: Int[Array, " sample"]) -> Float[Array, "sample 3"]:
    """Turn positions about x by k quarter turns from y towards z."""
    x, y, z = position.T
    for times in range(1, 4):
        y, z = jnp.where(k >= times, -z, y), jnp.where(k >= times, y, z)
    return jnp.stack([x, y, z], axis=1)


def of_waveforms(
    change: Callable[[jax.Array, jax.Array], jax.Array],
    key: PRNGKeyArray,
    x: Float[Array, "sample feature"],
    shape: tuple[int, int],
) -> Float[Array, "sample feature"]:
    """Change the waveforms of `shape` (channel, time) that inputs begin with; what follows them stays.

    change: (key, traces (sample, channel, time)) -> traces.
    """
    count = shape[0] * shape[1]
    traces = change(key, x[:, :count].reshape(len(x), *shape))
    return jnp.concatenate([traces.reshape(len(x), count), x[:, count:]], axis=1)


def shift_and_noise(
    key: PRNGKeyArray, traces: Float[Array, "sample channel time"], largest: int, sd: float
) -> Float[Array, "sample channel time"]:
    """Move each sample by up to `largest` whole time steps either way, its ends held, and add normal noise."""
    shift_key, noise_key = jax.random.split(key)
    by = jax.random.randint(shift_key, (len(traces), 1), -largest, largest + 1)
    time = jnp.clip(jnp.arange(traces.shape[2])[None] + by, 0, traces.shape[2] - 1)
    moved = jnp.take_along_axis(traces, time[:, None, :], axis=2)
    return moved + sd * jax.random.normal(noise_key, moved.shape)


def shift_in_time(
    key: PRNGKeyArray, traces: Float[Array, "sample channel time"], largest: float
) -> Float[Array, "sample channel time"]:
    """Move each sample by up to `largest` time steps either way, interpolating linearly between time steps.

    What comes in at an end is the value there.
    """
    count = traces.shape[2]
    by = jax.random.uniform(key, (len(traces), 1), minval=-largest, maxval=largest)
    place = jnp.clip(jnp.arange(count, dtype=traces.dtype)[None] + by, 0, count - 1)
    low = jnp.clip(jnp.floor(place), 0, count - 2)
    part = (place - low)[:, None]
    index = low.astype(jnp.int32)[:, None]
    before, after = (jnp.take_along_axis(traces, index + k, axis=2) for k in (0, 1))
    return (1 - part) * before + part * after


def move_in_plane(
    key: PRNGKeyArray, images: Float[Array, "sample row column"], turn_deg: float, shift: float
) -> Float[Array, "sample row column"]:
    """Turn each image by up to `turn_deg` and move it by up to `shift` pixels, interpolating bilinearly.

    What comes in from outside is 0.
    """
    turn_key, shift_key = jax.random.split(key)
    rows, columns = images.shape[1:]
    angle = jnp.deg2rad(jax.random.uniform(turn_key, (len(images), 1, 1), minval=-turn_deg, maxval=turn_deg))
    by = jax.random.uniform(shift_key, (2, len(images), 1, 1), minval=-shift, maxval=shift)
    y, x = jnp.meshgrid(_centred(rows), _centred(columns), indexing="ij")
    y, x = y[None] + by[0], x[None] + by[1]
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return _bilinear(images, cos * y - sin * x + (rows - 1) / 2, sin * y + cos * x + (columns - 1) / 2)


def _centred(count: int) -> jax.Array:
    return jnp.arange(count, dtype=jnp.float32) - (count - 1) / 2


def _bilinear(images: jax.Array, y: jax.Array, x: jax.Array) -> jax.Array:
    """Return the values of images (sample, row, column) at y, x (sample, row, column); 0 outside."""
    top, left = jnp.floor(y), jnp.floor(x)
    padded = jnp.pad(images, ((0, 0), (1, 1), (1, 1)))
    sample = jnp.arange(len(images))[:, None, None]
    total = jnp.zeros_like(images)
    for down in (0, 1):
        for right in (0, 1):
            row = jnp.clip(top + down + 1, 0, images.shape[1] + 1).astype(jnp.int32)
            column = jnp.clip(left + right + 1, 0, images.shape[2] + 1).astype(jnp.int32)
            weight = (1 - jnp.abs(y - top - down)) * (1 - jnp.abs(x - left - right))
            total = total + weight * padded[sample, row, column]
    return total
