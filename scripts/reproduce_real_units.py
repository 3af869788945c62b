"""Judge the units classifier by laboratory: python scripts/reproduce_real_units.py --data DIR.

Prints the tables of docs/results/real-units.md. DIR holds a1_lakunina2020.npz, cellexplorer_gt430.npz,
jia2019_neuropixels2818.npz, wavemap_pmd625.npz, allen_v1_unlabelled169.npz, cerebellum_hausser.npz and
cerebellum_hull.npz. Nothing is fitted, chosen or stopped on the laboratory that is tested.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import tyro
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

sys.path.insert(0, str(Path(__file__).parent))
import train_units

from spiketype.datasets import eap, waveforms
from spiketype.datasets import store as store_of
from spiketype.datasets.waveforms import WaveformTable, shape
from spiketype.datasets.waveforms.shape import Shape
from spiketype.edge import guard
from spiketype.models.label_shift import prevalence
from spiketype.simulator.eap.generate import cached
from spiketype.train.judging import metrics
from spiketype.train.judging.report import text_table
from spiketype.units import training
from spiketype.units.model import says_excitatory
from spiketype.units.training import SLOWER, Labelled

THRESHOLDS_MS = (0.425, 0.45)  # of trough to peak, as laboratories set them by hand
SURE = 0.8  # share of the units that are the surest
PV = ("PV", "PVVGAT", "Axo_Axonic")  # fast-spiking
REACHED, FARTHEST_UM = 0.12, 120.0  # of the largest contact's amplitude, and from it: what counts as reached
UNSEEN = ("L4_BP_*",)  # cell models whose spikes hardly ever reach the threshold of recordings
REPEATS = 5  # of the folds inside A1, and of labels dealt anew
HEADER = ["test", "method", "AUC", "balanced (%)", "surest 80 % right", "calibration error", "best threshold (%)"]


def main(data: Path, resamples: int = 1000, cells: Path | None = None) -> None:
    """Print all tables.

    Args:
        data: Folder of the labelled sets.
        resamples: Of the intervals, over animals, or units where a set names no animals.
        cells: NetPyNE cell models (a folder or zip archive) from which units are simulated, too, for one table.
    """
    sets = train_units.load(data)
    store = cached(train_units.STORE, "units")
    simulation = training.simulated(store)
    rows = [row for each in sets for row in _table(each, sets, simulation, resamples)]
    print(text_table(HEADER, rows), end="\n\n")
    print(_inside(sets[0]), end="\n\n")
    print(_shares(sets, simulation), end="\n\n")
    print(_falsifiers(sets, store, simulation), end="\n\n")
    print(_simulations(sets, simulation, cells), end="\n\n")
    print(_valleys(data, sets, simulation), end="\n\n")
    print(_elsewhere(data), end="\n\n")
    print(_finer(data), end="\n\n")
    print(_contacts(data, store), end="\n\n")
    print(_speed(data, store), end="\n\n")
    print(_laboratories(data), end="\n\n")
    print(_cerebellum(data))


def _table(tested: Labelled, sets: list[Labelled], simulation: Labelled, resamples: int) -> list[list[str]]:
    others = [each for each in sets if each is not tested]
    said: dict[str, np.ndarray] = {
        f"trough to peak at {ms:g} ms": (tested.shape.trough_to_peak_ms - ms) * 20 for ms in THRESHOLDS_MS
    }
    said["simulated units alone"] = calibrated([], simulation, tested)
    said["the other laboratory"] = calibrated(others, None, tested)
    said["the other laboratory and simulated units"] = calibrated(others, simulation, tested)
    return [[tested.name, name, *_judged(tested, logit, resamples)] for name, logit in said.items()]


def calibrated(others: list[Labelled], simulation: Labelled | None, tested: Labelled) -> np.ndarray:
    """Return logits of a model of other laboratories, if any, calibrated on what simulation alone says of these."""
    model = training.fit(others, simulation, {})
    if others and simulation is not None:
        alone = training.fit([], simulation, {})
        slope, _ = training.calibration([(alone.shape_logit(each.shape), each.excitatory) for each in others])
        model = replace(model, calibration=np.array([slope, 0.0]))
    return model.shape_logit(tested.shape)


def _judged(tested: Labelled, logit: np.ndarray, resamples: int) -> list[str]:
    y = tested.excitatory
    measures: dict[str, Callable[[np.ndarray], float]] = {
        "auc": lambda r: float(roc_auc_score(y[r], logit[r])),
        "balanced": lambda r: 100 * float(balanced_accuracy_score(y[r], logit[r] > 0)),
        "sure": lambda r: 100 * _surest(y[r], logit[r]),
    }
    draws = _draws(tested, resamples)
    cells = []
    for name, measure in measures.items():
        low, high = np.percentile([measure(rows) for rows in draws], [2.5, 97.5])
        digits = 3 if name == "auc" else 1
        cells.append(f"{measure(np.arange(len(y))):.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]")
    p = 1 / (1 + np.exp(-logit))
    weight = training.balanced(y)
    rng = np.random.default_rng(0)  # the error is that of equally frequent classes, as the model takes them to be
    drawn = rng.choice(len(y), 20_000, p=weight / weight.sum())
    error = metrics.top_calibration_error((~y[drawn]).astype(int), np.stack([p, 1 - p], axis=1)[drawn])
    return [*cells, f"{error:.3f}", f"{_in_hindsight(y, logit):.1f}"]


def _in_hindsight(y: np.ndarray, logit: np.ndarray) -> float:
    """Return the balanced accuracy (%) at the best threshold that one could have known: what the order is worth."""
    return max(100 * float(balanced_accuracy_score(y, logit > threshold)) for threshold in np.unique(logit))


def _draws(tested: Labelled, resamples: int) -> list[np.ndarray]:
    """Return rows of animals drawn anew; those with excitatory units, which can be few, among themselves."""
    rng, having = np.random.default_rng(0), np.unique(tested.group[tested.excitatory])
    parts = [having, np.setdiff1d(tested.group, having)]
    rows = {name: np.flatnonzero(tested.group == name) for name in np.unique(tested.group)}
    return [
        np.concatenate([rows[name] for part in parts if len(part) for name in rng.choice(part, len(part))])
        for _ in range(resamples)
    ]


def _surest(y: np.ndarray, logit: np.ndarray) -> float:
    sure = np.argsort(-np.abs(logit), kind="stable")[: round(SURE * len(y))]
    return float(np.mean((logit[sure] > 0) == y[sure]))


def _inside(a1: Labelled) -> str:
    """Return how folds inside A1 do, with and without intervals, by unit."""
    assert a1.isi is not None
    three, wave = a1.shape.three, a1.shape.wave
    isi = np.cumsum(a1.isi, axis=1)[:, :-1:4] / np.maximum(a1.isi.sum(axis=1, keepdims=True), 1)
    total = np.log1p(a1.isi.sum(axis=1, keepdims=True))
    seen = {"trough to peak": three[:, :1], "shape": three, "waveform": wave, "intervals": isi}
    seen["intervals and their number"] = np.concatenate([isi, total], axis=1)
    found: dict[str, list[np.ndarray]] = {}
    for repeat in range(REPEATS):
        folds = StratifiedKFold(5, shuffle=True, random_state=repeat)
        for name, x in seen.items():
            regression = LogisticRegression(C=training.PENALTY, class_weight="balanced", max_iter=3000)
            model = make_pipeline(StandardScaler(), regression)
            logit = cross_val_predict(model, x, a1.excitatory, cv=folds, method="decision_function")
            found.setdefault(name, []).append(logit)
    shapes = np.mean([found[name] for name in ("trough to peak", "shape", "waveform")], axis=0)
    found["the mean of the first three (units-v1)"] = list(shapes)
    found["units-v1 and intervals"] = list(shapes + np.array(found["intervals"]))
    rows = [
        [name, f"{np.mean([roc_auc_score(a1.excitatory, v) for v in each]):.3f}", f"{_balanced(a1, each):.1f}"]
        for name, each in found.items()
    ]
    return f"inside A1, five folds of units, {REPEATS} times\n" + text_table(["seen", "AUC", "balanced (%)"], rows)


def _balanced(tested: Labelled, each: list[np.ndarray]) -> float:
    return float(np.mean([100 * balanced_accuracy_score(tested.excitatory, logit > 0) for logit in each]))


def _shares(sets: list[Labelled], simulation: Labelled) -> str:
    """Return what is estimated of each recording without labels: time scale, in halves too, and excitatory share."""
    rows = []
    for tested in sets:
        others = [each for each in sets if each is not tested]
        logit = calibrated(others, simulation, tested)
        order = np.random.default_rng(0).permutation(len(logit))
        scales = [SCALED.time_scale(training.take(tested.shape, part)) for part in (order, order[::2], order[1::2])]
        share = prevalence(1 / (1 + np.exp(-logit)))
        rows.append([tested.name, *(f"{s:.2f}" for s in scales), f"{share:.2f}", f"{tested.excitatory.mean():.2f}"])
    header = ["set", "time scale", "of a half", "of the other", "excitatory share, estimated", "true"]
    return text_table(header, rows)


def _falsifiers(sets: list[Labelled], store: Path, simulation: Labelled) -> str:
    """Return what labels dealt anew, and other ranges of time scales, make of simulated units alone."""
    rng = np.random.default_rng(0)
    low, high = np.log(SLOWER)
    middle, half = (low + high) / 2, (high - low) / 2
    variants: Mapping[str, list[Labelled]] = {
        "as it is": [simulation],
        "labels dealt anew": [
            simulation._replace(excitatory=rng.permutation(simulation.excitatory)) for _ in range(REPEATS)
        ],
        "half the range of time scales": [training.simulated(store, slower=_range(middle, half / 2))],
        "twice the range of time scales": [training.simulated(store, slower=_range(middle, half * 2))],
    }
    rows = []
    for name, each in variants.items():
        for tested in sets:
            logits = [training.fit([], one, {}).shape_logit(tested.shape) for one in each]
            auc = [roc_auc_score(tested.excitatory, logit) for logit in logits]
            told = f"{np.mean(auc):.3f}" + (f" ({min(auc):.3f} to {max(auc):.3f})" if len(auc) > 1 else "")
            rows.append([name, tested.name, told, f"{_balanced(tested, logits):.1f}"])
    return "simulated units alone\n" + text_table(["simulation", "test", "AUC", "balanced (%)"], rows)


def _simulations(sets: list[Labelled], simulation: Labelled, cells: Path | None) -> str:
    """Return what other simulations teach: faster channels in place of faster time, and many more cell models."""
    made = {"13 cell models, time 2 to 3 times faster (units-v1)": simulation}
    variants = replace(train_units.STORE, variants=4, per_cell=20)
    store = cached(variants, "variants")
    made["4 biophysical variants of each of the 13"] = training.simulated(store, slower=(1.0, 1.0))
    if cells is not None:
        many = replace(train_units.STORE, cell_models=("bbp", str(cells.resolve())), per_cell=10, exclude=UNSEEN)
        store = cached(many, "cells")
        count = len(eap.load(store).cell_names)
        made[f"{count} cell models, time 2 to 3 times faster"] = training.simulated(store)
    rows = []
    for name, each in made.items():
        for tested in sets:
            others = [one for one in sets if one is not tested]
            logits = [calibrated([], each, tested), calibrated(others, each, tested)]
            auc = [f"{roc_auc_score(tested.excitatory, logit):.3f}" for logit in logits]
            balanced = [f"{_balanced(tested, [logit]):.1f}" for logit in logits]
            rows.append([name, tested.name, auc[0], balanced[0], auc[1], balanced[1]])
    header = ["simulation", "test", "alone: AUC", "balanced (%)", "with the other laboratory: AUC", "balanced (%)"]
    return text_table(header, rows)


def _valleys(data: Path, sets: list[Labelled], simulation: Labelled) -> str:
    """Return what becomes of calls if the threshold goes half the way to the valley of a recording's own logits."""
    rows = []
    for tested, file in zip(sets, train_units.SETS.values(), strict=True):
        others = [each for each in sets if each is not tested]
        every = _measured(waveforms.load(data / file, rate_kHz=30.0))[0]
        for name, known in (("simulated units alone", []), ("the other laboratory, too", others)):
            logits = [calibrated(known, simulation, tested._replace(shape=x)) for x in (tested.shape, every)]
            for seen, threshold in zip(
                ("none", "labelled units", "all units"), (0.0, *(_valley(x) / 2 for x in logits)), strict=True
            ):
                moved = logits[0] - threshold
                balanced, sure = _balanced(tested, [moved]), 100 * _surest(tested.excitatory, moved)
                rows.append([tested.name, name, seen, f"{threshold:.2f}", f"{balanced:.1f}", f"{sure:.1f}"])
    header = ["test", "trained on", "valley of", "threshold", "balanced (%)", "surest 80 % right"]
    return text_table(header, rows)


def _valley(logit: np.ndarray) -> float:
    """Return where two Gaussians that are fitted to logits are equally dense, between their means."""
    pair = GaussianMixture(2, n_init=3, random_state=0).fit(logit[:, None])
    mean, sd = pair.means_[:, 0], np.sqrt(pair.covariances_[:, 0, 0])
    x = np.linspace(*np.sort(mean), 1001)
    low, high = (norm.logpdf(x, mean[k], sd[k]) for k in np.argsort(mean))
    return float(x[np.argmin(np.abs(low - high))])


def _elsewhere(data: Path) -> str:
    """Return what the shipped model estimates of recordings whose types are not known."""
    model, rows = train_units.model.load(), []
    for name in ("a1_lakunina2020", "jia2019_neuropixels2818", "wavemap_pmd625"):
        measured = _measured(waveforms.load(data / f"{name}.npz", rate_kHz=30.0))[0]
        measured = training.take(measured, train_units.model.usable(measured))
        p = 1 / (1 + np.exp(-model.shape_logit(measured)))
        rows.append([name, f"{model.time_scale(measured):.2f}", f"{prevalence(p):.2f}", f"{np.mean(p > 0.5):.2f}"])
    header = ["all units of", "time scale", "excitatory share, estimated", "share of p above .5"]
    return text_table(header, rows)


def _measured(table: WaveformTable) -> tuple[Shape, np.ndarray]:
    """Return the shape of each row, and its class in words."""
    words = np.array([*table.class_names, ""])[table.label]
    return shape.measure(shape.largest(table.waveform), table.rate_kHz), words


def _finer(data: Path) -> str:
    """Return how well fast-spiking (PV) units are told from other inhibitory ones of another laboratory."""
    sets = []
    for file in train_units.SETS.values():
        measured, words = _measured(waveforms.load(data / file, rate_kHz=30.0))
        kept = np.flatnonzero((words != "") & ~says_excitatory(words) & ~np.isin(words, list(training.NO_TYPE)))
        sets.append((training.take(measured, kept), np.isin(words[kept], PV)))
    rows = []
    names = list(train_units.SETS)
    for trained, tested in ((0, 1), (1, 0)):
        cells = [names[trained], names[tested]]
        for x, test_x in zip(*(train_units.model.views(sets[k][0]) for k in (trained, tested)), strict=True):
            y = sets[trained][1]
            found = training.regress(x, y, training.balanced(y) * len(y))
            cells.append(f"{roc_auc_score(sets[tested][1], found.logit(test_x)):.3f}")
        rows.append(cells)
    return "PV against other inhibitory units, AUC\n" + text_table(
        ["trained", "tested", "width", "shape", "wave"], rows
    )


def _contacts(data: Path, published: Path) -> str:
    """Return what the reach of a spike over the probe tells of simulated types, and of recorded broad or narrow units.

    Recorded: Neuropixels units of visual cortex, whose types are not known.
    """
    cell, x = store_of.read(published, "cell"), store_of.read(published, "eap_uV")
    excitatory = store_of.read(published, "excitatory")[cell]
    simulated = _reach_um(x, store_of.read(published, "contact_um")[:, 1:])
    rows = [["simulated, excitatory over inhibitory", *_by_kind(simulated, excitatory)]]
    table = waveforms.load(data / "allen_v1_unlabelled169.npz")
    channel = np.arange(table.waveform.shape[1])  # in the order of the probe: four columns, two in a row, 20 um apart
    contact_um = np.stack([np.array([0.0, 32.0, 16.0, 48.0])[channel % 4], 20.0 * (channel // 2)], axis=1)
    broad = _measured(table)[0].trough_to_peak_ms >= THRESHOLDS_MS[1]
    rows.append(["recorded, broad over narrow", *_by_kind(_reach_um(table.waveform, contact_um), broad)])
    return text_table(["reach of the spike over the contacts", "AUC", "median (um)", "of the others"], rows)


def _by_kind(value: np.ndarray, kind: np.ndarray) -> list[str]:
    medians = (np.median(value[kind]), np.median(value[~kind]))
    return [f"{roc_auc_score(kind, value):.2f}", *(f"{median:.0f}" for median in medians)]


def _reach_um(x: np.ndarray, contact_um: np.ndarray) -> np.ndarray:
    """Return the root mean square distance of contacts from the largest one, weighted by their amplitudes (row,)."""
    amplitude = np.ptp(x, axis=2)
    amplitude = amplitude / amplitude.max(axis=1, keepdims=True)
    distance = np.linalg.norm(contact_um - contact_um[amplitude.argmax(axis=1)][:, None], axis=2)
    weight = np.where((amplitude > REACHED) & (distance < FARTHEST_UM), amplitude, 0)
    found: np.ndarray = np.sqrt((weight * distance**2).sum(axis=1) / weight.sum(axis=1))
    return found


def _speed(data: Path, published: Path) -> str:
    """Return medians of the shape of recorded units, and of simulated ones as published and in variants."""
    variants = replace(train_units.STORE, variants=2, per_cell=40)
    stores = {"simulated, as published": published}
    stores["simulated, two variants of each"] = cached(variants, "variants")
    rows = []
    for name, file in train_units.SETS.items():
        measured, words = _measured(waveforms.load(data / file, rate_kHz=30.0))
        rows.append([name, *_medians(measured, says_excitatory(words), np.isin(words, PV))])
    for name, path in stores.items():
        table = eap.load(path)
        x = shape.largest(store_of.read(path, "eap_uV"))
        measured = shape.measure(x, 32.0)
        rows.append([name, *_medians(measured, table.excitatory, ~table.excitatory)])
    header = ["units (window .68 ms after the trough)", "trough to peak, E", "PV or I", "half width, E", "PV or I"]
    return text_table(header, rows)


def _medians(measured: Shape, excitatory: np.ndarray, other: np.ndarray) -> list[str]:
    values = measured.trough_to_peak_ms, measured.half_width_ms
    return [f"{np.median(v[rows]):.2f}" for v in values for rows in (excitatory, other)]


def _range(middle: float, half: float) -> tuple[float, float]:
    return float(np.exp(middle - half)), float(np.exp(middle + half))


def _laboratories(data: Path) -> str:
    """Return how well the laboratory of an inhibitory CellExplorer unit is told from the time before the trough."""
    path = data / train_units.SETS["CellExplorer ground truth"]
    table = waveforms.load(path)
    with np.load(path, allow_pickle=False) as arrays:
        laboratory = arrays["laboratory"].astype(str)[np.array(table.unit_names).astype(int)[table.unit]]
    measured, words = _measured(table)
    inhibitory = ~says_excitatory(words) & ~np.isin(words, list(training.NO_TYPE))
    before = measured.wave[:, shape.WAVE_MS < -0.1][inhibitory]
    _, y = np.unique(laboratory[inhibitory], return_inverse=True)
    kept = np.isin(y, np.flatnonzero(np.bincount(y) >= 10))
    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=3000))
    said = cross_val_predict(model, before[kept], y[kept], cv=StratifiedKFold(5, shuffle=True, random_state=0))
    counts = ", ".join(f"{name} {n}" for name, n in zip(*np.unique(laboratory, return_counts=True), strict=True))
    broad = ", ".join(np.unique(laboratory[says_excitatory(words)]))
    found = 100 * balanced_accuracy_score(y[kept], said)
    return (
        f"CellExplorer's laboratories: {counts}; all excitatory units are of {broad}\n"
        f"laboratory of inhibitory units from the samples before the trough: {found:.1f} % balanced, chance"
        f" {100 / len(np.unique(y[kept])):.1f}"
    )


def _cerebellum(data: Path) -> str:
    """Return how cerebellar classes of one laboratory are called by a regression of the other's units."""
    sets = {}
    for name in ("hausser", "hull"):
        measured, words = _measured(waveforms.load(data / f"cerebellum_{name}.npz", "label"))
        sets[name] = np.concatenate([measured.three, measured.wave], axis=1), words
    (x, y), (test_x, test_y) = sets["hausser"], sets["hull"]
    common = set(np.unique(y)) & set(np.unique(test_y)) - {""}
    train, test = np.isin(y, list(common)), np.isin(test_y, list(common))
    regression = LogisticRegression(C=training.PENALTY, class_weight="balanced", max_iter=3000)
    model = make_pipeline(StandardScaler(), regression).fit(x[train], y[train])
    found = 100 * balanced_accuracy_score(test_y[test], model.predict(test_x[test]))
    return (
        f"cerebellum, Hausser ({train.sum()} units) to Hull ({test.sum()}): {', '.join(sorted(common))}:"
        f" {found:.1f} % balanced, chance {100 / len(common):.1f}"
    )


SCALED = train_units.model.load()  # for its quantiles of simulated units alone

if __name__ == "__main__":
    with guard():
        tyro.cli(main)
