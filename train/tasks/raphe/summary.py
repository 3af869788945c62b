"""The judgement of the raphe task as JSON, and the table of calls; the words are those of `raphe_metrics`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spiketype.datasets.raphe.table import RapheTable
from spiketype.datasets.splits import Split
from spiketype.train.judging.intervals import CONFIDENCE
from spiketype.train.tasks.raphe import calls as raphe_cells
from spiketype.train.tasks.raphe import metrics as raphe_metrics
from spiketype.train.tasks.raphe.calls import COUNTS, Call, Stages
from spiketype.train.tasks.raphe.control import noise_control, noise_words
from spiketype.train.tasks.raphe.usual import Usual

PUBLISHED, CALIBRATED = "consensus, published mean", "consensus and shape, calibrated"
TARGETS = {"accuracy_percent": 95.0, "over_best_single_feature_percent": 3.0, "atypical_percent": 80.0, "ece": 0.05}


def summary(
    config: Any,
    table: RapheTable,
    found: Any,
    calibrations: Sequence[Stages],
    shapes: Sequence[Usual],
    split: Split | None,
    others: Mapping[str, np.ndarray],
    single: Mapping[str, np.ndarray],
    said: Sequence[tuple[np.ndarray, np.ndarray]],
    tests: Sequence[np.ndarray],
) -> dict[str, Any]:
    """All numbers of a judgement. `found` is a `raphe_judge.Judged`; split is None for another store."""
    cells, day = found.cells, table.cell_day[found.cells]
    label, atypical = table.cell_label[cells], table.atypical[cells]
    calls = _calls(found, calibrations)

    def rates(probability: np.ndarray) -> dict[str, Any]:
        return raphe_metrics.rates(label, probability, atypical, day, config.seed)

    rows = {CALIBRATED: rates(calls.probability), PUBLISHED: rates(0.5 + 0.5 * found.whole.x[:, 0])}
    rows |= {name: rates(probability) for name, probability in others.items()}
    distance = np.array([shapes[f].distance(m[None])[0] for f, m in zip(found.fold, found.mean_pA, strict=True)])
    unusual = distance > np.array([shapes[f].limit for f in found.fold])
    optimistic = split is not None and split.optimistic
    result: dict[str, Any] = {
        "task": "raphe",
        "split": config.split if split else "other store",
        "optimistic": optimistic,
        "confidence": CONFIDENCE,
        "seeds": config.seeds,
        "folds": len(tests),
        "widths": list(config.widths),
        "samples": int(sum(len(test) for test in tests)),
        "cells": len(cells),
        "days": len(np.unique(day)),
        "rows": rows,
        "ece_if_calibrated": raphe_metrics.expected_ece_if_calibrated(calls.probability, config.seed),
        "noise_only": noise_control(table, cells, config.seed),
        "single_class_days_percent": _single_class_days(table, label, day),
        "abstention": _abstention(label, calls.probability, config.certain),
        "unusual_percent": 100 * float(unusual.mean()),
        "settling": _settling(found, calibrations, label),
        "per_cell": _per_cell(table, found, calls, distance, unusual, config.certain),
    }
    if said:
        result["per_spike"] = _per_spike(table, said, tests)
    if single:
        result["single_features"] = {
            name: 100 * float(((p > 0.5) == (label == 1)).mean()) for name, p in single.items()
        }
        best = max(single, key=lambda name: result["single_features"][name])
        gap = raphe_metrics.difference(label, calls.probability, single[best], day, config.seed)
        result["over_best_single_feature"] = {"feature": best, "percent": gap}
    result["targets"] = _targets(result)
    result["warnings"] = _warnings(result)
    return result


def _calls(found: Any, calibrations: Sequence[Stages]) -> Call:
    """Of all spikes of each cell (cell,)."""
    each = [raphe_cells.as_spikes_arrive(e, calibrations[f]) for e, f in zip(found.arriving, found.fold, strict=True)]
    return Call(*(np.array([end[-1] for end in ends]) for ends in zip(*each, strict=True)))


def _single_class_days(table: RapheTable, label: np.ndarray, day: np.ndarray) -> float:
    alone = [d for d in np.unique(day) if len(np.unique(label[day == d])) == 1]
    return 100 * float(np.isin(day, alone).mean())


def _abstention(label: np.ndarray, probability: np.ndarray, certain: float) -> dict[str, Any]:
    sure = np.maximum(probability, 1 - probability) >= certain
    right = (probability > 0.5) == (label == 1)
    return {
        "certain": certain,
        "abstained_percent": 100 * float((~sure).mean()),
        "accuracy_of_calls_percent": 100 * float(right[sure].mean()) if sure.any() else None,
    }


def _settling(found: Any, calibrations: Sequence[Stages], label: np.ndarray) -> dict[str, Any]:
    pairs = [(e, calibrations[f]) for e, f in zip(found.arriving, found.fold, strict=True)]
    settled = np.array([raphe_cells.settled_after(*pair) for pair in pairs])
    table = np.full((len(pairs), len(COUNTS)), np.nan)
    for row, (known, stages) in zip(table, pairs, strict=True):
        said = raphe_cells.as_spikes_arrive(known, stages).probability
        probability = dict(zip(known.spikes, said, strict=True))
        row[:] = [probability.get(n, np.nan) for n in COUNTS]
    rows = []
    for k, n in enumerate(COUNTS):
        has = np.isfinite(table[:, k])
        if has.any():
            right = (table[has, k] > 0.5) == (label[has] == 1)
            same = settled[has] <= n
            rows.append(
                {
                    "spikes": n,
                    "cells": int(has.sum()),
                    "accuracy_percent": 100 * float(right.mean()),
                    "settled_percent": 100 * float(same.mean()),
                }
            )
    return {"after": rows, "median_spikes": float(np.median(settled)), "p90_spikes": float(np.quantile(settled, 0.9))}


def _per_spike(table: RapheTable, said: Sequence[Any], tests: Sequence[np.ndarray]) -> dict[str, float]:
    share = np.concatenate([vote.mean(axis=0) for _, vote in said])
    label = table.label[np.concatenate(list(tests))]
    return {
        "accuracy_percent": 100 * float(((share > 0.5) == (label == 1)).mean()),
        "auc": raphe_metrics.auc(label, share),
    }


def _per_cell(
    table: RapheTable, found: Any, calls: Call, distance: np.ndarray, unusual: np.ndarray, certain: float
) -> list[dict[str, Any]]:
    whole = found.whole
    return [
        {
            "cell": table.cell_names[c],
            "day": table.day_names[table.cell_day[c]],
            "class": table.class_names[table.cell_label[c]],
            "atypical": bool(table.atypical[c] == 1),
            "udi_ms": float(table.cell_udi_ms[c]),
            "call": _word(table, float(calls.probability[k]), certain),
            "probability": float(calls.probability[k]),
            "low": float(calls.low[k]),
            "high": float(calls.high[k]),
            "published_vote": 0.5 + 0.5 * float(whole.x[k, 0]),
            "spikes": int(whole.spikes[k]),
            "unusual": bool(unusual[k]),
            "distance": float(distance[k]),
        }
        for k, c in enumerate(found.cells)
    ]


def _word(table: RapheTable, probability: float, certain: float) -> str:
    if max(probability, 1 - probability) < certain:
        return "no call"
    return table.class_names[int(probability > 0.5)]


def columns(table: RapheTable, found: Any, stages: Stages, usual: Usual, certain: float) -> dict[str, Any]:
    """The table of calls: one row a cell of new data."""
    c, whole = found.cells, found.whole
    calls = _calls(found, [stages])
    distance = usual.distance(found.mean_pA)
    return {
        "cell": np.array(table.cell_names)[c],
        "day": np.array(table.day_names)[table.cell_day[c]],
        "call": np.array([_word(table, float(p), certain) for p in calls.probability]),
        "probability": calls.probability,
        "low": calls.low,
        "high": calls.high,
        "spikes": whole.spikes.astype(int),
        "settled_after": np.array([raphe_cells.settled_after(known, stages) for known in found.arriving]),
        "unusual": np.where(distance > usual.limit, "yes", "no"),
        "p_published_vote": 0.5 + 0.5 * whole.x[:, 0],
        "p_distance_over_limit": distance / usual.limit,
        "p_udi_ms": table.cell_udi_ms[c],
        "p_rate_Hz": table.rate_Hz[c],
        "p_isi_cv": table.isi_cv[c],
        "p_noise_rms_pA": table.noise_rms_pA[c],
    }


def _targets(result: Mapping[str, Any]) -> dict[str, Any]:
    """Value and whether it is reached, for each of TARGETS."""
    ours = result["rows"][CALIBRATED]
    values = {
        "accuracy_percent": ours["accuracy_percent"]["value"],
        "atypical_percent": ours["atypical_sensitivity_percent"]["value"],
        "ece": ours["ece"]["value"],
    }
    if "over_best_single_feature" in result:
        values["over_best_single_feature_percent"] = result["over_best_single_feature"]["percent"]["value"]
    return {
        name: {
            "value": values[name],
            "target": target,
            "reached": None
            if values[name] is None
            else bool(values[name] <= target if name == "ece" else values[name] >= target),
        }
        for name, target in TARGETS.items()
        if name in values
    }


def _warnings(result: Mapping[str, Any]) -> list[str]:
    """What a reader must know before believing the numbers."""
    found = []
    noise = result["noise_only"]
    if noise["suspicious"]:
        found.append(
            f"the class can be named without a spike: spike-free windows alone reach {noise_words(noise)} on days left "
            "out, so days betray classes (noise, filter, hum), and every accuracy here may be that of the noise"
        )
    elif noise["known_days"]["suspicious"]:
        found.append(
            "days have noise of their own, and classes days of their own: spike-free windows alone reach "
            f"{noise_words(noise['known_days'])} on new cells of known days, so days betray classes there; believe no "
            "split by cell or spike, and one by day with care"
        )
    if noise["auc"] is None:
        found.append("no noise-only control: too few spike-free windows, or days, in these data")
    if result["optimistic"]:
        found.append(
            "optimistic: spikes of a cell are in training and test; this is recognition of known cells, not of new ones"
        )
    if result["unusual_percent"] > 10:
        found.append(f"{result['unusual_percent']:.0f} % of the cells have shapes unlike those trained on")
    return found
