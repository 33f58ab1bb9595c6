"""Writes each table of sets.py as Parquet and as a spec for each seed, and prints
what scikit-learn reaches on the same splits, as one line of JSON for each table and
loss.

    peer.py DIRECTORY
"""

import json
import os
import sys
import warnings

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss, root_mean_squared_error
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


def split(seed, rows):
    """The random split of the rows of one shard: 0 training, 1 validation, 2 test."""
    with np.errstate(over="ignore"):
        shard = mix(np.array([0x9E3779B97F4A7C15], np.uint64))
        h = mix(mix(np.array([seed], np.uint64) ^ shard) ^ np.arange(rows, dtype=np.uint64))
    at = [np.uint64(int(sum(SHARES[:n]) * 2**64)) for n in (1, 2)]
    return (h >= at[0]).astype(int) + (h >= at[1])


# By the type of the label and the loss: the peer, the metric, and what of its test
# predictions the metric is.
PEERS = {
    ("binary", ""): (lambda: LogisticRegression(C=1, max_iter=1000), "test.log_loss", lambda m, x, y: log_loss(y, m.predict_proba(x), labels=m.classes_)),
    ("category", ""): (lambda: LogisticRegression(C=1, max_iter=5000), "test.log_loss", lambda m, x, y: log_loss(y, m.predict_proba(x), labels=m.classes_)),
    ("number", ""): (lambda: Ridge(1), "test.rmse", lambda m, x, y: root_mean_squared_error(y, m.predict(x))),
    ("binary", "hinge"): (lambda: LinearSVC(C=1, dual=False), "test.hinge_loss", lambda m, x, y: np.maximum(0, 1 - (2 * y - 1) * m.decision_function(x)).mean()),
}
# Tables on which a support vector machine is tried too.
MARGINS = ["cancer", "mroz", "churn", "spam"]


def peer(x, y, kind, loss, parts):
    """The test metric of the peer."""
    numbers = [c for c in x if x[c].dtype == float]
    categories = [c for c in x if x[c].dtype != float]
    x = x.assign(**{c: x[c].where(x[c].notna(), "<MISSING>") for c in categories})
    model = make_pipeline(
        ColumnTransformer([
            ("numbers", make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler()), numbers),
            ("categories", OneHotEncoder(handle_unknown="ignore"), categories),
        ]),
        PEERS[kind, loss][0](),
    )
    train, test = (parts == 0) & y.notna(), (parts == 2) & y.notna()
    model.fit(x[train], y[train])
    return PEERS[kind, loss][2](model, x[test], y[test])


def spec(name, x, kind, loss, seed):
    features = "".join(
        f"    - {{name: {json.dumps(c)}, type: {'number' if x[c].dtype == float else 'category'}}}\n" for c in x
    )
    return f"""apiVersion: thalweg/v1
kind: Pipeline
metadata: {{name: {name}{loss and "-" + loss}-{seed}}}
spec:
  sources:
    train: {{s3: {{path: "s3://lake/{name}/*.parquet"}}, format: {{type: parquet}}}}
  input_features:
{features}  output_features:
    - {{name: label, type: {kind}{loss and ", loss: {type: " + loss + "}"}}}
  trainer: {{seed: {seed}}}
"""


def main(directory):
    warnings.simplefilter("ignore")
    for name in SETS:
        x, y, kind = load(name)
        x.assign(label=y).to_parquet(os.path.join(directory, name + ".parquet"), index=False)
        for loss in ["", "hinge"] if name in MARGINS else [""]:
            specs, scores = [], []
            for seed in range(1, 11 if len(x) < SMALL else 2):
                specs.append(spec(name, x, kind, loss, seed))
                scores.append(peer(x, y, kind, loss, split(seed, len(x))))
            print(json.dumps({"name": name, "loss": loss, "kind": kind, "rows": len(x), "metric": PEERS[kind, loss][1], "specs": specs, "scores": scores}), flush=True)


main(sys.argv[1])
