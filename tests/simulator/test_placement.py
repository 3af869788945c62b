import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from spiketype.edge import UserError
from spiketype.simulator.eap.placement import (
    ALIGNED,
    ROTATIONS,
    Box,
    Placement,
    draw,
    haar,
)

N = 4000
P_LEAST = 1e-3  # fixed seeds: a failure is a change of the distribution, not bad luck


def placements(rotation: str, count: int = N, **other: object) -> Placement:
    arguments = {"seed": 1, "cell_name": "cell", "m_type": "LBC", "excitatory": False, "first": 0} | other
    return Placement(*map(np.asarray, draw(count=count, rotation=rotation, **arguments)))  # type: ignore[arg-type]


def p_uniform(values: np.ndarray, low: float, high: float) -> float:
    return stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue


@pytest.mark.parametrize("rotation", ROTATIONS)
@pytest.mark.parametrize("excitatory", [False, True])
def test_rotations_are_rotations(rotation, excitatory):
    r = placements(rotation, excitatory=excitatory).rotation
    np.testing.assert_allclose(r @ r.swapaxes(1, 2), np.broadcast_to(np.eye(3), r.shape), atol=2e-6)
    np.testing.assert_allclose(np.linalg.det(r), 1, atol=2e-6)


def test_norot_turns_the_apical_dendrite_up():
    r = placements("norot", 3).rotation
    np.testing.assert_array_equal(r, np.broadcast_to(ALIGNED, r.shape))
    np.testing.assert_array_equal(r[0] @ [0, 1, 0], [0, 0, 1])


@pytest.mark.parametrize(("rotation", "axis"), [("xrot", 0), ("yrot", 1), ("zrot", 2)])
def test_one_axis_stays_and_the_angle_is_uniform_on_the_circle(rotation, axis):
    turn = placements(rotation).rotation @ ALIGNED.T
    np.testing.assert_allclose(turn[:, axis, axis], 1, atol=1e-6)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    angle = np.arctan2(turn[:, j, i], turn[:, i, i])
    assert p_uniform(angle, -np.pi, np.pi) > P_LEAST


def test_3drot_is_haar():
    r = placements("3drot").rotation
    fixed, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    for turned in (r, fixed @ r, r @ fixed):  # Haar measure stays under multiplication from either side
        for column in np.moveaxis(turned, 2, 0):  # uniform on the sphere: each coordinate is uniform (Archimedes)
            assert all(p_uniform(x, -1, 1) > P_LEAST for x in column.T)
            assert p_uniform(np.arctan2(column[:, 1], column[:, 0]), -np.pi, np.pi) > P_LEAST
    angle = np.arccos(np.clip((np.trace(r, axis1=1, axis2=2) - 1) / 2, -1, 1))
    assert stats.kstest(angle, lambda t: (t - np.sin(t)) / np.pi).pvalue > P_LEAST
    pairs = r[: N // 2].swapaxes(1, 2) @ r[N // 2 :]  # so does the angle between two independent ones
    angle = np.arccos(np.clip((np.trace(pairs, axis1=1, axis2=2) - 1) / 2, -1, 1))
    assert stats.kstest(angle, lambda t: (t - np.sin(t)) / np.pi).pvalue > P_LEAST


def test_haar_of_the_corners_is_finite():
    for corner in np.ndindex(2, 2, 2):
        assert np.isfinite(haar(jnp.asarray(corner, jnp.float32))).all()


@pytest.mark.parametrize(("m_type", "excitatory"), [("TTPC1", True), ("BP", False), ("MC", False)])
def test_physrot_tilts_upright_cells_at_most_15_degrees(m_type, excitatory):
    r = placements("physrot", m_type=m_type, excitatory=excitatory).rotation
    apical = r @ np.array([0, 1, 0], np.float32)
    cap = np.cos(np.pi / 12)
    assert apical[:, 2].min() >= cap - 1e-6
    assert p_uniform(apical[:, 2], cap, 1) > P_LEAST
    assert p_uniform(np.arctan2(apical[:, 1], apical[:, 0]), -np.pi, np.pi) > P_LEAST
    side = r @ np.array([1, 0, 0], np.float32)
    assert p_uniform(np.arctan2(side[:, 1], side[:, 0]), -np.pi, np.pi) > P_LEAST


def test_physrot_turns_other_cells_freely():
    np.testing.assert_array_equal(placements("physrot").rotation, placements("3drot").rotation)


def test_positions_fill_the_box_and_spikes_the_train():
    box = Box((20.0, 30.0), (-5.0, 5.0), (0.0, 1.0))
    drawn = placements("norot", box=box, n_spikes=7)
    for values, (low, high) in zip(drawn.position_um.T, (box.x_um, box.y_um, box.z_um), strict=True):
        assert p_uniform(values, low, high) > P_LEAST
    counts = np.bincount(drawn.spike, minlength=7)
    assert len(counts) == 7
    assert stats.chisquare(counts).pvalue > P_LEAST


def test_position_and_rotation_are_independent():
    drawn = placements("3drot")
    apical = drawn.rotation[:, :, 1]
    numbers = np.concatenate([drawn.position_um, apical, drawn.spike[:, None]], axis=1)
    correlation = np.corrcoef(numbers.T) - np.eye(7)
    assert np.abs(correlation).max() < 5 / np.sqrt(N)


@pytest.mark.parametrize("rotation", ["zrot", "3drot", "physrot"])
def test_a_candidate_is_the_same_in_every_batch(rotation):
    whole = placements(rotation, 60)
    for first, count in ((0, 1), (7, 20), (59, 1)):
        part = placements(rotation, count, first=first)
        for some, every in zip(part, whole, strict=True):
            np.testing.assert_array_equal(some, every[first : first + count])


def test_seed_and_cell_change_everything():
    base = placements("3drot", 50)
    for other in ({"seed": 2}, {"cell_name": "other"}, {"block": 0}, {"block": 1}):
        assert not np.isin(placements("3drot", 50, **other).position_um, base.position_um).any()
    blocks = [placements("3drot", 50, block=block).position_um for block in range(3)]
    assert len(np.unique(blocks)) == 3 * 50 * 3


def test_rotation_sets_share_positions():
    np.testing.assert_array_equal(placements("norot", 9).position_um, placements("3drot", 9).position_um)


def test_mistakes_are_named():
    with pytest.raises(UserError, match="norot, xrot, yrot, zrot, physrot, 3drot"):
        placements("spin", 1)
    with pytest.raises(UserError, match="seed -1"):
        placements("norot", 1, seed=-1)
    with pytest.raises(UserError, match="y_um"):
        Box(y_um=(3.0, -3.0))
