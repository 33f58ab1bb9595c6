"""Writes each table of sets.py as Parquet and as a spec for each seed, and prints
what scikit-learn reaches on the same splits, as one line of JSON for each table.

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


def peer(x, y, binary, parts):
    """The test log loss or RMSE of the peer."""
    numbers = [c for c in x if x[c].dtype == float]
    categories = [c for c in x if x[c].dtype != float]
    x = x.assign(**{c: x[c].where(x[c].notna(), "<MISSING>") for c in categories})
    model = make_pipeline(
        ColumnTransformer([
            ("numbers", make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler()), numbers),
            ("categories", OneHotEncoder(handle_unknown="ignore"), categories),
        ]),
        LogisticRegression(C=1, max_iter=1000) if binary else Ridge(1),
    )
    train, test = (parts == 0) & y.notna(), (parts == 2) & y.notna()
    model.fit(x[train], y[train])
    if binary:
        return log_loss(y[test], model.predict_proba(x[test])[:, 1], labels=[0, 1])
    return root_mean_squared_error(y[test], model.predict(x[test]))


def spec(name, x, binary, seed):
    features = "".join(
        f"    - {{name: {json.dumps(c)}, type: {'number' if x[c].dtype == float else 'category'}}}\n" for c in x
    )
    return f"""apiVersion: thalweg/v1
kind: Pipeline
metadata: {{name: {name}-{seed}}}
spec:
  sources:
    train: {{s3: {{path: "s3://lake/{name}/*.parquet"}}, format: {{type: parquet}}}}
  input_features:
{features}  output_features:
    - {{name: label, type: {"binary" if binary else "number"}}}
  trainer: {{seed: {seed}}}
"""


def main(directory):
    warnings.simplefilter("ignore")
    for name in SETS:
        x, y, binary = load(name)
        x.assign(label=y).to_parquet(os.path.join(directory, name + ".parquet"), index=False)
        specs, scores = [], []
        for seed in range(1, 11 if len(x) < SMALL else 2):
            specs.append(spec(name, x, binary, seed))
            scores.append(peer(x, y, binary, split(seed, len(x))))
        metric = "test.log_loss" if binary else "test.rmse"
        print(json.dumps({"name": name, "rows": len(x), "metric": metric, "specs": specs, "scores": scores}), flush=True)


main(sys.argv[1])
