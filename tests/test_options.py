"""Every command with every option wrong once: one sentence that names it, exit 2, no traceback, nothing left behind."""

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from spiketype import parsing
from spiketype.bench import command as bench
from spiketype.datasets.allen import __main__ as allen
from spiketype.datasets.raphe import __main__ as raphe
from spiketype.edge import UserError, check_out
from spiketype.simulator.eap import __main__ as eap
from spiketype.simulator.raphe import __main__ as simulated_raphe
from spiketype.simulator.shank import __main__ as shank
from spiketype.train import evaluate, predict, run, tasks
from spiketype.units import command as units

Capture = pytest.CaptureFixture[str]
ROW = re.compile(r"^[│\s]*(?:-h, )?(--[a-z][\w-]*)(?:, --[\w-]+)* *(.*?)[│\s]*$", re.MULTILINE)
TYPED = re.compile(r"(?:\{None\}\|)?\{?\[?(?:INT|FLOAT|KHZ|SHARE)\b|\{(?!None\}\|)")
ONE_VALUE = re.compile(r"[A-Z]{2,}\b")
NOWHERE = "/proc/none/there"


class Command(NamedTuple):
    """How a command is called, with what it must be given."""

    call: Callable[[Sequence[str]], None]
    given: tuple[str, ...]


COMMANDS = {
    "units": Command(units.command_line, ("nowhere",)),
    "evaluate": Command(evaluate.command_line, ("nowhere", "--data", "nothing")),
    "predict": Command(predict.command_line, ("nowhere", "--data", "nothing")),
    "simulate eap": Command(eap.command_line, ("--out", "s")),
    "simulate raphe": Command(simulated_raphe.command_line, ("--out", "s")),
    "simulate shank": Command(shank.command_line, ("--out", "s")),
    "raphe extract": Command(lambda rest: raphe.command_line(["extract", *rest]), ("nowhere", "--out", "s")),
    "raphe noisy": Command(lambda rest: raphe.command_line(["noisy", *rest]), ("nowhere", "--out", "s")),
    "allen download": Command(lambda rest: allen.command_line(["download", *rest]), ("--out", "s")),
    "allen count": Command(lambda rest: allen.command_line(["count", *rest]), ("--data", "nowhere")),
    "allen noise-features": Command(lambda rest: allen.command_line(["noise-features", *rest]), ("--data", "nowhere")),
    "bench make": Command(lambda rest: bench.command_line(["make", *rest]), ("cluster-digits",)),
    "bench score": Command(lambda rest: bench.command_line(["score", *rest]), ("nothing", "p.csv")),
    "bench get": Command(lambda rest: bench.command_line(["get", *rest]), ("cluster-digits",)),
    "bench card": Command(lambda rest: bench.command_line(["card", *rest]), ("cluster-digits",)),
    **{
        f"train --task {task}": Command(lambda rest, task=task: run.command_line(["--task", task, *rest]), ())  # type: ignore[misc]
        for task in ("mtype", "raphe", "subclass", "species", "unit", "cluster")
    },
}
TRAINING = {"--preset": "none", "--save-every": "soon", "--out": NOWHERE, "--coordinator": "here", "--processes": "two"}
DISTRIBUTED = {  # what must be given beside them
    "--coordinator": ("--distributed", "--processes", "2", "--process", "0"),
    "--processes": ("--distributed", "--coordinator", "a:1", "--process", "0"),
}


def refused(capsys: Capture, command: Command, *arguments: str) -> str:
    """Return the sentence with which a command line is refused."""
    with pytest.raises(SystemExit) as stop:
        command.call([*command.given, *arguments])
    told = capsys.readouterr()
    assert stop.value.code == 2, told.err
    assert not told.out, told.out
    assert told.err.startswith("error: "), told.err
    assert told.err.count("\n") == 1, told.err
    return told.err.removeprefix("error: ").strip()


def options(capsys: Capture, command: Command) -> dict[str, str]:
    """Return the options of a command with what its help says of their values."""
    with pytest.raises(SystemExit) as stop:
        command.call(["--help"])
    assert not stop.value.code
    return dict(ROW.findall(capsys.readouterr().out))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_wrong_once(name: str, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setitem(sys.modules, "spiketype.train.execute", None)  # what is not refused fails, and trains nothing
    command = COMMANDS[name]
    found = options(capsys, command)
    del found["--help"]
    assert found
    for flag, values in found.items():
        told = refused(capsys, command, f"{flag}x")
        assert f"{flag}x is no option: did you mean --" in told, told
        if TYPED.match(values):
            told = refused(capsys, command, flag, "wrong")
            assert told.startswith((f"{flag} is wrong: ", f"{flag}: 'wrong' is unknown")), told
            assert re.search(r"(give|choose) (a|one|two|\d|of|[A-Z]|whole|number)", told), told
        if ONE_VALUE.match(values):
            told = refused(capsys, command, flag)
            assert told.startswith(f"{flag} needs a value"), told
    if "--out" in found:
        given = [each for each in command.given if each != "--out" and each != "s"]
        told = refused(capsys, command._replace(given=tuple(given)), "--out", NOWHERE)
        assert "/proc/none/there" in told
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("flag", "value"), TRAINING.items())
def test_options_of_all_trainings(flag: str, value: str, capsys: Capture) -> None:
    command = COMMANDS["train --task mtype"]
    assert value in refused(capsys, command, *DISTRIBUTED.get(flag, ()), flag, value)
    assert f"{flag} needs a value" in refused(capsys, command, flag)
    assert f"did you mean {flag}?" in refused(capsys, command, f"{flag}x", value)


def test_a_misspelt_task(capsys: Capture) -> None:
    command = Command(run.command_line, ())
    assert "--tsk is no option: did you mean --task?" in refused(capsys, command, "--tsk", "mtype")
    assert ", ".join(tasks.MODULES) in refused(capsys, command, "--task", "mtpye")
    assert ", ".join(tasks.MODULES) in refused(capsys, command)


@pytest.mark.parametrize(
    ("call", "given", "message"),
    [
        (raphe.command_line, ["extract", "--out", "s"], "RECORDING is missing: give .abf"),
        (raphe.command_line, ["extrct", "a"], "unknown command 'extrct': did you mean extract? choose one of"),
        (raphe.command_line, [], "no command: choose one of extract, noisy"),
        (raphe.command_line, ["noisy", "s", "--out", "t", "--masks", "0"], "--masks is 0: it must be at least 1"),
        (raphe.command_line, ["noisy", "s", "--out", "t", "--snr", "1"], "--snr is 1: give 2 numbers"),
        (units.command_line, ["a", "b"], "'b' is one value too many"),
        (units.command_line, [], "PATH is missing: give PATH"),
        (predict.command_line, ["r"], "--data is missing: give --data PATH"),
        (shank.command_line, ["--out", "s", "stray"], "'stray' is one value too many"),
        (eap.command_line, ["--out", "s", "--rotation", "4drot"], "--rotation is 4drot: choose one of norot, xrot"),
        (eap.command_line, ["--out", "s", "--per-cell=many"], "--per-cell is many: give a whole number"),
    ],
)
def test_what_is_said(call: Callable[[Sequence[str]], None], given: list[str], message: str, capsys: Capture) -> None:
    assert refused(capsys, Command(call, ()), *given).startswith(message)


def test_an_output_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    check_out(tmp_path / "new" / "out.csv")
    with pytest.raises(UserError, match=r"--out s3://lab/run: only stores of EAPs are written to URLs, s3:// and"):
        check_out(Path("s3://lab/run"))
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"--abf .*file/out: .*file is no folder"):
        check_out(tmp_path / "file" / "out", "--abf")
    with pytest.raises(UserError, match=r"--out /proc/x: nothing can be written to /proc \(.*\): choose another"):
        check_out(Path("/proc/x"))


def test_options_are_those_of_the_help() -> None:
    assert {"--out", "--certain", "--flip", "--no-flip", "--help"} <= set(parsing.options(units.main, "units"))
