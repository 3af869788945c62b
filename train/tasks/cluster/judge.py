"""The judgement of the cluster task: methods on the same inputs, agreement of seeds, and labels if any."""

import importlib.util
import re
import sys
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int

from spiketype.datasets.waveforms.matrix import Units
from spiketype.edge import Json, install, progress
from spiketype.models import partitions
from spiketype.models.agreement import agreement, contingency, match
from spiketype.models.autoencoder import Net
from spiketype.models.partitions import Partition
from spiketype.train.judging.calls import Calls
from spiketype.train.judging.intervals import Estimate, bootstrap, over_seeds
from spiketype.train.judging.report import number, text_table
from spiketype.train.task import History, Judgement, Variables
from spiketype.train.tasks.cluster import figures, scores
from spiketype.train.tasks.cluster.config import ClusterConfig
from spiketype.train.tasks.cluster.model import ClusterModel
from spiketype.train.tasks.cluster.number import Choice

DEC, START, CONSENSUS, MAJORITY = "DEC", "autoencoder + k-means", "DEC, consensus of seeds", "majority"
CODE_UMAP = "autoencoder + UMAP + GMM"
MOST_SEEDS = 5  # of baselines that take long
RESAMPLES = 500

Found = Mapping[str, Int[np.ndarray, "seed unit"]]  # clusters by each method; the seeds are the method's own


def judge(
    config: ClusterConfig, net: Net, units: Units, choice: Choice, variables: Variables, history: History
) -> Judgement:
    """Judge the trainings and what they are compared with."""
    pretrained = np.asarray(variables["pretrained"])
    chosen = choice.found(pretrained) if config.clusters is None else None
    structure = None if chosen is None else bool(chosen["structure"]["found"])
    model = ClusterModel.fit(config, net, variables, units, structure)
    seen = model.see(units.x)
    calls = model.calls(units, seen)
    found = {DEC: calls.probability.argmax(axis=2), CONSENSUS: calls.mean.argmax(axis=1)[None]}
    compared = others(units, pretrained, len(model.classes), model.seeds)
    summary = summarise(config, units, calls, found | compared, variables)
    if chosen is not None:
        summary["choice"] = chosen
    measured = {f"cluster_{identifier(name)}": each[0] for name, each in compared.items()}
    if units.class_names:
        measured["data_label"] = np.array([*units.class_names, ""])[units.label]  # -1, unknown: the last word
    return Judgement(
        summary,
        replace(calls, measured={**calls.measured, **measured}),
        figures.draw(summary, units, seen.code, found[CONSENSUS][0], history),
        model,
        name=DEC,
        table=model.table(calls, config.certain),
    )


def identifier(method: str) -> str:
    """Return the name of a method as it stands in predictions.zarr: "PCA + GMM" is pca_gmm."""
    return re.sub(r"\W+", "_", method).lower()


def others(
    units: Units, pretrained: Float[np.ndarray, "member unit code"], clusters: int, seeds: tuple[int, ...]
) -> dict[str, np.ndarray]:
    """Return the clusters (seed, unit) by each method that needs no clustering network, from the same inputs."""
    with_umap = importlib.util.find_spec("umap") is not None and importlib.util.find_spec("networkx") is not None
    if not with_umap:
        print(f"UMAP + GMM and UMAP + Louvain are left out: {install('spiketype[umap]')}", file=sys.stderr)
    elif len(units.x) < partitions.LEAST_UMAP:
        with_umap = False
        print(f"UMAP + GMM and UMAP + Louvain are left out: {len(units.x)} units are too few for it", file=sys.stderr)
    plain = dict(partitions.BASELINES) | (dict(partitions.UMAP_BASELINES) if with_umap else {})
    if len(units.x) > partitions.MOST_WARD:
        del plain["Ward"]
        print(f"Ward is left out: {len(units.x)} units are too many for it", file=sys.stderr)
    found: dict[str, list[np.ndarray]] = {}
    with progress() as bar:
        shown = bar.add_task("baselines", total=len(seeds))
        for turn, (z, seed) in enumerate(zip(pretrained, seeds, strict=True)):
            jobs: list[tuple[str, Partition, np.ndarray]] = [(START, partitions.kmeans, z)]
            if turn < MOST_SEEDS:
                jobs += [(CODE_UMAP, partitions.umap_gmm, z)] if with_umap else []
                jobs += [(name, method, units.x) for name, method in plain.items() if name != "Ward" or turn == 0]
            for name, method, x in jobs:
                found.setdefault(name, []).append(method(x, clusters, seed))
            bar.advance(shown)
    return {name: np.stack(each) for name, each in found.items()}


def summarise(config: ClusterConfig, units: Units, calls: Calls, found: Found, variables: Variables) -> Json:
    """Return all numbers of a judgement but how the number of clusters was chosen."""
    confidence, clusters = calls.mean.max(axis=1), len(calls.class_names)
    result: Json = {
        "task": "cluster",
        "source": units.source,
        "units": len(units.x),
        "clusters": clusters,
        "seeds": config.seeds,
        "sizes": np.bincount(found[CONSENSUS][0], minlength=clusters).tolist(),
        "confidence": {"mean": float(confidence.mean()), "above_0.8": float(np.mean(confidence > 0.8))},
        "stability": {name: _stability(each) for name, each in found.items() if len(each) > 1},
        "reseeded": np.asarray(variables["reseeded"]).tolist(),
        "changed_at_the_end": np.round(np.asarray(variables["changed"]), 5).tolist(),
    }
    if len(np.unique(units.label[units.label >= 0])) > 1:
        result["labelled"] = _labelled(units, found, clusters)
    return result


def _labelled(units: Units, found: Found, clusters: int) -> Json:
    """Judge all methods by the labels there are."""
    known, classes = units.label >= 0, len(units.class_names)
    y, consensus = units.label[known], found[CONSENSUS][0, known]
    rows = {name: scores.judge_rows(y, each[:, known], classes) for name, each in found.items()}
    rows[MAJORITY] = scores.judge_rows(y, np.zeros((1, len(y)), int), classes)
    counts = contingency(y, consensus, classes, clusters)
    right = 100.0 * (match(counts)[consensus] == y)
    by_group = len(np.unique(units.animal[known])) > 1
    unit = units.animal[known] if by_group else np.arange(len(y))
    over_units = bootstrap(lambda drawn: np.asarray(right[drawn].mean()), unit, np.random.default_rng(0), RESAMPLES)
    rows[CONSENSUS]["accuracy_percent"] |= over_units.to_json()
    return {
        "units": int(known.sum()),
        "intervals_over": f"{units.group_word}s" if by_group else "units",
        "classes": list(units.class_names),
        "rows": rows,
        "gain": {measure: _gain(rows, measure) for measure in scores.MEASURES},
        "confusion": counts.tolist(),
    }


def _stability(each: np.ndarray) -> Json:
    """Return the mean agreement of seeds, with the jackknife's interval over seeds: pairs are not independent."""
    pairs = agreement(each)
    n = len(pairs)
    value = (pairs.sum() - n) / (n * (n - 1))
    found = Estimate(value, np.nan, np.nan)
    if n > 2:
        rest = (pairs.sum() - 2 * pairs.sum(axis=0) + 1 - (n - 1)) / ((n - 1) * (n - 2))
        sd = np.sqrt((n - 1) / n * np.sum((rest - rest.mean()) ** 2))
        found = Estimate(value, value - 1.96 * sd, value + 1.96 * sd).within(-1.0, 1.0)
    return found.to_json() | {"pairs": np.round(pairs, 4).tolist()}


def _gain(rows: Json, measure: str) -> Json:
    """Return a measure of DEC less that of what it started from, over pairs of the same seed."""
    ours, theirs = (np.array(rows[name][measure]["each"]) for name in (DEC, START))
    return over_seeds(ours - theirs).to_json()


def table(summary: Json) -> str:
    """Return a line for every method; then sizes, agreement of seeds, and how the number of clusters came about."""
    parts = [_methods(summary), _words(summary)]
    if "choice" in summary:
        parts.append(_choice(summary["choice"]))
    return "\n".join(parts)


def _methods(summary: Json) -> str:
    agree = {name: number(each, 2) for name, each in summary["stability"].items()}
    if "labelled" not in summary:
        return text_table(["method", "agreement of seeds (ARI)"], [[name, text] for name, text in agree.items()])
    rows = []
    for name, row in summary["labelled"]["rows"].items():
        line = [name, number(row["accuracy_percent"]), *(number(row[k], 3) for k in ("nmi", "ari"))]
        rows.append([*line, f"{row['clusters']:.0f}", agree.get(name, "-")])
    return text_table(["method", "ACC (%)", "NMI", "ARI", "clusters", "agreement of seeds"], rows)


def _words(summary: Json) -> str:
    text = f"{summary['units']} units in {summary['clusters']} clusters of {', '.join(map(str, summary['sizes']))};"
    text += f" {summary['seeds']} seeds; mean confidence {summary['confidence']['mean']:.2f}"
    if moved := sum(summary["reseeded"]):
        text += f"; {moved} times a cluster had emptied and was begun anew at a far unit"
    if "labelled" in summary:
        gain = number(summary["labelled"]["gain"]["accuracy_percent"])
        text += f"\n{DEC} less {START}, seed by seed: {gain} points; labels of {summary['labelled']['units']} units"
        text += " were used for this table alone; intervals over seeds, of the consensus over "
        text += summary["labelled"].get("intervals_over", "units or animals")  # older versions do not say it
    return text


def _choice(choice: Json) -> str:
    structure = choice["structure"]
    chosen = {name: curve["chosen"] for name, curve in choice["curves"].items()}
    text = ", ".join(f"{name} {k}" for name, k in chosen.items())
    test = f"structure beyond one Gaussian: {structure['excess_sd']:.1f} sd, p = {structure['p']:.3f}"
    if not structure["found"]:
        return f"NO CLUSTER STRUCTURE was found ({test}): the two clusters above are halves of one cloud, and no calls"
    return f"number of clusters, without labels: {text}; used: {choice['criterion']}; {test}"
