"""--resume refuses a run whose data are no more what it began with: moved, relabelled or replaced, in every task."""

import itertools
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import eap_store
import numpy as np
import pandas as pd
import pytest

from spiketype.datasets import eap, store
from spiketype.datasets.options import EapFeatures
from spiketype.datasets.raphe import table as raphe_table
from spiketype.datasets.raphe.options import SpikeOptions
from spiketype.edge import UserError
from spiketype.simulator.raphe import generate as simulator
from spiketype.train import run, runs, tasks
from spiketype.train.config import TaskConfig
from spiketype.train.tasks.cluster.config import ClusterConfig
from spiketype.train.tasks.eap.config import EapTaskConfig
from spiketype.train.tasks.raphe.config import RapheTaskConfig
from spiketype.train.tasks.species import task as species
from spiketype.train.tasks.species.config import SpeciesConfig
from spiketype.train.tasks.subclass.config import SubclassConfig
from spiketype.train.tasks.unit import beginning
from spiketype.train.tasks.unit.config import UnitConfig
from spiketype.units import model as units_model
from tests.datasets import five_subclasses, two_species

Change = Callable[[Path], object]


def refused_after(config: TaskConfig, change: Change, tmp_path: Path) -> None:
    """The same data are taken; the changed ones are refused before anything is trained."""
    data, folder = config.data, tmp_path / "run"
    assert isinstance(data, Path)
    prepare = tasks.get(config.task).prepare
    runs.create(folder, config, prepare(config).identity)
    runs.check_same_data(folder, prepare(config).identity)
    change(data)
    with pytest.raises(UserError, match=f"{folder} began with other data, labels or --lists than there are now"):
        run.main(["--resume", str(folder)])


# ---- EAPs


def of_eaps(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Change:
    """Write an array of a store anew, and its checksums, as another store with the same placements has it."""

    def changed(path: Path) -> None:
        store.write_block(path, store.OnDisk(path, name).shape[0], 0, {name: change(store.read(path, name))})
        store.finish(path)

    return changed


def one_sample(x: np.ndarray) -> np.ndarray:
    x[7] *= 1.01
    return x


def one_cell(x: np.ndarray) -> np.ndarray:
    x[:20] += 0.1
    return x


def elsewhere(x: np.ndarray) -> np.ndarray:
    """At all contacts but the one of the largest amplitude, which is read in any case."""
    return np.where(x < x.max(axis=1, keepdims=True), 0.9 * x, x)


CHANGES = {"aw": ("width_ms", one_cell), "fw": ("fwhm_ms", one_cell), "waveform": ("eap_uV", one_sample)}


@pytest.mark.parametrize("features", CHANGES)
def test_eaps(features: EapFeatures, tmp_path: Path) -> None:
    config = EapTaskConfig(data=eap_store.write(tmp_path / "eap.zarr"), features=features, steps=2, network="s")
    refused_after(config, of_eaps(*CHANGES[features]), tmp_path)


def test_amplitudes_of_all_contacts_and_of_large_stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eap, "STORED_BYTES", 40_000)  # of 128,000
    monkeypatch.setattr(eap, "STORED", 10)
    data = eap_store.write(tmp_path / "eap.zarr")
    assert len(eap.Inputs(data, "aw", scaled=True).stored()["width_ms"]) == 40
    refused_after(EapTaskConfig(data=data, steps=2, network="s"), of_eaps("amplitude_uV", elsewhere), tmp_path)


# ---- raphe


@pytest.fixture(scope="module")
def them() -> list[raphe_table.LabelledCell]:
    """Return a cell of each class, of each of two days."""
    config = simulator.RapheConfig(seed=3, most_spikes=12)
    every = list(simulator.cells(config))
    days = sorted({cell.day for cell in every})[:2]
    chosen = [next(c for c in every if (c.day, c.serotonergic) == of) for of in itertools.product(days, (True, False))]
    return [simulator.simulate(config, cell) for cell in chosen]


def stored(path: Path, them: list[raphe_table.LabelledCell]) -> Path:
    shutil.rmtree(path, ignore_errors=True)
    return raphe_table.write(path, them, {"spikes": SpikeOptions().__dict__})


def swapped(them: list[raphe_table.LabelledCell]) -> list[raphe_table.LabelledCell]:
    """Spikes of the second and fourth cell have changed places: both have the same label, other days."""
    return [replace(cell, spikes=them[k].spikes) for cell, k in zip(them, (0, 3, 2, 1), strict=True)]


def relabelled(them: list[raphe_table.LabelledCell]) -> list[raphe_table.LabelledCell]:
    return [replace(cell, label=cell.label if k < 2 else 1 - cell.label) for k, cell in enumerate(them)]


def other_noise(them: list[raphe_table.LabelledCell]) -> list[raphe_table.LabelledCell]:
    return [replace(c, spikes=replace(c.spikes, noise_pA=c.spikes.noise_pA[::-1].copy())) for c in them]


@pytest.mark.parametrize("change", [swapped, relabelled, other_noise])
def test_raphe(
    change: Callable[..., list[raphe_table.LabelledCell]], them: list[raphe_table.LabelledCell], tmp_path: Path
) -> None:
    config = RapheTaskConfig(data=stored(tmp_path / "raphe.zarr", them), widths=(3,), steps=2, folds=2)
    refused_after(config, lambda path: stored(path, change(them)), tmp_path)


# ---- tables of cells


def in_table(name: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Change:
    def changed(folder: Path) -> None:
        change(pd.read_csv(folder / name)).to_csv(folder / name, index=False)

    return changed


def moved_values(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table in which one column, of small numbers (s), has its values in other rows."""
    return table.assign(width=table["width"].to_numpy()[::-1])


def other_class(column: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def changed(table: pd.DataFrame) -> pd.DataFrame:
        values = table[column].to_numpy(copy=True)
        values[[0, -1]] = values[[-1, 0]]
        return table.assign(**{column: values})

    return changed


def without_a_value(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(width=table["width"].where(table.index != table["width"].first_valid_index()))


def reordered(table: pd.DataFrame) -> pd.DataFrame:
    return table.iloc[::-1]


CHANGED = {
    "moved values": moved_values,
    "another class": other_class("dendrite_type"),
    "a value is gone": without_a_value,
    "another order": reordered,
}


@pytest.mark.parametrize("name", CHANGED)
def test_species(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(species, "support_vectors", lambda *arguments: ([], []))  # they take seconds
    folder = two_species.folder(tmp_path / "data")
    config = SpeciesConfig(data=folder, seeds=1, steps=2, methods=("plain",), hidden=(4,))
    refused_after(config, in_table("mouse_ephys_data.csv", CHANGED[name]), tmp_path)


def other_donors(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(donor__id=np.roll(table["donor__id"].to_numpy(), 1))


@pytest.mark.parametrize("name", [*CHANGED, "other donors"])
def test_subclass(name: str, tmp_path: Path) -> None:
    folder = five_subclasses.folder(tmp_path / "data")
    file, change = "mouse_ephys_data.csv", CHANGED.get(name, other_donors)
    if name == "another class":
        change = other_class("transgenic_line")
    elif name == "other donors":
        file = "cell_types_specimen_details.csv"
    config = SubclassConfig(data=folder, seeds=1, steps=2, folds=2, repeats=1)
    refused_after(config, in_table(file, change), tmp_path)


# ---- units


def units(path: Path) -> None:
    """Write forty units of two classes, with histograms, whose values are far smaller than those of waveforms."""
    rng = np.random.default_rng(0)
    label, time = np.arange(40) % 2, np.arange(40)
    peak = np.where(label, 30, 20)[:, None] + rng.normal(size=(40, 1))
    x = -100 * np.exp(-(((time - 12) / 2) ** 2)) + 30 * np.exp(-(((time - peak) / 4) ** 2))
    isi = rng.dirichlet(np.ones(20), 40)
    x += rng.normal(size=x.shape)
    np.savez(path, waveform=x, isi=isi, label=np.array(["EXC", "INH"])[label], animal=np.arange(40) // 10, rate_kHz=30)


def in_units(name: str) -> Change:
    """Return what puts one column of the units in another order of rows."""

    def changed(path: Path) -> None:
        arrays = dict(np.load(path))
        arrays[name] = np.roll(arrays[name], 2 if name != "label" else 1, axis=0)
        np.savez(path, **arrays)

    return changed


def one_is_replaced(path: Path) -> None:
    """One unit of a few is replaced, beside another whose amplitude is an artefact's."""
    arrays = dict(np.load(path))
    arrays["waveform"][7] = np.roll(arrays["waveform"][7], 1)
    np.savez(path, **arrays)


def with_artefact(path: Path) -> Path:
    units(path)
    arrays = dict(np.load(path))
    arrays["waveform"][3] *= 1e4
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("change", [in_units("waveform"), in_units("isi"), in_units("label"), one_is_replaced])
def test_unit(change: Change, tmp_path: Path) -> None:
    data = with_artefact(tmp_path / "units.npz")
    refused_after(UnitConfig(data=data, seeds=1, width=8, steps=2, folds=2, histograms=True), change, tmp_path)


def test_a_model_that_a_run_begins_with(tmp_path: Path) -> None:
    data, init = tmp_path / "units.npz", tmp_path / "init"
    units(data)
    shutil.copytree(units_model.WEIGHTS, init)

    def other_weights(path: Path) -> None:
        with np.load(init / "units-v1.npz") as found:
            arrays = {name: found[name] for name in found.files}
        np.savez(init / "units-v1.npz", **arrays | {"width_bias": arrays["width_bias"] + 0.1})
        beginning.load.cache_clear()  # as another process would find it

    config = UnitConfig(data=data, seeds=1, width=8, steps=2, folds=2, init=str(init))
    refused_after(config, other_weights, tmp_path)


@pytest.mark.parametrize("change", [in_units("waveform"), in_units("isi"), in_units("label")])
def test_cluster(change: Change, tmp_path: Path) -> None:
    units(tmp_path / "units.npz")
    config = ClusterConfig(
        data=tmp_path / "units.npz", seeds=1, hidden=(4,), code=2, steps=10, label="label", histograms=True
    )
    refused_after(config, change, tmp_path)
