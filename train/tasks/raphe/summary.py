"""The judgement of the raphe task as JSON, and the table that a person reads of it."""

from collections.abc import Mapping, Sequence

import numpy as np

from spiketype.datasets.raphe.table import RapheTable
from spiketype.datasets.splits import Split
from spiketype.edge import Json
from spiketype.models.evidence import COUNTS, Probability
from spiketype.train.judging.calls import Calls
from spiketype.train.judging.intervals import CONFIDENCE
from spiketype.train.judging.metrics import MEASURES
from spiketype.train.judging.report import number, text_table
from spiketype.train.tasks.raphe import metrics
from spiketype.train.tasks.raphe.cells import Tested, table_of
from spiketype.train.tasks.raphe.config import RapheTaskConfig
from spiketype.train.tasks.raphe.control import noise_control, noise_words

PUBLISHED, CALIBRATED = "consensus, published mean", "consensus and shape, calibrated"
ERROR = "top_calibration_error"
TARGETS = {"accuracy_percent": 95.0, "over_best_single_feature_percent": 3.0, "atypical_percent": 80.0, ERROR: 0.05}
COLUMNS = {
    "accuracy": "accuracy (%)",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "ppv": "PPV",
    "npv": "NPV",
    "typical_sensitivity": "typical",
    "atypical_sensitivity": "atypical",
}


def summary(
    config: RapheTaskConfig,
    table: RapheTable,
    tested: Tested,
    after: Sequence[Probability],
    models: Mapping[str, Calls],
    single: Mapping[str, Calls],
    split: Split | None,
) -> Json:
    """Return all numbers of a judgement.

    Args:
        config, table: of the run.
        tested, after: the cells, and their probabilities as spikes arrive.
        models: calls by `CALIBRATED` and by what it is compared with.
        single: calls by single features, if there are any.
        split: that held the cells out; None for cells of another store.
    """
    calls, atypical = models[CALIBRATED], table.atypical[tested.cells]
    result: Json = {
        "task": "raphe",
        "split": config.split if split else "other store",
        "optimistic": split is not None and split.optimistic,
        "confidence": CONFIDENCE,
        "seeds": config.seeds,
        "folds": len(split.folds) if split else 1,
        "widths": list(config.widths),
        "samples": int(calls.measured["spikes"].sum()),
        "cells": len(calls.label),
        "days": len(np.unique(calls.group)),
        "rows": {name: metrics.rates(each, atypical, config.seed) for name, each in models.items()},
        f"{ERROR}_if_calibrated": metrics.expected_top_calibration_error(calls, config.seed),
        "noise_only": noise_control(table, tested.cells, config.seed),
        "single_class_days_percent": _single_class_days(calls),
        "abstention": calls.abstention(config.certain),
        "as_predicted": _as_predicted(calls, config.certain),
        "unusual_percent": 100 * float((calls.measured["unusual"] == "yes").mean()),
        "settling": _settling(tested, after, calls),
        "per_cell": _per_cell(calls, atypical, config.certain),
    }
    if single:
        percent = {name: each.value(MEASURES["accuracy_percent"]) for name, each in single.items()}
        best = max(percent, key=lambda name: percent[name])
        gap = metrics.difference(calls, single[best], config.seed)
        result["single_features"] = percent
        result["over_best_single_feature"] = {"feature": best, "percent": gap}
    result["void"] = _void(result)
    simulated = bool((table.true_udi_ms[tested.cells] > 0).all())
    known = simulated and not result["void"]
    result["targets"] = _targets(result) if known else {}  # they are of our own simulation
    result["warnings"] = _warnings(result)
    return result


def _single_class_days(calls: Calls) -> float:
    alone = [day for day in np.unique(calls.group) if len(np.unique(calls.label[calls.group == day])) == 1]
    return 100 * float(np.isin(calls.group, alone).mean())


def _settling(tested: Tested, after: Sequence[Probability], calls: Calls) -> Json:
    """Return how many cells are right, and how many are settled, of those that have so many spikes."""
    settled, rows = calls.measured["settled_after"], []
    arriving = zip(tested.arriving, after, strict=True)
    at = [dict(zip(known.spikes.tolist(), each.value.tolist(), strict=True)) for known, each in arriving]
    for n in COUNTS:
        has = np.array([n in each for each in at])
        if has.any():
            called = np.array([each[n] for each in at if n in each]) > 0.5
            right, same = called == (calls.label[has] == 1), settled[has] <= n
            rows.append(
                {
                    "spikes": n,
                    "cells": int(has.sum()),
                    "accuracy_percent": 100 * float(right.mean()),
                    "settled_percent": 100 * float(same.mean()),
                }
            )
    return {"after": rows, "median_spikes": float(np.median(settled)), "p90_spikes": float(np.quantile(settled, 0.9))}


def _per_cell(calls: Calls, atypical: np.ndarray, certain: float) -> list[Json]:
    """Return the table of calls by row, with what was to be found; what is not known, NaN, is None."""
    columns = {"class": np.array(calls.class_names)[calls.label], "atypical": atypical == 1, **table_of(calls, certain)}
    rows = zip(*(values.tolist() for values in columns.values()), strict=True)
    return [{name: None if each != each else each for name, each in zip(columns, row, strict=True)} for row in rows]


def _as_predicted(calls: Calls, certain: float) -> Json:
    """Return how many cells get no call, for whatever reason, where calls are predicted; how many others are right."""
    sure = table_of(calls, certain)["certain"] == "yes"
    right = calls.mean.argmax(axis=1) == calls.label
    return {
        "no_call_percent": 100 * float((~sure).mean()),
        "accuracy_of_calls_percent": 100 * float(right[sure].mean()) if sure.any() else None,
    }


def _targets(result: Json) -> Json:
    """Return the value of each of `TARGETS`, and whether it is reached."""
    ours = result["rows"][CALIBRATED]
    values = {
        "accuracy_percent": ours["accuracy_percent"]["value"],
        "atypical_percent": ours["atypical_sensitivity_percent"]["value"],
        ERROR: ours[ERROR]["value"],
    }
    if "over_best_single_feature" in result:
        values["over_best_single_feature_percent"] = result["over_best_single_feature"]["percent"]["value"]
    found: Json = {}
    for name, target in TARGETS.items():
        if name in values:
            value = values[name]
            reached = None if value is None else bool(value <= target if name == ERROR else value >= target)
            found[name] = {"value": value, "target": target, "reached": reached}
    return found


def _void(result: Json) -> str:
    """Return why no number here says how well a cell is named, "" where nothing speaks against it.

    What counts is whether noise names the class of cells that are held out as the tested ones are: on new days, or,
    where days are on both sides, on days that are known.
    """
    noise = result["noise_only"]
    if noise["suspicious"]:
        return (
            f"the class can be named without a spike: spike-free windows alone reach {noise_words(noise)} on days left "
            "out, so days betray classes (noise, filter, hum), and every accuracy here may be that of the noise"
        )
    known = noise["known_days"]
    if result["split"] in ("cell", "spike") and known["suspicious"]:
        return (
            f"the class can be named without a spike: spike-free windows alone reach {noise_words(known)} on new cells "
            "of known days, as those tested are, so every accuracy here may be that of the noise: use --split day"
        )
    return ""


def _warnings(result: Json) -> list[str]:
    """Return what a reader must know before believing the numbers."""
    found, noise = [], result["noise_only"]
    if not result["void"] and noise["known_days"]["suspicious"]:
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


def cell_table(summary: Json) -> str:
    """Return a line for the consensus and each baseline; below, the noise-only control, the targets and warnings."""
    header = [f"per cell, split {summary['split']}", *COLUMNS.values(), "AUC", "calibration error"]
    rows = [
        [name, *(number(row[f"{key}_percent"]) for key in COLUMNS), number(row["auc"], 3), number(row[ERROR], 3)]
        for name, row in summary["rows"].items()
    ]
    lines = [text_table(header, rows), ""]
    lines.append(
        f"{summary['cells']} cells of {summary['days']} days, {summary['samples']:,} spikes; intervals of "
        f"{100 * summary['confidence']:.0f} %, days redrawn; positive is serotonergic, typical and atypical are "
        "sensitivities"
    )
    if "per_spike" in summary:
        each = summary["per_spike"]
        lines.append(f"per spike: accuracy {each['accuracy_percent']:.1f} %, AUC {each['auc']:.3f}")
    if "over_best_single_feature" in summary:
        best = summary["over_best_single_feature"]
        lines.append(f"accuracy over the best single feature ({best['feature']}): {number(best['percent'])} points")
    noise = summary["noise_only"]
    if noise["auc"] is not None:
        lines.append(
            f"noise-only control (spike-free windows): {noise_words(noise)} with days left out, "
            f"{noise_words(noise['known_days'])} for new cells of known days"
        )
    rest = summary["abstention"]
    lines.append(
        f"no call below probability {rest['certain']:g}: {rest['abstained_percent']:.1f} % of cells{_others(rest)};"
        f" calls settle after {summary['settling']['median_spikes']:.0f} spikes (median),"
        f" {summary['settling']['p90_spikes']:.0f} (90 %)"
    )
    if "as_predicted" in summary:  # older runs do not tell it
        rest = summary["as_predicted"]
        lines.append(f"no call for any reason, as in predict: {rest['no_call_percent']:.1f} % of cells{_others(rest)}")
    for name, target in summary["targets"].items():
        if target["reached"] is not None:
            state = "reached" if target["reached"] else "MISSED"
            lines.append(f"target {name}: {target['value']:.3g}, wanted {target['target']:g}: {state}")
    void = [f"VOID: {summary['void']}"] if summary.get("void") else []  # older runs do not say
    return "\n".join(lines + void + [f"WARNING: {warning}" for warning in summary["warnings"]])


def _others(rest: Json) -> str:
    right = rest["accuracy_of_calls_percent"]
    return "" if right is None else f"; the others are {right:.1f} % right"
