"""Writes weights.json: rows with labels and weights of a mean of 1, and what scikit-learn's models, and
LightGBM's trees, find with sample_weight. Made with scikit-learn 1.9.1, LightGBM 4.7.0 and NumPy 2.4.6:

    python3 weights.py > weights.json
"""

import json

import lightgbm
import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge

rng = np.random.default_rng(11)
n = 400
x = rng.normal(0, 1, (n, 3)).astype(np.float32)
bins = np.clip((x * 8 + 20).astype(int), 1, 39)
z = 1.2 * x[:, 0] - 0.8 * x[:, 1] + 0.5 * x[:, 0] * x[:, 2]
binary = (rng.random(n) < 1 / (1 + np.exp(-z + 1))).astype(int)
number = (z + rng.normal(0, 0.5, n)).astype(np.float32)
classes = np.digitize(number, [-0.5, 0.8])
weights = rng.choice([0.25, 1, 4, 12], n)
weights = (weights / weights.mean()).astype(np.float32)

# The penalty of ours stands beside the sum of losses, C=1/l2.
logistic = LogisticRegression(C=0.5, tol=1e-10, max_iter=5000).fit(x, binary, sample_weight=weights)
several = LogisticRegression(C=0.5, tol=1e-10, max_iter=5000).fit(x, classes, sample_weight=weights)
ridge = Ridge(alpha=2).fit(x, number, sample_weight=weights)
plain = LogisticRegression(C=0.5, tol=1e-10, max_iter=5000).fit(x, binary)
trees = {}
for name, y, objective in [("binary", binary, "binary"), ("number", number, "regression")]:
    data = lightgbm.Dataset(bins, y, weight=weights, params={"min_data_in_bin": 1, "verbose": -1})
    booster = lightgbm.train({"objective": objective, "num_leaves": 7, "learning_rate": 0.2, "min_data_in_leaf": 0, "lambda_l2": 1, "verbose": -1,
                              "min_data_in_bin": 1, "num_threads": 1, "deterministic": True, "use_missing": False}, data, 12)
    trees[name] = booster.predict(bins).tolist()


def linear(m):
    return {"weights": np.atleast_2d(m.coef_).tolist(), "biases": np.atleast_1d(m.intercept_).tolist()}


print(json.dumps({"x": x.tolist(), "bins": bins.tolist(), "binary": binary.tolist(), "number": number.tolist(), "category": classes.tolist(), "row_weights": weights.tolist(),
                  "linear": {"binary": linear(logistic), "category": linear(several), "number": linear(ridge), "plain": linear(plain)}, "trees": trees}))
