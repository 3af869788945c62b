"""Images of samples at contacts anywhere: a square lattice around the contact with the largest amplitude.

A node of the lattice has the mean of the contacts that are nearer than the pitch, weighted by 1 / distance - 1 / pitch
(after Shepard's method as modified by Franke and Nielson, Int. J. Numer. Methods Eng. 15, 1980, 1691). The last image
says which nodes have such contacts; the others are 0. The lattice moves with the sample, so that a probe may be longer
than it, and two probes give images of one kind if the pitch is the same.
"""

from typing import NamedTuple, TypeVar

import jax
import numpy as np
from jaxtyping import Float32, Int32

SIDE = 11  # nodes along y and along z, the middle one on the contact with the largest amplitude
PITCH_UM = (10.0, 40.0)  # the least and the most
AT_UM = 0.1  # a contact so close to a node is on it
NOTHING = 1e-6  # a weight (1 / um) that is due to rounding
Samples = TypeVar("Samples", np.ndarray, jax.Array)  # those in a program are of JAX; both know their functions


class Lattice(NamedTuple):
    """How samples at the contacts of a probe become images.

    Attributes:
        pitch_um: between nodes.
        contact_um: of the probe.
        contact: the nearest of each node, for each contact that may be in the middle.
        weight: of them; they sum to 1, or are 0 where none is near enough.
    """

    pitch_um: float
    contact_um: Float32[np.ndarray, "channel 3"]
    contact: Int32[np.ndarray, "channel node near"]
    weight: Float32[np.ndarray, "channel node near"]


def lattice(contact_um: Float32[np.ndarray, "channel 3"], pitch_um: float | None = None) -> Lattice:
    """Return the lattice for a probe in the plane x = 0.

    pitch_um: by default the median distance of the probe's contacts to the nearest other one, but 10 to 40.
    """
    flat = contact_um[:, 1:].astype(np.float64)
    apart = np.linalg.norm(flat[:, None] - flat[None], axis=2)
    if pitch_um is None:
        nearest = np.min(apart + np.diag(np.full(len(flat), np.inf)), axis=1, initial=PITCH_UM[1])
        pitch_um = round(float(np.clip(np.median(nearest), *PITCH_UM)), 1)
    steps = pitch_um * (np.arange(SIDE) - SIDE // 2)
    z, y = np.meshgrid(steps, steps, indexing="ij")
    offset = np.stack([y.ravel(), z.ravel()], axis=1)
    near = [_near(middle + offset, flat, pitch_um) for middle in flat]
    most = max(contact.shape[1] for contact, _ in near)
    wide = [[np.pad(each, ((0, 0), (0, most - each.shape[1]))) for each in one] for one in near]
    contact, weight = (np.stack([one[k] for one in wide]) for k in (0, 1))
    return Lattice(pitch_um, contact_um, contact.astype(np.int32), weight.astype(np.float32))


def _near(node_um: np.ndarray, contact_um: np.ndarray, pitch_um: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers (node, near) of contacts (contact, 2), the nearest first, and weights: as many as count."""
    distance = np.linalg.norm(node_um[:, None] - contact_um[None], axis=2)
    found = np.argsort(distance, axis=1, kind="stable")
    away = np.maximum(np.take_along_axis(distance, found, axis=1), AT_UM)
    weight = np.maximum(1 / away - 1 / pitch_um, 0)
    near = int((weight > NOTHING).sum(axis=1).max())
    kept = weight[:, :near]
    total = kept.sum(axis=1, keepdims=True)
    return found[:, :near], np.where(total > NOTHING, kept / np.maximum(total, NOTHING), 0)


def middle(amplitude_uV: Samples, here: Lattice) -> Samples:
    """Return where the contact with the largest amplitude (sample, channel) is, (sample, 3) in um."""
    xp = amplitude_uV.__array_namespace__()
    found: Samples = xp.asarray(here.contact_um)[xp.argmax(amplitude_uV, axis=1)]
    return found


def as_images(values: Samples, amplitude_uV: Samples, here: Lattice) -> Samples:
    """Return images (sample, z, y, image + 1) of values (sample, channel, image); the last one says what is seen.

    amplitude_uV: (sample, channel), of which the largest is in the middle.
    """
    xp = values.__array_namespace__()
    largest = xp.argmax(amplitude_uV, axis=1)
    contact, weight = xp.asarray(here.contact)[largest], xp.asarray(here.weight)[largest]
    total = sum(
        weight[:, :, k, None] * xp.take_along_axis(values, contact[:, :, k, None], axis=1)
        for k in range(weight.shape[2])
    )
    seen = xp.astype(xp.sum(weight, axis=2) > 0, np.float32)
    found: Samples = xp.reshape(xp.concat([total, seen[..., None]], axis=2), (len(values), SIDE, SIDE, -1))
    return found
