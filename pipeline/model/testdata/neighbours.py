"""Writes neighbours.json: what scikit-learn 1.5's KNeighborsClassifier and
KNeighborsRegressor say of rows without equal distances, by numbers and a one-hot category.

    python3 neighbours.py > neighbours.json
"""

import json

import numpy as np
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

random = np.random.default_rng(7)
ROWS, QUERIES, NUMBERS, IDS, NEIGHBOURS = 150, 40, 3, 4, 5

numbers = random.normal(size=(ROWS + QUERIES, NUMBERS)).astype("f4")
ids = random.integers(0, IDS, ROWS + QUERIES)
classes = (numbers[:, 0] + 0.5 * ids + random.normal(size=len(ids)) > 0.5).astype(int) + (numbers[:, 1] > 1)
values = (10 * numbers[:, 2] + ids).astype("f4")
x = np.hstack([numbers.astype(float), np.eye(IDS)[ids]])
train, query = x[:ROWS], x[ROWS:]


def shares(labels):
    return KNeighborsClassifier(NEIGHBOURS, algorithm="brute").fit(train, labels[:ROWS]).predict_proba(query).round(6).tolist()


print(json.dumps({
    "neighbours": NEIGHBOURS, "rows": ROWS, "ids": IDS,
    "numbers": [[float(f"{v:.9g}") for v in column] for column in numbers.T.astype(float)], "categories": ids.tolist(),
    "labels": {"binary": (classes > 0).astype(int).tolist(), "category": classes.tolist(), "number": [float(f"{v:.9g}") for v in values.astype(float)]},
    "predictions": {
        "binary": [p[1] for p in shares((classes > 0).astype(int))],
        "category": sum(shares(classes), []),
        "number": KNeighborsRegressor(NEIGHBOURS, algorithm="brute").fit(train, values[:ROWS].astype(float)).predict(query).tolist(),
    },
}))
