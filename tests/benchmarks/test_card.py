"""What is said of a benchmark to people (the card) and to programs (Croissant metadata)."""

import itertools
import json
import shutil
from pathlib import Path

import pytest

from spiketype.datasets.benchmarks import card, croissant, folder, specification
from spiketype.datasets.benchmarks.croissant import File
from spiketype.edge import json_bytes
from tests.benchmarks import tiny
from tests.benchmarks.test_made import bench


@pytest.mark.parametrize("name", specification.names())
def test_every_benchmark_has_a_card(name: str) -> None:
    found = specification.load(name)
    text = card.card(found)
    for each in (found.title, found.licence, *found.flaws, *found.questions, *found.generator.options):
        assert each in text
    for source in found.source:
        assert source.sha256 in text
    for question in found.questions.values():
        redrawn = "samples" if question.split.optimistic else f"`{question.group}`"
        assert f"intervals redraw {redrawn}." in card._question("q", question, None)
        assert ("**optimistic**" in card.why(question.split)) == question.split.optimistic
        assert all(each in text for each in (*question.baselines, *question.classes, question.metric))
    assert "None" not in text


@pytest.mark.usefixtures("tiny_alone")
def test_the_card_of_one_that_was_made_counts_its_samples(made: Path, tmp_path: Path, capsys) -> None:
    text = (made / folder.CARD).read_text()
    assert "| part | samples | BP | DBC | STPC | TTPC1 |" in text
    assert "| train | 60 | 15 | 15 | 15 | 15 |" in text
    assert "| tested in fold 1 | 40 | 20 | 20 |" in text
    assert "| test | 40 |" in text  # of positions there are no classes
    assert bench(capsys, "card", tiny.NAME, "--made", made) == (0, text, "")
    assert bench(capsys, "card", tiny.NAME, "--out", tmp_path / "c.md")[0] == 0
    assert "| train |" not in (tmp_path / "c.md").read_text()  # none is in the cache
    status, _, err = bench(capsys, "card", tiny.NAME, "--made", tmp_path)
    assert status == 2
    assert f"{tmp_path} holds no benchmark: run spiketype bench make tiny" in err


@pytest.mark.usefixtures("tiny_alone")
def test_the_metadata_say_what_the_folder_has(made: Path) -> None:
    found = json.loads((made / folder.CROISSANT).read_text())
    files = json.loads((made / folder.MANIFEST).read_text())["files"]
    table, data = found["distribution"]
    assert {folder.CARD, folder.CROISSANT} < set(files)
    assert table["sha256"] == files[folder.SAMPLES]
    assert table["contentSize"] == f"{(made / folder.SAMPLES).stat().st_size} B"
    assert data["@type"] == "cr:FileSet"
    assert data["includes"] == "data.zarr/**"
    assert any(name.startswith("rai:") for name in found)
    read = folder.read(made, tiny.NAME)
    again = croissant.metadata(*read, File(table["sha256"], (made / folder.SAMPLES).stat().st_size))
    assert json_bytes(again) == (made / folder.CROISSANT).read_bytes()


@pytest.fixture
def tiny_read(made: Path, tiny_alone: None) -> folder.Made:
    return folder.read(made, tiny.NAME)


# rdflib, with which mlcroissant reads JSON-LD, warns of itself.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_croissant_validates_and_reads_the_records(made: Path, tmp_path: Path, tiny_read: folder.Made) -> None:
    mlcroissant = pytest.importorskip("mlcroissant", reason="mlcroissant is not installed")
    place = tmp_path / "copy"
    shutil.copytree(made, place, ignore=shutil.ignore_patterns("data.zarr"))
    dataset = mlcroissant.Dataset(place / folder.CROISSANT)
    assert not dataset.metadata.ctx.issues.errors
    assert {each.partition("]")[2].strip() for each in dataset.metadata.ctx.issues.warnings} <= {
        'Property "https://schema.org/datePublished" is recommended, but does not exist.'  # the bytes have no date
    }
    assert dataset.metadata.data_use_cases
    assert dataset.metadata.personal_sensitive_information
    samples = tiny_read.samples
    for k, record in enumerate(itertools.islice(dataset.records("samples"), 5)):
        assert set(record) == {f"samples/{name}" for name in samples}
        assert record["samples/id"].decode() == samples["id"][k]
        assert record["samples/sample"] == k
        assert record["samples/x_um"] == pytest.approx(samples["x_um"][k])
