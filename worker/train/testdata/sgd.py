"""The peer of BenchmarkDense and BenchmarkWide: scikit-learn's SGDClassifier without shuffle, over
28 numbers or 39 hashed categories of Zipf keys. It prints the processor seconds of each epoch.

    sgd.py rows epochs buckets      (of each category; 0: numbers)
"""
import sys
import time

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.linear_model import SGDClassifier

rows, epochs, buckets = map(int, sys.argv[1:])
random = np.random.default_rng(1)
y = random.integers(0, 2, rows)
if buckets == 0:
    x = random.standard_normal((rows, 28), dtype=np.float32)
else:
    shares = np.cumsum(np.arange(1, (1 << 20) + 1, dtype=np.float64) ** -1.1)
    keys = np.searchsorted(shares, random.random((rows, 39)) * shares[-1]).astype(np.uint64)
    with np.errstate(over="ignore"):
        h = keys * np.uint64(0x9E3779B97F4A7C15) + np.arange(39, dtype=np.uint64)
        for shift, by in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            h = (h ^ (h >> np.uint64(shift))) * np.uint64(by)
        h ^= h >> np.uint64(31)
    at = (h % np.uint64(buckets)).astype(np.int32) + np.arange(39, dtype=np.int32) * buckets
    at.sort(axis=1)
    x = csr_matrix((np.ones(rows * 39, np.float32), at.ravel(), np.arange(0, rows * 39 + 1, 39, dtype=np.int32)), (rows, 39 * buckets))
model = SGDClassifier(loss="log_loss", learning_rate="constant", eta0=0.1, shuffle=False)
for _ in range(epochs):
    began = time.process_time()
    model.partial_fit(x, y, classes=[0, 1])
    print(time.process_time() - began)
