"""Several programs that write one EAP store: its shares, the workers of a Dask cluster, and how they are stopped."""

import dataclasses
import os
import pickle
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import zarr
from eap_program import HERE, alive, assert_same_bytes, blocks_done, files, folder_of, start, wait_for
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_source import attempted

from spiketype.datasets import store
from spiketype.edge import UserError
from spiketype.simulator.eap import block_range, engines, generate, parts, shares, template
from spiketype.simulator.eap.block_range import Share
from spiketype.simulator.eap.config import EapConfig
from spiketype.simulator.eap.probes import probe
from spiketype.simulator.neuron import cells, membrane

NAMES = [model.name for model in cells.catalogue()[2:4]]


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> EapConfig:
    """Four blocks: two of each of two cells."""
    models = folder_of(tmp_path_factory.mktemp("models") / "two", NAMES)
    return EapConfig(cell_models=(str(models),), per_cell=40, probe="mea4x4", threshold_uV=5.0, error_uV=0.01)


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Path:
    """Where currents are: their factors are kept by file."""
    return tmp_path_factory.mktemp("sources")


@pytest.fixture(autouse=True)
def _small_blocks(sources, monkeypatch):
    """In this process; others write blocks of the usual size."""
    monkeypatch.setattr(membrane, "attempt", lambda models, workers: attempted(sources, models))
    monkeypatch.setattr(template, "versions", dict)
    choose = store.choose_block
    monkeypatch.setattr(store, "choose_block", lambda per_cell: choose(per_cell, 20))


def options(config: EapConfig, per_cell: int) -> tuple[str, ...]:
    """Of the command line; blocks have 100 samples."""
    of = {"--cell-models": config.cell_models[0], "--per-cell": per_cell, "--probe": config.probe}
    of |= {"--threshold-uv": config.threshold_uV, "--error-uv": config.error_uV}
    return tuple(str(word) for pair in of.items() for word in pair)


# Shares ----------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 3000), min_size=1, max_size=8), st.integers(1, 7), st.integers(1, 12))
def test_every_block_is_of_one_share_and_shares_are_alike(tmp_path_factory, segments, per_cell, n):
    path = tmp_path_factory.mktemp("shares") / "s"
    known = {"segments": store.Coordinate(("cell_model",), np.array(segments, np.int32), "1", "segments")}
    store.create(path, "eap", {"sample": 10 * per_cell * len(segments)}, 10, {}, known, {})
    found = [shares.blocks(path, Share(i + 1, n)) for i in range(n)]
    assert np.concatenate(found).tolist() == list(range(per_cell * len(segments)))  # in order: few cells each
    weights = np.repeat(segments, per_cell)
    for each in found:
        assert abs(weights[each].sum() - weights.sum() / n) <= max(segments)


def test_shares_in_any_order_and_twice_make_the_bytes_of_the_whole(tmp_path, config, capsys):
    whole = generate.generate(config, tmp_path / "whole", 0)
    assert len(store.done(whole)) == 4
    path = tmp_path / "shares"
    for number, left in ((3, 3), (1, 2), (1, 2), (2, 0), (3, 0)):
        assert generate.generate(config, path, 0, Share(number, 3)) == path
        rest = f"{left} blocks of other shares are missing" if left else "the store is complete"
        assert f"share {number}/3 is done; {rest}" in capsys.readouterr().err
        assert int((~store.done(path)).sum()) == left
        if left:
            with pytest.raises(UserError, match="unfinished"):
                store.validate(path, "eap", ())
    assert_same_bytes(whole, path)


def test_a_share_needs_the_currents_of_its_cells_alone(tmp_path, config, monkeypatch, sources):
    path = generate.generate(config, tmp_path / "s", 0, Share(1, 2))
    asked = []
    monkeypatch.setattr(
        membrane, "attempt", lambda models, workers: asked.append(len(models)) or attempted(sources, models)
    )
    generate.generate(config, path, 0, Share(2, 2))
    assert asked == [1]
    assert store.done(path).all()


def test_a_block_that_is_written_twice_has_the_same_bytes(tmp_path, config):
    """And a task is all that is needed: it may travel."""
    path = generate.generate(config, tmp_path / "s", 0)
    other = tmp_path / "other"
    models = cells.catalogue(config.cell_models)
    found = membrane.attempt(models, workers=None)
    template.create(other, config, models, *found, parts.of(config))
    for index in (2, 0, 3, 1):
        (task,) = shares.tasks(other, config, probe(config.probe), models, found.sources, np.array([index]))
        travelled = pickle.loads(pickle.dumps(task))
        assert len(pickle.dumps(task)) < 10_000  # no currents in it
        engines.write_block(travelled)
    group = zarr.open_group(other, mode="r+")
    group["done"][...] = False  # all again, in another order
    tasks = shares.tasks(other, config, probe(config.probe), models, found.sources, np.arange(4))
    assert {task.index for task in engines.here(tasks)} == {0, 1, 2, 3}
    store.finish(other)
    assert_same_bytes(path, other)


def test_samples_do_not_depend_on_how_many_blocks_are_written_together(tmp_path, config, monkeypatch):
    """Nor on who writes them: two shares, one of them stopped and continued."""
    config = dataclasses.replace(config, per_cell=80)
    monkeypatch.setattr(store, "SHARDS", 2)
    together = tmp_path / "together"
    write = engines.write_block

    def stopped(task):
        monkeypatch.setattr(engines, "write_block", write)
        write(task)
        raise KeyboardInterrupt

    monkeypatch.setattr(engines, "write_block", stopped)
    with pytest.raises(KeyboardInterrupt):
        generate.generate(config, together, 0, Share(2, 2))
    np.testing.assert_array_equal(store.done(together), np.repeat([False, False, True, False], 2))
    for number in (2, 1):
        generate.generate(config, together, 0, Share(number, 2))
    assert store.run_of(together) == 2
    monkeypatch.setattr(store, "SHARDS", 20)
    one_by_one = generate.generate(config, tmp_path / "one by one", 0, Share(1, 2))
    monkeypatch.setattr(store, "SHARDS", 2)  # it is continued as it was begun
    generate.generate(config, one_by_one, 0)
    assert store.run_of(one_by_one) == 1
    with store.open_dataset(together) as ours, store.open_dataset(one_by_one) as theirs:
        assert ours.identical(theirs)
    assert len(files(together)) < len(files(one_by_one))


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "1/0", "a/b", "-1/4", "1/4/2", ""])
def test_shares_that_are_none_are_told(text):
    with pytest.raises(UserError, match=r"--block-range is .*: give i/n for the i-th of n shares, i from 1 to n"):
        block_range.parse(text)


def test_two_workers_stay_with_their_cells(tmp_path, config):
    models = cells.catalogue(config.cell_models)
    found = membrane.attempt(models, workers=None)
    template.create(tmp_path / "s", config, models, *found, parts.of(config))
    tasks = shares.tasks(tmp_path / "s", config, probe(config.probe), models, found.sources, np.arange(4))
    queue = engines._Queue(tasks)
    first, second = queue.first(2)
    assert {first.cell, second.cell} == {0, 1}
    assert queue.after(first).cell == first.cell
    assert queue.after(first).cell == second.cell  # nothing else is left: it helps
    assert queue.after(second) is None
    assert len([*engines._Queue(tasks).first(9)]) == 4


@pytest.mark.long
def test_jobs_that_start_together_make_one_store(tmp_path, config):
    """Two shares, and one of them twice: whoever is first makes the template."""
    common = options(config, 200)
    whole = start(tmp_path / "whole", *common, "--workers", "1")
    jobs = [start(tmp_path / "s", *common, "--workers", "1", "--block-range", f"{i}/2") for i in (1, 2, 2)]
    for process in (whole, *jobs):
        _, err = process.communicate(timeout=900)
        assert process.returncode == 0, err
    assert len(store.done(tmp_path / "s")) == 4
    assert_same_bytes(tmp_path / "whole", tmp_path / "s")
    assert not [*tmp_path.glob(".*")]


# Stopping --------------------------------------------------------------------------------------------

# As modules do that catch whatever is raised while they are imported.
IMPORTING = """
import sys, time
class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "jax":
            print("importing", flush=True)
            try:
                time.sleep(60)
            except BaseException:
                pass
sys.meta_path.insert(0, Slow())
"""
PROGRAMS = (
    "from spiketype.simulator.eap.__main__ import command_line; command_line(['--out', 'x'])",
    "sys.argv[1:] = ['simulate', 'eap', '--out', 'x']; from spiketype.__main__ import main; main()",
)


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(("number", "said"), [(signal.SIGINT, "stopped"), (signal.SIGTERM, "stopped by SIGTERM")])
def test_while_modules_are_imported_it_stops_at_once(program, number, said):
    command = [sys.executable, "-c", IMPORTING + program]
    with subprocess.Popen(
        command, cwd=HERE.parents[1], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout.readline() == "importing\n"
        running.send_signal(number)
        _, err = running.communicate(timeout=120)
    assert (running.returncode, err) == (128 + number, f"{said}: nothing was begun\n")


def test_sigterm_to_all_processes_is_one_line(tmp_path, config):
    """As a scheduler sends it when the time is up."""
    process = start(tmp_path / "s", *options(config, 20_000), "--workers", "1")
    wait_for(lambda: blocks_done(tmp_path / "s") >= 1)
    os.killpg(process.pid, signal.SIGTERM)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 143
    assert err.splitlines()[-1] == "stopped by SIGTERM: what is finished is kept; the same command continues from there"
    assert "Traceback" not in err
    assert "died" not in err
    wait_for(lambda: not alive(process.pid))


# A Dask cluster --------------------------------------------------------------------------------------

CLUSTER = """
import os, sys
from distributed import Client, LocalCluster
if __name__ == "__main__":
    with LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, local_directory=sys.argv[1]
    ) as cluster:
        with Client(cluster) as client:
            workers = client.run(os.getpid)
        print(cluster.scheduler_address, *workers.values(), flush=True)
        sys.stdin.read()
"""


def test_no_scheduler_is_said_in_a_sentence_before_anything_is_computed(tmp_path, config, monkeypatch):
    pytest.importorskip("distributed")
    from spiketype.simulator.eap import cluster

    monkeypatch.setattr(cluster, "ANSWER_S", 1)
    monkeypatch.delattr(generate.membrane, "attempt")
    for scheduler, expected in (
        ("tcp://127.0.0.1:9", "no Dask scheduler answers at tcp://127.0.0.1:9"),
        (str(tmp_path / "none.json"), "none.json: give tcp://HOST:PORT, or the JSON file"),
        ("there", "--scheduler is there: give tcp://HOST:PORT"),
    ):
        with pytest.raises(UserError, match=expected):
            generate.generate(config, tmp_path / "s", scheduler=scheduler)
    assert not (tmp_path / "s").exists()


def test_a_worker_that_dies_while_it_is_prepared_ends_nothing(tmp_path):
    """It has stopped, so that the program waits for its answer; then it is killed, and another comes."""
    pytest.importorskip("distributed")
    from spiketype.simulator.eap import cluster

    script, done = tmp_path / "cluster.py", []
    script.write_text(CLUSTER)
    with subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "dask")],
        cwd=HERE.parents[1], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        address, worker, _ = process.stdout.readline().split()
        os.kill(int(worker), signal.SIGSTOP)
        program = threading.Thread(target=lambda: done.extend(cluster.run(abs, [1, 2, 3], address, {})), daemon=True)
        program.start()
        program.join(3)
        waited = program.is_alive()
        os.kill(int(worker), signal.SIGKILL)
        program.join(100)
        process.stdin.close()
    assert waited
    assert sorted(done) == [1, 2, 3]


@pytest.mark.slow
def test_a_cluster_writes_the_same_bytes_though_a_worker_is_killed(tmp_path, config):
    pytest.importorskip("distributed")
    common = options(config, 6000)
    script = tmp_path / "cluster.py"
    script.write_text(CLUSTER)
    whole = start(tmp_path / "whole", *common, "--workers", "2")
    _, err = whole.communicate()
    assert whole.returncode == 0, err
    with subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "dask")],
        cwd=HERE.parents[1], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as cluster:  # fmt: skip
        address, worker, _ = cluster.stdout.readline().split()
        process = start(tmp_path / "s", *common, "--scheduler", address)
        wait_for(lambda: blocks_done(tmp_path / "s") >= 2)
        os.kill(int(worker), signal.SIGKILL)
        done = blocks_done(tmp_path / "s")
        _, err = process.communicate(timeout=900)
        cluster.stdin.close()
    assert process.returncode == 0, err
    assert done < 120
    assert_same_bytes(tmp_path / "whole", tmp_path / "s")
