"""The samples of a benchmark as one table: their names, labels, groups, and which part of each question they are in.

It is kept as Parquet, which pandas, R and DuckDB read; what reads it here is loaded when there is something to read.
"""

from pathlib import Path
from typing import TypeAlias

import numpy as np
from jaxtyping import Shaped

from spiketype.damage import readable
from spiketype.edge import UserError, whole_file

Samples: TypeAlias = dict[str, np.ndarray]  # columns (sample,) by name: words or numbers


def write(path: Path, samples: Samples) -> None:
    """Write the table, whole or not at all; the same table gives the same bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        name: pa.array(values.tolist(), pa.string()) if values.dtype.kind in "UTO" else pa.array(values)
        for name, values in samples.items()
    }
    with whole_file(path) as partial:
        pq.write_table(pa.table(columns), partial)


def read(path: Path, remedy: str) -> Samples:
    """Read the table.

    Raises:
        UserError: there is none, or it is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with readable(path, "the samples of a benchmark", remedy):
        table = pq.read_table(path)
        return {
            field.name: np.array(table[field.name].to_pylist(), str)
            if pa.types.is_string(field.type)
            else table[field.name].to_numpy()
            for field in table.schema
        }


def words_of(samples: Samples, name: str, where: str) -> Shaped[np.ndarray, " sample"]:
    """Return a column.

    Raises:
        UserError: the samples have no such column.
    """
    if name not in samples:
        raise UserError(f"{where}: samples have no column {name!r}, they have {', '.join(samples)}")
    return samples[name]
