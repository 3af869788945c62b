"""Published raphe results, the true rates behind them, and ours: python scripts/reproduce_raphe.py --out runs/raphe.

Published: Corradetti et al. 2024 (non-homogeneous set, cells of other days). Their confusion matrices are normalised by
the predicted class, so that what they call true positive rate is a predictive value; the counts follow from the printed
fractions as whole cells, 54 serotonergic and 26 others. Ours: a simulation with the published structure, so the two are
not results on the same data.
"""

from dataclasses import replace
from pathlib import Path

import tyro

from spiketype.edge import Json, guard
from spiketype.train.execute import once
from spiketype.train.judging.intervals import wilson
from spiketype.train.judging.report import number, text_table
from spiketype.train.tasks.raphe.config import RapheTaskConfig
from spiketype.train.tasks.raphe.summary import CALIBRATED, ERROR, cell_table

# Name: (serotonergic right, serotonergic, others right, others), and what the paper says of it.
PUBLISHED = {
    "published CNN, biological": ((51, 54, 23, 26), "TPR 94.4, TNR 88.4"),
    "published CNN, synthetic": ((51, 54, 24, 26), "TPR 96.2, TNR 88.8, AUC 0.926"),
    "UDI >= 0.80 ms on their Figure 2": ((128, 150, 144, 150), "not reported"),
}
# One width: leaving out each of 92 days is 92 trainings of each width.
DEFAULT = RapheTaskConfig(widths=(20,))
RATES = ("accuracy", "sensitivity", "specificity", "ppv", "npv", "atypical_sensitivity")


def main(out: Path = Path("runs/raphe"), stores: int = 3, config: RapheTaskConfig = DEFAULT) -> None:
    """Run what is not finished yet and print the tables.

    Args:
        out: Folder of the runs.
        stores: Simulated stores of the published size on which days are left out, one by one.
        config: Options of the runs, but for split, copies, store seed and confound.
    """
    one_by_one = replace(config, split="leave-one-day-out")
    results = {"each day left out, 612 cells": once(replace(one_by_one, copies=4), out / "days-612")}
    seeds = range(config.store_seed, config.store_seed + stores)
    each = [once(replace(one_by_one, store_seed=seed), out / f"days-{seed}") for seed in seeds]
    results["each day left out, 153 cells"] = each[0]
    results["cells in 5 parts"] = once(replace(config, split="cell"), out / "cell")
    results["spikes at random (optimistic)"] = once(replace(config, split="spike"), out / "spike")
    results["days in 5 parts, days betray classes"] = once(replace(config, confound=True), out / "confound")
    print(text_table(["cells", "they say (%)", *(r.replace("_", " ") for r in RATES), "AUC"], _rows(results)))
    print(f"\n{stores} stores of 153 cells, each day left out: mean (least to most)\n{_over_stores(each)}")
    for name, summary in results.items():
        print(f"\n{name}\n{cell_table(summary)}")


def _over_stores(each: list[Json]) -> str:
    def spread(values: list[float], digits: int) -> str:
        mean, least, most = sum(values) / len(values), min(values), max(values)
        return f"{mean:.{digits}f} ({least:.{digits}f} to {most:.{digits}f})"

    digits = {"accuracy_percent": 1, "atypical_sensitivity_percent": 1, ERROR: 3}
    rows = [
        [row, *(spread([summary["rows"][row][name]["value"] for summary in each], d) for name, d in digits.items())]
        for row in each[0]["rows"]
    ]
    best = [max(summary["single_features"].values()) for summary in each]
    rows.append(["best single feature of each store", spread(best, 1), "-", "-"])
    return text_table(["per cell", "accuracy (%)", "atypical sensitivity (%)", "calibration error"], rows)


def _rows(results: dict[str, Json]) -> list[list[str]]:
    rows = []
    for name, ((yes_right, yes, no_right, no), said) in PUBLISHED.items():
        pairs = [(yes_right + no_right, yes + no), (yes_right, yes), (no_right, no)]
        pairs += [(yes_right, yes_right + no - no_right), (no_right, no_right + yes - yes_right)]
        shares = [wilson(*pair) for pair in pairs]
        each = [number(share.to_json(100.0)) for share in shares]
        rows.append([f"{name} ({yes + no})", said, *each, "-", "-"])
    for split, summary in results.items():
        for name in (CALIBRATED, "UDI alone"):
            row = summary["rows"][name]
            label = f"ours, {split}, {name} ({row['cells']})"
            rows.append([label, "", *(number(row[f"{rate}_percent"]) for rate in RATES), number(row["auc"], 3)])
    return rows


if __name__ == "__main__":
    with guard():
        tyro.cli(tyro.conf.configure(tyro.conf.OmitArgPrefixes)(main))
