import json

import numpy as np
import probeinterface
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from probeinterface.generator import generate_multi_columns_probe

from spiketype.edge import UserError
from spiketype.simulator.eap.probes import points, probe


def test_the_default_is_the_published_array():
    p = probe()
    pitch = 15 * np.arange(10) - 67.5
    expected = [(0, y, z) for z in pitch for y in pitch]  # row-major, rows along z
    np.testing.assert_allclose(p.contact_um, expected, atol=1e-5)
    assert p.contact_um.dtype == np.float32
    assert (p.grid, p.normal, p.name) == ((10, 10), (1.0, 0.0, 0.0), "mea10x10")


@pytest.mark.parametrize(
    ("name", "channels", "grid"),
    [
        ("mea4x7", 28, (4, 7)),
        ("neuropixels1", 384, None),
        ("neuropixels2", 384, (192, 2)),
        ("tetrode", 4, None),
        ("linear16", 16, (16, 1)),
        ("linear32", 32, (32, 1)),
    ],
)
def test_named_probes(name, channels, grid):
    p = probe(name)
    assert p.contact_um.shape == (channels, 3)
    assert p.grid == grid
    assert (p.contact_um[:, 0] == 0).all()
    np.testing.assert_allclose(p.contact_um.min(axis=0), -p.contact_um.max(axis=0), atol=1e-4)
    assert (p.contact_size_um > 0).all()


def test_neuropixels_pitch():
    staggered = probe("neuropixels1").contact_um  # Jun et al. 2017: 4 columns, rows 20 um apart
    assert len(np.unique(staggered[:, 1])) == 4
    np.testing.assert_allclose(np.diff(np.unique(staggered[:, 2])), 20)
    regular = probe("neuropixels2").contact_um  # Steinmetz et al. 2021: 2 columns 32 um apart, rows 15 um
    np.testing.assert_allclose(np.unique(regular[:, 1]), [-16, 16])
    np.testing.assert_allclose(np.diff(np.unique(regular[:, 2])), 15)


def shuffled_grid(rows: int, columns: int) -> probeinterface.Probe:
    y, z = np.meshgrid(np.arange(columns) * 7.3, np.arange(rows) * 11.1)
    positions = np.stack([y.ravel(), z.ravel()], axis=1) + np.array([300, -40])
    order = np.random.default_rng(0).permutation(len(positions))
    result = probeinterface.Probe(ndim=2, si_units="um")
    result.set_contacts(positions[order], shapes="rect", shape_params={"width": 4, "height": 6})
    return result


def test_a_grid_in_a_file_is_recognised_and_ordered(tmp_path):
    path = tmp_path / "array.json"
    probeinterface.write_probeinterface(path, shuffled_grid(3, 5))
    p = probe(path)
    assert (p.grid, p.name, p.contact_shape) == ((3, 5), "array", "rect")
    image = p.contact_um.reshape(3, 5, 3)
    np.testing.assert_allclose(np.diff(image[..., 1], axis=1), 7.3, atol=1e-4)
    np.testing.assert_allclose(np.diff(image[..., 2], axis=0), 11.1, atol=1e-4)
    np.testing.assert_array_equal(p.contact_size_um[0], [4, 6])
    np.testing.assert_array_equal(probe(str(path)).contact_um, p.contact_um)


def test_irregular_contacts_keep_their_order():
    columns = generate_multi_columns_probe(
        num_columns=3,
        num_contact_per_column=[10, 12, 10],
        xpitch=25,
        ypitch=25,
        y_shift_per_column=[0, -12.5, 0],
    )
    p = probe(columns)
    assert p.grid is None
    moved = np.asarray(columns.contact_positions)[:, :2] - p.contact_um[:, 1:]
    np.testing.assert_allclose(moved, np.broadcast_to(moved[0], moved.shape), atol=1e-4)


def test_other_units_become_micrometres():
    small = probeinterface.Probe(ndim=2, si_units="mm")
    small.set_contacts(np.array([[0, 0], [0, 0.02]]), shapes="circle", shape_params={"radius": 0.006})
    p = probe(small)
    np.testing.assert_allclose(p.contact_um, [[0, 0, -10], [0, 0, 10]], atol=1e-5)
    np.testing.assert_allclose(p.contact_size_um, 12, atol=1e-5)


@pytest.mark.parametrize("unit", ["nm", None])
def test_an_unknown_unit_is_refused(tmp_path, unit):
    path = tmp_path / "array.json"
    probeinterface.write_probeinterface(path, shuffled_grid(3, 5))
    content = json.loads(path.read_text())
    content["probes"][0]["si_units"] = unit
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=rf"array\.json has the unit {unit} \(si_units\): write it in um, mm, m"):
        probe(path)


@pytest.mark.parametrize("name", ["mea3x3", "neuropixels1"])
@pytest.mark.parametrize("n", [1, 2, 10, 50])
def test_points_are_spread_over_the_contact(name, n):
    p = probe(name)
    offset = points(p, n) - p.contact_um[:, None]
    assert offset.shape == (len(p.contact_um), n, 3)
    np.testing.assert_allclose(offset.mean(axis=1), 0, atol=1e-4)
    np.testing.assert_array_equal(offset[..., 0], 0)
    half = p.contact_size_um[0, 0] / 2
    if p.contact_shape == "circle":
        assert np.linalg.norm(offset, axis=2).max() < 1.2 * half
    else:
        assert np.abs(offset).max() < 1.3 * half
    if n == 50:  # second moments of a uniform disc and square
        expected = half**2 / (4 if p.contact_shape == "circle" else 3)
        np.testing.assert_allclose((offset[0, :, 1:] ** 2).mean(axis=0), expected, rtol=0.1)


def test_unknown_names_list_the_valid_ones():
    for name in ("utah", "mea0x3", "linear0", "mea10x"):
        with pytest.raises(UserError, match=r"mea10x10.*neuropixels1.*tetrode"):
            probe(name)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "3",
        '{"probes": []}',
        json.dumps({"specification": "probeinterface", "probes": [{"ndim": 2}]}),
        "\0\xff",
    ],
)
def test_foreign_files_are_named(tmp_path, content):
    path = tmp_path / "foreign.json"
    path.write_text(content)
    with pytest.raises(UserError, match=r"foreign\.json"):
        probe(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"absent\.json is not there"):
        probe(tmp_path / "absent.json")
    with pytest.raises(UserError, match=r"there\.json"):
        probe("nowhere/there.json")


def test_a_group_of_probes_is_refused(tmp_path):
    group = probeinterface.ProbeGroup()
    for _ in range(2):
        group.add_probe(shuffled_grid(2, 2))
    probeinterface.write_probeinterface(tmp_path / "two.json", group)
    with pytest.raises(UserError, match=r"two\.json has 2 probes"):
        probe(tmp_path / "two.json")


def test_probes_that_cannot_be_used_are_refused(tmp_path):
    solid = shuffled_grid(2, 2).to_3d()
    path = tmp_path / "solid.json"
    probeinterface.write_probeinterface(path, solid)
    with pytest.raises(UserError, match=r"solid\.json is in 3D.*to_2d"):
        probe(path)
    bad = probeinterface.Probe(ndim=2, si_units="um")
    bad.set_contacts(np.array([[0, 0], [0, np.nan]]), shapes="circle", shape_params={"radius": 1})
    with pytest.raises(UserError, match="position"):
        probe(bad)
    mixed = probeinterface.Probe(ndim=2, si_units="um")
    sizes = [{"radius": 1}, {"width": 2}]
    mixed.set_contacts(np.array([[0, 0], [0, 9]]), shapes=["circle", "square"], shape_params=sizes)
    with pytest.raises(UserError, match="several shapes"):
        probe(mixed)


def wired(channels: list[int], count: int = 4) -> probeinterface.Probe:
    result = probeinterface.generator.generate_linear_probe(num_elec=count, ypitch=20)
    result.set_device_channel_indices(channels)
    return result


@pytest.mark.parametrize(
    ("channels", "z", "grid"),
    [
        ([0, 1, 2, 3], [-30, -10, 10, 30], (4, 1)),
        ([3, 2, 1, 0], [30, 10, -10, -30], None),
        ([7, 2, 5, 0], [30, -10, 10, -30], None),
        ([-1, -1, -1, -1], [-30, -10, 10, 30], (4, 1)),  # how probeinterface stores that nothing is wired
    ],
)
def test_wired_contacts_come_in_the_recordings_order(tmp_path, channels, z, grid):
    for p in (probe(wired(channels)), probe(written(tmp_path, wired(channels)))):
        np.testing.assert_allclose(p.contact_um[:, 2], z)
        assert p.grid == grid


def written(folder, source: probeinterface.Probe):
    probeinterface.write_probeinterface(folder / "written.json", source)
    return folder / "written.json"


def test_contacts_on_no_channel_are_left_out_with_a_word(tmp_path, capsys):
    source = wired([2, -1, 0, 1])
    source._contact_shape_params = np.array([{"radius": r} for r in (1.0, 2.0, 3.0, 4.0)])
    p = probe(written(tmp_path, source))
    np.testing.assert_allclose(p.contact_um[:, 2], [10, 30, -30])
    np.testing.assert_allclose(p.contact_size_um[:, 0], [6, 8, 2])
    assert "1 of 4 contacts are wired to no channel: left out" in capsys.readouterr().err


def test_two_contacts_on_one_channel_are_refused():
    source = wired([0, 1, 2, 3])
    source.device_channel_indices = np.array([0, 1, 1, 3])
    with pytest.raises(UserError, match="several contacts wired to channel 1"):
        probe(source)


@settings(deadline=None)
@given(st.permutations(range(6)), st.sets(st.integers(0, 5), max_size=5))
def test_the_order_is_that_of_probeinterface(channels, loose):
    source = wired([-1 if k in loose else c for k, c in enumerate(channels)], count=6)
    table = source.to_dataframe(complete=True)
    table = table[table.device_channel_indices >= 0].sort_values("device_channel_indices")
    z = table.y.to_numpy()
    np.testing.assert_allclose(probe(source).contact_um[:, 2], z - (z.min() + z.max()) / 2, atol=1e-4)


def test_turned_contacts_keep_their_extent(tmp_path):
    source = shuffled_grid(3, 5)
    source.rotate(90)
    p = probe(written(tmp_path, source))
    assert p.grid == (5, 3)
    np.testing.assert_allclose(p.contact_size_um, np.broadcast_to([6, 4], (15, 2)), atol=1e-5)
    source.rotate(90)
    np.testing.assert_allclose(probe(source).contact_size_um, np.broadcast_to([4, 6], (15, 2)), atol=1e-5)


def test_contacts_turned_by_less_are_refused_with_a_remedy_that_works():
    source, turned = shuffled_grid(3, 5), shuffled_grid(3, 5)
    turned.rotate(30)
    with pytest.raises(UserError, match=r"not along x and y: turn the probe with probe.rotate\((-?\d+)\)") as error:
        probe(turned)
    turned.rotate(float(str(error.value).split("rotate(")[1].split(")")[0]))
    p = probe(turned)
    assert p.grid == (3, 5)
    np.testing.assert_allclose(p.contact_size_um, probe(source).contact_size_um, atol=1e-5)
    np.testing.assert_allclose(p.contact_um, probe(source).contact_um, atol=1e-4)
    source.rotate_contacts(np.arange(15.0))
    with pytest.raises(UserError, match="give all contacts one direction"):
        probe(source)


def test_round_contacts_may_be_turned():
    source = generate_multi_columns_probe(num_columns=1, num_contact_per_column=3, contact_shapes="circle")
    source.rotate(30)
    np.testing.assert_allclose(probe(source).contact_size_um, 12)
