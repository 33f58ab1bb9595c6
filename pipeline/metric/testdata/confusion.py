"""Writes confusion.json: classes of rows, classes that these are taken for, and scikit-learn's
confusion_matrix of both. Made with scikit-learn 1.9.1 and NumPy 2.4.6:

    python3 confusion.py > confusion.json
"""

import json

import numpy
from sklearn.metrics import confusion_matrix

random = numpy.random.default_rng(5)
cases = []
for classes, rows in [(2, 40), (3, 300), (30, 500), (100, 300)]:
    labels = random.zipf(1.5, rows) % classes  # some classes have no rows
    guesses = random.integers(0, classes, rows)
    taken = numpy.where(random.random(rows) < 0.6, labels, guesses)
    matrix = confusion_matrix(labels, taken, labels=range(classes))
    cells = [[int(i), int(j), int(matrix[i, j])] for i, j in zip(*numpy.nonzero(matrix))]
    cases.append({"classes": classes, "labels": labels.tolist(), "taken": taken.tolist(), "cells": cells})
print(json.dumps(cases, separators=(",", ":")))
