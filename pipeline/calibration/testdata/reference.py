"""Writes reference.json beside it: outputs of models with labels, and the probabilities that
scikit-learn's calibrations make of other outputs.

Made with Python 3.11, scikit-learn 1.9.1 and NumPy 2.4:

    python reference.py > reference.json
"""

import json

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression


class Given(ClassifierMixin, BaseEstimator):
    """A classifier whose decision function is its input."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def decision_function(self, X):
        return X[:, 0] if len(self.classes_) == 2 else X

    def predict(self, X):
        z = self.decision_function(X)
        return self.classes_[(z > 0).astype(int) if z.ndim == 1 else z.argmax(1)]


random = np.random.default_rng(7)
cases = []


def case(name, method, z, y, at):
    z, at = z.astype(np.float32).astype(float), at.astype(np.float32).astype(float)
    z, at = z.reshape(len(y), -1), at.reshape(len(at), -1)
    width = z.shape[1]
    if method == "isotonic":
        want = IsotonicRegression(out_of_bounds="clip", y_min=0, y_max=1).fit(z[:, 0], y).predict(at[:, 0])
    else:
        fitted = CalibratedClassifierCV(FrozenEstimator(Given().fit(z, y)), method={"platt": "sigmoid"}.get(method, method)).fit(z, y)
        want = fitted.predict_proba(at)
        want = want[:, 1] if width == 1 else want.reshape(-1)
    cases.append({"name": name, "method": method, "width": width, "outputs": z.reshape(-1).tolist(), "labels": y.tolist(),
                  "at": at.reshape(-1).tolist(), "want": np.round(want, 8).tolist()})


grid = np.linspace(-12, 12, 25)
for name, n, share in (("even", 150, 1.0), ("rare", 200, 0.1), ("few", 20, 1.0)):
    truth = random.normal(0, 2, n) + np.log(share)
    y = (random.random(n) < 1 / (1 + np.exp(-truth))).astype(int)
    y[:2] = [0, 1]
    for method in ("platt", "isotonic", "temperature"):
        case(name, method, 2.5 * truth + 1, y, grid)
# Many rows have the same output, some outputs are far from all others.
z = np.concatenate([np.round(random.normal(0, 1, 120), 1), [-40, 40, 40]])
y = (random.random(123) < 1 / (1 + np.exp(-z))).astype(int)
for method in ("platt", "isotonic"):
    case("ties", method, z, y, grid)
# The larger the output, the less likely.
case("against", "platt", -z, y, grid)
case("against", "isotonic", -z, y, grid)
case("apart", "platt", np.arange(-10, 10) + 0.5, (np.arange(-10, 10) >= 0).astype(int), grid)
truth = random.normal(0, 1.5, (120, 4))
y = np.array([random.choice(4, p=np.exp(t) / np.exp(t).sum()) for t in truth])
case("classes", "temperature", 3 * truth, y, 3 * random.normal(0, 1.5, (20, 4)))
case("blunt classes", "temperature", truth / 4, y, random.normal(0, 1.5, (20, 4)))
print("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]")
