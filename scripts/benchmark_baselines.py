"""Predictions of plain methods for a shared benchmark: python scripts/benchmark_baselines.py NAME --made FOLDER.

They are those of scikit-learn, with nothing chosen: k-means, and PCA to 10 with a mixture of Gaussians, of digits;
logistic regression on standardised features (medians where one is missing) of the cells of the Allen tables, on the
samples of single raphe spikes (a cell is their mean), and on the measured shapes of real units, beside the threshold
of 0.45 ms from trough to peak that laboratories use; linear regression of positions on amplitudes and widths; and
everywhere the shares of classes, or the mean position, of the training part. Each is a table that `spiketype bench
score` judges. What EAPs and raphe cells are compared with besides is in their runs: scripts/benchmark_ours.py.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import tyro
from jaxtyping import Float
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from spiketype.bench.origin import AXES
from spiketype.datasets import eap, waveforms
from spiketype.datasets.allen import cells, species
from spiketype.datasets.allen.table import find, load
from spiketype.datasets.benchmarks import folder
from spiketype.datasets.benchmarks.divide import sides
from spiketype.datasets.benchmarks.folder import Made
from spiketype.datasets.benchmarks.specification import Question
from spiketype.datasets.raphe import read
from spiketype.datasets.waveforms.shape import Shape
from spiketype.edge import UserError, guard
from spiketype.units import training
from spiketype.units.model import measures

WIDE_MS = 0.45  # from trough to peak, above which laboratories call a unit excitatory


def clusters(count: int) -> dict[str, np.ndarray]:
    """Return the clusters of digits by method."""
    x = load_digits().data / 16
    mixture = GaussianMixture(count, n_init=10, random_state=0, reg_covar=1e-3)
    return {
        "k-means": KMeans(count, n_init=20, random_state=0).fit_predict(x),
        "pca-gmm": mixture.fit_predict(PCA(10, random_state=0).fit_transform(x)),
    }


def calls(
    question: Question, part: np.ndarray, label: np.ndarray, x: Float[np.ndarray, "sample feature"] | None
) -> dict[str, Float[np.ndarray, "sample class"]]:
    """Return the probabilities of the classes by method, of every sample that is tested; NaN elsewhere."""
    found = {"majority": np.full((len(label), len(question.classes)), np.nan)}
    if x is not None:
        found["logistic"] = found["majority"].copy()
    for train, rows in sides(part):
        y = np.array([question.classes.index(word) for word in label[train].tolist()])
        found["majority"][rows] = np.bincount(y, minlength=len(question.classes)) / len(y)
        if x is not None:
            model = make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), LogisticRegression(max_iter=5000))
            found["logistic"][rows] = model.fit(x[train], y).predict_proba(x[rows])
    return found


def positions(
    part: np.ndarray, position_um: Float[np.ndarray, "sample 3"], x: Float[np.ndarray, "sample feature"]
) -> dict[str, Float[np.ndarray, "sample 3"]]:
    """Return positions by method, of every sample that is tested; NaN elsewhere."""
    found = {name: np.full(position_um.shape, np.nan) for name in ("mean-position", "linear")}
    for train, rows in sides(part):
        found["mean-position"][rows] = position_um[train].mean(axis=0)
        model = make_pipeline(StandardScaler(), LinearRegression())
        found["linear"][rows] = model.fit(x[train], position_um[train]).predict(x[rows])
    return found


def images(place: Path) -> Float[np.ndarray, "sample feature"]:
    """Return amplitudes and widths of all contacts, on the scales that networks see."""
    inputs = eap.Inputs(place / folder.DATA, "aw", scaled=True)
    return inputs.rows(np.arange(inputs.shape[0])).reshape(inputs.shape[0], -1)


def units(made: Made, data: Path | None) -> Shape:
    """Return the measured shapes of the units of a benchmark, in the order of its samples.

    Raises:
        UserError: no folder is given; other units.
    """
    if data is None:
        raise UserError("--data is missing: give the folder of sources that the benchmark was made of")
    rate_kHz = made.specification.generator.options["rate_kHz"]
    tables = [waveforms.load(data / source.file, rate_kHz=rate_kHz) for source in made.specification.source]
    each = [training.labelled(str(k), table).shape for k, table in enumerate(tables)]
    shape = Shape(*(np.concatenate(values) for values in zip(*each, strict=True)))
    if len(shape.trough_to_peak_ms) != len(made.samples["id"]):
        raise UserError("the files of --data have other units than the benchmark: give those that it was made of")
    return shape


def features(made: Made, place: Path, data: Path | None) -> Float[np.ndarray, "sample feature"] | None:
    """Return the features of what a benchmark names, in the order of its samples; None where there are none.

    Raises:
        UserError: other cells.
    """
    kind = made.specification.generator.kind
    if kind == "units":
        return measures(units(made, data))
    if kind == "raphe":
        spike_pA = read.labelled(place / folder.DATA).spike_pA
        return spike_pA / np.linalg.norm(spike_pA, axis=1, keepdims=True)
    if kind not in ("allen-subclass", "allen-species"):
        return None
    subclasses = kind == "allen-subclass"
    table = cells.mouse(find(data), 41, None) if subclasses else species.usable(load(find(data)), "impute")
    if table.specimen_id.astype(str).tolist() != made.samples["id"].tolist():
        raise UserError("the tables of --data have other cells than the benchmark: give those that it was made of")
    return table.x


def tables(made: Made, place: Path, asked: str, data: Path | None) -> dict[str, pd.DataFrame]:
    """Return the predictions of every method for a question, a row for each sample that is tested."""
    question, samples = made.specification.questions[asked], made.samples
    if question.answer == "cluster":
        return {key: pd.DataFrame({"cluster": found}) for key, found in clusters(len(question.classes)).items()}
    if question.answer == "position":
        position_um = np.stack([samples[axis] for axis in AXES], axis=1)
        where_um = positions(samples[asked], position_um, images(place))
        return {key: pd.DataFrame(each, columns=list(AXES)).dropna() for key, each in where_um.items()}
    found = calls(question, samples[asked], samples[question.label], features(made, place, data))
    if made.specification.generator.kind == "units":
        excitatory = 1 / (1 + np.exp(-20 * (units(made, data).trough_to_peak_ms - WIDE_MS)))
        chances = {"excitatory": excitatory, "inhibitory": 1 - excitatory}
        tests = np.isfinite(found["majority"])
        found["trough-to-peak"] = np.where(
            tests, np.stack([chances[name] for name in question.classes], axis=1), np.nan
        )
    columns = [f"p_{each}" for each in question.classes]
    return {key: pd.DataFrame(p, columns=columns).dropna() for key, p in found.items()}


def main(
    name: tyro.conf.Positional[str], made: Path, out: Path = Path("runs/baselines"), data: Path | None = None
) -> None:
    """Write the predictions of every method.

    Args:
        name: Of the benchmark.
        made: Its folder.
        out: Folder of the tables.
        data: Folder of the Allen tables, as of --task subclass; of units-real, that of its sources.
    """
    benchmark = folder.read(made, name)
    out.mkdir(parents=True, exist_ok=True)
    for asked, question in benchmark.specification.questions.items():
        for key, table in tables(benchmark, made, asked, data).items():
            table.insert(0, "id", benchmark.samples[question.row][table.index])
            if question.row != "id":  # cells, of many spikes each
                table = table.groupby("id", sort=False, as_index=False).mean()
            table.to_csv(path := out / f"{asked}-{key}.csv", index=False)
            print(path)


if __name__ == "__main__":
    with guard():
        tyro.cli(main)
