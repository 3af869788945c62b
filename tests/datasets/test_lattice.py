"""Images of samples at contacts anywhere."""

import jax
import numpy as np
import pytest

from spiketype.datasets import lattice
from spiketype.simulator.eap.probes import probe

MIDDLE = lattice.SIDE // 2


def of_field(contact_um: np.ndarray, soma_um: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return amplitudes that fall with the distance from somata (sample, channel), and as an image."""
    away = np.linalg.norm(soma_um[:, None] - contact_um, axis=2)
    amplitude_uV = (100 / (1 + away / 30)).astype(np.float32)
    return amplitude_uV, amplitude_uV[..., None]


@pytest.mark.parametrize("name", ["neuropixels1", "neuropixels2", "tetrode", "mea10x10", "linear16", "linear1"])
def test_weights_sum_to_one_or_there_is_no_contact_near(name):
    found = lattice.lattice(probe(name).contact_um)
    assert lattice.PITCH_UM[0] <= found.pitch_um <= lattice.PITCH_UM[1]
    total = found.weight.sum(axis=2)
    assert np.all(np.isclose(total, 1, atol=1e-5) | (total == 0))
    middle = found.contact[:, MIDDLE * lattice.SIDE + MIDDLE, 0]
    np.testing.assert_array_equal(middle, np.arange(len(found.contact_um)))


def test_nodes_on_contacts_have_their_values():
    """The array's own pitch: the image is the grid, moved so that the largest amplitude is in the middle."""
    contact_um = probe("mea10x10").contact_um
    here = lattice.lattice(contact_um)
    assert here.pitch_um == 15
    amplitude_uV, values = of_field(contact_um, np.array([[20.0, 8.0, -22.0], [30.0, -60.0, 60.0]]))
    images = lattice.as_images(values, amplitude_uV, here)
    for image, largest, grid in zip(images, amplitude_uV.argmax(axis=1), values.reshape(2, 10, 10), strict=True):
        row, column = divmod(int(largest), 10)
        for i in range(lattice.SIDE):
            for j in range(lattice.SIDE):
                r, c = row + i - MIDDLE, column + j - MIDDLE
                inside = 0 <= r < 10 and 0 <= c < 10
                if inside:
                    assert image[i, j, 0] == pytest.approx(grid[r, c], rel=1e-5)
                assert not inside or image[i, j, 1] == 1


def test_a_sample_further_along_a_long_probe_has_the_same_image():
    contact_um = probe("neuropixels1").contact_um
    here = lattice.lattice(contact_um)
    soma_um = np.array([[20.0, 5.0, 3.0]])
    moved = soma_um + np.array([0, 0, 400.0])  # ten periods of the staggered sites
    found = []
    for at in (soma_um, moved):
        amplitude_uV, values = of_field(contact_um, at)
        found.append(lattice.as_images(values, amplitude_uV, here))
        found.append(at - lattice.middle(amplitude_uV, here))
    np.testing.assert_allclose(found[0], found[2], rtol=1e-4)
    np.testing.assert_allclose(found[1], found[3], atol=1e-3)


def test_a_smooth_field_is_between_its_contacts():
    contact_um = probe("neuropixels1").contact_um
    here = lattice.lattice(contact_um)
    soma_um = np.array([[30.0, 0.0, 0.0]])
    amplitude_uV, values = of_field(contact_um, soma_um)
    image = lattice.as_images(values, amplitude_uV, here)[0]
    seen = image[..., 1] > 0
    assert 20 < seen.sum() < 60
    assert (image[~seen] == 0).all()
    steps = here.pitch_um * (np.arange(lattice.SIDE) - MIDDLE)
    z, y = np.meshgrid(steps, steps, indexing="ij")
    at = lattice.middle(amplitude_uV, here)[0] + np.stack([0 * y, y, z], axis=2).reshape(-1, 3)
    true_uV = of_field(at.astype(np.float32), soma_um)[0].reshape(z.shape)
    np.testing.assert_allclose(image[seen, 0], true_uV[seen], rtol=0.25)


def test_programs_make_the_same_images():
    contact_um = probe("tetrode").contact_um
    here = lattice.lattice(contact_um)
    rng = np.random.default_rng(0)
    amplitude_uV = rng.uniform(5, 100, (6, 4)).astype(np.float32)
    values = rng.normal(size=(6, 4, 3)).astype(np.float32)
    ours = lattice.as_images(values, amplitude_uV, here)
    theirs = jax.jit(lambda v, a: lattice.as_images(v, a, here))(values, amplitude_uV)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    assert ours.shape == (6, lattice.SIDE, lattice.SIDE, 4)
