"""The README's rows of embedded clustering: python scripts/reproduce_dec.py --data FOLDER --out runs/dec.

Settings were chosen on the digits, whose labels were looked at for it; the recordings have the same settings unchanged.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import tyro
import xarray as xr
from sklearn.metrics import adjusted_rand_score

from spiketype.edge import Json, guard
from spiketype.train import runs
from spiketype.train.execute import once
from spiketype.train.judging.report import number, text_table
from spiketype.train.tasks.cluster.config import PLAIN, ClusterConfig
from spiketype.train.tasks.cluster.judge import CONSENSUS

MEASURES = ("accuracy_percent", "nmi", "ari")


def experiments(data: Path) -> dict[str, ClusterConfig]:
    """Return what is run, by name."""
    digits = ClusterConfig(data=Path("digits"), clusters=10, seeds=10)
    units = ClusterConfig(augment="time", rate_kHz=30.0)
    a1 = replace(units, data=data / "a1_lakunina2020.npz", label="label", clusters=3)
    return {
        "digits": replace(digits, augment="image"),
        "digits, DEC's loss, no augmentation": replace(digits, **(PLAIN | {"contrast": 1.0}), steps=700),
        "digits, plain DEC": replace(digits, **PLAIN),
        "A1": a1,
        "A1, intervals too": replace(a1, histograms=True),
        "A1, plain DEC": replace(a1, **PLAIN),
        "A1, shapes": replace(a1, inputs="shape", augment="none", rate_kHz=30.0),
        "CellExplorer, shapes": ClusterConfig(data=data / "cellexplorer_gt430.npz", clusters=3, inputs="shape"),
        "WaveMAP": replace(units, data=data / "wavemap_pmd625.npz", label="wavemap_cluster"),
    }


def main(data: Path, out: Path = Path("runs/dec"), only: tuple[str, ...] = ()) -> None:
    """Run each (those that are finished are not repeated) and print the table.

    Args:
        data: Folder of a1_lakunina2020.npz and wavemap_pmd625.npz.
        out: Folder of the runs.
        only: Names of the runs to make, by default all.
    """
    rows = []
    for name, config in experiments(data).items():
        if only and name not in only:
            continue
        folder = out / "".join(c if c.isalnum() else "-" for c in name)
        rows += _rows(name, once(config, folder))
        if name == "WaveMAP":
            print(f"WaveMAP: {_published(folder)}")
    print(text_table(["data", "method", "ACC (%)", "NMI", "ARI", "agreement of seeds"], rows))


def _rows(name: str, summary: Json) -> list[list[str]]:
    rows = []
    for method, row in summary["labelled"]["rows"].items():
        agree = summary["stability"].get(method)
        each = [number(row[m], 1 if m == MEASURES[0] else 3) for m in MEASURES]
        rows.append([name, method, *each, number(agree, 2) if agree else "-"])
    gain = number(summary["labelled"]["gain"]["accuracy_percent"])
    return [*rows, [name, "DEC less autoencoder + k-means", gain, "-", "-", "-"]]


def _published(folder: Path) -> str:
    """Say how well the consensus agrees with the published eight clusters, which are no ground truth."""
    found = xr.open_zarr(folder / runs.PREDICTIONS, consolidated=False)
    label = np.array(found["data_label"].to_numpy().tolist())
    cluster = np.asarray(found["probability"].isel(model=0).mean("repeat").argmax("class"))
    known = label != ""
    value = adjusted_rand_score(label[known], cluster[known])
    return f"{CONSENSUS} agrees with the published clusters to an ARI of {value:.2f}"


if __name__ == "__main__":
    with guard():
        tyro.cli(tyro.conf.configure(tyro.conf.OmitArgPrefixes)(main))
