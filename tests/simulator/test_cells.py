import json
import subprocess
import sys
from pathlib import Path

import pytest

from spiketype.edge import UserError
from spiketype.simulator.neuron.cells import BBP, catalogue


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


@pytest.mark.parametrize("piece", ["template.hoc", "cellinfo.json", "mechanisms/Ih.mod", "morphology/cell.asc"])
def test_an_incomplete_folder_is_named_with_what_is_missing(tmp_path: Path, piece: str) -> None:
    folder = make_model(tmp_path)
    (folder / piece).unlink()
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


def test_two_models_of_one_name_are_both_named(tmp_path: Path) -> None:
    make_model(tmp_path / "a")
    make_model(tmp_path / "b")
    with pytest.raises(UserError, match=r"L23_PC_cADpyr229_3: .*a.*b"):
        catalogue([tmp_path / "a", tmp_path / "b"])


def test_the_parent_imports_neither_neuron_nor_lfpy_nor_mearec() -> None:
    program = (
        "import sys; from spiketype.simulator.neuron import cells, mechanisms, membrane\n"
        "m = cells.catalogue(); membrane.cache_path(m[0], membrane.Protocol()); mechanisms.channels(m)\n"
        "print({n.split('.')[0] for n in sys.modules} & {'neuron', 'LFPy', 'MEArec', 'lfpykit', 'jax'})"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
