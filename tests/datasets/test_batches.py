import functools
import threading
from contextlib import closing

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from spiketype.datasets import batches

N_SAMPLE = 1030
LABEL = np.random.default_rng(0).choice(3, N_SAMPLE, p=[0.7, 0.2, 0.1])
TRAIN = np.sort(np.random.default_rng(1).choice(N_SAMPLE, 600, replace=False))


@functools.cache
def draws(balanced, n_step=200, batch=100):
    plan = batches.plan(TRAIN, LABEL, balanced)
    keys = jax.vmap(lambda step: jax.random.fold_in(jax.random.key(0), step))(jnp.arange(n_step))
    return np.asarray(jax.jit(jax.vmap(lambda key: batches.draw(plan, key, batch)))(keys))


@pytest.mark.parametrize("balanced", [True, False])
def test_draws_stay_inside_the_training_part_and_reach_all_of_it(balanced):
    assert set(draws(balanced).ravel()) == set(TRAIN)


def test_unbalanced_draws_are_uniform_over_samples():
    drawn = np.bincount(draws(False).ravel(), minlength=N_SAMPLE)[TRAIN]
    assert chisquare(drawn).pvalue > 1e-3


def test_balanced_draws_are_uniform_inside_each_class():
    drawn = np.bincount(draws(True).ravel(), minlength=N_SAMPLE)[TRAIN]
    for label in range(3):
        assert chisquare(drawn[LABEL[TRAIN] == label]).pvalue > 1e-3


def test_balanced_draws_take_the_classes_in_turn():
    per_batch = np.stack([np.bincount(LABEL[batch], minlength=3) for batch in draws(True)])
    assert set(per_batch.ravel()) == {33, 34}
    assert chisquare(np.bincount(per_batch.argmax(1), minlength=3)).pvalue > 1e-3


def test_a_draw_is_a_function_of_its_key_alone():
    plan, key = batches.plan(TRAIN, LABEL, True), jax.random.fold_in(jax.random.key(0), 7)
    np.testing.assert_array_equal(batches.draw(plan, key, 100), draws(True)[7])
    assert len({tuple(batch) for batch in draws(True)}) == 200


@pytest.mark.parametrize("balanced", [True, False])
def test_stacked_plans_of_different_sizes_draw_as_each_alone(balanced):
    parts = [TRAIN, TRAIN[:200], TRAIN[::3]]
    plans = [batches.plan(part, LABEL, balanced, n_max=len(TRAIN)) for part in parts]
    keys = jax.random.split(jax.random.key(5), 3)
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *plans)
    together = jax.jit(jax.vmap(lambda plan, key: batches.draw(plan, key, 64)))(stacked, keys)
    assert together.dtype == jnp.int32
    for part, key, drawn in zip(parts, keys, together, strict=True):
        alone = batches.draw(batches.plan(part, LABEL, balanced), key, 64)
        np.testing.assert_array_equal(drawn, alone)
        assert set(np.asarray(drawn)) <= set(part)


@pytest.mark.parametrize("balance", ["cell", "class", "none"])
def test_units_are_drawn_in_the_wanted_shares(balance):
    cell = np.repeat(np.arange(5), [400, 20, 10, 60, 10])
    label = np.array([0, 0, 1, 1, 1])[cell]
    train = np.flatnonzero(np.arange(500) % 2 == 0)
    unit = {"cell": cell, "class": label, "none": np.zeros(500, int)}[balance]
    plan = batches.plan(train, label, balance != "none", 400, unit)
    drawn = np.concatenate([np.asarray(batches.draw(plan, jax.random.key(k), 500)) for k in range(40)])
    assert set(drawn) <= set(train)
    share = np.bincount(cell[drawn], minlength=5) / len(drawn)
    size = np.array([200, 10, 5, 30, 5])
    wanted = {
        "cell": [1 / 4, 1 / 4, 1 / 6, 1 / 6, 1 / 6],
        "class": np.concatenate([size[:2] / 420, size[2:] / 80]),
        "none": size / 250,
    }
    np.testing.assert_allclose(share, wanted[balance], atol=0.012)


def test_empty_part_is_refused():
    with pytest.raises(ValueError, match="empty"):
        batches.plan(TRAIN[:0], LABEL, False)


# Larger than memory: the value of a sample is its number, so that every batch can be checked.


def store(n_sample=N_SAMPLE, feature_chunk=100, waveform_chunk=10):
    number = np.arange(n_sample, dtype=np.float32)
    group = zarr.create_group({})
    group.create_array("feature", data=number[:, None] + np.zeros((1, 2), np.float32), chunks=(feature_chunk, 2))
    group.create_array("waveform", data=-number[:, None, None], chunks=(waveform_chunk, 1, 1))
    return {name: group[name] for name in ("feature", "waveform")}


@settings(max_examples=25, deadline=None)
@given(
    chunks=st.tuples(st.integers(1, 130), st.integers(1, 130)),
    rows=st.integers(1, 5000),
    shape=st.sampled_from([(1,), (7,), (3, 20), (200,)]),
    n_step=st.integers(0, 45),
)
def test_a_stream_gives_each_step_what_it_draws_however_much_is_held(chunks, rows, shape, n_step):
    drawn = np.random.default_rng(rows).integers(0, 200, (n_step, *shape))
    with closing(batches.stream(store(200, *chunks), iter(drawn), rows)) as steps:
        taken = list(steps)
    assert len(taken) == n_step
    for step, ready in zip(drawn, taken, strict=True):
        np.testing.assert_array_equal(ready.sample, step)
        np.testing.assert_array_equal(ready.arrays["feature"], np.stack([step, step], -1))
        np.testing.assert_array_equal(ready.arrays["waveform"][..., 0, 0], -step)


class Watched:
    """An array that counts how often each block is read."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.read = array, array.shape, array.dtype, []

    def __getitem__(self, rows):
        self.read.append(rows.start)
        return self.array[rows]


def test_a_block_is_read_once_for_all_steps_that_are_held():
    arrays, n_step, batch = store(waveform_chunk=100), 640, 5
    watched = Watched(arrays["feature"])
    drawn = np.random.default_rng(0).choice(TRAIN, (n_step, batch))
    with closing(batches.stream({"x": watched, "waveform": arrays["waveform"]}, iter(drawn), 80 * batch)) as steps:
        list(steps)
    stretches = 3 + (n_step - 10 - 20 - 40) // 80 + 1  # of 10, 20, 40, then 80 steps, and the rest
    assert len(watched.read) <= 11 * stretches  # there are 11 blocks of 100
    assert np.sum(np.diff(watched.read) <= 0) == stretches - 1  # in order within each


def test_no_more_steps_are_read_than_there_are():
    watched = Watched(store()["feature"])
    with closing(batches.stream({"x": watched}, iter([np.array([1, 2]), np.array([205, 1])]), 10**6)) as steps:
        assert [ready.sample.tolist() for ready in steps] == [[1, 2], [205, 1]]
    assert watched.read == [0]  # in memory, an array is one block


def test_no_thread_is_left_behind():
    steps = batches.stream(store(), (TRAIN[:70] for _ in range(1000)), 500)
    next(steps)
    assert any(thread.name.startswith("stream") for thread in threading.enumerate())
    steps.close()
    assert not any(thread.name.startswith("stream") for thread in threading.enumerate())


def test_an_error_while_reading_ahead_reaches_the_caller():
    class Broken:
        shape, dtype = (N_SAMPLE,), np.dtype("f4")

        def __getitem__(self, rows):
            raise OSError("chunk is truncated")

    with (
        closing(batches.stream({"x": Broken()}, iter([TRAIN]), 70)) as steps,
        pytest.raises(OSError, match="truncated"),
    ):
        next(steps)


def test_what_cannot_be_streamed_is_said():
    with pytest.raises(ValueError, match="inside the arrays"):
        next(batches.stream(store(), iter([np.arange(N_SAMPLE + 1)]), 70))
    with pytest.raises(ValueError, match="different numbers"):
        next(batches.stream(store() | {"y": np.zeros(3)}, iter([TRAIN]), 70))
    with pytest.raises(ValueError, match="ascending"):
        next(batches.iterate(store(), TRAIN[::-1], 70))


@pytest.mark.parametrize("batch", [1, 64, 100, 250, 600, 1000])
@pytest.mark.parametrize("in_memory", [True, False])
def test_iterate_goes_through_in_order_with_one_shape(batch, in_memory):
    arrays = {name: array[:] if in_memory else array for name, array in store().items()}
    parts = list(batches.iterate(arrays, TRAIN, batch))
    np.testing.assert_array_equal(np.concatenate([part.sample for part in parts]), TRAIN)
    for part in parts:
        assert part.arrays["feature"].shape == (batch, 2)
        np.testing.assert_array_equal(part.arrays["feature"][: len(part.sample), 0], part.sample)
        np.testing.assert_array_equal(part.arrays["waveform"][: len(part.sample), 0, 0], -part.sample)
    assert list(batches.iterate(arrays, TRAIN[:0], batch)) == []


def test_fits():
    assert batches.fits(1000)
    assert not batches.fits(2**60)
