"""Train the model that `spiketype units` ships: python scripts/train_units.py --data DIR.

Writes models/weights/units-v1.npz and .json (the model card), the same bytes on every run of one machine. DIR holds the
labelled sets: a1_lakunina2020.npz and cellexplorer_gt430.npz (docs/results/real-units.md says where they come from).
Simulated units are of the 13 layer-5 models that MEArec brings.
"""

from pathlib import Path

import numpy as np
import tyro
from sklearn.metrics import roc_auc_score

from spiketype.datasets import waveforms
from spiketype.datasets.store import cached
from spiketype.edge import Json, guard
from spiketype.simulator.eap.config import EapConfig
from spiketype.simulator.eap.generate import generate
from spiketype.units import model, training
from spiketype.units.training import Labelled

SETS = {"A1 (Lakunina et al. 2020)": "a1_lakunina2020.npz", "CellExplorer ground truth": "cellexplorer_gt430.npz"}
STORE = EapConfig(per_cell=80, waveform_kHz=32.0, threshold_uV=40.0, probe="neuropixels1")
LICENCES = {
    "A1 (Lakunina et al. 2020)": "as in EricKenjiLee/PhysMAP_Manuscript",
    "CellExplorer ground truth": "as in petersenpeter/CellExplorer",
    "cell models": "Neocortical Microcircuit portal, in MEArec: CC BY-NC-SA 4.0",
}


def main(data: Path, out: Path = model.WEIGHTS) -> None:
    """Train, and print how each laboratory is called by a model that has not seen it.

    Args:
        data: Folder of the labelled sets.
        out: Folder of the weights.
    """
    sets = load(data)
    store = generate(STORE, cached("eap", "units", STORE))
    found = training.build(sets, store, {})
    held_out = training.leave_one_out(sets, training.simulated(store))
    lines = [_judged(each, held_out[each.name]) for each in sets]
    print("\n".join(lines))
    found.card.update(_card(sets, "; ".join(lines)))
    found.save(out)
    print(out / f"{model.NAME}.npz")


def load(data: Path) -> list[Labelled]:
    """Read the labelled sets of a folder."""
    return [training.labelled(name, waveforms.load(data / file, rate_kHz=30.0)) for name, file in SETS.items()]


def _judged(each: Labelled, logit: np.ndarray) -> str:
    y = each.excitatory
    balanced = (np.mean(logit[y] > 0) + np.mean(logit[~y] <= 0)) / 2
    auc = roc_auc_score(y, logit)
    return f"{each.name}: {y.sum()} excitatory, {(~y).sum()} inhibitory units, AUC {auc:.3f}, balanced {balanced:.3f}"


def _card(sets: list[Labelled], held_out: str) -> Json:
    return {
        "name": model.NAME,
        "says": "excitatory or inhibitory, of cortical and hippocampal units of rodents",
        "trained_on": "simulated units of the 13 cell models of layer 5 (2 to 3 times faster, through random recording"
        " chains), and labelled units of " + " and ".join(each.name for each in sets),
        "held_out": held_out,
        "not_tested_on": "other species than mouse and rat, other regions than auditory cortex, visual cortex and"
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
