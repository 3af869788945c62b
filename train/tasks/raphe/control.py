"""The noise-only control: can the class be named from windows without a spike? Then days betray it."""

from itertools import combinations_with_replacement

import numpy as np
from jaxtyping import Float, Int
from threadpoolctl import threadpool_limits

from spiketype.datasets.raphe.shape import spectrum
from spiketype.datasets.raphe.table import RapheTable
from spiketype.edge import Json

LEAST_WINDOWS = 5
DAY_PARTS, CELL_PARTS = 24, 12  # a fit for each two of them
RIDGE = 100.0
DEALT, SUSPICIOUS_P = 999, 0.01


def noise_control(table: RapheTable, cells: Int[np.ndarray, " cell"], seed: int) -> Json:
    """Name the class from spike-free windows alone: at chance unless days betray classes.

    Ridge regression on the logarithm of the mean power spectrum of a cell's windows. ``auc`` with days left out,
    ``chance`` the middle 95 % of what it is when the labels are dealt anew to the cells, ``p`` how often that reaches
    it, and ``suspicious`` where that is hardly ever. ``known_days``: the same with cells left out whose day's others
    are known, which shows that days have noise of their own and classes days of their own, though no new day may be
    named by it.
    """
    count = np.bincount(table.noise_cell, minlength=len(table.cell_names))
    cells = cells[count[cells] >= LEAST_WINDOWS]
    label, day = table.cell_label[cells], table.cell_day[cells]
    days, place = np.unique(day, return_inverse=True)
    if any(len(np.unique(day[label == k])) < 3 for k in (0, 1)):
        nothing = {"auc": None, "chance": None, "p": None, "suspicious": False}
        return {**nothing, "cells": len(cells), "known_days": nothing}
    x = np.log(np.stack([spectrum(table.noise_pA[table.noise_cell == c]) for c in cells]))
    rng = np.random.default_rng(seed)
    dealt = np.stack([label, *(rng.permutation(label) for _ in range(DEALT))])
    by_day = (rng.permutation(len(days)) % DAY_PARTS)[place]
    by_cell = rng.permutation(len(cells)) % CELL_PARTS
    with threadpool_limits(1):
        new, known = (_against_chance(paired_auc(x, dealt, part)) for part in (by_day, by_cell))
    return {**new, "cells": len(cells), "known_days": known}


def paired_auc(
    x: Float[np.ndarray, "cell feature"], label: Int[np.ndarray, "labelling cell"], part: Int[np.ndarray, " cell"]
) -> Float[np.ndarray, " labelling"]:
    """Return the AUC of ridge regression for each labelling, each pair of cells by a fit without either.

    Calls of cells left out one part at a time must not be pooled for an AUC: who is left out is missing from the mean
    of its own class, which alone puts noise below chance. Where both of a pair are left out they are exchangeable, and
    noise is at 1/2 on average (Airola et al., Comput. Stat. Data Anal. 55, 2011, 1828).

    Args:
        x: features.
        label: 0 and 1.
        part: numbers; cells of a part are left out together, and with each other part in turn.
    """
    z = (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-9)
    above = np.zeros(len(label))
    for a, b in combinations_with_replacement(np.unique(part), 2):
        rest = (part != a) & (part != b)
        centre = z[rest].mean(axis=0)
        square = (z[rest] - centre).T @ (z[rest] - centre) + RIDGE * np.eye(z.shape[1])
        weight = np.linalg.solve(square, (z[rest] - centre).T @ label.T[rest])
        for one, other in {(a, b), (b, a)}:
            yes, no = label[:, part == one, None] == 1, label[:, None, part == other] == 0
            gap = (z[part == one] @ weight).T[:, :, None] - (z[part == other] @ weight).T[:, None, :]
            above += np.where(yes & no, (np.sign(gap) + 1) / 2, 0).sum(axis=(1, 2))
    return np.asarray(above / (label.sum(axis=1) * (label == 0).sum(axis=1)))


def _against_chance(auc: np.ndarray) -> Json:
    """Compare the first of AUCs (labelling,), that of the true labels, with the others."""
    low, high = np.quantile(auc[1:], [0.025, 0.975])
    p = float(np.mean(auc >= auc[0]))  # the true labels are one of the ways to deal them
    return {"auc": float(auc[0]), "chance": [float(low), float(high)], "p": p, "suspicious": p <= SUSPICIOUS_P}


def noise_words(control: Json) -> str:
    """Return an AUC of `noise_control` beside what chance gives."""
    low, high = control["chance"]
    return f"AUC {control['auc']:.2f} (chance {low:.2f} to {high:.2f}, p {control['p']:.3f})"
