import contextlib
import importlib
import os
import sys
from concurrent.futures import Future
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from spiketype.datasets import splits
from spiketype.datasets.raphe import sources
from spiketype.datasets.raphe import table as raphe
from spiketype.datasets.raphe.options import SpikeOptions
from spiketype.edge import UserError, cores
from spiketype.simulator import raphe as simulated
from spiketype.simulator.raphe import generate, trace
from spiketype.simulator.raphe.cells import draw, histogram
from tests.benchmarks.tiny import content


def few(config, days=("A140313", "A160125"), most=8):
    return [replace(c, spikes=min(c.spikes, most)) for c in generate.cells(config) if c.day in days]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """All 153 cells with a few spikes each."""
    out = tmp_path_factory.mktemp("raphe") / "s.zarr"
    return raphe.load(generate.generate(generate.RapheConfig(most_spikes=4), out, workers=0))


def test_the_published_cells_days_and_spikes():
    cells = generate.cells(generate.RapheConfig())
    for serotonergic, n_cell, n_spike, n_day, least in ((True, 108, 29_773, 16, 35), (False, 45, 13_554, 13, 15)):
        mine = [c for c in cells if c.serotonergic == serotonergic]
        assert (len(mine), sum(c.spikes for c in mine)) == (n_cell, n_spike)
        assert len({c.day for c in mine}) == n_day
        assert (min(c.spikes for c in mine), max(c.spikes for c in mine)) == (least, 700)
    assert len({c.name for c in cells}) == 153
    assert len({c.day for c in cells}) == 23
    twice = generate.cells(generate.RapheConfig(copies=2))
    assert twice[:153] == cells
    assert len({c.name for c in twice}) == 306
    assert len({c.day for c in twice}) == 46


def test_intervals_follow_the_published_histograms():
    cells = generate.cells(generate.RapheConfig(copies=20))
    for serotonergic, median in ((True, 1.275), (False, 0.525)):
        drawn = np.array([c.udi_ms for c in cells if c.serotonergic == serotonergic])
        edge, count = histogram(serotonergic)
        assert count.sum() == 150
        assert np.median(drawn) == pytest.approx(median, abs=0.05)
        share = np.array([((drawn >= e) & (drawn < e + 0.05)).mean() for e in edge])
        # One cell in each equal part of the distribution: a bin of each copy is off by less than two cells.
        assert np.all(np.abs(share - count / 150) < 2 * 20 / len(drawn))
    for copy in range(20):
        mine = [c for c in cells[153 * copy : 153 * (copy + 1)] if c.serotonergic]
        assert sum(c.atypical for c in mine) in (21, 22)
    assert not any(c.udi_ms >= 0.9 for c in cells if not c.serotonergic)


def test_without_contrast_only_the_interval_tells():
    cells = generate.cells(generate.RapheConfig(copies=20, contrast=0.0))
    for name in ("upstroke_ms", "rise", "trough_pA", "hump_pA", "rate_Hz", "isi_cv", "noise_rms_pA", "cutoff_kHz"):
        a, b = (np.log([getattr(c, name) for c in cells if c.serotonergic == s]) for s in (True, False))
        error = np.sqrt(a.var() / len(a) + b.var() / len(b))
        assert abs(a.mean() - b.mean()) < 3.5 * error, name


def test_contrast_changes_neither_interval_nor_noise():
    one, none = (draw(0, "A131024#089", "A131024", True, 9, 0.5, c) for c in (1.0, 0.0))
    assert one.decay_ms > none.decay_ms
    same = {k: getattr(none, k) for k in ("upstroke_ms", "recovery_ms", "rise", "decay_ms", "shoulder")}
    assert replace(one, **same) == none


def test_a_spike_depends_on_seed_cell_and_number_alone():
    cell = few(generate.RapheConfig())[0]
    short, long = (trace.trace(0, cell, n) for n in (5, 9))
    end = int(trace.spike_times_s(0, cell, 5)[-1] * trace.RATE_HZ) + 200
    np.testing.assert_allclose(short[:end], long[:end], atol=1e-4)
    assert not np.allclose(short[:end], trace.trace(1, cell, 5)[:end], atol=1.0)


@pytest.mark.slow
def test_workers_change_nothing():
    config = generate.RapheConfig()
    cells = few(config)[:3]
    here = [generate.simulate(config, c) for c in cells]
    there = sorted(generate._each(partial(generate.simulate, config), cells, 2), key=lambda c: c.name)
    for a, b in zip(sorted(here, key=lambda c: c.name), there, strict=True):
        np.testing.assert_array_equal(a.spikes.spike_pA, b.spikes.spike_pA)


@contextlib.contextmanager
def here(count, asked):
    """Be a pool that works in this process, and note of how many processes it was asked to be."""

    def submit(work, cell):
        future = Future()
        future.set_result(work(cell))
        return future

    asked.append(count)
    yield submit


def test_what_was_stopped_goes_on_and_gives_the_same_bytes(tmp_path, monkeypatch):
    config, made, simulate = generate.RapheConfig(most_spikes=4), [], generate.simulate
    wanted = few(config, ("A160125",), 4)
    monkeypatch.setattr(generate, "cells", lambda _: wanted)

    def stopping(config, cell, folder=None):
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(cell.name)
        return simulate(config, cell, folder)

    def counting(config, cell, folder=None):
        made.append(cell.name)
        return simulate(config, cell, folder)

    monkeypatch.setattr(generate, "simulate", stopping)
    with pytest.raises(KeyboardInterrupt):
        generate.generate(config, tmp_path / "s.zarr", workers=0)
    (folder,) = tmp_path.iterdir()
    damaged = sorted(folder.iterdir())[0]
    damaged.write_bytes(damaged.read_bytes()[:-9])
    monkeypatch.setattr(generate, "simulate", counting)
    generate.generate(config, tmp_path / "s.zarr", workers=0)
    assert len(made) == len(wanted) + 1  # the damaged one twice, the others once
    generate.generate(config, tmp_path / "whole.zarr", workers=0)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["s.zarr", "whole.zarr"]
    assert content(tmp_path / "s.zarr") == content(tmp_path / "whole.zarr")


def test_a_system_that_does_not_tell_affinity_uses_all_cores(monkeypatch):
    """As on macOS, where os has no sched_getaffinity."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    monkeypatch.setattr(simulated, "generate", generate)  # both put back afterwards
    monkeypatch.delitem(sys.modules, generate.__name__)
    fresh = importlib.import_module(generate.__name__)
    asked = []
    monkeypatch.setattr(fresh, "pool", partial(here, asked=asked))
    cells = few(generate.RapheConfig())[:1]
    (made,) = fresh._each(partial(fresh.simulate, fresh.RapheConfig()), cells, None)
    assert len(made.spikes.spike_pA) == 8
    assert asked == [cores()] == [3]
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores() == 1


def test_the_table_is_what_was_simulated(table):
    assert len(table.cell_names) == 153
    assert np.all(np.bincount(table.cell) == 4)
    assert np.bincount(table.cell_label).tolist() == [45, 108]
    true = {c.name: c for c in generate.cells(generate.RapheConfig())}
    assert [true[n].udi_ms for n in table.cell_names] == pytest.approx(table.true_udi_ms)
    assert [true[n].atypical for n in table.cell_names] == (table.atypical == 1).tolist()
    split = splits.make("leave-one-out", table.label, table.day, table.day_names, 5, 0, by="day")
    assert len(split.folds) == 23


def test_the_statistics_are_the_published_ones(table):
    mean = np.stack([table.spike_pA[table.cell == c].mean(axis=0) for c in range(153)])
    trough = mean.min(axis=1)
    assert -125 < trough.min() < -100
    assert -66 < trough.max() < -54
    assert np.median(trough) == pytest.approx(-80, abs=6)
    noise = table.noise_pA - table.noise_pA.mean(axis=1, keepdims=True)
    assert 2.8 < np.quantile(table.noise_rms_pA, 0.05) < np.quantile(table.noise_rms_pA, 0.95) < 4.3
    for lag, low, high in ((1, 0.71, 0.84), (2, 0.18, 0.54)):
        r = [
            (noise[mine, lag:] * noise[mine, :-lag]).sum() / (noise[mine] ** 2).sum()
            for mine in (table.noise_cell == c for c in range(0, 153, 5))
        ]
        assert low - 0.03 < min(r)
        assert max(r) < high + 0.03
    spectrum = (np.abs(np.fft.rfft(noise * np.hanning(160))) ** 2).mean(axis=0).cumsum()
    assert 6.0 <= np.fft.rfftfreq(160, 1 / 40)[np.searchsorted(spectrum / spectrum[-1], 0.9)] <= 8.0
    np.testing.assert_allclose(np.median(table.cell_udi_ms / table.true_udi_ms), 1.0, atol=0.06)


def test_rate_and_regularity():
    cells = generate.cells(generate.RapheConfig(copies=10))
    rate, cv = (np.array([getattr(c, n) for c in cells]) for n in ("rate_Hz", "isi_cv"))
    assert np.median(rate) == pytest.approx(2, abs=0.1)
    assert (cv < 0.5).mean() == pytest.approx(0.97, abs=0.02)
    assert np.corrcoef(np.log(rate), np.log(cv))[0, 1] == pytest.approx(-0.33, abs=0.08)
    interval = np.diff(trace.spike_times_s(0, cells[0], 3000))
    assert interval.std() / interval.mean() == pytest.approx(cells[0].isi_cv, rel=0.1)


def test_the_confound_marks_the_noise_of_a_day_and_only_that():
    config = generate.RapheConfig(confound=True)
    cells = few(config)
    marks = {day: trace.signature(0, day) for day in ("A140313", "A140725", "A160125", "F160411")}
    assert marks["A140313"].tones[-1] == marks["A140725"].tones[-1] != marks["A160125"].tones[-1]
    assert marks["A160125"].tones[-1] == marks["F160411"].tones[-1]
    assert marks["A160125"].cutoff_kHz != marks["F160411"].cutoff_kHz
    plain, marked = (generate.simulate(c, cells[0]).spikes for c in (generate.RapheConfig(), config))
    np.testing.assert_allclose(plain.time_s, marked.time_s, atol=5e-5)
    np.testing.assert_allclose(plain.spike_pA.mean(axis=0), marked.spike_pA.mean(axis=0), atol=9)
    frequency = np.fft.rfftfreq(160, 1 / 40_000)
    power = (np.abs(np.fft.rfft(marked.noise_pA)) ** 2).mean(axis=0)
    at = int(np.argmin(np.abs(frequency - marks["A140313"].tones[-1][0])))
    assert power[at] > 2 * np.median(power[at - 8 : at + 8])


def test_recordings_go_through_the_reader(tmp_path):
    config = generate.RapheConfig()
    cells = few(config)[:2]
    direct = [generate.simulate(config, c, tmp_path) for c in cells]
    generate._write_labels(tmp_path / "labels.csv", cells)
    labels = sources.read_labels(tmp_path / "labels.csv")
    read, left_out = sources.extract([tmp_path], SpikeOptions(most=8), sources.ReadOptions(), labels)
    assert left_out == []
    for a, b in zip(sorted(direct, key=lambda c: c.name), read, strict=True):
        assert (a.name, a.day, a.label) == (b.name, b.day, b.label)
        np.testing.assert_allclose(a.spikes.time_s, b.spikes.time_s, atol=1e-5)
        np.testing.assert_allclose(a.spikes.spike_pA, b.spikes.spike_pA, atol=1.0)  # the converter's steps


def test_mistakes(tmp_path):
    with pytest.raises(UserError, match="--copies"):
        generate.RapheConfig(copies=0)
    with pytest.raises(UserError, match="exists already"):
        generate.generate(generate.RapheConfig(), tmp_path)
    assert raphe.CLASSES[1] == "serotonergic"


@pytest.mark.parametrize("contrast", [np.inf, np.nan, 11.0, -1.0])
def test_a_contrast_that_cannot_be_is_refused(contrast):
    with pytest.raises(UserError, match="--contrast is"):
        generate.RapheConfig(contrast=contrast)
