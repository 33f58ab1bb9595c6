"""Trains LightGBM on a fifth of the flights of the demo's spec, writes the model and some rows of the
test split (float64s, row after row), and what pred_contrib says of these; prints as JSON
the CPU seconds of one thread that pred_contrib takes for them, the least of three.

    contributions.py FLIGHTS TREES LEAVES ROWS FOLDER
"""

import json
import os
import sys
import time

import lightgbm
import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

path, trees, leaves, count, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
table = pq.read_table(path, columns=["date", "delay", "distance", "origin", "destination"])
table = table.filter(pc.is_valid(table["delay"]))
x = np.stack([
    table["distance"].to_numpy().astype(np.float64),
    *(pc.dictionary_encode(table[c].combine_chunks()).indices.to_numpy().astype(np.float64) for c in ("origin", "destination")),
    pc.hour(table["date"]).to_numpy().astype(np.float64),
    pc.day_of_week(table["date"]).to_numpy().astype(np.float64),
], axis=1)
y = pc.greater(table["delay"], 15).to_numpy().astype(np.float64)
rows = np.ascontiguousarray(x[:: max(1, len(x) // count)][:count])
parameters = {
    "objective": "binary", "num_leaves": leaves, "learning_rate": 0.1, "max_bin": 255, "min_data_in_leaf": 20,
    "num_threads": 1, "verbosity": -1,
}
names = ["distance", "origin", "destination", "hour", "weekday"]
model = lightgbm.train(parameters, lightgbm.Dataset(x[::5], y[::5], feature_name=names, categorical_feature=[1, 2, 3, 4]), trees)
model.save_model(os.path.join(folder, "model.txt"))
seconds = []
for _ in range(3):
    began = time.process_time()
    shares = model.predict(rows, pred_contrib=True, num_threads=1)
    seconds.append(time.process_time() - began)
rows.tofile(os.path.join(folder, "rows"))
shares.tofile(os.path.join(folder, "shares"))
print(json.dumps({"seconds": min(seconds), "rows": len(rows)}))
