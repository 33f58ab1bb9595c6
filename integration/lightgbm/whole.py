"""Reads the flights with Polars, makes the features of the demo's spec, trains LightGBM
with one thread and evaluates it on the validation and the test split, and prints the ROC
AUC of the latter. Run it with POLARS_MAX_THREADS=1: what counts is the process's CPU time.

    whole.py FLIGHTS TREES LEAVES
"""

import sys

import lightgbm
import numpy as np
import polars as pl
from sklearn.metrics import log_loss, roc_auc_score

path, trees, leaves = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
rows = (
    pl.scan_parquet(path)
    .select("date", "delay", "distance", "origin", "destination")
    .filter(pl.col("delay").is_not_null())
    .select(
        "date",
        pl.col("distance").cast(pl.Float64),
        pl.col("origin").cast(pl.Categorical).to_physical().cast(pl.Float64),
        pl.col("destination").cast(pl.Categorical).to_physical().cast(pl.Float64),
        pl.col("date").dt.hour().cast(pl.Float64).alias("hour"),
        pl.col("date").dt.weekday().cast(pl.Float64).alias("weekday"),
        (pl.col("delay") > 15).alias("delayed"),
    )
    .collect()
)
x = rows.select("distance", "origin", "destination", "hour", "weekday").to_numpy()
y = rows["delayed"].to_numpy().astype(np.float64)
date = rows["date"].to_numpy()
order = np.sort(date)
first, last = order[int(0.7 * len(order))], order[int(0.85 * len(order))]
parts = {"train": date < first, "validation": (date >= first) & (date < last), "test": date >= last}
model = lightgbm.train(
    {"objective": "binary", "num_leaves": leaves, "learning_rate": 0.1, "max_bin": 255, "min_data_in_leaf": 20, "num_threads": 1, "verbosity": -1},
    lightgbm.Dataset(np.ascontiguousarray(x[parts["train"]]), y[parts["train"]], categorical_feature=[1, 2, 3, 4]), trees)
for name in ("validation", "test"):
    of = parts[name]
    p = model.predict(x[of], num_threads=1)
    auc, loss = roc_auc_score(y[of], p), log_loss(y[of], p)
print(auc)
