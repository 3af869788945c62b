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
