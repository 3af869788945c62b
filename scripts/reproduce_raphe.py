"""Published raphe results, the true rates behind them, and ours: python scripts/reproduce_raphe.py --out runs/raphe.

Published: Corradetti et al. 2024 (non-homogeneous set, cells of other days). Their confusion matrices are normalised by
the predicted class, so that what they call true positive rate is a predictive value; the counts follow from the printed
fractions as whole cells, 54 serotonergic and 26 others. Ours: a simulation with the published structure, so the two are
not results on the same data.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import tyro

from datasets.edge import guard
from train.intervals import wilson
from train.report import number, text_table
from train.run import once
from train.tasks.raphe import RapheTaskConfig
from train.tasks.raphe_report import cell_table

# Name: (serotonergic right, serotonergic, others right, others), and what the paper says of it.
PUBLISHED = {
    "published CNN, biological": ((51, 54, 23, 26), "TPR 94.4, TNR 88.4"),
    "published CNN, synthetic": ((51, 54, 24, 26), "TPR 96.2, TNR 88.8, AUC 0.926"),
    "UDI >= 0.80 ms on their Figure 2": ((128, 150, 144, 150), "not reported"),
}
DEFAULT = RapheTaskConfig()
SPLITS = ("leave-one-day-out", "cell", "spike")
RATES = ("accuracy", "sensitivity", "specificity", "ppv", "npv", "atypical_sensitivity")


def main(out: Path = Path("runs/raphe"), config: RapheTaskConfig = DEFAULT) -> None:
    """Run each split (those that are finished are not repeated) and print both tables.

    Args:
        out: Folder of the runs.
        config: Options of the runs, but for the split.
    """
    results = {f"{split}": once(replace(config, split=split), out / split) for split in SPLITS}
    results["leave-one-day-out, days betray classes"] = once(
        replace(config, split="leave-one-day-out", confound=True), out / "confound"
    )
    print(text_table(["cells", "they say (%)", *(r.replace("_", " ") for r in RATES), "AUC"], _rows(results)))
    for name, summary in results.items():
        print(f"\n{name}\n{cell_table(summary)}")


def _rows(results: dict[str, dict[str, Any]]) -> list[list[str]]:
    rows = []
    for name, ((yes_right, yes, no_right, no), said) in PUBLISHED.items():
        pairs = [(yes_right + no_right, yes + no), (yes_right, yes), (no_right, no)]
        pairs += [(yes_right, yes_right + no - no_right), (no_right, no_right + yes - yes_right)]
        shares = [wilson(*pair) for pair in pairs]
        each = [number({k: 100 * float(v) for k, v in share._asdict().items()}) for share in shares]
        rows.append([f"{name} ({yes + no})", said, *each, "-", "-"])
    for split, summary in results.items():
        for name in ("consensus and shape, calibrated", "UDI alone"):
            row = summary["rows"][name]
            warns = " WARNS" if summary["noise_only"]["suspicious"] else ""
            label = f"ours, {split}, {name} ({row['cells']}){warns}"
            rows.append([label, "", *(number(row[f"{rate}_percent"]) for rate in RATES), number(row["auc"], 3)])
    return rows


if __name__ == "__main__":
    with guard():
        tyro.cli(tyro.conf.configure(tyro.conf.OmitArgPrefixes)(main))
