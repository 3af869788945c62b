"""Physics of the potential, the low-rank currents, and the agreement with LFPykit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from synthetic_source import synthetic_source

from spiketype.edge import UserError
from spiketype.simulator.eap import lowrank
from spiketype.simulator.eap.forward import (
    Factors,
    as_segments,
    line_source,
    point_source,
    potentials,
)
from spiketype.simulator.eap.placement import ROTATIONS, draw
from spiketype.simulator.eap.probes import points, probe
from spiketype.simulator.neuron.cells import catalogue
from spiketype.simulator.neuron.membrane import simulate
from spiketype.simulator.neuron.source import Source

RNG = np.random.default_rng(3)
HERE = (jnp.zeros((1, 3)), jnp.eye(3)[None], jnp.zeros(1, jnp.int32))  # one cell, not moved and not turned


def cell(start: list, end: list, diameter: list, current: np.ndarray) -> Factors:
    """Factors with a full set of currents ``(segment, time)``, in nA."""
    n = len(start)
    arrays = [np.asarray(x, np.float32) for x in (start, end, diameter, np.eye(n)[None], current[None])]
    factors = Factors(*map(jnp.asarray, arrays), jnp.int32(n))
    return lowrank._grow(factors, 64, n)


def at(contacts: np.ndarray, factors: Factors, kind: str = "line", sigma: float = 0.3) -> np.ndarray:
    points_um = jnp.asarray(contacts, jnp.float32)[:, None]
    return np.asarray(potentials(factors, points_um, *HERE, sigma_S_per_m=sigma, kind=kind)[0])


ONE = cell([[0, -10, 0]], [[0, 10, 0]], [1], np.ones((1, 1)))
DIPOLE = cell([[0, -20, 0], [0, 0, 0]], [[0, 0, 0], [0, 20, 0]], [1, 1], np.array([[1.0], [-1.0]]))


@pytest.mark.parametrize("kind", ["line", "point"])
def test_a_monopole_far_away_is_coulomb(kind):
    directions = RNG.normal(size=(50, 3))
    contacts = 1e4 * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    expected = 1e3 / (4 * np.pi * 0.3 * 1e4)  # 1 nA at 1 cm in 0.3 S/m: 0.0265 uV
    np.testing.assert_allclose(at(contacts, ONE, kind)[:, 0], expected, rtol=1e-5)


def test_a_dipole_far_away_falls_with_the_square_of_the_distance_and_follows_the_cosine():
    along = at(np.array([[0, r, 0] for r in (1e3, 2e3, 4e3)]), DIPOLE)[:, 0]
    np.testing.assert_allclose(along[1:] / along[:-1], 0.25, rtol=2e-3)
    moment_nA_um = -20.0
    np.testing.assert_allclose(along[2], moment_nA_um * 1e3 / (4 * np.pi * 0.3 * 4e3**2), rtol=1e-3)
    np.testing.assert_allclose(at(np.array([[1e3, 0, 0]]), DIPOLE), 0, atol=1e-6 * abs(along[0]))


def test_beside_its_middle_a_long_line_is_a_cylinder():
    long = cell([[0, -1e4, 0]], [[0, 1e4, 0]], [1], np.full((1, 1), 2e4))  # 1 nA per um
    near, far = at(np.array([[10, 0, 0], [20, 0, 0]]), long)[:, 0]
    np.testing.assert_allclose(near - far, 1e3 / (2 * np.pi * 0.3) * np.log(2), rtol=1e-4)


def test_superposition_and_conductivity():
    source = synthetic_source(64)
    geometry = source.start_um, source.end_um, source.diameter_um
    contacts = probe("mea4x4").contact_um + np.array([30, 0, 0])
    first, second = RNG.normal(size=(2, 64, 5))
    sum_of_both = at(contacts, cell(*geometry, first)) + at(contacts, cell(*geometry, 2 * second))
    np.testing.assert_allclose(at(contacts, cell(*geometry, first + 2 * second)), sum_of_both, rtol=1e-4, atol=1e-3)
    twice = at(contacts, cell(*geometry, first), sigma=0.6)
    np.testing.assert_allclose(at(contacts, cell(*geometry, first)), 2 * twice, rtol=1e-5)


def test_halving_a_segment_changes_nothing():
    halves = cell([[0, -10, 0], [0, 0, 0]], [[0, 0, 0], [0, 10, 0]], [1, 1], np.full((2, 1), 0.5))
    contacts = RNG.uniform(-40, 40, (300, 3))
    np.testing.assert_allclose(at(contacts, halves), at(contacts, ONE), rtol=1e-5)


def test_a_segment_has_no_direction():
    reverse = cell([[0, 10, 0]], [[0, -10, 0]], [1], np.ones((1, 1)))
    contacts = RNG.uniform(-40, 40, (300, 3))
    np.testing.assert_allclose(at(contacts, reverse), at(contacts, ONE), rtol=1e-6)


@pytest.mark.parametrize("kind", ["line", "point"])
def test_a_contact_that_touches_sees_no_more_than_at_the_surface(kind):
    contacts = np.array([[0, y, 0] for y in (-10, -5, 0, 1e-6, 9.9999, 10, 10.1, 300)])
    phi = at(contacts, ONE, kind)
    assert np.isfinite(phi).all()
    assert (phi > 0).all()
    if kind == "line":
        surface = np.array([[0.5, y, 0] for y in (-10, -5, 0, 1e-6, 9.9999, 10)])
        np.testing.assert_allclose(phi[:6], at(surface, ONE), rtol=1e-5)
    else:
        np.testing.assert_allclose(phi[2:4], at(np.array([[0.5, 0, 0]] * 2), ONE, kind), rtol=1e-5)


def test_a_segment_without_length_is_a_point():
    dot = cell([[1, 2, 3]], [[1, 2, 3]], [1], np.ones((1, 1)))
    contacts = np.concatenate([RNG.uniform(-40, 40, (100, 3)), [[1, 2, 3]]])
    assert np.isfinite(at(contacts, dot)).all()
    np.testing.assert_allclose(at(contacts, dot), at(contacts, dot, "point"), rtol=1e-6)


def test_line_and_point_sources_agree_far_away_only():
    source = synthetic_source(64)
    segments = as_segments(*(jnp.asarray(x, jnp.float32) for x in (source.start_um, source.end_um, source.diameter_um)))
    far = jnp.asarray(RNG.normal(size=(3, 40)) * 1e4, jnp.float32)
    np.testing.assert_allclose(line_source(far, segments), point_source(far, segments), rtol=1e-4)
    near = segments.centre_um[0][:1] + 3, segments.centre_um[1][:1], segments.centre_um[2][:1]
    assert abs(line_source(jnp.stack(near), segments)[0, 0] / point_source(jnp.stack(near), segments)[0, 0] - 1) > 0.01


def test_the_line_source_is_the_integral_over_the_segment():
    start, end = np.array([3.0, -8, 2]), np.array([-5.0, 11, 9])
    contacts = RNG.uniform(-300, 300, (3, 200)).astype(np.float32)
    on_axis = start + (np.arange(20000)[:, None] + 0.5) / 20000 * (end - start)
    distance = np.linalg.norm(contacts.T[:, None] - on_axis, axis=2)
    segments = as_segments(*(jnp.asarray(x, jnp.float32) for x in (start[None], end[None], np.array([1e-3]))))
    np.testing.assert_allclose(
        line_source(jnp.asarray(contacts), segments)[:, 0], (1 / distance).mean(axis=1), rtol=2e-6
    )


def test_turning_cell_and_contacts_together_changes_nothing():
    source = synthetic_source(100)
    factors, _, _ = lowrank.factorise(source, error_uV=0.1)
    place = draw(0, "a", "BP", True, 0, 6, "3drot", n_spikes=3)
    turn, shift = draw(1, "b", "BP", True, 0, 1, "3drot").rotation[0], jnp.array([100.0, -50, 20])
    contacts = jnp.asarray(probe("mea4x4").contact_um[:, None])
    here = potentials(factors, contacts, *place)
    carried = place.position_um @ turn.T + shift[None]
    there = potentials(
        factors, contacts @ turn.T + shift[None, None], carried, turn[None] @ place.rotation, place.spike
    )
    assert jnp.abs(here).max() > 10
    np.testing.assert_allclose(there, here, atol=2e-5 * float(jnp.abs(here).max()))


def test_contact_areas_are_means_over_their_points():
    source = synthetic_source(100)
    factors, _, _ = lowrank.factorise(source, error_uV=0.1)
    place = draw(0, "a", "BP", True, 0, 4, "3drot", n_spikes=3)
    spots = points(probe("mea3x3"), 7)
    each = [potentials(factors, spots[:, i : i + 1], *place) for i in range(7)]
    np.testing.assert_allclose(potentials(factors, spots, *place), np.mean(each, axis=0), atol=1e-3)


@pytest.mark.parametrize("segments", [40, 64, 200])
def test_low_rank_currents_reach_the_error(segments):
    source = synthetic_source(segments)
    contacts, position, rotation, spike = moved(source, 40, first=1000)
    ranks = []
    for error_uV in (1.0, 1e-3):
        factors, reached, rank = lowrank.factorise(source, error_uV=error_uV)
        assert 0 < reached <= error_uV
        assert factors.spatial.shape[2] == rank
        got = potentials(factors, probe().contact_um[:, None], position, rotation, spike)
        error = np.abs(got - reference(source, contacts, spike)).max()
        assert error < 1.5 * error_uV + 5e-6 * np.abs(got).max()
        ranks.append(rank)
    assert ranks[0] < ranks[1]


def test_an_error_below_single_precision_is_refused():
    with pytest.raises(UserError, match=r"synthetic0.*rank 224"):
        lowrank.factorise(synthetic_source(150), error_uV=1e-7)


def test_currents_without_structure_keep_all_components():
    noise = RNG.normal(size=(3, 150, 224)).astype(np.float32)
    _, reached, rank = lowrank.factorise(synthetic_source(150, current_nA=noise), error_uV=0.01)
    assert rank > 100
    assert reached <= 0.01


def test_padding_changes_nothing_and_shares_the_program():
    small, large = (lowrank.factorise(synthetic_source(n), error_uV=e)[0] for n, e in ((70, 0.1), (200, 1e-3)))
    padded = [lowrank.pad(f, 200, 96) for f in (small, large)]
    assert jax.tree.map(jnp.shape, padded[0]) == jax.tree.map(jnp.shape, padded[1])
    place = draw(0, "a", "BP", True, 0, 5, "3drot", n_spikes=3)
    contacts = probe("mea5x5").contact_um[:, None]
    for before, after in zip((small, large), padded, strict=True):
        np.testing.assert_allclose(potentials(after, contacts, *place), potentials(before, contacts, *place), atol=1e-4)
    compiled = potentials._cache_size()
    for factors in padded:
        potentials(factors, contacts, *place)
    assert potentials._cache_size() == compiled


def test_cells_can_be_mapped_over():
    made = (lowrank.factorise(synthetic_source(n, seed=n), error_uV=0.1)[0] for n in (70, 200))
    padded = [lowrank.pad(f, 200, 96) for f in made]
    place = draw(0, "a", "BP", True, 0, 5, "3drot", n_spikes=3)
    contacts = probe("mea3x3").contact_um[:, None]
    both = jax.vmap(potentials, in_axes=(0, None, None, None, None))(
        jax.tree.map(lambda *x: jnp.stack(x), *padded), contacts, *place
    )
    for got, factors in zip(both, padded, strict=True):
        np.testing.assert_allclose(got, potentials(factors, contacts, *place), atol=1e-3)


def moved(source: Source, count: int, first: int = 0) -> tuple[np.ndarray, ...]:
    """Contacts in the cell's frame, ``(n, channel, 3)`` float64, and the placements that put them there."""
    each = count // len(ROTATIONS) + 1
    spikes = len(source.current_nA)
    sets = [draw(5, source.name, "BP", True, first, each, r, n_spikes=spikes) for r in ROTATIONS]
    position, rotation, spike = (np.concatenate(x) for x in zip(*sets, strict=True))
    contacts = np.einsum("nij,nci->ncj", rotation.astype(float), probe().contact_um - position[:, None].astype(float))
    return contacts, position, rotation, spike


def reference(source: Source, contacts: np.ndarray, spike: np.ndarray, kind: str = "Line") -> np.ndarray:
    """LFPykit's potentials in uV, ``(n, channel, time)``, from the full currents in float64."""
    import lfpykit

    ends = np.stack([source.start_um, source.end_um], axis=2).astype(float)
    geometry = lfpykit.CellGeometry(x=ends[:, 0], y=ends[:, 1], z=ends[:, 2], d=source.diameter_um.astype(float))
    model = getattr(lfpykit, f"{kind}SourcePotential")
    flat = contacts.reshape(-1, 3)
    matrix = model(geometry, x=flat[:, 0], y=flat[:, 1], z=flat[:, 2], sigma=0.3).get_transformation_matrix()
    matrix = matrix.reshape(*contacts.shape[:2], -1)
    return 1e3 * np.stack([m @ source.current_nA[k] for m, k in zip(matrix, spike, strict=True)])


def disagreement(source: Source, count: int) -> tuple[float, float]:
    """Worst difference from LFPykit over placements of all rotation sets, in uV and relative to the peak."""
    factors, _, _ = lowrank.factorise(source, error_uV=1e-3)
    worst_uV, worst = 0.0, 0.0
    for first in range(0, count, 48):
        contacts, position, rotation, spike = moved(source, 42, first)
        expected = reference(source, contacts, spike)
        error = np.abs(
            np.asarray(potentials(factors, probe().contact_um[:, None], position, rotation, spike)) - expected
        )
        worst_uV = max(worst_uV, error.max())
        worst = max(worst, (error.max(axis=(1, 2)) / np.abs(expected).max(axis=(1, 2))).max())
    return worst_uV, worst


def test_lfpykit_agrees_on_a_made_up_cell():
    worst_uV, relative = disagreement(synthetic_source(100), 40)
    assert worst_uV < 5e-3
    assert relative < 2e-4


def test_lfpykit_agrees_on_point_sources():
    source = synthetic_source(60)
    contacts, position, rotation, spike = moved(source, 12)
    full = current_factors(source)
    got = potentials(full, probe().contact_um[:, None], position, rotation, spike, kind="point")
    expected = reference(source, contacts, spike, "Point")
    np.testing.assert_allclose(got, expected, atol=1e-5 * np.abs(expected).max())


def current_factors(source: Source) -> Factors:
    """The full currents as factors: the identity times the currents."""
    n = len(source.diameter_um)
    arrays = (source.start_um, source.end_um, source.diameter_um, np.stack([np.eye(n)] * 3), source.current_nA)
    factors = Factors(*(jnp.asarray(x, jnp.float32) for x in arrays), jnp.int32(n))
    return lowrank._grow(factors, 64 * (n // 64 + 1), n)


@pytest.mark.slow
def test_lfpykit_agrees_on_the_simulated_cells(record_property):
    for source in simulate(catalogue()).values():
        worst_uV, relative = disagreement(source, 20)  # 36 placements, so 468 in all
        record_property(source.name, f"{worst_uV:.2g} uV, {relative:.2g} of the peak")
        print(f"{source.name}: {worst_uV:.2g} uV, {relative:.2g} of the peak")
        assert worst_uV < 1e-3
