"""Writes folds.json: what scikit-learn finds by cross-validation of the rows and folds of
folds.csv, which the test TestFoldsAreThoseOfScikitLearn writes with -update. Made with
scikit-learn 1.9.1:

    python3 folds.py > folds.json
"""

import json

import numpy
import pandas
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import PredefinedSplit, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

rows = pandas.read_csv("folds.csv", keep_default_na=False, na_values=[""])
kept = rows[rows.fold > 0]
features = ColumnTransformer([
    ("number", make_pipeline(SimpleImputer(strategy="mean"), StandardScaler()), ["x"]),
    ("category", OneHotEncoder(drop="first"), ["city"]),
])
logistic = LogisticRegression(C=numpy.inf, solver="newton-cholesky", tol=1e-12, max_iter=10000)
models = {
    "binary": (kept.y > 0.5, logistic, {"roc_auc": "roc_auc", "log_loss": "neg_log_loss", "accuracy": "accuracy"}),
    "category": (kept.kind, LogisticRegression(C=numpy.inf, solver="lbfgs", tol=1e-10, max_iter=100000), {"log_loss": "neg_log_loss", "accuracy": "accuracy"}),
    "number": (kept.y, LinearRegression(), {"rmse": "neg_root_mean_squared_error", "mae": "neg_mean_absolute_error"}),
}
out = {}
for name, (label, model, scores) in models.items():
    found = cross_validate(make_pipeline(features, model), kept, label, cv=PredefinedSplit(kept.fold), scoring=list(scores.values()))
    out[name] = {ours: numpy.abs(found["test_" + theirs]).tolist() for ours, theirs in scores.items()}
print(json.dumps(out, indent=1))
