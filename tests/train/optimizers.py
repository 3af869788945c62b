"""Optax under strict promotion: its bias correction raises a float to an integer power, which strict JAX refuses."""

from typing import Any

import jax
import optax


def lenient(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """The optimizer with JAX's ordinary promotion inside; all that is not optax stays strict."""

    def update(*arguments: Any) -> Any:
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            return optimizer.update(*arguments)

    return optax.GradientTransformation(optimizer.init, update)


def adam(learning_rate: Any) -> optax.GradientTransformation:
    """optax.adam, lenient."""
    return lenient(ADAM(learning_rate))


ADAM = optax.adam
