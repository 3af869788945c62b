"""The package as a whole: which way imports point, what a wheel installs, one line for a platform that is not there."""

import ast
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from spiketype import __main__ as console
from spiketype.edge import UserError, check_platform
from spiketype.train import evaluate, predict, run, tasks

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("simulator", "datasets", "models", "train")
# What a room may import of others. Data that are missing are simulated, so tasks may ask the simulator, and a task may
# begin with the model of units.
ALLOWED = {
    "edge": set(),
    "pictures": {"edge"},
    "reading": {"edge"},
    "simulator": {"edge", "reading", "datasets"},
    "datasets": {"edge", "reading"},
    "models": {"edge"},
    "units": {"edge", "reading", "pictures", "datasets", "models", "simulator"},
    "train": {"edge", "reading", "pictures", "datasets", "models", "simulator", "units"},
    "bench": {"edge", "reading", "datasets", "models", "simulator", "units", "train"},
}


def imports(path: Path) -> set[str]:
    """Modules of the package that a file imports, by their dotted names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "spiketype":
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("spiketype.")}
        top = node.module if isinstance(node, ast.ImportFrom) and not node.level else None
        assert not top or top.split(".")[0] not in ROOMS, f"{path} imports {top}, which is not spiketype.{top}"
    return found


def files() -> dict[str, Path]:
    """Dotted name of every module -> its file."""
    found = {f"spiketype.{name}": ROOT / "spiketype" / f"{name}.py" for name in ("edge", "reading", "pictures")}
    for room in ("units", "bench"):
        for path in sorted((ROOT / "spiketype" / room).glob("*.py")):
            found[f"spiketype.{room}.{path.stem}".removesuffix(".__init__")] = path
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            found[".".join(["spiketype", *path.relative_to(ROOT).with_suffix("").parts])] = path
    return found


def test_arrows_point_one_way() -> None:
    for name, path in files().items():
        room = name.split(".")[1]
        for other in imports(path):
            target = other.split(".")[1] if other.count(".") else None
            if target in ALLOWED and target != room:
                assert target in ALLOWED[room], f"{name} imports {other}"


def test_no_imports_run_in_a_circle() -> None:
    modules = files()
    graph = {name: {other for other in imports(path) if other in modules} for name, path in modules.items()}
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, f"a circle of imports: {' -> '.join([*above[above.index(name) :], name])}"
        if name not in done:
            for other in sorted(graph[name]):
                visit(other, (*above, name))
            done.add(name)

    for name in sorted(graph):
        visit(name, ())


def test_judging_knows_no_task_and_neuron_stays_in_its_room() -> None:
    for name, path in files().items():
        found, text = imports(path), path.read_text()
        if name.startswith("spiketype.train.judging") or name in ("spiketype.train.loop", "spiketype.train.task"):
            assert not any(other.startswith("spiketype.train.tasks") for other in found), name
        if re.search(r"^\s*(import|from) (neuron|LFPy)\b", text, re.M):
            assert name.startswith("spiketype.simulator.neuron"), name
        if name == "spiketype.simulator.neuron.child":
            assert not re.search(r"^\s*(import|from) jax\b", text, re.M), "NEURON's processes never import JAX"


@pytest.mark.slow
def test_a_wheel_beside_a_foreign_datasets_and_a_train_of_the_user(tmp_path: Path) -> None:
    """Hugging Face's package is called datasets, and a user's own program is often called train.py."""
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("needs uv to build a wheel")
    subprocess.run([uv, "build", "--quiet", "--wheel", "-o", tmp_path / "dist", ROOT], check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    site = next((tmp_path / "venv" / "lib").glob("python*")) / "site-packages"
    python = tmp_path / "venv" / "bin" / "python"
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")  # those of this environment
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    subprocess.run([uv, "pip", "install", "--quiet", "--no-deps", "--python", python, wheel], check=True)
    (site / "datasets").mkdir()
    (site / "datasets" / "__init__.py").write_text("def load_dataset(): return 'foreign'\n")
    work = tmp_path / "work"
    work.mkdir()
    (work / "train.py").write_text("raise SystemExit('this is the train.py of the user')\n")
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}

    def call(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=work, env=clean, capture_output=True, text=True, check=False)

    where = "import spiketype.train.run as r, datasets; print(r.__file__); print(datasets.load_dataset())"
    told = call(str(python), "-c", where)
    assert told.stdout.split() == [str(site / "spiketype" / "train" / "run.py"), "foreign"], told.stderr
    assert not [name for name in ROOMS if (site / name).exists() and name != "datasets"]
    program = str(python.with_name("spiketype"))
    shown = call(program, "train", "--task", "mtype", "--help")
    assert shown.returncode == 0, shown.stderr
    assert "spiketype train --task mtype" in shown.stdout
    for words in (
        ("evaluate",),
        ("predict",),
        ("units",),
        ("bench", "list"),
        ("simulate", "eap"),
        ("raphe", "extract"),
        ("allen", "count"),
    ):
        assert call(program, *words, "--help").returncode == 0, words
    shipped = "from spiketype.units import model; print(model.WEIGHTS, model.load().card['name'])"
    assert call(str(python), "-c", shipped).stdout.split() == [
        str(site / "spiketype" / "models" / "weights"),
        "units-v1",
    ]
    listed = call(program, "bench", "list").stdout
    assert "eap13-3drot (version 1)" in listed
    assert "unknown command 'trian': did you mean train? choose one of units, train" in call(program, "trian").stderr


def test_the_console_command_names_its_commands(capsys: pytest.CaptureFixture[str]) -> None:
    for name in console.COMMANDS:
        assert name in console.usage()
    assert console.find(["simulate", "raphe", "--out", "x"]) == ("simulate raphe", ["--out", "x"])
    with pytest.raises(UserError, match="unknown command 'simulate'"):
        console.find(["simulate", "cell"])


@pytest.mark.parametrize("platform", ["cuda", "gpu", "tpu", "nonsense"])
def test_a_platform_that_is_not_there_is_said_in_a_sentence(platform: str) -> None:
    code = "from spiketype.edge import check_platform, guard\nwith guard(): check_platform()\nprint('there is one')"
    clean = {**os.environ, "JAX_PLATFORMS": platform}
    done = subprocess.run(
        [sys.executable, "-c", code], env=clean, cwd=ROOT, capture_output=True, text=True, check=False
    )
    if "there is one" in done.stdout:
        pytest.skip(f"this machine has {platform}")
    assert done.returncode == 2
    assert f"JAX_PLATFORMS={platform}, but JAX finds no such device here" in done.stderr
    assert "set JAX_PLATFORMS=cpu" in done.stderr
    assert "Traceback" not in done.stderr
    check_platform()  # here there is one


def test_the_toy_task_of_the_documents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "docs" / "guide" / "add-a-task.md").read_text()
    files = re.findall(r"```python\n(.*?)```", page, re.S)
    assert sum(len(code.splitlines()) for code in files) <= 80
    for name, code in zip(("config", "task"), files, strict=True):
        module = types.ModuleType(f"spiketype.train.tasks.toy.{name}")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        exec(compile(code, "add-a-task.md", "exec"), module.__dict__)
    monkeypatch.setitem(tasks.MODULES, "toy", "toy")
    rng = np.random.default_rng(0)
    for name in ("rows", "others"):
        wide = np.arange(90) % 2
        table = pd.DataFrame({"width_ms": 0.3 + 0.3 * wide + rng.normal(0, 0.1, 90), "rate_Hz": rng.normal(size=90)})
        table = table.assign(label=np.where(wide, "wide", "narrow"), animal=np.arange(90) // 10)
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    folder = tmp_path / "run"
    run.main(["--task", "toy", "--data", str(tmp_path / "rows.csv"), "--out", str(folder)])
    assert "| softmax regression |" in capsys.readouterr().out
    evaluate.main(folder, tmp_path / "others.csv")
    assert (folder / "evaluation-others" / "figures" / "calls_confusion.png").exists()
    predict.main(folder, tmp_path / "others.csv", tmp_path / "calls.csv")
    calls = pd.read_csv(tmp_path / "calls.csv")
    assert list(calls.columns) == ["row", "call", "probability", "certain", "reason", "p_narrow", "p_wide"]
    with pytest.raises(UserError, match="the samples that the run was trained on"):
        evaluate.main(folder, tmp_path / "rows.csv")
