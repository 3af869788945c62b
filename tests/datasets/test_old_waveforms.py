"""A folder of waveforms of SpikeInterface 0.100: refused by the reader, read by way of the exporter."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from spiketype.datasets import waveforms
from spiketype.edge import UserError

FILE = Path(__file__).with_name("files") / "waveforms_0.100.8.zip"


@pytest.fixture
def old(tmp_path):
    with zipfile.ZipFile(FILE) as file:
        file.extractall(tmp_path)
    return tmp_path


def test_what_the_exporter_makes_of_it_is_what_that_release_computed(old):
    table = waveforms.load(old / "exported.npz")
    expected = np.load(old / "waveforms" / "templates_average.npy").swapaxes(1, 2)
    np.testing.assert_allclose(table.waveform, expected, rtol=1e-6, atol=1e-6)
    assert (table.units, table.rate_kHz, table.unit_names) == ("uV", 24.0, ("0", "1", "2"))
    assert table.isi is not None
    assert table.isi.sum() > 0


def test_the_folder_itself_is_refused(old):
    with pytest.raises(UserError):
        waveforms.load(old / "waveforms")


def test_the_message_says_what_to_do(old):
    with pytest.raises(UserError, match=r"SpikeInterface 0\.100 or before.*export_units\.py"):
        waveforms.load(old / "waveforms")
