"""The judgement as JSON: ``summary`` for classification, ``location_summary`` for soma positions.

Plain dicts, lists, floats and None (where the data cannot tell), so that ``json.dumps(...,
allow_nan=False)`` works; units are in the names.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from spiketype.train.judging.intervals import Estimate, bootstrap
from spiketype.train.tasks.eap.metrics import (
    Curve,
    Judge,
    accuracy_against,
    balanced_accuracy,
    confusion,
    difference,
    over_cells,
    per_cell,
    sd_over_seeds,
)
from spiketype.train.tasks.eap.predictions import Locations, Predictions, samples

LOCATION_RESAMPLES = 500


def _plain(values: Any, factor: float = 1.0) -> Any:
    """Array or number as nested lists of floats, NaN as None."""
    array = np.asarray(values, float) * factor
    if array.ndim:
        return [_plain(each, factor) for each in np.asarray(values, float)]
    return float(array) if np.isfinite(array) else None


def _estimate(estimate: Estimate, factor: float = 1.0) -> dict[str, Any]:
    return {end: _plain(value, factor) for end, value in estimate._asdict().items()}


def _percent(estimate: Estimate) -> dict[str, Any]:
    return _estimate(estimate, 100)


def _curve(curve: Curve, unit: str) -> list[dict[str, Any]]:
    return [
        {
            f"from_{unit}": float(curve.edges[b]),
            f"to_{unit}": float(curve.edges[b + 1]),
            "samples": int(count),
        }
        | {"accuracy_percent": _percent(Estimate(*(end[b] for end in curve.accuracy)))}
        for b, count in enumerate(curve.samples)
    ]


def _header(judged: Predictions | Locations, judge: Judge, split: str) -> dict[str, Any]:
    return {
        "split": split,
        "optimistic": not judge.by_group,
        "confidence": judge.confidence,
        "resampled": "cell models" if judge.by_group else "samples",
        "samples": len(np.unique(judged.index)),
        "cells": len(np.unique(judged.cell)),
        "seeds": len(np.unique(judged.seed)),
        "folds": len(np.unique(judged.fold)),
    }


def summary(
    predictions: Predictions,
    split_by_group: bool,
    split: str = "",
    baselines: Mapping[str, Predictions] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Everything train.metrics says of a classifier, as JSON.

    split_by_group: the test cell models were not trained on; otherwise the result is marked optimistic.
    split: its name, for titles. baselines: others' predictions of the same samples, compared in pairs.
    seed: of the bootstrap. Every estimate is {"value", "low", "high"}, the ends at ``confidence``.
    """
    judge, s = Judge(split_by_group, seed), samples(predictions)
    cells, sizes, accuracy = per_cell(s, judge)
    statistics = {name: _percent(estimate) for name, estimate in over_cells(s, judge).items()}
    statistics["max"]["cell"] = predictions.cell_names[cells[np.argmax(accuracy.value)]]
    statistics["min"]["cell"] = predictions.cell_names[cells[np.argmin(accuracy.value)]]
    labels = [int(s.label[s.cell == cell][0]) for cell in cells]
    size, shares = confusion(s, judge)
    return _header(predictions, judge, split or ("by cell model" if split_by_group else "random within cell")) | {
        "over_cells_percent": statistics,
        "balanced_accuracy_percent": _percent(balanced_accuracy(s, judge)),
        "sd_over_seeds_percent": _plain(sd_over_seeds(predictions), 100),
        "per_cell": [
            {"cell": predictions.cell_names[cell], "class": predictions.class_names[label], "samples": int(n)}
            | {"accuracy_percent": _percent(Estimate(*(end[row] for end in accuracy)))}
            for row, (cell, label, n) in enumerate(zip(cells, labels, sizes, strict=True))
        ],
        "confusion": {
            "rows": "true",
            "columns": "predicted",
            "class_names": list(predictions.class_names),
            "samples": size.tolist(),
            "percent": _percent(shares),
        },
        "against_distance": _curve(accuracy_against(s, s.distance_um, judge), "um"),
        "against_amplitude": _curve(accuracy_against(s, s.amplitude_uV, judge), "uV"),
        "baselines": {
            name: {
                "over_cells_percent": {"mean": _percent(over_cells(samples(other), judge)["mean"])},
                "balanced_accuracy_percent": _percent(balanced_accuracy(samples(other), judge)),
                "ours_minus_this_percent": _percent(difference(predictions, other, judge)),
            }
            for name, other in (baselines or {}).items()
        },
    }


STATISTICS = (
    *(f"{axis}_{kind}" for kind in ("mean_abs", "median_abs", "rms") for axis in "xyz"),
    *("mean_3d", "median_3d", "percentile_90_3d"),
)


def _error_statistics(error_um: np.ndarray) -> np.ndarray:
    """STATISTICS of errors (n, 3)."""
    size, length = np.abs(error_um), np.linalg.norm(error_um, axis=1)
    return np.concatenate(
        [
            size.mean(axis=0),
            np.median(size, axis=0),
            np.sqrt(np.mean(size**2, axis=0)),
            [length.mean(), *np.quantile(length, [0.5, 0.9])],
        ]
    )


def location_summary(
    locations: Locations,
    split_by_group: bool,
    baseline_um: np.ndarray,
    split: str = "",
    seed: int = 0,
    resamples: int = LOCATION_RESAMPLES,
) -> dict[str, Any]:
    """Errors of predicted positions in um, per axis and in 3D, beside those of always saying baseline_um.

    baseline_um (3,) or (n, 3): mean position in the training part (of each row's fold). Errors are taken per
    prediction; the bootstrap redraws samples (all seeds of one together) or, split by group, cell models.
    """
    p = locations
    judge = Judge(split_by_group, seed, resamples)
    error = p.predicted_um.astype(float) - p.true_um
    constant = np.broadcast_to(baseline_um, p.true_um.shape) - p.true_um.astype(float)

    def both(rows: np.ndarray) -> np.ndarray:
        ours, theirs = _error_statistics(error[rows]), _error_statistics(constant[rows])
        return np.stack([ours, theirs, ours - theirs])

    unit = p.cell if split_by_group else p.index
    estimate = bootstrap(both, unit, judge.rng, resamples, judge.confidence)
    table = [
        {name: _estimate(Estimate(*(end[which, k] for end in estimate))) for k, name in enumerate(STATISTICS)}
        for which in range(3)
    ]
    return _header(p, judge, split or ("by cell model" if split_by_group else "random within cell")) | {
        "error_um": table[0],
        "baseline_error_um": table[1],
        "ours_minus_baseline_um": table[2],
        "per_cell": [_location_of_cell(p, error, cell, judge) for cell in np.unique(p.cell)],
    }


def _location_of_cell(p: Locations, error_um: np.ndarray, cell: int, judge: Judge) -> dict[str, Any]:
    """Mean 3D error of one cell model, its interval about further placements of it."""
    rows = p.cell == cell
    length = np.linalg.norm(error_um[rows], axis=1)
    mean = bootstrap(lambda draw: length[draw].mean(), p.index[rows], judge.rng, judge.resamples, judge.confidence)
    return {
        "cell": p.cell_names[cell],
        "samples": len(np.unique(p.index[rows])),
        "mean_3d_error_um": _estimate(mean),
    }
