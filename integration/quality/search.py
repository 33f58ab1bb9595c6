"""Writes tables of sets.py as Parquet and as a spec for each seed that searches for the
options of an mlp, and prints what scikit-learn's network reaches on the same splits, tuned
by the same search: as many trials, drawn at random from the same space, of which the one
counts that is best on the validation rows. One line of JSON for each table.

    search.py DIRECTORY [TABLE...]
"""

import json
import os
import sys
import warnings

import joblib
import numpy as np

from peer import PEERS, linear, network, spec, split
from sets import SETS, load

MOST = 5000  # rows of a table, of which so many are drawn where there are more
SMALL = 2000  # rows, below which the mean of SEEDS seeds counts
SEEDS = 5
TRIALS = 10
# Both penalize half the sum of the weights' squares, times l2 or alpha, beside the sum of the
# losses: of all rows, and of a batch.
HIDDEN = [[32], [64], [64, 32], [128, 64]]
RATES = (0.0005, 0.02)
PENALTIES = (0.01, 10)
SEARCH = f"""  search:
    algorithm: {{type: random}}
    max_trials: {TRIALS}
    parameters:
      model.hidden: {{space: choice, values: {HIDDEN}}}
      trainer.optimizer.learning_rate: {{space: loguniform, lower: {RATES[0]}, upper: {RATES[1]}}}
      trainer.regularization.l2: {{space: loguniform, lower: {PENALTIES[0]}, upper: {PENALTIES[1]}}}
"""


def trials(seed):
    """The options of scikit-learn's networks."""
    random = np.random.default_rng(seed)
    for _ in range(TRIALS):
        yield {
            "hidden_layer_sizes": HIDDEN[random.integers(len(HIDDEN))],
            "learning_rate_init": np.exp(random.uniform(*np.log(RATES))),
            "alpha": np.exp(random.uniform(*np.log(PENALTIES))),
            "random_state": seed,
        }


def tuned(x, y, kind, parts, seed):
    """The test metric of the network that is best on the validation rows."""
    train, validation, test = ((parts == part) & y.notna() for part in range(3))
    score = PEERS[kind, ""][3]
    if kind == "category":
        known = y.isin(y[train])
        validation, test = validation & known, test & known

    def judge(options):
        warnings.simplefilter("ignore")
        columns, m = linear(x, train, lambda: network(kind, **options))
        m.fit(columns[train], y[train])
        return score(m, columns[validation], y[validation]), score(m, columns[test], y[test])

    return min(joblib.Parallel(n_jobs=-1)(joblib.delayed(judge)(o) for o in trials(seed)))[1]


def main(directory, *names):
    for name in names or SETS:
        x, y, kind = load(name)
        if len(x) > MOST:
            x = x.sample(MOST, random_state=0).sort_index()
            y = y[x.index].reset_index(drop=True)
            x = x.reset_index(drop=True)
        x.assign(label=y).to_parquet(os.path.join(directory, name + ".parquet"), index=False)
        seeds = range(1, SEEDS + 1 if len(x) < SMALL else 2)
        print(
            json.dumps({
                "name": name,
                "model": "mlp",
                "kind": kind,
                "rows": len(x),
                "metric": PEERS[kind, ""][2],
                "specs": [spec(name, x, kind, "mlp", "", seed, ", optimizer: {type: adam}", SEARCH) for seed in seeds],
                "scores": [tuned(x, y, kind, split(seed, name, len(x)), seed) for seed in seeds],
            }),
            flush=True,
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
