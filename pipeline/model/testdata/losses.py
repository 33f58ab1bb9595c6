"""Writes losses.json: losses of some outputs by the formulas that PyTorch (binary_cross_entropy_with_logits,
cross_entropy) and torchvision (sigmoid_focal_loss) document, with reduction "none", and their slopes, as
differences in long double. Made with NumPy 2.4.6:

    python3 losses.py > losses.json
"""

import json

import numpy as np

L = np.longdouble
rng = np.random.default_rng(3)


def log_sigmoid(z):
    return -np.logaddexp(L(0), -z)


def bce(z, t, pos_weight=1):
    return -(pos_weight * t * log_sigmoid(z) + (1 - t) * log_sigmoid(-z))


def focal(z, t, alpha, gamma):
    p = 1 / (1 + np.exp(-z))
    p_t = p * t + (1 - p) * (1 - t)
    loss = bce(z, t) * (1 - p_t) ** gamma
    return loss if alpha is None else (alpha * t + (1 - alpha) * (1 - t)) * loss


def log_softmax(z):
    return z - np.logaddexp.reduce(z, axis=1, keepdims=True)


def cross_entropy(z, y, weight=None, label_smoothing=0):
    k = z.shape[1]
    w = np.ones(k, L) if weight is None else np.array(weight, L)
    log = log_softmax(z)
    nll = -w[y] * log[np.arange(len(y)), y]
    return (1 - L(label_smoothing)) * nll + L(label_smoothing) / k * -(w * log).sum(axis=1)


def softmax_focal(z, y, gamma, weight=None):
    log = log_softmax(z)[np.arange(len(y)), y]
    w = 1 if weight is None else np.array(weight, L)[y]
    return -w * (1 - np.exp(log)) ** gamma * log


rows = 24
z1 = np.float32(np.concatenate([np.clip(rng.normal(0, 2, rows - 4), -6, 6), [-6, 6, 0, 5.5]]))
y1 = rng.integers(0, 2, rows)
z3 = np.float32(rng.normal(0, 2, (rows, 3)))
z3[0], z3[1] = [12, -3, 0], [-9, 9, 0]
y3 = rng.integers(0, 3, rows)
weights = [0.5, 2.0, 1.25]

cases = [
    ("binary", {"label_smoothing": 0.2}, lambda z: bce(z, y1 * (1 - L(0.2)) + L(0.1))),
    ("binary", {"positive_class_weight": 3.5}, lambda z: bce(z, L(1) * y1, L(3.5))),
    ("binary focal", {"gamma": 2.0}, lambda z: focal(z, L(1) * y1, None, L(2))),
    ("binary focal", {"gamma": 0.0}, lambda z: focal(z, L(1) * y1, None, L(0))),
    ("binary focal", {"gamma": 1.5, "alpha": 0.25}, lambda z: focal(z, L(1) * y1, L(0.25), L(1.5))),
    ("category", {"label_smoothing": 0.1}, lambda z: cross_entropy(z, y3, None, 0.1)),
    ("category", {"class_weights": weights}, lambda z: cross_entropy(z, y3, weights)),
    ("category focal", {"gamma": 2.0}, lambda z: softmax_focal(z, y3, L(2))),
    ("category focal", {"gamma": 0.5, "class_weights": weights}, lambda z: softmax_focal(z, y3, L(0.5), weights)),
]

out = []
for kind, options, loss in cases:
    z, y = (z3, y3) if kind.startswith("category") else (z1, y1)
    z = L(z)
    slopes = np.zeros_like(z)
    h = L(1e-5)
    for column in np.ndindex(z.shape[1:]):
        d = np.zeros_like(z)
        d[(slice(None), *column)] = h
        slopes[(slice(None), *column)] = (loss(z + d) - loss(z - d)) / (2 * h)
    out.append({"of": kind, "options": options, "outputs": [float(x) for x in z.ravel()], "labels": [int(x) for x in y],
                "losses": [float("%.12g" % x) for x in loss(z)], "slopes": [float("%.9g" % x) for x in slopes.ravel()]})
print("[" + ",\n".join(json.dumps(c) for c in out) + "]")
