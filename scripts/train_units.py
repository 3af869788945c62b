"""Train the model that `spiketype units` ships: python scripts/train_units.py --data DIR.

Writes models/weights/units-v1.npz and .json (the model card), the same bytes on every run of one machine. DIR holds the
labelled sets: a1_lakunina2020.npz and cellexplorer_gt430.npz (docs/results/real-units.md says where they come from).
Simulated units are of the 13 layer-5 models that MEArec brings.
"""

from pathlib import Path
from typing import Literal

import numpy as np
import tyro
from sklearn.metrics import roc_auc_score

from spiketype.datasets import waveforms
from spiketype.datasets.waveforms import WaveformTable
from spiketype.datasets.waveforms.divide import labelled_fingerprint
from spiketype.edge import Json, guard
from spiketype.simulator.eap.config import EapConfig
from spiketype.simulator.eap.generate import cached
from spiketype.units import model, training
from spiketype.units.training import Labelled

SETS = {"A1 (Lakunina et al. 2020)": "a1_lakunina2020.npz", "CellExplorer ground truth": "cellexplorer_gt430.npz"}
STORE = EapConfig(per_cell=80, waveform_kHz=32.0, threshold_uV=40.0, probe="neuropixels1")
# Species and regions of the labelled sets, by the words that files have for them.
ORIGIN = ("mouse", "mice", "mus musculus", "house mouse", "a1", "aud", "auditory cortex", "primary auditory cortex")
ORIGIN += ("visp", "visl", "visal", "visam", "visrl", "v1", "visual cortex", "primary visual cortex")
ORIGIN += ("ca1", "ca3", "dg", "hip", "hpc", "hippocampus", "hippocampal formation", "sub", "pros", "subiculum")
LICENCES = {
    "A1 (Lakunina et al. 2020)": "as in EricKenjiLee/PhysMAP_Manuscript",
    "CellExplorer ground truth": "as in petersenpeter/CellExplorer",
    "cell models": "Neocortical Microcircuit portal, in MEArec: CC BY-NC-SA 4.0",
}


def main(data: Path, out: Path = model.WEIGHTS, without: Literal["a1", "cellexplorer"] | None = None) -> None:
    """Train, and print how each laboratory is called by a model that has not seen it.

    Args:
        data: Folder of the labelled sets.
        out: Folder of the weights.
        without: A set to leave out, so that another program can be judged on it; what is left calibrates the model on
            simulated units' word of it.
    """
    tables = {name: table for name, table in read(data).items() if without is None or not _is(name, without)}
    sets = [training.labelled(name, table) for name, table in tables.items()]
    store = cached(STORE, "units")
    found = training.build(sets, store, {})
    held_out = training.leave_one_out(sets, training.simulated(store))
    lines = [_judged(each, held_out[each.name]) for each in sets]
    print("\n".join(lines))
    found.card.update(_card(sets, "; ".join(lines)))
    found.card["fingerprints"] = [labelled_fingerprint(table) for table in tables.values()]
    found.save(out)
    print(out / f"{model.NAME}.npz")


def read(data: Path) -> dict[str, WaveformTable]:
    """Read the tables of a folder."""
    return {name: waveforms.load(data / file, rate_kHz=30.0) for name, file in SETS.items()}


def load(data: Path) -> list[Labelled]:
    """Read the labelled sets of a folder."""
    return [training.labelled(name, table) for name, table in read(data).items()]


def _is(name: str, short: str) -> bool:
    return name.lower().startswith(short)


def _judged(each: Labelled, logit: np.ndarray) -> str:
    y = each.excitatory
    balanced = (np.mean(logit[y] > 0) + np.mean(logit[~y] <= 0)) / 2
    auc = roc_auc_score(y, logit)
    return f"{each.name}: {y.sum()} excitatory, {(~y).sum()} inhibitory units, AUC {auc:.3f}, balanced {balanced:.3f}"


def _card(sets: list[Labelled], held_out: str) -> Json:
    return {
        "name": model.NAME,
        "says": "excitatory or inhibitory",
        "regions": "auditory cortex, visual cortex and hippocampus of mice",
        "origin": list(ORIGIN),
        "trained_on": "simulated units of the 13 cell models of layer 5 (2 to 3 times faster, through random recording"
        " chains), and labelled units of " + " and ".join(each.name for each in sets),
        "held_out": held_out,
        "not_tested_on": "other species than mice, other regions than auditory cortex, visual cortex and"
        " hippocampus, juxtacellular recordings, probes with contacts wider apart than a unit reaches",
        "why_no_finer_types": "fast-spiking against other inhibitory units has an AUC of .61 to .77 from one laboratory"
        " to another (scripts/reproduce_real_units.py)",
        "licences": LICENCES,
        "command": "python scripts/train_units.py --data DIR",
        "trough_to_peak_ms": {
            each.name: {
                name: np.round(each.shape.trough_to_peak_ms[each.excitatory == (k == 0)], 2).tolist()
                for k, name in enumerate(model.CLASSES)
            }
            for each in sets
        },
    }


if __name__ == "__main__":
    with guard():
        tyro.cli(main)
