"""Units in the form of those that a network was trained on: channels by their places, whatever their order."""

import json
from dataclasses import dataclass

import numpy as np
import pytest

from spiketype.datasets.options import WaveformOptions
from spiketype.datasets.waveforms import matrix
from spiketype.edge import UserError

RNG = np.random.default_rng(0)
WAVEFORM = RNG.normal(size=(6, 5, 40))
CONTACT_um = np.c_[np.tile([0.0, 30.0], 3)[:5], 20.0 * np.arange(5)]


@dataclass(frozen=True)
class Options(WaveformOptions):
    """Options as those of a task."""


def units(tmp_path, name, order=None, moved_um=0.0, contact_um=CONTACT_um):
    order = np.arange(5) if order is None else order
    places = {} if contact_um is None else {"contact_um": contact_um[order] + moved_um}
    np.savez(tmp_path / f"{name}.npz", waveform=WAVEFORM[:, order], rate_kHz=20.0, **places)
    return tmp_path / f"{name}.npz"


def test_channels_are_put_in_the_order_of_those_trained_on(tmp_path, capsys):
    x, form = matrix.read(Options(), units(tmp_path, "a"))[1:]
    again = matrix.Form.from_json(json.loads(json.dumps(form._asdict())))
    assert again == form
    _, other, same = matrix.read(Options(), units(tmp_path, "b", RNG.permutation(5), moved_um=500.0), again)
    np.testing.assert_array_equal(other[0], x[0])
    assert same == form
    assert "in the order of those trained on, by their positions" in capsys.readouterr().err


def test_channels_at_other_places_are_refused_and_unknown_ones_told(tmp_path, capsys):
    form = matrix.read(Options(), units(tmp_path, "a"))[2]
    with pytest.raises(UserError, match=r"5 channels at other places than .*: train with --inputs shape"):
        matrix.read(Options(), units(tmp_path, "b", contact_um=CONTACT_um * 2), form)
    capsys.readouterr()
    matrix.read(Options(), units(tmp_path, "c", contact_um=None), form)
    assert "it is not known where the channels are" in capsys.readouterr().err
    largest = Options(channels="largest", window_ms=(0.3, 0.5))
    form = matrix.read(largest, units(tmp_path, "d"))[2]
    assert form.contact_um is None
    matrix.read(largest, units(tmp_path, "e", contact_um=CONTACT_um * 2), form)  # one channel is seen


def test_positions_that_cannot_be_um_put_channels_in_no_order(tmp_path, capsys):
    form = matrix.read(Options(), units(tmp_path, "a", contact_um=CONTACT_um / 1000))[2]
    assert form.contact_um is None
    assert "contact positions are not used: they are 0.0361 apart, which cannot be um" in capsys.readouterr().err


def test_histograms_are_left_out_where_a_network_was_trained_without_any(tmp_path, capsys):
    options = Options(histograms=True)
    _, without, form = matrix.read(options, units(tmp_path, "a"))
    with_isi = tmp_path / "b.npz"
    np.savez(with_isi, waveform=WAVEFORM, rate_kHz=20.0, contact_um=CONTACT_um, isi=np.ones((6, 8), int))
    _, parts, same = matrix.read(options, with_isi, form)
    np.testing.assert_array_equal(parts, without)
    assert same == form
    assert "its histograms are not used" in capsys.readouterr().err
    form = matrix.read(options, with_isi)[2]
    with pytest.raises(UserError, match="it needs the same histograms"):
        matrix.read(options, tmp_path / "a.npz", form)


def test_shapes_of_few_samples_are_told(tmp_path, capsys):
    for rate_kHz, told in {10.0: True, 20.0: False}.items():
        np.savez(tmp_path / "a.npz", waveform=WAVEFORM, rate_kHz=rate_kHz)
        matrix.read(Options(inputs="shape"), tmp_path / "a.npz")
        assert ("has 10 kHz: below 12 kHz the width of a spike" in capsys.readouterr().err) == told
