"""Predictions of plain methods for a shared benchmark: python scripts/benchmark_baselines.py NAME --made FOLDER.

They are those of scikit-learn, with nothing chosen: k-means, and PCA to 10 with a mixture of Gaussians, of digits; the
shares of classes in the training part, and logistic regression on standardised features (medians where one is missing),
of the cells of the Allen tables. Each is a table that `spiketype bench score` judges.
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
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from spiketype.datasets.allen import cells, species
from spiketype.datasets.allen.table import find, load
from spiketype.datasets.benchmarks import folder
from spiketype.datasets.benchmarks.divide import sides
from spiketype.datasets.benchmarks.folder import Made
from spiketype.datasets.benchmarks.specification import Question
from spiketype.edge import UserError, guard


def clusters(count: int) -> dict[str, np.ndarray]:
    """Return the clusters of digits by method."""
    x = load_digits().data / 16
    mixture = GaussianMixture(count, n_init=10, random_state=0, reg_covar=1e-3)
    return {
        "k-means": KMeans(count, n_init=20, random_state=0).fit_predict(x),
        "pca-gmm": mixture.fit_predict(PCA(10, random_state=0).fit_transform(x)),
    }


def calls(
    question: Question, part: np.ndarray, label: np.ndarray, x: Float[np.ndarray, "sample feature"]
) -> dict[str, Float[np.ndarray, "sample class"]]:
    """Return the probabilities of the classes by method, of every sample that is tested; NaN elsewhere."""
    found = {name: np.full((len(x), len(question.classes)), np.nan) for name in ("majority", "logistic")}
    for train, rows in sides(part):
        y = np.array([question.classes.index(word) for word in label[train].tolist()])
        model = make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), LogisticRegression(max_iter=5000))
        found["majority"][rows] = np.bincount(y, minlength=len(question.classes)) / len(y)
        found["logistic"][rows] = model.fit(x[train], y).predict_proba(x[rows])
    return found


def features(made: Made, data: Path | None) -> Float[np.ndarray, "sample feature"]:
    """Return the features of the cells of a benchmark, in the order of its samples.

    Raises:
        UserError: a benchmark of other data.
    """
    kind = made.specification.generator.kind
    if kind == "allen-subclass":
        table = cells.mouse(find(data), 41, None)
    elif kind == "allen-species":
        table = species.usable(load(find(data)), "impute")
    else:
        raise UserError(f"{made.specification.name}: choose cluster-digits, allen-subclass or allen-species")
    if table.specimen_id.astype(str).tolist() != made.samples["id"].tolist():
        raise UserError("the tables of --data have other cells than the benchmark: give those that it was made of")
    return table.x


def main(
    name: tyro.conf.Positional[str], made: Path, out: Path = Path("runs/baselines"), data: Path | None = None
) -> None:
    """Write the predictions of every method.

    Args:
        name: Of the benchmark: cluster-digits, allen-subclass or allen-species.
        made: Its folder.
        out: Folder of the tables.
        data: Folder of the Allen tables, as of --task subclass.
    """
    benchmark = folder.read(made, name)
    out.mkdir(parents=True, exist_ok=True)
    for asked, question in benchmark.specification.questions.items():
        samples = benchmark.samples
        if question.answer == "cluster":
            tables = {key: pd.DataFrame({"cluster": found}) for key, found in clusters(len(question.classes)).items()}
        else:
            found = calls(question, samples[asked], samples[question.label], features(benchmark, data))
            columns = [f"p_{each}" for each in question.classes]
            tables = {key: pd.DataFrame(p, columns=columns).dropna() for key, p in found.items()}
        for key, table in tables.items():
            table.insert(0, "id", samples["id"][table.index])
            table.to_csv(path := out / f"{asked}-{key}.csv", index=False)
            print(path)


if __name__ == "__main__":
    with guard():
        tyro.cli(main)
