"""Cells in NetPyNE's format: read, refused where they are damaged, and the same in NEURON as by another way."""

import copy
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spiketype import reading
from spiketype.edge import UserError
from spiketype.simulator.neuron import mechanisms, membrane, netpyne
from spiketype.simulator.neuron.cells import BBP, CellModel, catalogue
from spiketype.simulator.neuron.child import Request
from tests import shared_data

ROOT = Path(__file__).parents[2]
NAME = "L5_LBC_cNAC187_1"
PASSIVE = {"pas": {"g": 3e-5, "e": -75.0}}
CELL: dict[str, Any] = {
    "conds": {"cellType": "L5_LBC"},
    "globals": {},
    "secLists": {"all": ["soma", "dend_0"]},
    "secs": {
        "axon_0": {
            "geom": {"L": 50.0, "diam": 1.0, "nseg": 1, "Ra": 100.0, "cm": 1.0},
            "mechs": PASSIVE,
            "topol": {"parentSec": "dend_0", "parentX": 1.0, "childX": 0.0},
        },
        "dend_0": {
            "geom": {"L": 9.0, "diam": 9.0, "nseg": 3, "Ra": 100, "cm": 2.0, "pt3d": [[0, 5, 0, 2.0], [0, 105, 0, 1]]},
            "mechs": {**PASSIVE, "Ih": {"gIhbar": [1e-5, 2e-5, 3e-5]}},
            "ions": {"k": {"e": -85.0, "i": 54.4, "o": 2.5}},
            "topol": {"parentSec": "soma", "parentX": 0.5, "childX": 0.0},
        },
        "soma": {
            "geom": {"nseg": 1, "Ra": 100.0, "cm": 1.0, "pt3d": [[0, -5, 0, 12.0], [0, 5, 0, 12.0]]},
            "mechs": {**PASSIVE, "SKv3_1": {"gSKv3_1bar": 0.1}, "KdShu2007": {"gkbar": 1e-3, "ek": -100.0}},
            "topol": {},
        },
    },
}


def changed(*path: str, to: object) -> bytes:
    """`CELL` with one value replaced, or dropped where it is None."""
    cell = copy.deepcopy(CELL)
    place = cell
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = to
    if to is None:
        del place[path[-1]]
    return json.dumps(cell).encode()


def write(folder: Path, name: str = NAME, content: bytes | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}{netpyne.ENDING}"
    path.write_bytes(json.dumps(CELL).encode() if content is None else content)
    return path


def test_a_cell_is_read_soma_first_and_parents_before_children() -> None:
    cell = netpyne.parse(json.dumps(CELL).encode(), "x")
    assert [section.name for section in cell.sections] == ["soma", "dend_0", "axon_0"]
    assert cell.mechanisms == ("Ih", "KdShu2007", "SKv3_1", "pas")
    _, first, stub = cell.sections
    assert (cell.sections[0].parent, first.parent, first.parent_x, first.child_x) == (None, "soma", 0.5, 0.0)
    assert first.length_um == 100.0  # of its points, not L
    assert first.mechanisms["Ih"]["gIhbar"] == (1e-5, 2e-5, 3e-5)
    assert first.mechanisms["pas"]["g"] == (3e-5,)
    assert first.ions == {"k": {"e": -85.0, "i": 54.4, "o": 2.5}}
    assert stub.points_um is None
    assert cell.excitatory is None
    assert not cell.has_full_axon


def test_models_have_the_portals_types(tmp_path: Path) -> None:
    write(tmp_path)
    write(tmp_path, "L6_TPC_L1_cADpyr231_2")
    one, other = catalogue([tmp_path])
    assert (one.m_type, one.e_type, one.layer, one.excitatory, one.axon) == ("LBC", "cNAC", "L5", False, "stub")
    assert (other.m_type, other.e_type, other.layer, other.excitatory) == ("TPC_L1", "cADpyr", "L6", True)
    assert (one.format, one.path, one.member) == ("netpyne", tmp_path / f"{NAME}{netpyne.ENDING}", "")
    assert catalogue([one.path]) == (one,)


def test_a_file_may_say_whether_its_cell_is_excitatory(tmp_path: Path) -> None:
    write(tmp_path, "L4_SS_RS1_1")
    with pytest.raises(
        UserError, match=r'L4_SS_RS1_1.* in "conds": say "excitatory": true or false.* e-type RS .*dNAC'
    ):
        catalogue([tmp_path])
    for said in (True, False):
        write(tmp_path, "L4_SS_RS1_1", changed("conds", to={"excitatory": said}))
        (model,) = catalogue([tmp_path])
        assert (model.excitatory, model.e_type) == (said, "RS")


@pytest.mark.parametrize(
    ("word", "told"),
    [("mechs", "sections without mechanisms, where others have some: dend_0"), ("ions", "no section gives ions")],
)
def test_sections_without_mechanisms_and_cells_without_ions_are_told(tmp_path: Path, word: str, told: str) -> None:
    write(tmp_path)
    write(tmp_path, "L5_LBC_cNAC187_2", changed("secs", "dend_0", word, to={}))
    with reading.recorded(silent=True) as found:
        catalogue([tmp_path])
    assert [f"_2_cellParams.json: {told}" in note for note in found.notes] == [True]


def test_an_axon_that_netpyne_files_do_not_have_is_refused(tmp_path: Path) -> None:
    write(tmp_path)
    assert catalogue([tmp_path], axon="stub") == catalogue([tmp_path])
    with pytest.raises(UserError, match=rf"--axon full changes .*\({NAME}\): leave out --axon"):
        catalogue([tmp_path], axon="full")
    axons = {model.name: model.axon for model in catalogue([BBP, tmp_path], axon="full")}
    assert axons.pop(NAME) == "stub"  # told by `axons_differ`
    assert set(axons.values()) == {"full"}


def test_what_macos_puts_beside_files_is_passed_over(tmp_path: Path) -> None:
    file = write(tmp_path)
    (tmp_path / f"._{file.name}").write_bytes(b"\0\5\x16\7")
    (tmp_path / "mod").mkdir()
    (tmp_path / "mod" / "._Ih.mod").write_bytes(b"\0\5\x16\7")
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        for path in (file, tmp_path / f"._{file.name}", tmp_path / "mod" / "._Ih.mod"):
            archive.write(path, str(path.relative_to(tmp_path)))
    for source in (tmp_path, tmp_path / "some.zip"):
        assert [model.name for model in catalogue([source])] == [NAME]
        assert not netpyne.mods(source)


def test_a_zip_archive_is_the_same(tmp_path: Path) -> None:
    file = write(tmp_path / "cells")
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        archive.write(file, f"deep/{file.name}")
        archive.writestr(f"__MACOSX/deep/._{file.name}", b"")
    (model,) = catalogue([tmp_path / "some.zip"])
    assert (model.path, model.member) == (tmp_path / "some.zip", f"deep/{file.name}")
    assert replace(model, path=file, member="") == catalogue([tmp_path / "cells"])[0]
    both = catalogue([tmp_path / "cells", tmp_path / "some.zip"])
    assert [m.name for m in both] == [NAME, f"some:{NAME}"]


def test_a_name_that_is_not_of_the_portal_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "mycell")
    with pytest.raises(UserError, match=r"mycell_cellParams\.json: name it LAYER_MTYPE_ETYPE_NUMBER, as in L5_BP"):
        catalogue([tmp_path])
    for name in ("L5_X~a_bAC217_1", "L4_p:SBC_bNAC219_1"):
        write(tmp_path / "odd", name)
        with pytest.raises(UserError, match=rf"{name}.*without ~ or :"):
            catalogue([tmp_path / "odd"], exclude=[] if "~" in name else ["*~*"])
    write(tmp_path)
    assert len(catalogue([tmp_path], exclude=["mycell"])) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "cannot be read as JSON"),
        (b"[" * 100_000, "cannot be read as JSON"),
        (b"\xff\xfe", "cannot be read as JSON"),
        (b"[]", "no cell of NetPyNE"),
        (changed("secs", to={}), "no cell of NetPyNE"),
        (changed("secs", "soma", to=None), "no section is called soma"),
        (changed("globals", to={"v_init": -70, "tau": 2}), r"sets globals \(tau\)"),
        (changed("secs", "dend_0", "topol", "parentSec", to="dend_9"), "dend_0: its parent dend_9 is not in"),
        (changed("secs", "dend_0", "topol", "parentSec", to="axon_0"), "section (dend|axon)_0: its parents lead back"),
        (changed("secs", "dend_0", "topol", "parentSec", to="dend_0"), "section dend_0: its parents lead back"),
        (changed("secs", "dend_0", "topol", to={}), "dend_0: it has no parent"),
        (changed("secs", "soma", "topol", to={"parentSec": "dend_0"}), "section soma: expected no parent"),
        (changed("secs", "dend_0", "topol", "childX", to=0.5), "dend_0: childX is 0.5"),
        (changed("secs", "dend_0", "topol", "parentX", to=-1), "dend_0: parentX is -1"),
        (changed("secs", "dend_0", "geom", "nseg", to=2), "dend_0: Ih.gIhbar has 3 values: expected one, or 2"),
        (changed("secs", "dend_0", "geom", "nseg", to=0), "dend_0: nseg is 0"),
        (changed("secs", "dend_0", "geom", "nseg", to=2.5), "dend_0: nseg is 2.5"),
        (changed("secs", "axon_0", "geom", "L", to=float("nan")), "axon_0: L is nan: expected a finite number"),
        (changed("secs", "axon_0", "geom", "L", to=10**400), "axon_0: L is 1000"),
        (changed("secs", "axon_0", "geom", "diam", to=0), "axon_0: diam is 0: it must be positive"),
        (changed("secs", "axon_0", "geom", "diam", to="thin"), "axon_0: diam is 'thin'"),
        (changed("secs", "axon_0", "geom", "cm", to=True), "axon_0: cm is True"),
        (changed("secs", "axon_0", "geom", "Ra", to=None), "axon_0: Ra is None"),
        (changed("secs", "axon_0", "mechs", "pas", to={"g": float("inf")}), "axon_0: pas.g is inf"),
        (changed("secs", "axon_0", "mechs", to={"a b": {}}), "axon_0: 'a b' is no name"),
        (changed("secs", "axon_0", "mechs", to=[]), r"axon_0: mechs is \[\]: expected an object"),
        (changed("secs", "axon_0", to=5), "axon_0: expected an object"),
        (changed("secs", "dend_0", "geom", "pt3d", to=[[0, 0, 0, 1]]), "dend_0: pt3d: expected at least two"),
        (changed("secs", "dend_0", "geom", "pt3d", to=[[0, 0, 0, 1], [0, 0]]), "dend_0: pt3d"),
        (changed("secs", "dend_0", "geom", "pt3d", to=[[0, 0, 0, 1], [0, 0, 0, 1]]), "dend_0: L is 0"),
        (changed("secs", "dend_0", "geom", "pt3d", to=[[0, 0, 0, 1], [0, float("nan"), 0, 1]]), "dend_0: pt3d"),
        (changed("secs", "dend_0", "geom", "pt3d", to=[[0, 0, 0, 1], [0, 9, 0, 0]]), "dend_0: pt3d: expected pos"),
        (changed("secs", "dend_0", "ions", "k", to={"e": "low"}), "dend_0: ion k.e is 'low'"),
        (changed("secs", "soma", "pointps", to={"x": {"mod": "Izhi2007b"}}), "soma: it has point processes"),
        (changed("secs", "soma", "geom", to={"L": 9, "diam": 9, "Ra": 1, "cm": 1}), r"soma: it has no points \(pt3d\)"),
        (changed("secs", "axon_0", "geom", "L", to=61.0), r"axon_0: it has no points \(pt3d\).*--exclude"),
        (changed("conds", to={"excitatory": "yes"}), '"excitatory" in "conds" is \'yes\': expected true or false'),
    ],
)
def test_damage_is_refused_with_file_and_section(tmp_path: Path, content: bytes, message: str) -> None:
    write(tmp_path, content=content)
    with pytest.raises(UserError, match=rf"{NAME}_cellParams\.json: .*{message}|{NAME}.*{message}"):
        catalogue([tmp_path])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.data())
def test_any_value_in_any_place_is_read_or_refused_in_a_sentence(data: st.DataObject) -> None:
    cell = copy.deepcopy(CELL)
    place: Any = cell
    while True:
        key = data.draw(st.sampled_from([*place])) if isinstance(place, dict) else data.draw(st.sampled_from([0, -1]))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(JSON)
    try:
        read = netpyne.parse(json.dumps(cell).encode(), "somewhere")
    except UserError:
        return
    for section in read.sections:
        numbers = [section.length_um, section.axial_ohm_cm, *section.diameter_um, *section.capacitance_uF_per_cm2]
        numbers += [
            value for parameters in section.mechanisms.values() for each in parameters.values() for value in each
        ]
        assert np.isfinite(numbers).all()
        assert section.points_um is None or np.isfinite(section.points_um).all()


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(UserError, match=r"^x(: | cannot be read as JSON)"):
        netpyne.parse(content, "x")


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cells.zip"
    for content in (b"", b"PK\x03\x04 and no more"):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"cells\.zip cannot be read as a zip archive"):
            catalogue([path])
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{NAME}{netpyne.ENDING}", json.dumps(CELL))
    damaged = bytearray(path.read_bytes())
    damaged[120:160] = bytes(40)
    path.write_bytes(damaged)
    with pytest.raises(UserError, match=rf"cells\.zip: {NAME}.* cannot be read"):
        catalogue([path])
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme", "")
    with pytest.raises(UserError, match="holds no cell model: expected NetPyNE files"):
        catalogue([path])
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"a/{NAME}{netpyne.ENDING}", json.dumps(CELL))
        archive.writestr(f"b/{NAME}{netpyne.ENDING}", json.dumps(CELL))
    with pytest.raises(UserError, match="two files in it"):
        catalogue([path])


# Mechanisms ----------------------------------------------------------------------------------------

OWN = """NEURON {
    SUFFIX SKv3_1
    NONSPECIFIC_CURRENT i
    RANGE gSKv3_1bar
}
PARAMETER { gSKv3_1bar = 1e-5 (S/cm2) }
ASSIGNED { v (mV) i (mA/cm2) }
BREAKPOINT { i = gSKv3_1bar * v }
"""


def test_mechanisms_come_from_the_collection_then_spiketype_then_mearec(tmp_path: Path) -> None:
    write(tmp_path)
    found = mechanisms.channels(catalogue([tmp_path]))
    assert list(found) == ["Ih.mod", "KdShu2007.mod", "SKv3_1.mod"]
    assert found["SKv3_1.mod"] == mechanisms.channels(catalogue())["SKv3_1.mod"]
    for folder in ("mod", "mechanisms"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "kv3.mod").write_text(OWN)
        (tmp_path / folder / "unused.mod").write_text(OWN.replace("SKv3_1", "other"))
        found = mechanisms.channels(catalogue([tmp_path]))
        assert list(found) == ["Ih.mod", "KdShu2007.mod", "kv3.mod"]
        assert found["kv3.mod"] == OWN
        (tmp_path / folder / "kv3.mod").unlink()
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        archive.write(tmp_path / f"{NAME}{netpyne.ENDING}", f"{NAME}{netpyne.ENDING}")
        archive.writestr("mod/kv3.mod", OWN)
    assert "kv3.mod" in mechanisms.channels(catalogue([tmp_path / "some.zip"]))


def test_a_mechanism_that_nobody_has_is_told(tmp_path: Path) -> None:
    write(tmp_path, content=changed("secs", "soma", "mechs", to={**PASSIVE, "Odd": {}, "Strange": {}}))
    (model,) = catalogue([tmp_path])
    assert mechanisms.missing(model) == ["Odd", "Strange"]
    assert mechanisms.missing(catalogue()[0]) == []


def test_sections_that_lack_ions_which_others_give_are_told(tmp_path: Path) -> None:
    write(tmp_path)  # the soma's SKv3_1 reads ek, which dend_0 gives
    given = changed("secs", "soma", "ions", to={"k": {"e": -85.0}})
    write(tmp_path, "L5_LBC_cNAC187_2", given)
    fast = {"soma": {"hh": {}}, "dend_0": {"NaTs2_t": {}}}
    for number, (section, mechanisms_there) in enumerate(fast.items(), 3):
        cell = json.loads(given)
        cell["secs"][section]["mechs"] |= mechanisms_there
        write(tmp_path, f"L5_LBC_cNAC187_{number}", json.dumps(cell).encode())
    found = [mechanisms.without_ions(model) for model in (*catalogue([tmp_path]), catalogue()[0])]
    assert found == [["soma"], [], ["soma"], ["dend_0"], []]
    with reading.recorded(silent=True) as told, pytest.MonkeyPatch.context() as patch:
        patch.setattr(membrane, "_fill", lambda *arguments: {})
        patch.setattr(membrane, "library", lambda models: Path())
        membrane.attempt(catalogue([tmp_path], ["*_[234]"]))
    assert ["_1: mechanisms of soma read potentials" in note for note in told.notes] == [True]


# In NEURON -----------------------------------------------------------------------------------------

INJECT = """
import json, sys
import numpy as np
from neuron import h
from spiketype.simulator.neuron import child
from spiketype.simulator.neuron.protocol import Protocol
protocol = Protocol(duration_ms=200.0)
cell = child.load(child.Request(**json.loads(sys.argv[1])), protocol)

def short(section):
    return section.name().rpartition(".")[2].replace("[", "_").replace("]", "").replace("soma_0", "soma")

def exported(section):
    geometry = {"L": section.L, "diam": section.diam, "nseg": section.nseg, "Ra": section.Ra, "cm": section.cm}
    if not short(section).startswith("axon"):  # NEURON has made theirs up
        points = [[f(i) for f in (section.x3d, section.y3d, section.z3d, section.diam3d)] for i in range(section.n3d())]
        geometry["pt3d"] = points
    mechanisms = {}
    ions = {}
    for segment in section:
        for mechanism in segment:
            name = mechanism.name()
            if name.endswith("_ion"):
                ion = name.removesuffix("_ion")
                names = {"e": f"e{ion}", "i": f"{ion}i", "o": f"{ion}o"}
                ions[ion] = {key: getattr(segment, attribute) for key, attribute in names.items()}
                continue
            standard = h.MechanismStandard(name, 1)
            full = h.ref("")
            for k in range(standard.count()):
                standard.name(full, k)
                parameter = full[0].removesuffix(f"_{name}")
                mechanisms.setdefault(name, {}).setdefault(parameter, []).append(getattr(mechanism, parameter))
    parent = section.trueparentseg()
    topology = {} if parent is None else {"parentSec": short(parent.sec), "parentX": parent.x, "childX": 0.0}
    return {"geom": geometry, "mechs": mechanisms, "ions": ions, "topol": topology}

sections = list(cell.allseclist)
if len(sys.argv) > 3:
    with open(sys.argv[3], "w") as file:
        json.dump({"globals": {}, "secs": {short(s): exported(s) for s in sections}}, file)
run = {"peak": [], "current": [], "soma": []}
for now, potential_mV, current_nA in child._advance(cell, 0.23, protocol):
    run["soma"].append(potential_mV)
    if now % 40 == 0:
        run["current"].append(current_nA.copy())
names = [f"{short(section)} {k}" for section in sections for k in range(section.nseg)]
np.savez(sys.argv[2], soma=run["soma"], current=run["current"], name=names, d=cell.d,
         xyz=np.stack([cell.x, cell.y, cell.z]))
"""


@pytest.fixture(scope="module")
def inject(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, np.ndarray]]:
    """Load a model in a process of its own, inject .23 nA, perhaps export it, and return what was seen by segment."""
    library = mechanisms.library(catalogue())
    folder = tmp_path_factory.mktemp("inject")

    def run(model: CellModel, export: Path | None = None) -> dict[str, np.ndarray]:
        request = Request(
            name=model.name,
            path=str(model.path),
            member=model.member,
            axon=model.axon,
            kinetics=None if model.kinetics is None else asdict(model.kinetics),
            library=str(library),
            protocol={},
            start_nA=0.0,
            out="",
            provenance={},
        )
        program = [sys.executable, "-c", INJECT, json.dumps(asdict(request)), str(folder / "x.npz")]
        program += [] if export is None else [str(export)]
        done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        with np.load(folder / "x.npz") as file:
            found = {name: file[name] for name in file.files}
        order = np.argsort(found["name"])
        by_segment = {"current": found["current"][:, order], "xyz": found["xyz"][:, order], "d": found["d"][order]}
        return found | by_segment | {"name": found["name"][order]}

    return run


@pytest.mark.slow
@pytest.mark.parametrize("name", ["L5_SBC_bNAC219_1", "L5_STPC_cADpyr232_1"])
def test_a_cell_is_the_same_from_a_portal_folder_and_from_netpyne(
    tmp_path: Path, inject: Callable[..., dict[str, np.ndarray]], name: str
) -> None:
    model = next(model for model in catalogue() if model.name == name)
    expected = inject(model, tmp_path / f"{name}{netpyne.ENDING}")
    (read,) = catalogue([tmp_path])
    assert set(read.mechanisms) > {"pas", "NaTa_t"}
    found = inject(read)
    assert found["name"].tolist() == expected["name"].tolist()
    np.testing.assert_allclose(found["xyz"], expected["xyz"], atol=1e-4)
    np.testing.assert_allclose(found["d"], expected["d"], rtol=1e-5)  # NEURON keeps points in single precision
    # Which is where the rest comes from: a billionth of a millivolt at rest, more on the flank of the tenth spike.
    step = 6400
    assert expected["soma"][step:].max() > (0 if model.m_type == "SBC" else -65)  # spikes, or at least a response
    np.testing.assert_allclose(found["soma"][:step], expected["soma"][:step], atol=1e-6)
    np.testing.assert_allclose(found["soma"], expected["soma"], atol=1e-3)
    np.testing.assert_allclose(found["current"], expected["current"], atol=1e-4 * np.abs(expected["current"]).max())


OWN_CHANNELS = """
import json, sys
from neuron import h
assert h.nrn_load_dll(sys.argv[1]) == 1
h.celsius, h.dt = 34, 0.025
section = h.Section()
section.cm = 1e12  # so large that currents do not move its potential
section.insert("KdShu2007")
section.insert("StochKv_deterministic")
section.ek = -85
segment = section(0.5)
segment.KdShu2007.gkbar, segment.KdShu2007.ek = 1e-3, -100
segment.StochKv_deterministic.gmax = 3e-5
found = []
for clamped in (-90, -67, -43, -40, -20, 10):
    h.finitialize(-80)
    segment.v = clamped
    for _ in range(400):
        h.fadvance()
    h.fcurrent()
    found.append([clamped, h.t, segment.KdShu2007.ik, segment.StochKv_deterministic.ik])
print(json.dumps(found))
"""


def shu(v: float, start: float, t_ms: float) -> float:
    """Current of the K-D channel (mA/cm2), from Shu et al., PNAS 2007."""
    m, h = ((lambda v: 1 - 1 / (1 + np.exp((v + 43) / 8))), (lambda v: 1 / (1 + np.exp((v + 67) / 7.3))))
    gates = [f(v) + (f(start) - f(v)) * np.exp(-t_ms / tau_ms) for f, tau_ms in ((m, 0.6), (h, 1500.0))]
    return float(1e-3 * gates[0] * gates[1] * (v + 100))


def stoch(v: float, start: float, t_ms: float) -> float:
    """Current of the slow potassium channel (mA/cm2), from its NeuroML form at 34 degrees."""

    def rates(v: float) -> tuple[float, float]:
        x = (v + 40) / 9
        return (0.18 * x / (1 - np.exp(-x)), 0.018 * -x / (1 - np.exp(x))) if x else (0.18, 0.018)

    q = 2.3 ** ((34 + 273.15 - 296.15) / 10)
    (a, b), (a0, b0) = rates(v), rates(start)
    n = a / (a + b) + (a0 / (a0 + b0) - a / (a + b)) * np.exp(-t_ms * (a + b) * q)
    return float(3e-5 * q * n * (v + 85))


@pytest.mark.slow
def test_spiketypes_own_channels_follow_their_equations() -> None:
    of_both = replace(catalogue()[0], format="netpyne", mechanisms=("KdShu2007", "StochKv_deterministic"))
    program = [sys.executable, "-c", OWN_CHANNELS, str(mechanisms.library([of_both]))]
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    for clamped, t_ms, kd, slow in json.loads(done.stdout.splitlines()[-1]):
        assert kd == pytest.approx(shu(clamped, -80, t_ms), rel=1e-6)
        assert slow == pytest.approx(stoch(clamped, -80, t_ms), rel=1e-6)


def test_the_models_in_the_shared_data() -> None:
    path = shared_data.path("cells", "s1_netpyne_cells.zip")
    names = netpyne.members(path)
    assert len(names) == 359
    assert sum("cAD" in name for name in names) == 35
    assert len({name.rpartition("_")[0] for name in names}) == 174
    models = catalogue([path], exclude=["L[2-6]*"])  # the others take a minute
    assert {model.e_type for model in models} == {"bNAC", "cIR", "cNAC", "cSTUT"}
    assert {model.axon for model in models} == {"stub"}
    assert not any(mechanisms.missing(model) for model in models)
    assert "StochKv_deterministic.mod" in mechanisms.channels(models)
