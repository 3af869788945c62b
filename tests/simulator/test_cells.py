import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from spiketype.edge import UserError
from spiketype.simulator.neuron import mechanisms, membrane, portal, variants
from spiketype.simulator.neuron.cells import BBP, axons_differ, catalogue, vary
from spiketype.simulator.neuron.portal import Axon
from spiketype.simulator.neuron.protocol import Protocol


def make_model(root: Path, name: str = "L23_PC_cADpyr229_3", layer: str = "L23", m_type: str = "PC") -> Path:
    folder = root / name
    for piece in (
        "template.hoc",
        "biophysics.hoc",
        "morphology.hoc",
        "mechanisms/Ih.mod",
        "morphology/cell.asc",
    ):
        (folder / piece).parent.mkdir(parents=True, exist_ok=True)
        (folder / piece).write_text("")
    info = {"layer": layer, "m-type": f"{layer}_{m_type}", "e-type": "L5PC"}
    (folder / "cellinfo.json").write_text(json.dumps(info))
    return folder


def test_the_default_models_are_thirteen_of_layer_five() -> None:
    models = catalogue()
    inhibitory = ["BP", "BTC", "ChC", "DBC", "LBC", "MC", "NBC", "NGC", "SBC"]
    assert [m.m_type for m in models] == [*inhibitory, "STPC", "TTPC1", "TTPC2", "UTPC"]
    assert [m.m_type for m in models if not m.excitatory] == inhibitory
    assert {m.layer for m in models} == {"L5"}
    assert {m.m_type: m.e_type for m in models} | {"BP": "bAC", "ChC": "cAC", "NGC": "bNAC"} == {
        m.m_type: m.e_type.removesuffix("int") for m in models
    }
    assert [m.name for m in models] == sorted(m.name for m in models)


def test_further_models_of_one_m_type_and_other_layers(tmp_path: Path) -> None:
    make_model(tmp_path, "L23_PC_cADpyr229_1")
    make_model(tmp_path, "L23_PC_cADpyr229_2")
    make_model(tmp_path, "L6_TPC_L1_cADpyr231_1", "L6", "TPC_L1")
    make_model(tmp_path, "L1_NGC-DA_bNAC219_1", "L1", "NGC-DA")
    (tmp_path / "__pycache__").mkdir()
    models = catalogue([BBP, tmp_path])
    assert len(models) == 17
    found = {m.name: (m.layer, m.m_type, m.e_type, m.excitatory) for m in models}
    assert found["L23_PC_cADpyr229_2"] == ("L23", "PC", "cADpyr", True)
    assert found["L6_TPC_L1_cADpyr231_1"] == ("L6", "TPC_L1", "cADpyr", True)
    assert found["L1_NGC-DA_bNAC219_1"] == ("L1", "NGC-DA", "bNAC", False)


@pytest.mark.parametrize("is_folder", [False, True])
@pytest.mark.parametrize("piece", ["template.hoc", "cellinfo.json", "mechanisms/Ih.mod", "morphology/cell.asc"])
def test_an_incomplete_folder_is_named_with_what_is_missing(tmp_path: Path, piece: str, is_folder: bool) -> None:
    folder = make_model(tmp_path)
    (folder / piece).unlink()
    if is_folder:  # where the file should be
        (folder / piece).mkdir()
    with pytest.raises(UserError, match=folder.name) as error:
        catalogue([tmp_path])
    assert piece.split("/")[0] in str(error.value)


def test_a_wrong_name_a_wrong_cellinfo_and_an_empty_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        catalogue([tmp_path / "absent"])
    with pytest.raises(UserError, match="holds no cell model"):
        catalogue([tmp_path])
    folder = make_model(tmp_path, "mycell")
    with pytest.raises(UserError, match=r"mycell.*L5_BP_bAC217_1"):
        catalogue([tmp_path])
    folder = folder.rename(tmp_path / "L5_BP_bAC217_7")
    for content in ("[]", "{", '{"layer": "L5"}'):
        (folder / "cellinfo.json").write_text(content)
        with pytest.raises(UserError, match=r"cellinfo\.json"):
            catalogue([tmp_path])


def test_a_name_that_a_second_collection_repeats_gets_its_stem(tmp_path: Path) -> None:
    make_model(tmp_path / "a")
    make_model(tmp_path / "b")
    make_model(tmp_path / "b", "L23_PC_cADpyr229_4")
    names = [model.name for model in catalogue([tmp_path / "a", tmp_path / "b"])]
    assert names == ["L23_PC_cADpyr229_3", "L23_PC_cADpyr229_4", "b:L23_PC_cADpyr229_3"]
    assert [model.name for model in catalogue([tmp_path / "b", tmp_path / "a"])][-1] == "a:L23_PC_cADpyr229_3"
    one, _, other = catalogue([tmp_path / "a", tmp_path / "b"])
    assert one.model_name == other.model_name == "L23_PC_cADpyr229_3"  # never on two sides of a split
    assert other.path == tmp_path / "b" / "L23_PC_cADpyr229_3"
    with pytest.raises(UserError, match="given before"):
        catalogue([tmp_path / "a", tmp_path / "b", tmp_path / "b"])


def test_models_are_left_out_by_name_and_by_pattern() -> None:
    pyramids = ["L5_STPC_cADpyr232_1", "L5_TTPC1_cADpyr232_1", "L5_TTPC2_cADpyr232_1", "L5_UTPC_cADpyr232_1"]
    left = [model.name for model in catalogue(exclude=["*_bAC*", "L5_[CNS]*", "L5_TTPC1_cADpyr232_1"])]
    assert left == pyramids[2:]
    with pytest.raises(UserError, match=r"--exclude L5_TTPC9 none: no cell model is called that.*L5_BP_bAC217_1"):
        catalogue(exclude=["L5_TTPC9", "L5_BP*", "none"])
    with pytest.raises(UserError, match="leaves no cell model"):
        catalogue(exclude=["*"])


def test_a_model_that_is_left_out_need_not_be_whole(tmp_path: Path) -> None:
    make_model(tmp_path)
    (make_model(tmp_path, "L1_DAC_bNAC219_1") / "cellinfo.json").unlink()
    assert len(catalogue([tmp_path], exclude=["L1_*"])) == 1


def test_an_unknown_e_type_must_be_said_to_be_excitatory_or_not(tmp_path: Path) -> None:
    cellinfo = make_model(tmp_path, "L4_SS_RS1_1", "L4", "SS") / "cellinfo.json"
    with pytest.raises(
        UserError, match=r'cellinfo\.json: say "excitatory": true or false.* e-type RS is .*cADpyr, bAC'
    ):
        catalogue([tmp_path])
    info = json.loads(cellinfo.read_text())
    for said in (True, False):
        cellinfo.write_text(json.dumps(info | {"excitatory": said}))
        assert [model.excitatory for model in catalogue([tmp_path])] == [said]
    cellinfo.write_text(json.dumps(info | {"excitatory": "yes"}))
    with pytest.raises(UserError, match=r"cellinfo\.json: \"excitatory\" is 'yes'"):
        catalogue([tmp_path])


def test_what_macos_puts_beside_files_is_passed_over(tmp_path: Path) -> None:
    folder = make_model(tmp_path)
    found = mechanisms.channels(catalogue([tmp_path])), membrane.cache_path(catalogue([tmp_path])[0], Protocol())
    for piece in ("mechanisms/Ih.mod", "morphology/cell.asc"):
        path = folder / piece
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7")
    (tmp_path / "._L1_DAC_bNAC219_1").mkdir()
    (model,) = catalogue([tmp_path])
    assert (mechanisms.channels([model]), membrane.cache_path(model, Protocol())) == found
    assert [path.name for path in portal.morphologies(folder)] == ["cell.asc"]
    (folder / "morphology" / "cell.asc").unlink()
    with pytest.raises(UserError, match=r"missing morphology/\*"):
        catalogue([tmp_path])


CALL, COMMENT = "proc biophys() {\n    {}replace_axon()\n}\nproc replace_axon(){\n}\n", "//"


@pytest.mark.parametrize(("given", "other"), [("stub", "full"), ("full", "stub")])
def test_the_axon_is_as_the_template_has_it_or_as_asked_for(tmp_path: Path, given: Axon, other: Axon) -> None:
    text = CALL.replace("{}", "" if given == "stub" else COMMENT)
    (make_model(tmp_path) / "template.hoc").write_text(text)
    assert [catalogue([tmp_path], axon=axon)[0].axon for axon in ("as-given", given, other)] == [given, given, other]
    assert portal.with_axon(text, given) == text
    changed = portal.with_axon(text, other)
    assert changed != text
    assert portal.axon(changed) == other
    assert portal.with_axon(changed, given) == text
    assert not axons_differ(catalogue([tmp_path]))
    (make_model(tmp_path, "L1_DAC_bNAC219_1") / "template.hoc").write_text(changed)
    assert re.match(r"1 models have stub axons \(L.*\), 1 full ones \(L", axons_differ(catalogue([tmp_path])))
    assert not axons_differ(catalogue([tmp_path], axon="stub"))


def test_a_template_without_the_call_keeps_its_axon(tmp_path: Path) -> None:
    make_model(tmp_path)
    assert catalogue([tmp_path])[0].axon == "full"
    with pytest.raises(UserError, match=r"template\.hoc: has no call of replace_axon\(\).*leave out --axon"):
        catalogue([tmp_path], axon="stub")


def test_all_default_models_have_stubs_and_can_have_full_axons() -> None:
    assert {model.axon for model in catalogue()} == {"stub"}
    assert {model.axon for model in catalogue(axon="full")} == {"full"}


def test_variants_are_models_of_their_own(tmp_path: Path) -> None:
    models = catalogue()
    varied = vary(models, 2, seed=7)
    assert len({model.name for model in varied}) == 2 * len(models)
    one = varied[1]
    assert (one.name, one.model_name, one.variant) == ("L5_BP_bAC217_1~2", "L5_BP_bAC217_1", 2)
    assert one.kinetics == variants.draw(7, "L5_BP_bAC217_1", 2)
    assert {model.variant for model in models} == {0}
    assert {model.kinetics for model in models} == {None}
    assert vary(models[:3], 1, seed=7) == tuple(m for m in varied if m.variant == 1)[:3]  # whatever else there is


def test_the_template_loads_nothing_and_knows_its_synapses() -> None:
    for model in catalogue():
        text = (model.path / "template.hoc").read_text()
        name, changed = portal.without_synapses(text)
        assert f"begintemplate {name}\n" in text
        assert "load_file" not in changed
        assert re.match(r"begintemplate (synapses_\w+)\nendtemplate \1\n", changed)


def test_the_parent_imports_neither_neuron_nor_lfpy_nor_mearec() -> None:
    program = (
        "import sys; from spiketype.simulator.neuron import cells, mechanisms, membrane\n"
        "m = cells.catalogue(); membrane.cache_path(m[0], membrane.Protocol()); mechanisms.channels(m)\n"
        "print({n.split('.')[0] for n in sys.modules} & {'neuron', 'LFPy', 'MEArec', 'lfpykit', 'jax'})"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
