import importlib.metadata
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from filelock import FileLock
from synthetic_source import synthetic_source

from spiketype.edge import UserError
from spiketype.simulator.neuron import child, mechanisms, membrane
from spiketype.simulator.neuron.cells import CellModel, catalogue, vary
from spiketype.simulator.neuron.membrane import attempt, cache_path, simulate, start_nA
from spiketype.simulator.neuron.protocol import Protocol, Verdict, judge

SMALL = ("L5_NGC_bNAC219_1", "L5_SBC_bNAC219_1")
ROOT = Path(__file__).parents[2]


def request_of(model: CellModel, library: Path) -> child.Request:
    """What the process of a model is asked, but for where the source goes."""
    kinetics = None if model.kinetics is None else asdict(model.kinetics)
    at = {"path": str(model.path), "member": model.member, "axon": model.axon, "kinetics": kinetics}
    return child.Request(model.name, **at, library=str(library), protocol={}, start_nA=0.0, out="", provenance={})


def default(name: str) -> CellModel:
    return next(model for model in catalogue() if model.name == name)


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CellModel:
    """A cell model whose files may be changed, and an empty cache; its mechanisms count as compiled."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(membrane, "library", lambda models: tmp_path / "none.so")
    model = default(SMALL[1])
    shutil.copytree(model.path, tmp_path / model.name)
    return replace(model, path=tmp_path / model.name)


# The verdict ---------------------------------------------------------------------------------------


def spikes(count: int, interval_ms: float, first_ms: float = 210.0) -> list[float]:
    return [first_ms + index * interval_ms for index in range(count)]


@pytest.mark.parametrize(
    ("spike_ms", "now_ms", "verdict"),
    [
        ([], 600.0, None),
        ([], 1200.0, Verdict.TOO_WEAK),
        (spikes(10, 90.0), 1200.0, Verdict.TOO_WEAK),
        (spikes(11, 90.0), 1200.0, Verdict.ACCEPTED),
        (spikes(11, 98.9), 1200.0, Verdict.TOO_WEAK),  # the eleventh, at 1199 ms, is not complete at the end
        (spikes(30, 33.0), 1200.0, Verdict.ACCEPTED),
        (spikes(31, 5.0), 361.0, Verdict.TOO_STRONG),  # at once
        (spikes(11, 60.0), 819.9, None),  # the eleventh, at 810 ms, is not yet complete
        (spikes(11, 60.0), 820.0, Verdict.ACCEPTED),  # 380 ms at 60 ms: at most 7 more
        (spikes(11, 30.0), 520.0, None),  # 680 ms at 30 ms: 23 more would be too many
        (spikes(18, 30.0), 840.0, Verdict.ACCEPTED),  # 360 ms at 30 ms: 12 more make 30
    ],
)
def test_verdict(spike_ms: list[float], now_ms: float, verdict: Verdict | None) -> None:
    assert judge(spike_ms, now_ms, Protocol()) is verdict


def test_the_latest_intervals_decide_not_the_burst_at_the_beginning() -> None:
    burst = [205.0, 210.0, 215.0]
    assert judge([*burst, *spikes(8, 60.0, 275.0)], 705.0, Protocol()) is Verdict.ACCEPTED
    assert judge([*spikes(8, 60.0), 635.0, 640.0, 645.0], 705.0, Protocol()) is None


# Pieces of the child's program ---------------------------------------------------------------------


def test_the_peak_is_the_spikes_own_not_that_of_the_next() -> None:
    trace_mV = np.array([-70.0, -40, -20, 10, 5, -40, -60, 0, 30, -50])
    assert child.peak_index(trace_mV, 2, 7, -30.0) == 3
    assert child.peak_index(trace_mV, 7, 7, -30.0) == 8
    assert child.peak_index(np.array([-40.0, -20, -10, 0, 10]), 1, 2, -30.0) == 3


def test_without_monopole_sums_to_zero_when_the_sum_is_constant() -> None:
    current_nA = np.random.default_rng(0).normal(size=(3, 7, 20))
    current_nA[:, 0] += 0.23 - current_nA.sum(1)
    np.testing.assert_allclose(current_nA.sum(1), 0.23)
    rest = child.without_monopole(current_nA)
    np.testing.assert_allclose(rest.sum(1), 0, atol=1e-12)
    assert not rest[:, :, 0].any()


# The cache -----------------------------------------------------------------------------------------


def test_the_search_begins_where_the_published_one_ends() -> None:
    measured = [0.23, 0.23, 0.0728, 0.2875, 0.2875, 0.23, 0.23, 0.0546, 0.0728, 0.5615, 0.7019, 0.7019, 0.23]
    guesses = [start_nA(model, Protocol()) for model in catalogue()]
    np.testing.assert_allclose(guesses, measured, atol=5e-5)
    unknown = replace(default(SMALL[0]), layer="L1", m_type="DAC", e_type="dSTUT")
    assert start_nA(unknown, Protocol()) == 0.23


def test_the_cache_key_holds_all_that_goes_in(copy: CellModel, monkeypatch: pytest.MonkeyPatch) -> None:
    path = cache_path(copy, Protocol())
    assert path == cache_path(default(copy.name), Protocol())  # contents, not places
    assert cache_path(copy, Protocol(celsius=35.0)) != path
    seen = {path}
    morphology = next((copy.path / "morphology").iterdir())
    pieces = [copy.path / name for name in ("template.hoc", "biophysics.hoc", "mechanisms/Ih.mod")]
    for file in (*pieces, morphology):
        file.write_text(file.read_text() + "\n")
        seen.add(cache_path(copy, Protocol()))
    monkeypatch.setattr(membrane, "VERSION", membrane.VERSION + 1)
    seen.add(cache_path(copy, Protocol()))
    monkeypatch.setattr("importlib.metadata.version", lambda _: "9.9.9")
    seen.add(cache_path(copy, Protocol()))
    assert len(seen) == 7
    synapses = copy.path / "mechanisms" / "ProbGABAAB_EMS.mod"
    path = cache_path(copy, Protocol())
    synapses.write_text(synapses.read_text() + "\n")
    assert cache_path(copy, Protocol()) == path  # not used


GOLDEN = {  # of MEArec 1.11.0, before there were NetPyNE files, axons and variants
    "L5_BP_bAC217_1": "5fc69578f3bcc801",
    "L5_BTC_bAC217_1": "ff9afcdba8c644dc",
    "L5_ChC_cACint209_1": "28c523885293d823",
    "L5_DBC_bAC217_1": "2acd068c82a16c00",
    "L5_LBC_bAC217_1": "b36e3df38bf1eb08",
    "L5_MC_bAC217_1": "11d93a8a6cfe1853",
    "L5_NBC_bAC217_1": "8fc26799151bc4e0",
    "L5_NGC_bNAC219_1": "2a08e5e42088aabf",
    "L5_SBC_bNAC219_1": "c77ed74489fa7ded",
    "L5_STPC_cADpyr232_1": "d9ebd9a0e85215b0",
    "L5_TTPC1_cADpyr232_1": "a66b625116f8d2ac",
    "L5_TTPC2_cADpyr232_1": "edfd28cc2d342f5b",
    "L5_UTPC_cADpyr232_1": "5b0f0b1cd21f4c76",
}


def test_what_was_cached_before_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.metadata.version("MEArec") != "1.11.0":
        pytest.skip("the keys are those of the models in MEArec 1.11.0")
    monkeypatch.setattr("importlib.metadata.version", lambda _: "9.9.9")
    for models in (catalogue(), catalogue(axon="stub")):
        assert {m.name: cache_path(m, Protocol()).stem.rpartition("-")[2] for m in models} == GOLDEN
    assert mechanisms._key(mechanisms.channels(catalogue())).endswith("-634411234b39d81c")


def test_axon_and_kinetics_are_in_the_key() -> None:
    model = catalogue()[0]
    varied = vary([model], 2, seed=0) + vary([model], 1, seed=1) + vary([model], 1, seed=0, width=0.5)
    paths = {cache_path(m, Protocol()) for m in (model, catalogue(axon="full")[0], *varied)}
    assert len(paths) == 6
    assert {path.parent for path in paths} == {cache_path(model, Protocol()).parent}
    other = replace(model, name=f"again:{model.name}")
    assert cache_path(other, Protocol()).name == f"again_{cache_path(model, Protocol()).name}"


def test_a_child_that_fails_is_named_with_its_words(copy: CellModel) -> None:
    with pytest.raises(UserError, match="1 of 1 cell models failed") as error:
        simulate([copy], workers=1)
    for part in (copy.name, "exit status 1", "search: not begun", "NEURON does not load"):
        assert part in str(error.value)
    sources, failures = attempt([copy], workers=1)
    assert not sources
    assert failures[copy.name].reason.startswith("NEURON does not load")
    assert not [*cache_path(copy, Protocol()).parent.glob("*.failed.json")]  # it may go better next time


def test_a_search_without_result_is_not_repeated(copy: CellModel, monkeypatch: pytest.MonkeyPatch) -> None:
    path = cache_path(copy, Protocol()).with_suffix(".failed.json")
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"reason": "none", "words": "0.2 nA: none"}))
    anew = membrane.Failure("anew", "")
    monkeypatch.setattr(membrane, "_fill", lambda models, *_: {model.name: anew for model in models})
    assert attempt([copy]).failures == {copy.name: ("none", "0.2 nA: none")}
    path.write_text("damaged")
    assert attempt([copy]).failures[copy.name].reason == "anew"


def test_on_ctrl_c_the_children_are_ended(copy: CellModel, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def start(*args: object, **options: object) -> subprocess.Popen[bytes]:
        started.append(popen(*args, **options))  # type: ignore[call-overload]
        return started[-1]

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(
        membrane, "subprocess", SimpleNamespace(Popen=start, DEVNULL=subprocess.DEVNULL, PIPE=subprocess.PIPE)
    )
    monkeypatch.setattr(membrane, "time", SimpleNamespace(sleep=interrupt, monotonic=time.monotonic))
    with pytest.raises(KeyboardInterrupt):
        simulate([copy], workers=1)
    assert [process.returncode for process in started] == [-9]


def instead(monkeypatch: pytest.MonkeyPatch, program: str) -> list[str]:
    """Start this program instead of NEURON's, and return the names of the models for which it is started."""
    names: list[str] = []

    def start(command: list[str], **options: object) -> subprocess.Popen[bytes]:
        names.append(json.loads(command[-1])["name"])
        return subprocess.Popen([sys.executable, "-c", program], **options)  # type: ignore[call-overload, no-any-return]

    fake = SimpleNamespace(Popen=start, DEVNULL=subprocess.DEVNULL, PIPE=subprocess.PIPE)
    monkeypatch.setattr(membrane, "subprocess", fake)
    return names


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_model_whose_process_was_killed_is_not_one_that_fails(
    copy: CellModel, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    unblocked = f"signal.pthread_sigmask(signal.SIG_UNBLOCK, [{int(number)}])"
    instead(monkeypatch, f"import os, signal; {unblocked}; os.kill(os.getpid(), {int(number)})")
    with pytest.raises(UserError, match=rf"process of {copy.name} was killed by {number.name} \(out of memory\?\)"):
        attempt([copy])
    assert not [*cache_path(copy, Protocol()).parent.glob("*.failed.json")]


@pytest.mark.parametrize("finished", [True, False])
def test_what_another_program_simulates_is_waited_for(
    copy: CellModel, monkeypatch: pytest.MonkeyPatch, finished: bool
) -> None:
    """Other models come first; if the other program ends without a result, the model is simulated here."""
    monkeypatch.setattr(membrane, "LOOK_EVERY_S", 0.05)
    started = instead(monkeypatch, "raise SystemExit('no NEURON')")
    path = cache_path(copy, Protocol())
    path.parent.mkdir(parents=True)
    theirs = FileLock(path.with_suffix(".lock"), thread_local=False)
    theirs.acquire()

    def end() -> None:
        while len(started) < 1:
            time.sleep(0.01)
        if finished:
            synthetic_source(name=copy.name).save(path)
        theirs.release()

    other = threading.Thread(target=end)
    other.start()
    sources, failures = attempt([copy, default(SMALL[0])], workers=1)
    other.join()
    assert started == [SMALL[0], *([] if finished else [copy.name])]
    assert [*sources] == ([copy.name] if finished else [])
    assert failures[SMALL[0]].reason == "no NEURON"


# The death of the parent ---------------------------------------------------------------------------

PARENT = """
import sys
from pathlib import Path
from spiketype.simulator.neuron import cells, membrane, protocol
membrane.library = lambda models: Path(sys.argv[1])
popen = membrane.subprocess.Popen
def start(*args, **options):
    child = popen(*args, **options)
    print(child.pid, flush=True)
    return child
membrane.subprocess.Popen = start
slow = protocol.Protocol(duration_ms=1e6, at_most=10**6, more_than=10**6 - 1)
membrane.attempt(cells.catalogue()[:2], slow, workers=2)
"""


def running(pid: int) -> bool:
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return bool(done.stdout.strip()) and not done.stdout.strip().startswith("Z")


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs signals and ps")
@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGKILL])
def test_the_children_end_when_their_parent_dies(tmp_path: Path, by: signal.Signals) -> None:
    """In the middle of a simulation, which would go on for an hour."""
    library = mechanisms.library(catalogue())
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, "-c", PARENT, str(library)]
    with subprocess.Popen(command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        children = [int(parent.stdout.readline()) for _ in range(2)]
        time.sleep(6)
        assert all(map(running, children))
        parent.send_signal(by)
        parent.wait()
    end = time.monotonic() + 20
    while any(map(running, children)):
        assert time.monotonic() < end, "they live on"
        time.sleep(0.05)


# The whole path, with NEURON -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache in which the channels are compiled and two small cells simulated, beside one that fails."""
    folder = tmp_path_factory.mktemp("cache")
    broken = default("L5_BP_bAC217_1")
    shutil.copytree(broken.path, folder / broken.name)
    (folder / broken.name / "biophysics.hoc").write_text("this is not hoc")
    models = [*map(default, SMALL), replace(broken, path=folder / broken.name)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        with pytest.raises(UserError, match="1 of 3 cell models failed") as error:
            simulate(models)
    assert broken.name in str(error.value)
    assert "biophysics.hoc" in str(error.value)
    return folder


def compiled(cache: Path) -> Path:
    return next((cache / "spiketype" / "mechanisms").glob("*/*nrnmech.*"))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "amplitude_nA"), [(SMALL[0], 0.0546), (SMALL[1], 0.0728)])
def test_the_source_of_a_cell(cache: Path, monkeypatch: pytest.MonkeyPatch, name: str, amplitude_nA: float) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.setattr(subprocess, "Popen", None)  # the fixture's other cells are cached although one failed
    source = simulate([default(name)])[name]
    segments = {SMALL[0]: 199, SMALL[1]: 158}[name]
    assert source.current_nA.shape == (10, segments, 224)
    assert source.soma_mV.argmax(1).tolist() == [64] * 10
    np.testing.assert_allclose((source.start_um[0] + source.end_um[0]) / 2, 0, atol=1e-4)  # the soma
    assert source.diameter_um[0] == source.diameter_um.max()
    assert source.provenance["amplitude_nA"] == pytest.approx(amplitude_nA, rel=1e-3)
    assert source.provenance["tried"] == [[source.provenance["amplitude_nA"], 11]]
    scale_nA = np.abs(source.current_nA).max()
    assert np.abs(source.current_nA.sum(1, dtype=np.float64)).max() < 1e-6 * scale_nA  # no monopole


PROBE = """
import json, sys
import numpy as np
from spiketype.simulator.neuron import child
from spiketype.simulator.neuron.protocol import Protocol, judge
request, amplitude_nA = child.Request(**json.loads(sys.argv[1])), float(sys.argv[2])
protocol = Protocol()
cell = child.load(request, protocol)
early = child.inject(cell, amplitude_nA, protocol)
child.judge = lambda spikes, now, _: judge(spikes, now, protocol) if now >= protocol.end_ms else None
whole = child.inject(cell, amplitude_nA, protocol)
print(json.dumps({
    "counts": [early.count, whole.count],
    "verdicts": [early.verdict.value, whole.verdict.value],
    "same": early.peak_ms == whole.peak_ms and bool((early.current_nA == whole.current_nA).all()),
    "sum_error_nA": float(np.abs(whole.current_nA.sum(1) - amplitude_nA).max()),
    "jax": "jax" in sys.modules,
}))
"""


@pytest.mark.slow
def test_ending_early_changes_nothing_and_currents_sum_to_the_injected_one(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    model, amplitude_nA = default(SMALL[1]), 0.07277
    request = json.dumps(asdict(request_of(model, compiled(cache))))
    program = [sys.executable, "-c", PROBE, request, str(amplitude_nA)]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["counts"] == [11, 20]
    assert found["verdicts"] == ["accepted"] * 2
    assert found["same"]
    assert found["sum_error_nA"] < 1e-9
    assert not found["jax"]


AXON = """
import json, sys
from spiketype.simulator.neuron import child
from spiketype.simulator.neuron.protocol import Protocol
cell = child.load(child.Request(**json.loads(sys.argv[1])), Protocol())
print(json.dumps(sorted(section.L for section in cell.allseclist if "axon" in section.name())))
"""


@pytest.mark.slow
def test_a_cell_has_the_axon_that_is_asked_for() -> None:
    library = mechanisms.library(catalogue())
    for axon in ("stub", "full"):
        model = next(model for model in catalogue(axon=axon) if model.name == SMALL[0])
        program = [sys.executable, "-c", AXON, json.dumps(asdict(request_of(model, library)))]
        done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        length_um = json.loads(done.stdout.splitlines()[-1])
        assert (length_um == [30.0, 30.0]) == (axon == "stub")
        assert len(length_um) > (100 if axon == "full" else 1)


@pytest.mark.slow
def test_a_search_that_finds_nothing_tells_what_it_tried(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.setattr(membrane, "library", lambda models: compiled(cache))
    with pytest.raises(UserError, match=r"0\.07277 nA: 0 spikes, too weak") as error:
        simulate([default(SMALL[1])], Protocol(delay_ms=1.0, duration_ms=5.0, max_tries=2))
    assert "search: 0.09097 nA: 0 spikes" in str(error.value)
    assert "no amplitude gave 11 to 30 spikes" in str(error.value)
