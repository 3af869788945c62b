"""Which channel is where: contacts of two recordings are at the same places, in some order, or they are not."""

import numpy as np
from jaxtyping import Float, Int

SAME_um = 1.0


def order(
    contact_um: Float[np.ndarray, "channel _"], like_um: Float[np.ndarray, "channel _"]
) -> Int[np.ndarray, " channel"] | None:
    """Return the channels of contacts in the order of others, None where the two are not the same places.

    Probes are compared, not where they were: each is moved so that its first corner is at 0.

    Args:
        contact_um: positions of the channels.
        like_um: of channels whose order is wanted.
    """
    if contact_um.shape != like_um.shape:
        return None
    here, there = (values - values.min(axis=0) for values in (contact_um, like_um))
    if np.abs(here - there).max() < SAME_um:
        return np.arange(len(here))
    near = np.linalg.norm(here[None] - there[:, None], axis=2) < SAME_um
    if not (near.sum(axis=0) == 1).all() or not (near.sum(axis=1) == 1).all():
        return None
    found: np.ndarray = near.argmax(axis=1)
    return found
