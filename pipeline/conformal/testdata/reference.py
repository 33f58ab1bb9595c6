"""Writes reference.json beside it: predictions with labels, and the intervals and sets of labels
that MAPIE makes of other predictions.

Made with Python 3.11, MAPIE 1.6.0, scikit-learn 1.9.1 and NumPy 2.4:

    python reference.py > reference.json
"""

import json
import warnings

import numpy as np
from mapie.classification import SplitConformalClassifier
from mapie.regression import ConformalizedQuantileRegressor, SplitConformalRegressor
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

warnings.filterwarnings("ignore")


class Given(RegressorMixin, BaseEstimator):
    """A regressor that predicts a column of its input."""

    def __init__(self, column=0):
        self.column = column

    def fit(self, X, y):
        self.n_features_in_, self.is_fitted_ = X.shape[1], True
        return self

    def predict(self, X):
        return X[:, self.column]


class Likely(ClassifierMixin, BaseEstimator):
    """A classifier whose probabilities are its input."""

    def fit(self, X, y):
        self.classes_, self.n_features_in_, self.is_fitted_ = np.unique(y), X.shape[1], True
        return self

    def predict_proba(self, X):
        return X

    def predict(self, X):
        return self.classes_[X.argmax(1)]


random = np.random.default_rng(7)
cases = []


def single(a):
    return np.asarray(a).astype(np.float32).astype(float)


def case(method, coverage, predictions, labels, at, want):
    cases.append({"method": method, "coverage": coverage, "predictions": predictions.tolist(), "labels": labels.tolist(), "at": at.tolist(), "want": want.tolist()})


for n, coverage in ((60, 0.9), (59, 0.8), (25, 0.95), (41, 0.5)):
    z = single(random.normal(10, 5, n).reshape(-1, 1))
    y = single(z[:, 0] + random.standard_t(3, n))
    at = single(random.normal(10, 5, 8).reshape(-1, 1))
    m = SplitConformalRegressor(Given().fit(z, y), confidence_level=coverage, prefit=True).conformalize(z, y)
    case("absolute", coverage, z, y, at, m.predict_interval(at)[1][:, :, 0])

    def quantiles(n):
        middle, spread = random.normal(0, 3, n), random.exponential(1, n)
        return single(np.stack([middle - spread, middle, middle + spread], 1))

    q, at = quantiles(n), quantiles(8)
    y = single(q[:, 1] + random.normal(0, 1, n))
    fitted = [Given(0).fit(q, y), Given(2).fit(q, y), Given(1).fit(q, y)]
    m = ConformalizedQuantileRegressor(fitted, confidence_level=coverage, prefit=True).conformalize(q, y)
    case("quantiles", coverage, q, y, at, m.predict_interval(at, symmetric_correction=True)[1][:, :, 0])
    for width in (2, 5):
        p = single(random.dirichlet([0.7] * width, n))
        y = np.array([random.choice(width, p=row / row.sum()) for row in p])
        y[:width] = range(width)
        at = single(random.dirichlet([0.7] * width, 12))
        m = SplitConformalClassifier(Likely().fit(p, y), confidence_level=coverage, prefit=True, conformity_score="lac").conformalize(p, y)
        case("lac", coverage, p, y, at, m.predict_set(at)[1][:, :, 0].astype(int))
        if width == 2:
            continue  # MAPIE has no such sets of two labels
        m = SplitConformalClassifier(Likely().fit(p, y), confidence_level=coverage, prefit=True, conformity_score="aps", random_state=7).conformalize(p, y)
        case("aps", coverage, p, y, at, m.predict_set(at, conformity_score_params={"include_last_label": True})[1][:, :, 0].astype(int))
        cases[-1]["draws"] = np.random.RandomState(7).uniform(size=n).tolist()
print("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]")
