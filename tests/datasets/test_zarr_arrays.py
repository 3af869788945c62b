"""Arrays of Zarr whose files would fill the memory."""

from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec, GzipCodec, ZstdCodec

from spiketype.datasets import zarr_arrays
from spiketype.edge import UserError

WORDS = np.array(["PV", "SST", "PV", "?"])


@pytest.mark.filterwarnings("ignore")  # of Zarr about types of text that its format 3 does not know yet
@pytest.mark.parametrize(
    ("format", "compressor", "again"),
    [
        (3, None, None),
        (3, ZstdCodec(), numcodecs.Zstd()),
        (3, GzipCodec(), numcodecs.GZip()),
        (3, BloscCodec(), numcodecs.Blosc()),
        (2, numcodecs.Zstd(), numcodecs.Zstd()),
        (2, None, None),
    ],
)
def test_more_words_than_a_chunk_can_have_are_refused(format: int, compressor: Any, again: Any, tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=format)  # type: ignore[arg-type]
    array = group.create_array("label", shape=4, chunks=4, dtype=str, compressors=compressor)
    array[:] = WORDS
    zarr_arrays.check(array, "label")
    (file,) = [path for path in (tmp_path / "a.zarr" / "label").rglob("*") if path.name == "0"]
    content = file.read_bytes()
    damaged = (2**31).to_bytes(4, "little") + bytes((again.decode(content) if again else content)[4:])
    file.write_bytes(bytes(again.encode(damaged)) if again else damaged)
    with pytest.raises(UserError, match="label says that a chunk of 4 has 2147483648 words: it is damaged"):
        zarr_arrays.check(array, "label")


@pytest.mark.filterwarnings("ignore")
def test_words_behind_another_codec_are_read(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    array = group.create_array("label", shape=4, chunks=4, dtype=str, compressors=[ZstdCodec(), Crc32cCodec()])
    array[:] = WORDS
    zarr_arrays.check(array, "label")
    assert list(array[:]) == list(WORDS)


@pytest.mark.filterwarnings("ignore")  # of Zarr about types of text that its format 3 does not know yet
@pytest.mark.parametrize("format", [2, 3])
@pytest.mark.parametrize("cname", ["lz4", "zstd", "blosclz"])
@pytest.mark.parametrize("shape", [(), (1,), (4, 5), (3, 40_000)])
def test_what_blosc_wrote_is_whole(tmp_path, format, cname, shape):
    codec = numcodecs.Blosc(cname) if format == 2 else BloscCodec(cname=cname)
    for values in (np.zeros(shape), np.random.default_rng(0).normal(size=shape), np.full(shape, "soma")):
        array = zarr.create_array(
            tmp_path / f"{values.dtype.kind}-{values.any()}", data=values, zarr_format=format, compressors=codec
        )
        (tmp_path / f"{values.dtype.kind}-{values.any()}" / ".DS_Store").write_bytes(b"of a Mac")
        zarr_arrays.check(array, "a")


@pytest.mark.parametrize("format", [2, 3])
def test_chunks_over_which_blosc_would_crash_are_refused(tmp_path, format):
    codec = numcodecs.Blosc("lz4") if format == 2 else BloscCodec(cname="lz4")
    array = zarr.create_array(tmp_path / "a", data=np.arange(1000.0), zarr_format=format, compressors=codec)
    file = tmp_path / "a" / ("0" if format == 2 else "c/0")
    whole = file.read_bytes()
    zarr_arrays.check(array, "a")
    for place, value in ((2, 2), (4, 255), (11, 255), (13, 255)):  # copied; bytes, block, bytes of the file
        file.write_bytes(whole[:place] + bytes([value]) + whole[place + 1 :])
        with pytest.raises(UserError, match="a has a chunk 0 that is not as Blosc wrote it: it is damaged"):
            zarr_arrays.check(array, "a")
    for content in (whole[:-1], whole[:9], b"", whole + b"x"):
        file.write_bytes(content)
        with pytest.raises(UserError, match="it is damaged"):
            zarr_arrays.check(array, "a")
