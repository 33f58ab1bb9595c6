"""Trains LightGBM with one thread on the flights of the demo's spec, and prints as JSON
the CPU seconds that binning and training took, and what the model reaches on the test
split. The split is the demo's: the earliest 70 % train, the latest 15 % test.

    peer.py FLIGHTS TREES LEAVES
"""

import json
import sys
import time

import lightgbm
import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sklearn.metrics import log_loss, roc_auc_score

path, trees, leaves = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
table = pq.read_table(path, columns=["date", "delay", "distance", "origin", "destination"])
table = table.filter(pc.is_valid(table["delay"]))
x = np.stack([
    table["distance"].to_numpy().astype(np.float64),
    *(pc.dictionary_encode(table[c].combine_chunks()).indices.to_numpy().astype(np.float64) for c in ("origin", "destination")),
    pc.hour(table["date"]).to_numpy().astype(np.float64),
    pc.day_of_week(table["date"]).to_numpy().astype(np.float64),
], axis=1)
y = pc.greater(table["delay"], 15).to_numpy().astype(np.float64)
date = pc.cast(table["date"], "timestamp[us]").to_numpy().astype("datetime64[us]")
order = np.sort(date)
train = date < order[int(0.7 * len(order))]
test = date >= order[int(0.85 * len(order))]
parameters = {
    "objective": "binary", "num_leaves": leaves, "learning_rate": 0.1, "max_bin": 255, "min_data_in_leaf": 20,
    "num_threads": 1, "verbosity": -1,
}
rows, labels = np.ascontiguousarray(x[train]), y[train]
began = time.process_time()
model = lightgbm.train(parameters, lightgbm.Dataset(rows, labels, categorical_feature=[1, 2, 3, 4]), trees)
seconds = time.process_time() - began
p = model.predict(x[test], num_threads=1)
print(json.dumps({"seconds": seconds, "rows": int(train.sum()), "roc_auc": roc_auc_score(y[test], p), "log_loss": log_loss(y[test], p)}))
