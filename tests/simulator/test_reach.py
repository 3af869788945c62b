"""No placement of a cell reaches more than the bound that its currents give."""

import jax.numpy as jnp
import numpy as np
import pytest
from synthetic_source import synthetic_source

from spiketype.simulator.eap import lowrank, reach
from spiketype.simulator.eap.box import Box
from spiketype.simulator.eap.forward import Factors, potentials
from spiketype.simulator.neuron.source import Source

HERE = (jnp.zeros((1, 3)), jnp.eye(3)[None], jnp.zeros(1, jnp.int32))  # one cell, not moved and not turned


def peak_to_peak_uV(source: Source, contact_um: np.ndarray, kind: str) -> np.ndarray:
    """Of the first spike at contacts (contact, 3); the soma is at 0."""
    segments = len(source.start_um)
    arrays = source.start_um, source.end_um, source.diameter_um, np.eye(segments)[None], source.current_nA[:1]
    factors = lowrank._grow(Factors(*(jnp.asarray(a, jnp.float32) for a in arrays), jnp.int32(segments)), 64, segments)
    return np.ptp(np.asarray(potentials(factors, jnp.asarray(contact_um)[:, None], *HERE, 0.3, kind)[0]), axis=1)


@pytest.mark.parametrize("kind", ["line", "point"])
@pytest.mark.parametrize("soma_um", [0.0, 10.0, 60.0, 500.0])
def test_no_contact_reaches_more(kind: str, soma_um: float) -> None:
    rng = np.random.default_rng(0)
    for seed in range(5):
        source = synthetic_source(segments=40, spikes=1, seed=seed)
        on_cell = np.concatenate([source.start_um, source.end_um]) + rng.normal(0, 0.5, (80, 3))
        all_over = rng.normal(size=(400, 3))
        all_over *= (soma_um + rng.exponential(50, (400, 1))) / np.linalg.norm(all_over, axis=1, keepdims=True)
        contact_um = np.concatenate([on_cell, all_over]).astype(np.float32)
        contact_um = contact_um[np.linalg.norm(contact_um, axis=1) >= soma_um]
        most = reach.most_uV(source, soma_um, 0.3)
        assert peak_to_peak_uV(source, contact_um, kind).max() < most


def test_of_a_soma_alone_the_bound_is_what_is_reached() -> None:
    at_0, current = np.zeros((1, 3), np.float32), np.linspace(-1, 1, 224, dtype=np.float32)
    source = synthetic_source(segments=1, spikes=1, start_um=at_0, end_um=at_0, current_nA=current[None, None])
    reached = peak_to_peak_uV(source, np.array([[20.0, 0, 0]], np.float32), "point")
    assert reach.most_uV(source, 20.0, 0.3) == pytest.approx(float(reached[0]), rel=1e-4)


def test_how_near_a_soma_may_be() -> None:
    box = Box((10, 60), (-75, 75), (-75, 75))
    assert reach.nearest_um(np.array([[[0.0, 0, 0]], [[0, 200, 0]]]), box) == 10
    assert reach.nearest_um(np.array([[0.0, 78, 0], [0.0, 0, 300]]), box) == pytest.approx(np.hypot(10, 3))
    assert reach.nearest_um(np.array([[20.0, 0, 0]]), box) == 0
