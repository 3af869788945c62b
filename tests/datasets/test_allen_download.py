"""The download: allensdk against a small database on this machine, interrupted, without a network, and from a cache."""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from spiketype.datasets.allen import download
from spiketype.datasets.allen import table as allen
from spiketype.datasets.allen.__main__ import download_command, noise_command
from spiketype.datasets.allen.features import FEATURES_14, FEATURES_27
from spiketype.edge import UserError
from tests.datasets import allen_nwb, allen_synthetic

pytest.importorskip("allensdk", reason="needs allensdk: uv sync --extra allen")


class Database(BaseHTTPRequestHandler):
    """Answers as the database's interface does, for `allen_synthetic`; counts what it is asked for."""

    asked: list[str]
    recording: bytes
    broken: set[str]

    def do_GET(self):
        kind = next(
            (k for k in ("ApiCellTypesSpecimenDetail", "EphysFeature", "Specimen", "file") if k in self.path), ""
        )
        self.asked.append(kind)
        if kind in self.broken:
            self.send_error(500)
            return
        if kind == "file":
            body = self.recording
        else:
            cells = allen_synthetic.details() if kind == "ApiCellTypesSpecimenDetail" else allen_synthetic.features()
            rows = json.loads(cells.to_json(orient="records"))
            if kind == "Specimen":
                rows = [{"ephys_result": {"well_known_files": [{"download_link": "/file"}]}}]
            body = json.dumps({"success": True, "msg": rows, "num_rows": len(rows), "total_rows": len(rows)}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def database(monkeypatch, tmp_path):
    from allensdk.api.api import Api

    allen_nwb.write(tmp_path / "a.nwb", {4: ("Noise 1", [50 + 40 * k for k in range(12)])})
    Database.asked, Database.broken, Database.recording = [], set(), (tmp_path / "a.nwb").read_bytes()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Database)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setattr(Api, "default_api_url", f"http://127.0.0.1:{server.server_port}")
    yield Database
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_downloaded_folder_gives_27_features_and_with_recordings_41(database, tmp_path, capsys):
    folder = tmp_path / "cells"
    download_command(folder)
    table = allen.load(folder, features=27)
    assert len(table.x) == len(allen_synthetic.CLASSES)
    assert [table.class_names[k] for k in table.subclass if k >= 0] == [c for c in allen_synthetic.CLASSES if c]
    assert (table.species == 1).sum() == 2
    download_command(folder, recordings=True)
    assert database.asked.count("ApiCellTypesSpecimenDetail") == database.asked.count("EphysFeature") == 1
    assert f"{len(table.x)} recordings" in capsys.readouterr().out
    noise_command(folder)
    whole = allen.load(folder)
    assert whole.feature_names == (*FEATURES_14, *FEATURES_27)
    np.testing.assert_array_equal(whole.specimen_id, table.specimen_id)
    np.testing.assert_array_equal(whole.x[:, 14:], table.x)
    assert np.isfinite(whole.x[:, :14]).all()


def test_what_is_interrupted_is_not_taken_for_whole_and_the_rest_is_kept(database, tmp_path, monkeypatch):
    from allensdk.api.api import Api

    download.tables(tmp_path / "cells")
    real, count = Api.retrieve_file_over_http, []

    def stops(self, url, path, **how):
        count.append(path)
        if len(count) == 3:
            Path(path).write_text("half")
            raise KeyboardInterrupt
        return real(self, url, path, **how)

    ids = [int(each) for each in allen.load(tmp_path / "cells", features=27).specimen_id]
    monkeypatch.setattr(Api, "retrieve_file_over_http", stops)
    with pytest.raises(KeyboardInterrupt):
        download.recordings(tmp_path / "cells", ids)
    assert len(list((tmp_path / "cells").rglob("*.nwb"))) == 2
    assert not list((tmp_path / "cells").rglob("*.partial"))
    assert download.recordings(tmp_path / "cells", ids) == (len(ids), [])
    assert len(count) == len(ids) + 1  # the two were not fetched again


def test_a_recording_that_the_database_lacks_is_named_and_stops_nothing(database, tmp_path):
    ids = [int(each) for each in allen_synthetic.details()["specimen__id"]]
    database.broken.add("file")
    found, left_out = download.recordings(tmp_path / "cells", ids[:2])
    assert found == 0
    assert [specimen for specimen, _ in left_out] == [str(each) for each in ids[:2]]


def test_no_network_and_a_failing_database_are_named(tmp_path, database, monkeypatch):
    from allensdk.api.api import Api

    database.broken.add("EphysFeature")
    with pytest.raises(UserError, match=r"the database gave no table for .*ephys_features\.csv.*500"):
        download.tables(tmp_path / "cells")
    assert not (tmp_path / "cells" / "ephys_features.csv").exists()
    monkeypatch.setattr(Api, "default_api_url", "http://127.0.0.1:9")
    with pytest.raises(
        UserError, match=r"no network for .*ephys_features\.csv.*connect and repeat the command"
    ) as error:
        download.tables(tmp_path / "cells")
    assert "take cell_types_specimen_details.csv and ephys_features.csv from elsewhere" in str(error.value)


def test_a_missing_allensdk_is_named(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "allensdk"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "allensdk", None)
    with pytest.raises(UserError, match=r"needs allensdk .*: in a clone uv sync --extra allen; elsewhere"):
        download.tables(tmp_path)


def test_a_damaged_cache_is_named(tmp_path, database):
    download.tables(tmp_path)
    (tmp_path / "cells.json").write_text('[{"specimen__id": 1,')
    with pytest.raises(
        UserError, match=r"cells\.json (cannot be read as JSON|is not a list of cells).* remove it and repeat"
    ):
        allen.load(tmp_path, features=27)
    with pytest.raises(
        UserError, match=r"cells\.json (cannot be read as JSON|is not a list of cells).* remove it and repeat"
    ):
        download.tables(tmp_path)
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(UserError, match=r"manifest\.json is not usable .* remove it and repeat"):
        download.tables(tmp_path)
