"""URLs where a path is expected: every command says so in one sentence, though a Path has lost one of their slashes."""

import sys
from pathlib import Path

import pytest

from spiketype import __main__ as spiketype
from spiketype.datasets.raphe import sources
from spiketype.datasets.waveforms import hc3
from spiketype.edge import URLS, UserError, absent, guard

URL = "s3://bucket/a folder/x.zarr"


@pytest.mark.parametrize("url", [URL, "https://host.org:8000/x.zarr", "gs://bucket/x", "S3://bucket/x"])
def test_what_is_left_of_a_url(url, tmp_path):
    scheme, _, rest = url.partition("://")
    for path in (Path(url), tmp_path / Path(url)):  # also when it was made absolute
        assert absent(path) == f"{scheme.lower()}://{rest}: {URLS}"
    assert absent(Path("file:///data/x.npz")) == "file:///data/x.npz: give the path without file://"


@pytest.mark.parametrize("path", ["x.zarr", "/data/s3/x.zarr", "data:/x", "C:/data/x", "a/s3x:/b", "my-s3:/b"])
def test_a_path_is_no_url(path):
    assert absent(Path(path)) == f"{Path(path)} does not exist"


@pytest.mark.parametrize(
    "command",
    [
        ["train", "--task", "unit", "--data", URL],
        ["train", "--task", "raphe", "--store", URL],
        ["predict", URL, "--data", "x.npz"],
        ["evaluate", URL, "--data", "x.npz"],
        ["raphe", "noisy", URL, "--out", "x.zarr"],
        ["raphe", "extract", URL, "--out", "x.zarr"],
        ["allen", "count", "--data", URL],
    ],
)
def test_commands(command, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["spiketype", *command])
    with pytest.raises(SystemExit) as stopped:
        spiketype.main()
    said = "".join(capsys.readouterr())
    assert stopped.value.code == 2
    assert said.count(URLS) == 1
    assert not [p for p in tmp_path.iterdir() if p.name != "runs"]


@pytest.mark.parametrize("error", [UserError, OSError])
def test_other_messages_stay_as_they_are(error, capsys):
    for message in ("a/b.zarr is damaged", f"{URL} cannot be reached", "see https://host.org/x", "ratio:/x"):
        with pytest.raises(SystemExit), guard():
            raise error(message)
        assert URLS not in capsys.readouterr().err


def test_readers():
    with pytest.raises(UserError, match=URLS):
        hc3.load(Path("s3://bucket/s.xml"), None)
    _, left_out = sources.find([Path("s3://bucket/s.abf"), Path("absent.abf")])
    assert left_out == [("s3:/bucket/s.abf", f"s3://bucket/s.abf: {URLS}"), ("absent.abf", "does not exist")]
