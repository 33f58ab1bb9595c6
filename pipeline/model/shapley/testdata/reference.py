"""Writes reference.json beside it: trees over categories, rows, and what the shap package says each
slot brought to the sum of the trees.

Made with Python 3.11, shap 0.51.0, scikit-learn 1.9.1 and NumPy 2.4:

    python reference.py > reference.json
"""

import json
import sys

import numpy as np
import shap
from sklearn.ensemble import GradientBoostingRegressor

IDS = [5, 16, 2, 9, 33]  # of each slot, as many as in the test
ROWS = 12  # that are explained

random = np.random.default_rng(1)
x = np.column_stack([random.integers(0, n, 400) for n in IDS]).astype(np.float64)
y = np.sin(x[:, 1]) + x[:, 0] * (x[:, 2] - 0.3) + (x[:, 4] > 12) * (x[:, 3] - 4) + random.normal(0, 0.3, 400)
model = GradientBoostingRegressor(n_estimators=6, max_depth=5, learning_rate=0.5, random_state=1)
model.fit(x, y)

trees = []
for (estimator,) in model.estimators_:
    t = estimator.tree_
    inner = np.flatnonzero(t.children_left >= 0)  # parents come before their children
    leaves = np.flatnonzero(t.children_left < 0)
    # A split's number, of a leaf the complement of its own.
    number = {int(n): i for i, n in enumerate(inner)} | {int(n): ~i for i, n in enumerate(leaves)}
    trees.append(
        {
            "slots": t.feature[inner].tolist(),
            "below": (np.floor(t.threshold[inner]) + 1).astype(int).tolist(),  # ids that go to the left
            "left": [number[int(n)] for n in t.children_left[inner]],
            "right": [number[int(n)] for n in t.children_right[inner]],
            "values": (model.learning_rate * t.value[leaves, 0, 0]).tolist(),
            "covers": t.weighted_n_node_samples[inner].tolist(),
            "leaves": t.weighted_n_node_samples[leaves].tolist(),
        }
    )

rows = np.column_stack([random.integers(0, n, ROWS) for n in IDS])
explainer = shap.TreeExplainer(model, feature_perturbation="tree_path_dependent")
start = float(model.init_.constant_[0, 0])  # which no tree has
json.dump(
    {
        "ids": IDS,
        "trees": trees,
        "rows": rows.tolist(),
        "base": float(np.ravel(explainer.expected_value)[0]) - start,
        "values": explainer.shap_values(rows.astype(np.float64)).tolist(),
    },
    sys.stdout,
)
print()
