"""A benchmark that is packed, deposited and downloaded: from a server on this machine that breaks off and lies."""

import contextlib
import hashlib
import re
import shutil
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from spiketype.bench import archive
from spiketype.bench import get as downloading
from spiketype.datasets import store
from spiketype.datasets.benchmarks import deposit, folder, specification
from spiketype.edge import UserError
from tests.benchmarks import tiny
from tests.benchmarks.test_made import bench

pytestmark = pytest.mark.usefixtures("tiny_alone")
ZIP = "tiny-v1.zip"


class Server(ThreadingHTTPServer):
    """Files of a folder; a connection may break after some bytes of a zip, and ranges may be unknown."""

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.root = root
        self.breaks: list[int] = []  # after how many bytes each of the next answers ends
        self.ranges = True
        self.endless = False  # a zip is followed by more, and no end
        self.asked: list[str] = []  # for which ranges

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        path = self.server.root / self.path.lstrip("/")
        if not path.is_file():
            self.send_error(404)
            return
        content, wanted = path.read_bytes(), self.headers.get("Range", "")
        if path.suffix == ".zip":
            self.server.asked.append(wanted)
        begin = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.server.ranges else 0
        if begin and begin >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if begin else 200)
        endless = self.server.endless and path.suffix == ".zip"
        self.send_header("Content-Length", str(10**15 if endless else len(content) - begin))
        self.end_headers()
        size = self.server.breaks.pop(0) if self.server.breaks and path.suffix == ".zip" else len(content)
        self.wfile.write(content[begin : begin + size])
        with contextlib.suppress(ConnectionError):
            while endless and size == len(content):
                self.wfile.write(b"x" * 10_000)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A mirror with the tiny benchmark."""
    root = tmp_path / "mirror"
    root.mkdir()
    archive.pack(made, "tiny-v1", root / ZIP)
    serving = Server(root)
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    monkeypatch.setenv(downloading.MIRROR, serving.url + "/")
    monkeypatch.setattr(downloading.time, "sleep", lambda _: None)
    monkeypatch.setattr(downloading, "CHUNK", 100)
    yield serving
    serving.shutdown()
    serving.server_close()


def test_the_zip_is_the_same_wherever_it_is_written(made: Path, tmp_path: Path, capsys) -> None:
    copy = shutil.copytree(made, tmp_path / "copy", copy_function=shutil.copyfile)  # other times, other modes
    first = archive.pack(made, "tiny-v1", tmp_path / "a.zip").read_bytes()
    status, out, _ = bench(capsys, "zip", tiny.NAME, "--made", copy)
    assert (status, out) == (0, f"{tmp_path / ZIP}\n{tmp_path / ZIP}.sha256\n")
    assert (tmp_path / ZIP).read_bytes() == first
    digest, size = hashlib.sha256(first).hexdigest(), len(first)
    assert (tmp_path / f"{ZIP}.sha256").read_text() == f"{digest}  {ZIP}\n# bytes: {size}\n"
    archive.unpack(tmp_path / ZIP, "tiny-v1", tmp_path / "again")
    assert tiny.content(tmp_path / "again") == tiny.content(made)
    (copy / "notes.txt").write_text("mine")
    assert "notes.txt is new" in bench(capsys, "zip", tiny.NAME, "--made", copy)[2]


def test_what_was_deposited_is_downloaded_and_verified(made: Path, server: Server, tmp_path: Path, capsys) -> None:
    place = tmp_path / "here" / "tiny"
    assert bench(capsys, "get", tiny.NAME, "--out", place)[:2] == (0, f"{place}\n")
    assert tiny.content(place) == tiny.content(made)
    assert [path.name for path in place.parent.iterdir()] == ["tiny"]  # nothing is left beside it
    server.shutdown()
    status, _, err = bench(capsys, "get", tiny.NAME, "--out", place)
    assert status == 0
    assert "is there and whole" in err
    (place / folder.MANIFEST).unlink()
    assert "is no whole benchmark: delete it" in bench(capsys, "get", tiny.NAME, "--out", place)[2]


def test_a_zip_of_the_users_is_left_alone(made: Path, server: Server, tmp_path: Path, monkeypatch, capsys) -> None:
    """Of the same name, beside the folder; which is the present one, and empty."""
    (tmp_path / ZIP).write_text("mine")
    (tmp_path / "tiny").mkdir()
    monkeypatch.chdir(tmp_path / "tiny")
    assert bench(capsys, "get", tiny.NAME, "--out", ".")[:2] == (0, f"{tmp_path / 'tiny'}\n")
    assert tiny.content(Path()) == tiny.content(made)
    assert (tmp_path / ZIP).read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_that_breaks_off_goes_on(made: Path, server: Server, tmp_path: Path, capsys, ranges: bool) -> None:
    server.breaks, server.ranges = [1000, 500], ranges
    place = tmp_path / "tiny"
    assert bench(capsys, "get", tiny.NAME, "--out", place)[0] == 0
    assert tiny.content(place) == tiny.content(made)
    assert server.asked == ["", "bytes=1000-", "bytes=1500-" if ranges else "bytes=500-"]


def test_a_download_that_is_given_up_goes_on_with_the_next_command(server, made, tmp_path, capsys) -> None:
    server.breaks = [1000] + [0] * (downloading.ATTEMPTS - 1)
    place = tmp_path / "tiny"
    status, _, err = bench(capsys, "get", tiny.NAME, "--out", place)
    assert status == 2
    assert re.search(r"/tiny-v1.zip cannot be downloaded \(.*\): repeat the command, which goes on from there", err)
    assert not place.exists()
    assert bench(capsys, "get", tiny.NAME, "--out", place)[0] == 0
    assert server.asked[-1] == "bytes=1000-"
    assert tiny.content(place) == tiny.content(made)


def test_what_is_not_what_was_deposited_is_refused(server: Server, made: Path, tmp_path: Path, capsys) -> None:
    path, place = server.root / ZIP, tmp_path / "tiny"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"x")
    status, _, err = bench(capsys, "get", tiny.NAME, "--out", place)
    assert status == 2
    assert f"{server.url}/{ZIP} is not what was deposited (its SHA-256 differs from" in err
    assert [each.name for each in tmp_path.iterdir() if "tiny" in each.name] == []
    path.write_bytes(content)
    assert bench(capsys, "get", tiny.NAME, "--out", place)[0] == 0
    path.unlink()
    assert "404" in bench(capsys, "get", tiny.NAME, "--out", tmp_path / "other")[2]


@pytest.mark.parametrize("ranges", [True, False])
def test_more_than_was_deposited_is_not_downloaded(server: Server, tmp_path: Path, capsys, ranges: bool) -> None:
    """Not even where it comes in parts, and where what is there already is too long."""
    content, place = (server.root / ZIP).read_bytes(), tmp_path / "tiny"
    server.breaks, server.ranges, server.endless = [1000], ranges, True
    status, _, err = bench(capsys, "get", tiny.NAME, "--out", place)
    assert status == 2
    assert f"{ZIP} is larger than the {len(content)} bytes that were deposited: nothing is kept" in err
    assert [each.name for each in tmp_path.iterdir() if "tiny" in each.name] == []
    server.endless = False
    (tmp_path / f".{ZIP}").write_bytes(content + b"x" * 1000)
    assert bench(capsys, "get", tiny.NAME, "--out", place)[0] == 0
    (server.root / f"{ZIP}.sha256").write_text(f"{hashlib.sha256(content).hexdigest()}  {ZIP}\n")
    told = bench(capsys, "get", tiny.NAME, "--out", tmp_path / "other")[2]
    assert f"{ZIP}.sha256 does not say '# bytes: NUMBER', the size of the zip" in told


def test_the_deposit_says_url_and_checksum(server: Server, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(deposit, "FILE", tmp_path / "deposits.toml")
    content = (server.root / ZIP).read_bytes()
    for digest, expected in ((hashlib.sha256(content).hexdigest(), 0), ("0" * 64, 2)):
        text = f'[tiny-v1]\nurl = "{server.url}/{ZIP}"\nsha256 = "{digest}"\nbytes = {len(content)}\n'
        (tmp_path / "deposits.toml").write_text(text)
        assert bench(capsys, "get", tiny.NAME, "--out", tmp_path / "m")[0] == expected  # the mirror is compared with it
        monkeypatch.delenv(downloading.MIRROR)
        assert bench(capsys, "get", tiny.NAME, "--out", tmp_path / "d")[0] == expected
        monkeypatch.setenv(downloading.MIRROR, server.url)
        shutil.rmtree(tmp_path / "m", ignore_errors=True)
        shutil.rmtree(tmp_path / "d", ignore_errors=True)
    (tmp_path / "deposits.toml").write_text(
        '[tiny-v1]\nurl = "ftp://x/y.zip"\nsha256 = "' + "0" * 64 + '"\nbytes = 1\n'
    )
    assert "ftp://x/y.zip is neither https://" in bench(capsys, "get", tiny.NAME, "--out", tmp_path / "d")[2]


def test_a_doi_names_a_file_of_a_repository(made: Path, server: Server, tmp_path: Path, monkeypatch, capsys) -> None:
    """The resolver itself is pooch's, which asks doi.org; here it is one that knows the server on this machine."""

    class Repository:
        def __init__(self, doi: str) -> None:
            assert doi == "10.5281/zenodo.7"

        def download_url(self, file: str) -> str:
            return f"{server.url}/{file}"

    content = (server.root / ZIP).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    text = f'[tiny-v1]\nurl = "doi:10.5281/zenodo.7/{ZIP}"\nsha256 = "{digest}"\nbytes = {len(content)}\n'
    (tmp_path / "deposits.toml").write_text(text)
    monkeypatch.setattr(deposit, "FILE", tmp_path / "deposits.toml")
    monkeypatch.setattr(downloading, "doi_to_repository", Repository)
    monkeypatch.delenv(downloading.MIRROR)
    assert bench(capsys, "get", tiny.NAME, "--out", tmp_path / "d")[0] == 0
    assert tiny.content(tmp_path / "d") == tiny.content(made)


def test_one_that_is_deposited_nowhere_says_so(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.delenv(downloading.MIRROR, raising=False)
    status, _, err = bench(capsys, "get", tiny.NAME, "--out", tmp_path / "d")
    assert status == 2
    assert err == (
        "error: tiny, version 1, is not deposited anywhere yet: make it with spiketype bench make tiny, or set"
        " SPIKETYPE_BENCHMARKS to the URL of a mirror\n"
    )


def test_the_file_of_deposits_is_of_benchmarks_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(specification, "FOLDER", Path(specification.__file__).with_name("specifications"))
    for name in specification.names():
        deposit.find(specification.load(name))


HOSTILE = {
    "../tiny-v1/a": "which is no file in tiny-v1/",
    "tiny-v1/../../a": "which is no file in tiny-v1/",
    "/tiny-v1/a": "which is no file in tiny-v1/",
    "tiny-v1/a\\..\\..\\b": "which is no file in tiny-v1/",
    "tiny-v1/a/": "which is no file in tiny-v1/",
    "other/a": "which is no file in tiny-v1/",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_member_that_would_lie_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as written:
        written.writestr("tiny-v1/fine", "x")
        written.writestr(name, "" if name.endswith("/") else "x")
    with pytest.raises(UserError, match=HOSTILE[name]):
        archive.unpack(tmp_path / "z.zip", "tiny-v1", tmp_path / "to")
    assert not (tmp_path / "to").exists()


def test_what_is_no_plain_file_or_claims_too_much_is_refused(tmp_path: Path, monkeypatch) -> None:
    path, target = tmp_path / "z.zip", tmp_path / "to"

    def refused(expected: str) -> None:
        with pytest.raises(UserError, match=expected):
            archive.unpack(path, "t", target)
        assert not target.exists()

    link = zipfile.ZipInfo("t/link")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(path, "w") as written:
        written.writestr(link, "/etc/passwd")
    refused("which is no file in t/")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as written:
        written.writestr("t/bomb", b"\0" * 10**6)
    refused("compressed, benchmarks are stored")
    with zipfile.ZipFile(path, "w") as written:
        written.writestr("t/a", "x")
        with pytest.warns(UserWarning, match="Duplicate"):
            written.writestr("t/a", "y")
    refused("holds a file twice")
    with zipfile.ZipFile(path, "w") as written:
        written.writestr("t/a", b"x" * 10**6)
    monkeypatch.setattr(archive, "MOST_OBJECTS", 0)
    refused("holds 1 files, at most 0")
    path.write_bytes(b"PK no zip")
    refused("cannot be read as a zip archive")


def test_the_papers_benchmark_has_few_files(made: Path) -> None:
    """13,000 samples are in 130 blocks; tiny has the same arrays in few blocks, a file each at most."""
    files = [name for name in tiny.content(made) if name.startswith(f"{folder.DATA}/")]
    of_blocks = [name for name in files if "/c/" in name]
    blocks = len(store.done(made / folder.DATA))
    most = -(-len(of_blocks) // blocks) * 130 + len(files) - len(of_blocks)
    assert 1000 < most <= archive.MOST_OBJECTS
