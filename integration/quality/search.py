"""Writes tables of sets.py as Parquet and as a spec for each seed that searches for the
options of an mlp, and prints what scikit-learn's network reaches on the same splits, tuned
by the same search: the trials have the same values, and the one counts that is best on the
validation rows or, where these are few, in the mean of the same folds. Either learns from the
training rows in the end. One line of JSON for each table.

    search.py DIRECTORY [TABLE...]
"""

import json
import os
import sys
import warnings

import joblib
import numpy as np

from peer import GOLDEN, PEERS, folds, linear, mix, network, spec, split
from sets import SETS, load

MOST = 5000  # rows of a table, of which so many are drawn where there are more
SMALL = 2000  # rows, below which the mean of SEEDS seeds counts
SEEDS = 5
TRIALS = 10
FEW = 300  # validation rows, below which trials are compared by folds: the search's default
FOLDS = 5
# Both penalize half the sum of the weights' squares, times l2 or alpha, beside the sum of the
# losses: of all rows, and of a batch of BATCH. So penalties of as much a row are l2 of
# rows/BATCH times as much as alpha.
BATCH = 200
HIDDEN = [[32], [64], [64, 32], [128, 64]]
RATES = (0.0005, 0.02)
PENALTIES = (0.01, 10)


def search(x, y, parts):
    """The search of a spec."""
    each = max(1, ((parts == 0) & y.notna()).sum() / BATCH)
    return f"""  search:
    algorithm: {{type: random}}
    max_trials: {TRIALS}
    parameters:
      model.hidden: {{space: choice, values: {HIDDEN}}}
      trainer.optimizer.learning_rate: {{space: loguniform, lower: {RATES[0]}, upper: {RATES[1]}}}
      trainer.regularization.l2: {{space: loguniform, lower: {each * PENALTIES[0]:.6g}, upper: {each * PENALTIES[1]:.6g}}}
"""


def draw(seed, *of):
    """A number from 0 to 1 as pipeline/search draws it."""
    with np.errstate(over="ignore"):
        bits = mix(np.uint64(seed) + GOLDEN)
        for n in of:
            bits = mix(bits + np.uint64(n + 1) * GOLDEN)
    return int(bits >> np.uint64(11)) / 2**53


def trials(seed):
    """The options of scikit-learn's networks: the values that the search of the seed tries."""
    for trial in range(TRIALS):
        hidden, rate, penalty = (draw(seed, trial, parameter) for parameter in range(3))
        yield {
            "hidden_layer_sizes": HIDDEN[int(hidden * len(HIDDEN))],
            "learning_rate_init": RATES[0] * (RATES[1] / RATES[0]) ** rate,
            "alpha": PENALTIES[0] * (PENALTIES[1] / PENALTIES[0]) ** penalty,
            "random_state": seed,
        }


def tuned(name, x, y, kind, seed):
    """The test metrics of the network that is best as the search compares trials, and of the
    one that is best on the validation rows."""
    parts = split(seed, name, len(x))
    score = PEERS[kind, ""][3]

    def fitted(options, train, *judged):
        """The metrics of parts of the rows of a network that has learnt from others."""
        warnings.simplefilter("ignore")
        train = train & y.notna()
        columns, m = linear(x, train, lambda: network(kind, **options))
        m.fit(columns[train], y[train])
        judged = [rows & (y.isin(y[train]) if kind == "category" else y.notna()) for rows in judged]
        return [score(m, columns[rows], y[rows]) for rows in judged]

    def judge(options):
        validation, test = fitted(options, parts == 0, parts == 1, parts == 2)
        if ((parts == 1) & y.notna()).sum() >= FEW:
            return validation, validation, test
        of = folds(seed, name, len(x), FOLDS)
        return np.mean([fitted(options, (parts == 0) & (of != f), (parts < 2) & (of == f)) for f in range(FOLDS)]), validation, test

    judged = joblib.Parallel(n_jobs=-1)(joblib.delayed(judge)(o) for o in trials(seed))
    return [min(judged, key=lambda j: j[by])[2] for by in range(2)]


def main(directory, *names):
    for name in names or SETS:
        x, y, kind = load(name)
        if len(x) > MOST:
            x = x.sample(MOST, random_state=0).sort_index()
            y = y[x.index].reset_index(drop=True)
            x = x.reset_index(drop=True)
        x.assign(label=y).to_parquet(os.path.join(directory, name + ".parquet"), index=False)
        seeds = range(1, SEEDS + 1 if len(x) < SMALL else 2)
        found = [tuned(name, x, y, kind, seed) for seed in seeds]
        print(
            json.dumps({
                "name": name,
                "model": "mlp",
                "kind": kind,
                "rows": len(x),
                "metric": PEERS[kind, ""][2],
                "specs": [spec(name, x, kind, "mlp", "", seed, ", optimizer: {type: adam}", search(x, y, split(seed, name, len(x)))) for seed in seeds],
                "scores": [score for score, _ in found],
                "held": [score for _, score in found],
            }),
            flush=True,
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
