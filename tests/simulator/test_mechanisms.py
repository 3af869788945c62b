import importlib.metadata
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from spiketype.edge import UserError
from spiketype.simulator.neuron import mechanisms
from spiketype.simulator.neuron.cells import CellModel, catalogue

PASSIVE = """NEURON {
    SUFFIX tiny
    NONSPECIFIC_CURRENT i
    RANGE g
}
PARAMETER { g = 1e-5 (S/cm2) }
ASSIGNED { v (mV) i (mA/cm2) }
BREAKPOINT { i = g * v }
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a cache"))
    return tmp_path / "a cache" / "spiketype" / "mechanisms"


@pytest.fixture
def model(tmp_path: Path) -> Callable[..., CellModel]:
    def make(name: str = "L5_BP_bAC217_1", **mods: str) -> CellModel:
        folder = tmp_path / "models" / name / "mechanisms"
        folder.mkdir(parents=True)
        for mod, text in mods.items():
            (folder / f"{mod}.mod").write_text(text)
        return replace(catalogue()[0], name=name, path=folder.parent)

    return make


@pytest.fixture
def no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A PATH with all that nrnivmodl calls except make and a compiler."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("bash", "sh", "env", "dirname", "basename", "mkdir", "mv", "rm", "cat", "uname"):
        found = shutil.which(name)
        assert found
        (programs / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(programs))


def test_the_synapses_are_left_out_and_one_set_serves_all_default_models() -> None:
    found = mechanisms.channels(catalogue())
    assert len(found) == 13
    assert not any(name.startswith("Prob") for name in found)
    assert {"Ih.mod", "NaTa_t.mod", "Ca.mod", "Ca_HVA.mod"} <= set(found)


def test_one_mechanism_with_other_statements_names_both_files(model: Callable[..., CellModel]) -> None:
    first, second = model("first", tiny=PASSIVE), model("second", tiny=PASSIVE.replace("1e-5", "2e-5"))
    assert list(mechanisms.channels([first, model("third", tiny=PASSIVE)])) == ["tiny.mod"]
    with pytest.raises(UserError, match=r"first/mechanisms/tiny\.mod.*second/mechanisms/tiny\.mod.*both define tiny"):
        mechanisms.channels([first, second])
    with pytest.raises(UserError, match=r"tiny\.mod.*renamed\.mod both define tiny"):  # NEURON looks at the SUFFIX
        mechanisms.channels([first, model("fourth", renamed=PASSIVE.replace("1e-5", "2e-5"))])
    shutil.copy(first.path / "mechanisms" / "tiny.mod", second.path / "mechanisms" / "tiny.mod")  # the remedy
    assert mechanisms.channels([first, second]) == {"tiny.mod": PASSIVE}


@pytest.mark.parametrize(
    "same",
    [
        PASSIVE + "\n\n",
        PASSIVE.replace("\n", "\r\n").replace("    ", "\t"),
        "TITLE A passive channel?\n: not COMMENT\n" + PASSIVE.replace("v\n", 'v : it\'s "ohmic"\n'),
        "COMMENT\ng = 2 : VERBATIM\nENDCOMMENT\n" + PASSIVE.replace("i = g * v", "i=g*v ? Ohm\n"),
        PASSIVE.replace("NEURON {\n", "NEURON {"),
    ],
)
def test_comments_and_space_make_no_other_mechanism(model: Callable[..., CellModel], same: str) -> None:
    assert mechanisms.channels([model("first", tiny=PASSIVE), model("second", tiny=same)]) == {"tiny.mod": PASSIVE}
    assert list(mechanisms.channels([model("A", tiny=PASSIVE), model("B", other=same)])) == ["tiny.mod"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("i = g * v", "i = g * v * 2"),
        ("g = 1e-5", "g = 1 e-5"),
        ("RANGE g", "RANGE g, v"),
        ("NONSPECIFIC_CURRENT i", ": NONSPECIFIC_CURRENT i"),
    ],
)
def test_other_statements_make_another_mechanism(model: Callable[..., CellModel], first: str, second: str) -> None:
    with pytest.raises(UserError, match="both define tiny"):
        mechanisms.channels([model("first", tiny=PASSIVE), model("second", tiny=PASSIVE.replace(first, second))])


def test_c_is_compared_line_by_line(model: Callable[..., CellModel]) -> None:
    c = PASSIVE + "VERBATIM\n  x = a ? b : c;\nENDVERBATIM\n"
    same, other, joined = c.replace("  x", "x"), c.replace(": c", ": d"), c.replace("VERBATIM\n", "VERBATIM ", 1)
    assert list(mechanisms.channels([model("first", tiny=c), model("second", tiny=same)])) == ["tiny.mod"]
    for third, text in (("third", other), ("fourth", joined)):
        with pytest.raises(UserError, match="both define tiny"):
            mechanisms.channels([model("first" + third, tiny=c), model(third, tiny=text)])


def test_two_mechanisms_in_files_of_one_name_are_both_compiled(model: Callable[..., CellModel]) -> None:
    second = PASSIVE.replace("SUFFIX tiny", "SUFFIX small")
    found = mechanisms.channels([model("first", tiny=PASSIVE), model("second", tiny=second)])
    assert found == {"tiny.mod": PASSIVE, "xtiny.mod": second}


def test_the_key_holds_neuron_machine_and_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    key = mechanisms._key({"a.mod": "x"})
    assert importlib.metadata.version("neuron") in key
    assert len({key, mechanisms._key({"a.mod": "y"}), mechanisms._key({"b.mod": "x"})}) == 3
    monkeypatch.setattr("platform.machine", lambda: "vax")
    assert "vax" in mechanisms._key({"a.mod": "x"}) != key
    monkeypatch.setattr("importlib.metadata.version", lambda _: "9.9.9")
    assert "9.9.9" in mechanisms._key({"a.mod": "x"})


@pytest.mark.usefixtures("no_compiler")
def test_no_compiler_is_one_sentence_and_its_own_words(cache: Path, model: Callable[..., CellModel]) -> None:
    with pytest.raises(UserError, match=r"needs make and a C\+\+ compiler") as error:
        mechanisms.library([model(tiny=PASSIVE)])
    assert "make: command not found" in str(error.value)
    assert {path.suffix for path in cache.iterdir()} == {".lock"}  # nothing half-built stays


def test_two_at_once_build_once_and_the_second_call_finds_it(
    cache: Path, model: Callable[..., CellModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    built = []
    build = mechanisms._build
    monkeypatch.setattr(mechanisms, "_build", lambda *args: built.append(1) or build(*args))
    tiny = model(tiny=PASSIVE)
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(mechanisms.library([tiny]))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [mechanisms.library([tiny])] * 2
    assert built == [1]
    assert found[0].is_file()
    assert len([path for path in cache.iterdir() if path.suffix != ".lock"]) == 1


def test_what_compiles_but_does_not_load_is_not_kept(cache: Path, model: Callable[..., CellModel]) -> None:
    undefined = PASSIVE + "VERBATIM\nextern void not_there(); static void use() __attribute__((used));\n"
    undefined += "static void use() { not_there(); }\nENDVERBATIM\n"
    with pytest.raises(UserError, match="not_there"):
        mechanisms.library([model(tiny=undefined)])
    assert {path.suffix for path in cache.iterdir()} == {".lock"}


def test_a_mistake_in_a_channel_shows_the_compilers_words(cache: Path, model: Callable[..., CellModel]) -> None:
    with pytest.raises(UserError, match="could not be compiled") as error:
        mechanisms.library([model(tiny=PASSIVE + "VERBATIM\nthis is not C;\nENDVERBATIM\n")])
    assert "error" in str(error.value)
    assert {path.suffix for path in cache.iterdir()} == {".lock"}
