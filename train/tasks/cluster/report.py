"""What the terminal shows of a clustering."""

from collections.abc import Mapping
from typing import Any

from spiketype.train.judging.report import number, text_table
from spiketype.train.tasks.cluster.judge import DEC, START


def cluster_table(result: Mapping[str, Any]) -> str:
    """A line for every method; then sizes, agreement of seeds, and how the number of clusters came about."""
    parts = [_methods(result), _words(result)]
    if "choice" in result:
        parts.append(_choice(result["choice"]))
    return "\n".join(parts)


def _methods(result: Mapping[str, Any]) -> str:
    stability = result["stability"]
    agree = {name: number(each, 2) for name, each in stability.items()}
    if "labelled" not in result:
        return text_table(["method", "agreement of seeds (ARI)"], [[name, text] for name, text in agree.items()])
    rows = []
    for name, row in result["labelled"]["rows"].items():
        line = [name, number(row["accuracy_percent"]), *(number(row[k], 3) for k in ("nmi", "ari"))]
        rows.append([*line, f"{row['clusters']:.0f}", agree.get(name, "-")])
    return text_table(["method", "ACC (%)", "NMI", "ARI", "clusters", "agreement of seeds"], rows)


def _words(result: Mapping[str, Any]) -> str:
    text = f"{result['units']} units in {result['clusters']} clusters of {', '.join(map(str, result['sizes']))};"
    text += f" {result['seeds']} seeds; mean confidence {result['confidence']['mean']:.2f}"
    if moved := sum(result["reseeded"]):
        text += f"; {moved} times a cluster had emptied and was begun anew at a far unit"
    if "labelled" in result:
        gain = number(result["labelled"]["gain"]["accuracy_percent"])
        text += f"\n{DEC} less {START}, seed by seed: {gain} points; labels of {result['labelled']['units']} units"
        text += " were used for this table alone; intervals over seeds, of the consensus over units or animals"
    return text


def _choice(choice: Mapping[str, Any]) -> str:
    structure = choice["structure"]
    chosen = {name: curve["chosen"] for name, curve in choice["curves"].items()}
    text = ", ".join(f"{name} {k}" for name, k in chosen.items())
    test = f"structure beyond one Gaussian: {structure['excess_sd']:.1f} sd, p = {structure['p']:.3f}"
    if not structure["found"]:
        return f"NO CLUSTER STRUCTURE was found ({test}): the two clusters above are halves of one cloud"
    return f"number of clusters, without labels: {text}; used: {choice['criterion']}; {test}"
