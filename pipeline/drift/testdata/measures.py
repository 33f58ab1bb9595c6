"""Writes measures.json: rows in bins before and after, and how far they are from each other
by NumPy and SciPy. Made with numpy 2.4.6 and scipy 1.17.1:

    python3 measures.py > measures.json
"""

import json

import numpy
from scipy.spatial.distance import jensenshannon

random = numpy.random.default_rng(5)
cases = []
for n in range(40):
    bins = int(random.integers(1, 25))
    shares = random.dirichlet(numpy.full(bins, 0.5), 2)
    before, after = (random.multinomial(int(random.integers(1, 5000)), s) for s in shares)
    if n % 5 == 0:
        after = before * 3
    p, q = ((counts + 0.5) / (counts + 0.5).sum() for counts in (before, after))
    psi = float(((q - p) * numpy.log(q / p)).sum())
    js = jensenshannon(before / before.sum(), after / after.sum(), base=2)
    cases.append({"before": before.tolist(), "after": after.tolist(), "psi": psi, "js": float(numpy.nan_to_num(js) ** 2)})
print(json.dumps(cases))
