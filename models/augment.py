"""Changes to training samples that leave their distribution as it is."""

import jax
import jax.numpy as jnp


def quarter_turns(key: jax.Array, images: jax.Array, target: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Turn each sample by a random number of quarter turns of a square array about its normal, the x axis.

    Args:
        key: random key.
        images: (sample, row, column, image); rows run along z, columns along y.
        target: (sample,) class, which stays, or (sample, 3) position, which turns with the images.
    """
    k = jax.random.randint(key, (len(images),), 0, 4)
    turned = turn(images, k.reshape(-1, 1, 1, 1))
    return turned, target if target.ndim == 1 else turn_position(target, k)


def turn(images: jax.Array, k: jax.Array) -> jax.Array:
    """Images (sample, row, column, image) turned by k (sample, 1, 1, 1) quarter turns from y towards z."""
    images = jnp.where(k % 2 == 1, images.swapaxes(1, 2), images)
    images = jnp.where((k == 2) | (k == 3), images[:, ::-1], images)
    return jnp.where((k == 1) | (k == 2), images[:, :, ::-1], images)


def turn_position(position: jax.Array, k: jax.Array) -> jax.Array:
    """Positions (sample, 3) turned about x by k (sample,) quarter turns from y towards z."""
    x, y, z = position.T
    for times in range(1, 4):
        y, z = jnp.where(k >= times, -z, y), jnp.where(k >= times, y, z)
    return jnp.stack([x, y, z], axis=1)
