"""Writes each table of sets.py as Parquet and as a spec for each seed, and prints
what scikit-learn reaches on the same splits, as one line of JSON for each table,
model and loss.

    peer.py DIRECTORY [TABLE...]
"""

import json
import os
import sys
import warnings

import mmh3
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss, root_mean_squared_error
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC

from sets import SETS, load

SMALL = 2000  # rows, below which the mean of ten seeds counts
SHARES = (0.7, 0.15)  # of training and validation: the spec's default


def mix(x):
    """The finaliser of SplitMix64, as pipeline/split has it."""
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def hashes(seed, name, rows):
    """The hashes by which a table's rows are split at random."""
    stem = np.array([mmh3.hash64(name + "/table", signed=False)[0]], np.uint64)  # its key, without the extension
    with np.errstate(over="ignore"):
        return mix(mix(np.uint64(seed) ^ mix(stem + GOLDEN)) ^ np.arange(rows, dtype=np.uint64))


def split(seed, name, rows):
    """The random split of a table's rows: 0 training, 1 validation, 2 test."""
    h = hashes(seed, name, rows)
    at = [np.uint64(int(sum(SHARES[:n]) * 2**64)) for n in (1, 2)]
    return (h >= at[0]).astype(int) + (h >= at[1])


def folds(seed, name, rows, count):
    """The folds of a table's rows, from 0, of those that are not test rows."""
    with np.errstate(over="ignore"):
        h = mix(hashes(seed, name, rows) + GOLDEN)
    return np.array([int(x) * count >> 64 for x in h])


def class_loss(m, x, y):
    return log_loss(y, m.predict_proba(x), labels=m.classes_)


def rmse(m, x, y):
    return root_mean_squared_error(y, m.predict(x))


def hinge_loss(m, x, y):
    return np.maximum(0, 1 - (2 * y - 1) * m.decision_function(x)).mean()


# By the type of the label and the loss: the linear peer, the tree peer, the metric, and
# how it is computed.
PEERS = {
    ("binary", ""): (lambda: LogisticRegression(C=1, max_iter=1000), HistGradientBoostingClassifier, "test.log_loss", class_loss),
    ("category", ""): (lambda: LogisticRegression(C=1, max_iter=5000), HistGradientBoostingClassifier, "test.log_loss", class_loss),
    ("number", ""): (lambda: Ridge(1), HistGradientBoostingRegressor, "test.rmse", rmse),
    ("binary", "hinge"): (lambda: LinearSVC(C=1, dual=False), None, "test.hinge_loss", hinge_loss),
}
# Tables on which networks are tried too, by so many seeds.
NETWORKS = ["cancer", "penguins", "mroz", "birthwt", "digits", "mpg", "hitters", "tips", "credit"]
SEEDS = 3
# Tables whose features are the pixels of an image of so many rows and columns, row by row: a
# convolutional network is tried on it too, and the accuracy is compared.
IMAGES = {"digits": [8, 8]}
# Tables on which a support vector machine is tried too.
MARGINS = ["cancer", "mroz", "churn", "spam"]


def network(kind, **options):
    """scikit-learn's network, of a number that is scaled as the inputs are."""
    options = {"random_state": 0, **options}
    if kind == "number":
        return TransformedTargetRegressor(MLPRegressor(**options), transformer=StandardScaler())
    return MLPClassifier(**options)


def linear(x, train, model):
    """The columns as a linear peer reads them, and the peer."""
    numbers = [c for c in x if x[c].dtype == float]
    categories = [c for c in x if x[c].dtype != float]
    x = x.assign(**{c: x[c].where(x[c].notna(), "<MISSING>") for c in categories})
    return x, make_pipeline(
        ColumnTransformer([
            ("numbers", make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler()), numbers),
            ("categories", OneHotEncoder(handle_unknown="ignore"), categories),
        ]),
        model(),
    )


def trees(x, train, model):
    """The same of trees: of a category the most common values, as many as the peer can
    tell apart."""
    def common(c):
        return x.loc[train, c].value_counts().index[:254]

    x = x.assign(**{c: pd.Categorical(x[c].where(x[c].isin(common(c))), categories=common(c)) for c in x if x[c].dtype != float})
    return x, model(categorical_features="from_dtype", random_state=0)


def peer(x, y, kind, model, loss, parts):
    """The test metric of the peer, and of classes its accuracy."""
    of_lines, of_trees, _, score = PEERS[kind, loss]
    train, test = (parts == 0) & y.notna(), (parts == 2) & y.notna()
    if model == "mlp":
        x, m = linear(x, train, lambda: network(kind))
    else:
        x, m = trees(x, train, of_trees) if model == "trees" else linear(x, train, of_lines)
    m.fit(x[train], y[train])
    return score(m, x[test], y[test]), m.score(x[test], y[test]) if kind == "category" else None


def spec(name, x, kind, model, loss, seed, trainer="", rest=""):
    features = "".join(
        f"    - {{name: {json.dumps(c)}, type: {'number' if x[c].dtype == float else 'category'}}}\n" for c in x
    )
    if model == "cnn":
        features = f"    - {{name: pixels, type: list, shape: {IMAGES[name]}}}\n"
    return f"""apiVersion: thalweg/v1
kind: Pipeline
metadata: {{name: {name}-{model}{loss and "-" + loss}-{seed}}}
spec:
  sources:
    train: {{s3: {{path: "s3://lake/{name}/*.parquet"}}, format: {{type: parquet}}}}
  input_features:
{features}  output_features:
    - {{name: label, type: {kind}{loss and ", loss: {type: " + loss + "}"}}}
  model: {{type: {model}}}
  trainer: {{seed: {seed}{trainer}}}
{rest}"""


def main(directory, *names):
    warnings.simplefilter("ignore")
    for name in names or SETS:
        x, y, kind = load(name)
        table = x.assign(label=y)
        if name in IMAGES:
            table["pixels"] = list(x.to_numpy())
        table.to_parquet(os.path.join(directory, name + ".parquet"), index=False)
        networks = [("mlp", "")] * (name in NETWORKS) + [("cnn", "")] * (name in IMAGES)
        for model, loss in [("linear", ""), ("trees", "")] + [("linear", "hinge")] * (name in MARGINS) + networks:
            seeds = range(1, 2 if len(x) >= SMALL else SEEDS + 1 if (model, loss) in networks else 11)
            if model != "cnn":  # else the peer is that of the mlp before it
                found = [peer(x, y, kind, model, loss, split(seed, name, len(x))) for seed in seeds]
            specs = [spec(name, x, kind, model, loss, seed) for seed in seeds]
            row = {"name": name, "model": model, "loss": loss, "kind": kind, "rows": len(x), "metric": PEERS[kind, loss][2], "specs": specs, "scores": [score for score, _ in found]}
            if name in IMAGES and (model, loss) in networks:
                row["accuracies"] = [accuracy for _, accuracy in found]
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
