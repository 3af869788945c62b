"""Cells of the Allen Cell Types Database as feature tables: what was measured, what the cells are, whose they are.

The tables are those of Ophir, Shefi and Lindenbaum (2024): 41 features of whole-cell recordings of 1424 mouse and 299
human cells, ``mouse_ephys_data.csv`` and ``human_ephys_data.csv``, beside the database's own
``cell_types_specimen_details.csv``, which knows the donors. Cite the Allen Institute for Brain Science.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pandas as pd

from datasets.edge import UserError, cache_dir

CLASSES = ("Glutamatergic", "Htr3a+|Vip-", "Pvalb+", "Sst+", "Vip+")
SPECIES = ("mouse", "human")
_NOISE = (
    "threshold_v threshold_i peak_v peak_i trough_v trough_i upstroke upstroke_v downstroke downstroke_v fast_trough_v "
    "fast_trough_i width upstroke_downstroke_ratio"
)
_DATABASE = (
    "f_i_curve_slope fast_trough_v_long_square fast_trough_v_ramp fast_trough_v_short_square input_resistance_mohm "
    "latency peak_v_long_square peak_v_ramp peak_v_short_square ri sag seal_gohm tau threshold_i_long_square "
    "threshold_i_ramp threshold_i_short_square threshold_v_long_square threshold_v_ramp threshold_v_short_square "
    "trough_v_long_square trough_v_ramp trough_v_short_square upstroke_downstroke_ratio_long_square "
    "upstroke_downstroke_ratio_ramp upstroke_downstroke_ratio_short_square vm_for_sag vrest"
)
FEATURES_27 = tuple(_DATABASE.split())
FEATURES_41 = (*_NOISE.split(), *FEATURES_27)  # the first 14 are means over the spikes of a noise sweep
DONORS, IDS = "cell_types_specimen_details.csv", ("specimen_id", "file_name", "specimen__id")
EPHYS = "ephys_features.csv"
SAMPLE_TIMES_S = (
    "latency",
    *(f"{each}_t_long_square" for each in ("threshold", "peak", "trough", "fast_trough", "slow_trough")),
)
RATES_KHZ = (50.0, 200.0)  # of the two recording eras, slow first
FACTOR = 300.0  # a median that far from the known one, while the other cells agree, is a wrong unit


@dataclass(frozen=True)
class AllenTable:
    """Cells, mouse before human, in the order of the files.

    x (cell, feature) float64 in the units of the database, NaN where not measured; subclass (cell,) counts into
    `CLASSES`, -1 unknown; spiny (cell,) 1 spiny (excitatory), 0 aspiny (inhibitory); species (cell,) counts into
    `SPECIES`; donor (cell,) counts into donor_names; specimen_id (cell,). line and layer (cell,) count into line_names
    (transgenic lines) and layer_names (cortical layers), -1 unknown, as the line of human cells is; rate_kHz (cell,)
    float64 sampling rate of the recording, 50 or 200, NaN unknown: see `sampling_rates`.
    """

    x: np.ndarray
    subclass: np.ndarray
    spiny: np.ndarray
    species: np.ndarray
    donor: np.ndarray
    specimen_id: np.ndarray
    line: np.ndarray
    layer: np.ndarray
    rate_kHz: np.ndarray
    donor_names: tuple[str, ...]
    line_names: tuple[str, ...]
    layer_names: tuple[str, ...]
    feature_names: tuple[str, ...]
    source: Path

    def take(self, rows: np.ndarray) -> "AllenTable":
        """The cells of rows (indices or mask)."""
        arrays = {f.name: getattr(self, f.name)[rows] for f in fields(self) if f.type is np.ndarray}
        return replace(self, **arrays)


def find(folder: Path | None) -> Path:
    """The folder of the tables: the one given, else ``$SPIKETYPE_DATA/allen``, else ``allen`` in the cache.

    Raises:
        UserError: it does not exist.
    """
    root = os.environ.get("SPIKETYPE_DATA")
    found = folder or (Path(root) if root else cache_dir()) / "allen"
    if not found.is_dir():
        raise UserError(f"{found} is no folder: give --data FOLDER with mouse_ephys_data.csv and {DONORS}")
    return found


def load(folder: Path) -> AllenTable:
    """The cells of all species whose table is in the folder.

    Raises:
        UserError: no table; columns that are missing, repeated or not numbers; cells that occur twice; unknown classes
            or donors. The message names the file.
    """
    frames = []
    for number, species in enumerate(SPECIES):
        path = folder / f"{species}_ephys_data.csv"
        if path.exists():
            frames.append(_species(path, number))
    if not frames:
        raise UserError(f"{folder} has neither {' nor '.join(f'{s}_ephys_data.csv' for s in SPECIES)}")
    whole = pd.concat(frames, ignore_index=True)
    ids = whole["id"].to_numpy(np.int64)
    known = _details(folder / DONORS, ids)
    donor, donor_names = _count(known["donor__id"])
    line, line_names = _count(known["line_name"])
    layer, layer_names = _count(known["structure__layer"])
    return AllenTable(
        x=whole[list(FEATURES_41)].to_numpy(np.float64),
        subclass=whole["subclass"].to_numpy(np.int32),
        spiny=whole["spiny"].to_numpy(np.int32),
        species=whole["species"].to_numpy(np.int32),
        donor=donor,
        specimen_id=ids,
        line=line,
        layer=layer,
        rate_kHz=sampling_rates(folder / EPHYS, ids),
        donor_names=donor_names,
        line_names=line_names,
        layer_names=layer_names,
        feature_names=FEATURES_41,
        source=folder,
    )


def _species(path: Path, species: int) -> pd.DataFrame:
    x, ids, missing = read_features(path, FEATURES_41)
    if missing:
        raise UserError(f"{path} has no column {missing[0]}: it is no table of the 41 features")
    raw = _read(path)
    frame = pd.DataFrame(x, columns=list(FEATURES_41))
    frame["id"] = [_number(path, name) for name in ids]
    frame["species"] = species
    if "dendrite_type" not in raw:
        raise UserError(f"{path} has no column dendrite_type")
    kinds = raw["dendrite_type"].map({"spiny": 1, "aspiny": 0})
    if kinds.isna().any():
        row = int(np.argmax(kinds.isna()))
        raise UserError(f"{path}, row {row + 2}: dendrite_type is {raw['dendrite_type'][row]!r}, not spiny or aspiny")
    frame["spiny"] = kinds
    frame["subclass"] = -1
    if "transgenic_line" in raw:
        codes = raw["transgenic_line"].map({name: k for k, name in enumerate(CLASSES)})
        if codes.isna().any():
            row = int(np.argmax(codes.isna()))
            wrong = raw["transgenic_line"][row]
            raise UserError(f"{path}, row {row + 2}: class {wrong!r} is unknown, not one of {', '.join(CLASSES)}")
        frame["subclass"] = codes
    return frame


def _number(path: Path, name: str) -> int:
    try:
        return int(name.split("_")[0])
    except ValueError:
        raise UserError(f"{path}: {name!r} is no specimen (a number, perhaps with _SWEEP behind it)") from None


def _details(path: Path, specimen_id: np.ndarray) -> pd.DataFrame:
    """What the database says of each cell, as text: donor__id, and line_name and structure__layer where it has them."""
    if not path.exists():
        raise UserError(f"{path} is missing: it names the donors, by which cells are held out")
    table = _read(path)
    for name in ("specimen__id", "donor__id"):
        if name not in table:
            raise UserError(f"{path} has no column {name}: take the file of the Allen Cell Types Database")
    if (twice := table["specimen__id"].duplicated()).any():
        raise UserError(f"{path}: cell {table['specimen__id'][twice].iloc[0]} occurs twice")
    known = table.set_index("specimen__id").reindex(columns=["donor__id", "line_name", "structure__layer"])
    unknown = [int(each) for each in specimen_id if each not in known.index]
    if unknown:
        raise UserError(f"{path} does not know {len(unknown)} cells, the first is {unknown[0]}")
    return known.loc[specimen_id]


def _count(values: pd.Series) -> tuple[np.ndarray, tuple[str, ...]]:
    """Counts (cell,) into the sorted names, -1 where there is none, and the names."""
    codes, names = pd.factorize(values.where(values.isna(), values.astype(str)), sort=True)
    return codes.astype(np.int32), tuple(map(str, names))


def sampling_rates(path: Path, specimen_id: np.ndarray) -> np.ndarray:
    """Sampling rate of each recording (cell,) in kHz, NaN unknown, from the times in the database's ephys_features.csv.

    Times in the response to a long square are times of samples of one sweep, 20 us apart where the amplifier ran at 50
    kHz and 5 us where it ran at 200 kHz; by chance about one in a thousand of the latter has all its times on the
    coarse grid. The rates so found are those in the recordings of all 1811 cells whose recordings were read.

    Raises:
        UserError: the file is there and is no such table.
    """
    if not path.exists():
        return np.full(len(specimen_id), np.nan)
    table = _read(path)
    if "specimen_id" not in table:
        raise UserError(f"{path} has no column specimen_id: take the file of the Allen Cell Types Database")
    if not set(SAMPLE_TIMES_S) & set(table):
        return np.full(len(specimen_id), np.nan)
    times_ms = np.stack([1e3 * _column(path, name, table[name]) for name in SAMPLE_TIMES_S if name in table])
    measured, rate = np.isfinite(times_ms), np.full(len(table), np.nan)
    for rate_kHz in sorted(RATES_KHZ, reverse=True):  # every sample at 50 kHz is one at 200 kHz, too
        sample = times_ms * rate_kHz
        on = np.abs(sample - np.round(sample)) < 0.02
        rate[(on | ~measured).all(axis=0) & measured.any(axis=0)] = rate_kHz
    found = pd.Series(rate, index=table["specimen_id"])
    return found[~found.index.duplicated()].reindex(specimen_id).to_numpy()


def read_features(path: Path, feature_names: Sequence[str]) -> tuple[np.ndarray, list[str], tuple[str, ...]]:
    """Cells of any table: features (cell, feature), NaN where missing, names of the cells, columns that are missing.

    Columns may be in any order, and others may be there. Cells are named by one of `IDS`, else by their row.

    Raises:
        UserError: no table; none of the features; a value that is no number; a cell or a column that occurs twice.
    """
    table = _read(path)
    if repeated := sorted({str(c) for c in table.columns[table.columns.duplicated()]}):
        raise UserError(f"{path} has the column {repeated[0]} twice")
    missing = tuple(name for name in feature_names if name not in table)
    if len(missing) == len(feature_names) or not len(table):
        raise UserError(f"{path} has no cell with one of the features {', '.join(feature_names[:3])}, ...")
    x = np.full((len(table), len(feature_names)), np.nan)
    for k, name in enumerate(feature_names):
        if name in table:
            x[:, k] = _column(path, name, table[name])
    column = next((name for name in IDS if name in table), None)
    ids = [str(v) for v in table[column]] if column else [str(row + 1) for row in range(len(table))]
    if len(set(ids)) < len(ids):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise UserError(f"{path}: cell {twice} occurs twice in column {column}")
    return x, ids, missing


def _column(path: Path, name: str, values: pd.Series) -> np.ndarray:
    numbers = pd.to_numeric(values, errors="coerce")
    wrong = (numbers.isna() & values.notna()) | np.isinf(numbers)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise UserError(f"{path}, row {row + 2}, column {name}: {values[row]!r} is no number; leave unknown ones empty")
    return numbers.to_numpy(np.float64)


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except (ValueError, UnicodeDecodeError, pd.errors.ParserError) as error:
        raise UserError(f"{path} is no table of comma-separated values: {error}") from error


def check_units(path: Path, x: np.ndarray, usual: np.ndarray, feature_names: Sequence[str]) -> None:
    """Refuse columns of x (cell, feature) whose unit differs from that of usual medians (feature,).

    Raises:
        UserError: names the column and the two medians.
    """
    for k, name in enumerate(feature_names):
        if not np.isfinite(x[:, k]).any() or abs(usual[k]) < 1e-12:
            continue
        middle = float(np.nanmedian(x[:, k]))
        ratio = abs(middle / usual[k])
        if middle != 0 and not 1 / FACTOR < ratio < FACTOR:
            raise UserError(f"{path}, column {name}: median {middle:.3g} where {usual[k]:.3g} is usual: another unit?")
