"""The judgement of the cluster task: methods on the same inputs, agreement of seeds, and labels if any."""

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from spiketype.edge import progress
from spiketype.train import runs
from spiketype.train.judging.intervals import Estimate, bootstrap
from spiketype.train.tasks.cluster import assign as cluster_assign
from spiketype.train.tasks.cluster import figures as cluster_figures
from spiketype.train.tasks.cluster import partitions
from spiketype.train.tasks.cluster import scores as clustering
from spiketype.train.tasks.cluster.choice import Choice
from spiketype.train.tasks.cluster.data import Units

DEC, START, CONSENSUS, MAJORITY = "DEC", "autoencoder + k-means", "DEC, consensus of seeds", "majority"
CODE_UMAP = "autoencoder + UMAP + GMM"
MOST_SEEDS = 5  # of baselines that take long
RESAMPLES = 500


def judge(
    config: Any,
    net: Any,
    units: Units,
    choice: Choice,
    about: dict[str, Any],
    variables: Any,
    history: list[dict[str, Any]],
    folder: Path,
) -> dict[str, Any]:
    """Judge the trainings and what they are compared with; writes predictions and figures, completes the model."""
    q, distance, codes = cluster_assign.shares(net, variables, units.x)
    named = cluster_assign.summarise(q, distance)
    runs.save_model(folder, variables, about | {"named": named})
    mean = cluster_assign.combine(named, q)
    pretrained = np.asarray(variables["pretrained"])
    clusters = int(np.asarray(variables["alive"])[0].sum())
    found = {DEC: q.argmax(axis=2), CONSENSUS: mean.argmax(axis=1)[None]}
    found |= others(units, pretrained, clusters, np.array(about["seeds"]))
    result = summary(config, units, found, mean, clusters, variables)
    if config.clusters is None:
        result["choice"] = choice.found(pretrained)
    _write(folder, units, found, mean)
    cluster_figures.draw(result, units, codes, found, mean, history, folder / "figures")
    return result


def others(units: Units, pretrained: np.ndarray, clusters: int, seeds: np.ndarray) -> dict[str, np.ndarray]:
    """Clusters (seed, unit) by each method that needs no clustering network, from the same inputs."""
    with_umap = importlib.util.find_spec("umap") is not None and importlib.util.find_spec("networkx") is not None
    if not with_umap:
        print("UMAP + GMM and UMAP + Louvain are left out: pip install 'spiketype[umap]'", file=sys.stderr)
    plain = dict(partitions.BASELINES) | (dict(partitions.UMAP_BASELINES) if with_umap else {})
    if len(units.x) > partitions.MOST_WARD:
        del plain["Ward"]
        print(f"Ward is left out: {len(units.x)} units are too many for it", file=sys.stderr)
    found: dict[str, list[np.ndarray]] = {}
    with progress() as bar:
        shown = bar.add_task("baselines", total=len(seeds))
        for number, (z, seed) in enumerate(zip(pretrained, seeds.tolist(), strict=True)):
            jobs: list[tuple[str, Any, Any]] = [(START, partitions.kmeans, z)]
            if number < MOST_SEEDS:
                jobs += [(CODE_UMAP, partitions.umap_gmm, z)] if with_umap else []
                jobs += [(name, method, units.x) for name, method in plain.items() if name != "Ward" or number == 0]
            for name, method, x in jobs:
                found.setdefault(name, []).append(method(x, clusters, seed))
            bar.advance(shown)
    return {name: np.stack(each) for name, each in found.items()}


def summary(
    config: Any, units: Units, found: Mapping[str, np.ndarray], mean: np.ndarray, clusters: int, variables: Any
) -> dict[str, Any]:
    """All numbers of a judgement."""
    confidence = mean.max(axis=1)
    result: dict[str, Any] = {
        "task": "cluster",
        "source": units.source,
        "units": len(units.x),
        "clusters": clusters,
        "seeds": config.seeds,
        "sizes": np.bincount(mean.argmax(axis=1), minlength=clusters).tolist(),
        "confidence": {"mean": float(confidence.mean()), "above_0.8": float(np.mean(confidence > 0.8))},
        "stability": {name: _stability(each) for name, each in found.items() if len(each) > 1},
        "reseeded": np.asarray(variables["reseeded"]).tolist(),
        "changed_at_the_end": np.round(np.asarray(variables["changed"]), 5).tolist(),
    }
    known = units.label >= 0
    if len(np.unique(units.label[known])) < 2:
        return result
    y = units.label[known]
    classes = len(units.class_names)
    of_known = {name: each[:, known] for name, each in found.items()}
    rows = {name: clustering.judge_rows(y, each, classes) for name, each in of_known.items()}
    rows[MAJORITY] = clustering.judge_rows(y, np.zeros((1, len(y)), int), classes)
    best = of_known[CONSENSUS][0]
    rows[CONSENSUS]["accuracy_percent"] |= clustering.to_json(_over_units(y, best, units.animal[known]))
    result["labelled"] = {
        "units": int(known.sum()),
        "classes": list(units.class_names),
        "rows": rows,
        "gain": _gains(rows),
        "confusion": clustering.contingency(y, best, classes, max(clusters, int(best.max()) + 1)).tolist(),
    }
    return result


def _stability(each: np.ndarray) -> dict[str, Any]:
    """Mean agreement of seeds; its interval is over seeds, whose pairs are not independent, by the jackknife."""
    pairs = clustering.agreement(list(each))
    n = len(pairs)
    value = (pairs.sum() - n) / (n * (n - 1))
    low = high = np.nan
    if n > 2:
        rest = (pairs.sum() - 2 * pairs.sum(axis=0) + 1 - (n - 1)) / ((n - 1) * (n - 2))
        sd = np.sqrt((n - 1) / n * np.sum((rest - rest.mean()) ** 2))
        low, high = max(value - 1.96 * sd, -1.0), min(value + 1.96 * sd, 1.0)
    return clustering.to_json(Estimate(value, low, high)) | {"pairs": np.round(pairs, 4).tolist()}


def _over_units(y: np.ndarray, cluster: np.ndarray, animal: np.ndarray) -> Estimate:
    """Accuracy with the bootstrap over units, or over animals if there are several."""
    unit = animal if len(np.unique(animal)) > 1 else np.arange(len(y))
    of_cluster = clustering.match(clustering.contingency(y, cluster, y.max() + 1, cluster.max() + 1))
    right = 100.0 * (of_cluster[cluster] == y)
    return bootstrap(lambda rows: right[rows].mean(), unit, np.random.default_rng(0), RESAMPLES)


def _gains(rows: Mapping[str, Any]) -> dict[str, Any]:
    """DEC less what it started from, pair by pair of the same seed."""
    gains = {}
    for measure in clustering.MEASURES:
        ours, theirs = (np.array(rows[name][measure]["each"]) for name in (DEC, START))
        shared = min(len(ours), len(theirs))
        gains[measure] = clustering.to_json(clustering.over_seeds(ours[:shared] - theirs[:shared]))
    return gains


def _write(folder: Path, units: Units, found: Mapping[str, np.ndarray], mean: np.ndarray) -> None:
    arrays: dict[str, Any] = {
        "share": (("unit", "cluster"), mean),
        "label": ("unit", units.label),
        **{f"clusters_{k}": ((f"seed_{k}", "unit"), each.astype(np.int32)) for k, each in enumerate(found.values())},
    }
    # Names as attributes: Zarr 3 has no specification for text yet.
    attributes = {"methods": list(found), "classes": list(units.class_names), "units": list(units.unit_names)}
    made = xr.Dataset(arrays, attrs=attributes)
    made.to_zarr(folder / "predictions.zarr", mode="w", zarr_format=3, consolidated=False)
