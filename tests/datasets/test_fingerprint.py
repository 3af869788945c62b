"""Equal samples have equal fingerprints, wherever they come from, and other samples have others."""

import eap_store
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from spiketype.datasets import eap, fingerprint, manifest, store
from spiketype.datasets.fingerprint import fingerprint as of

DTYPES = st.sampled_from([np.bool_, np.int8, np.int32, np.int64, np.uint16, np.float16, np.float32, np.float64])
ANY = arrays.arrays(DTYPES, arrays.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5))


def samples(path):
    table = eap.load(path)
    return of(table.m_type, table.position_um, store.OnDisk(path, "eap_uV"))


@settings(deadline=None)
@given(ANY)
def test_layout_and_byte_order_do_not_count(values):
    assert of(values) == of(values.copy())
    assert of(values) == of(np.asfortranarray(values))
    assert of(values) == of(values.astype(values.dtype.newbyteorder(">")))
    assert of(values) == of(np.repeat(values[None], 2, axis=0)[1])
    assert len(of(values)) == fingerprint.LENGTH


@settings(deadline=None)
@given(ANY, st.data())
def test_a_changed_value_counts(values, data):
    assume(values.size)
    changed = values.copy()
    at = data.draw(st.integers(0, values.size - 1))
    changed.flat[at] = data.draw(arrays.from_dtype(values.dtype))
    same = np.array_equal(changed, values, equal_nan=values.dtype.kind == "f")
    signs = same and values.dtype.kind == "f" and not np.array_equal(np.signbit(changed), np.signbit(values))
    assume(not signs)  # of zero or NaN
    assert (of(changed) == of(values)) == same


@settings(deadline=None)
@given(ANY, ANY)
def test_shape_dtype_and_number_of_arrays_count(one, other):
    both = [one, other]
    assert of(one) != of(one[None])
    assert (of(one) == of(one.astype(np.float64))) == (one.dtype == np.float64)
    assert len({of(), of(one), of(one, one), of(one, other, one)}) == 4
    assert (of(*both) == of(*both[::-1])) == (of(one) == of(other))


@settings(deadline=None)
@given(arrays.arrays(np.int32, st.integers(2, 30)), st.data())
def test_the_order_of_rows_counts(values, data):
    shuffled = values[data.draw(st.permutations(range(len(values))))]
    assert (of(shuffled) == of(values)) == np.array_equal(shuffled, values)


@settings(deadline=None)
@given(arrays.arrays(np.float32, (30, 3)), st.integers(1, 500))
def test_the_size_of_a_piece_does_not_count(values, piece):
    expected = of(values)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fingerprint, "BLOCK_BYTES", piece)
        assert of(values) == expected


def test_every_nan_is_one_and_zeros_are_two():
    bits = np.array([0x7FC00000, 0xFFC00001, 0x7FA00000], np.uint32).view(np.float32)
    assert len({of(bits[k : k + 1]) for k in range(3)}) == 1
    assert of(np.array([0.0])) != of(np.array([-0.0]))


def test_text_is_compared_by_words():
    words = np.array(["a", "bé"])
    assert of(words) == of(words.astype("U9")) == of(np.array(["a", "bé"], np.dtypes.StringDType()))
    assert of(np.array(3.0)) != of(np.array([3.0]))
    assert of(words) != of(words[::-1])
    assert of(np.array(["ab", "c"])) != of(np.array(["a", "bc"]))
    assert of(np.array(['a"\n"b'])) != of(np.array(["a", "b"]))


def test_values_of_no_known_kind_are_refused():
    with pytest.raises(TypeError, match="give numbers or text"):
        of(np.array([None]))


def test_stores_of_one_configuration_and_other_samples_differ(tmp_path):
    paths = [eap_store.write(tmp_path / name, per_cell=5, grid=(3, 3)) for name in ("a", "b", "c")]
    attributes = [store.attributes(path, "eap") for path in paths]
    values = store.read(paths[2], "eap_uV", 7, 8)
    values[0, 0, 0] += 1
    group = store.zarr.open_group(paths[2], mode="r+")
    group["eap_uV"][7:8] = values
    manifest.write(paths[2])
    assert attributes[0]["config"] == attributes[2]["config"]
    found = [samples(path) for path in paths]
    assert found[0] == found[1] != found[2]
    assert of(store.OnDisk(paths[0], "eap_uV")) == of(store.read(paths[0], "eap_uV"))


@settings(deadline=None)
@given(st.floats(1e-6, 1e6), st.integers(0, 2**32 - 1))
def test_shapes_are_known_in_any_unit(gain, seed):
    waveform = np.random.default_rng(seed).normal(size=(20, 4, 40)).astype(np.float32)
    ours, theirs = fingerprint.of_shapes(waveform), fingerprint.of_shapes((gain * waveform).astype(np.float32))
    assert (ours == theirs).any(axis=0).all()
    assert not np.isin(fingerprint.of_shapes(waveform[::-1, :, ::-1]), ours).any()


def test_waveforms_of_zeros_and_gaps_have_shapes():
    waveform = np.zeros((3, 1, 8), np.float32)
    waveform[1, 0, 4:] = np.nan
    waveform[2, 0, :] = np.nan
    assert fingerprint.of_shapes(waveform).shape == (2, 3)
