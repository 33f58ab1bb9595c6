"""The peer of BenchmarkNetwork: scikit-learn's MLPClassifier without shuffle, over 64 numbers. It
prints the processor seconds of each epoch.

    mlp.py rows epochs float32|float64
"""
import os
import sys
import time

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # threads that wait for others take processor time too

import numpy as np
from sklearn.neural_network import MLPClassifier

rows, epochs = map(int, sys.argv[1:3])
random = np.random.default_rng(1)
x = (random.random((rows, 64)) - 0.5).astype(sys.argv[3])
y = random.integers(0, 2, rows)
model = MLPClassifier((128, 64), batch_size=256, shuffle=False, random_state=1)
for _ in range(epochs):
    began = time.process_time()
    model.partial_fit(x, y, classes=[0, 1])
    print(time.process_time() - began)
