"""Writes reference.json: features of columns, and what scikit-learn, pandas or NumPy make of them.

    python3 reference.py > reference.json     # scikit-learn 1.9.1, pandas 3.1.1, NumPy 2.4.6

A case names the entries of the catalogs that it is of. It has a feature of column c, the rows that
it is fitted to, others that it is applied to, and of the latter the numbers or the category of each
row, or its terms by bucket; null where the row is dropped.
"""

import json
import random

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import MinMaxScaler, OrdinalEncoder, PowerTransformer, QuantileTransformer, RobustScaler, StandardScaler, TargetEncoder, normalize
from sklearn.utils import murmurhash3_32

rng = random.Random(3)
cases = []
inf, nan = float("inf"), float("nan")


def plain(v):
    if isinstance(v, np.generic):
        v = v.item()
    if isinstance(v, (list, tuple, np.ndarray)):
        return [plain(x) for x in v]
    return str(v) if isinstance(v, float) and (v != v or v in (inf, -inf)) else v


def case(entries, kind, feature, train, rows, tolerance=1e-6, labels=None, **out):
    cases.append({"entries": entries, "type": kind, "feature": feature, "train": plain(train), "rows": plain(rows), "labels": labels, "tolerance": tolerance, **{k: plain(v) for k, v in out.items()}})


def column(values):
    return np.array([nan if v is None or v in (inf, -inf) else v for v in values], dtype=float).reshape(-1, 1)


floats = [None if rng.random() < 0.1 else nan if rng.random() < 0.05 else inf if rng.random() < 0.05 else rng.gauss(10, 3) * (1 if rng.random() < 0.9 else 30) for _ in range(160)]
whole = [None if rng.random() < 0.1 else int(rng.gauss(10, 30)) for _ in range(160)]
extremes = [-1e12, 0.0, -0.0, 5e-324, 1.0, 1e12, None, nan, inf, -inf, 0.1]
for kind, train in [("float64", floats), ("int64", whole)]:
    rows = (extremes if kind == "float64" else [-(2**40), 0, None, 7, 2**40]) + train[:40]
    x, probes = column(train), column(rows)
    there = x[~np.isnan(x[:, 0])]
    mean = SimpleImputer(strategy="mean").fit(x)

    def scaled(scaler, probes):  # cut to what a model reads
        return np.clip(scaler.fit(there).transform(probes)[:, 0], -1e18, 1e18) if scaler else probes[:, 0]

    scalers = {"zscore": StandardScaler(), "minmax": MinMaxScaler(), "robust": RobustScaler(), "none": None,
               "power": PowerTransformer(method="yeo-johnson"), "quantile": QuantileTransformer(n_quantiles=len(there), output_distribution="uniform")}
    for name, scaler in scalers.items():
        # NumPy rounds a knot of equal values away from them.
        t = 5e-5 if name == "power" else 0.51 / len(there) if name == "quantile" and kind == "int64" else 1e-6
        case([f"normalizations {name}", "encoders none", "missing_values number fill_with_mean"], kind, f"type: number, normalization: {name}, missing_value_strategy: fill_with_mean", train, rows, t,
             numbers=[[v] for v in scaled(scaler, mean.transform(probes))])
        if name in ("zscore", "none"):
            case([f"normalizations {name}", "missing_values number fill_with_median"], kind, f"type: number, normalization: {name}, missing_value_strategy: fill_with_median", train, rows, t,
                 numbers=[[v] for v in scaled(scaler, SimpleImputer(strategy="median").fit(x).transform(probes))])
        constant = SimpleImputer(strategy="constant", fill_value=2.5).fit(x)
        case([f"normalizations {name}", "missing_values number fill_with_const"], kind, f"type: number, normalization: {name}, missing_value_strategy: fill_with_const, fill_value: 2.5", train, rows, t,
             numbers=[[v] for v in scaled(scaler, constant.transform(probes))])
        case([f"normalizations {name}", "missing_values number drop_row"], kind, f"type: number, normalization: {name}, missing_value_strategy: drop_row", train, rows, t,
             numbers=[None if p != p else [v] for p, v in zip(probes[:, 0], scaled(scaler, mean.transform(probes)))])
    logs = lambda v: np.sign(v) * np.log1p(np.abs(v))
    case(["normalizations log1p"], kind, "type: number, normalization: log1p, missing_value_strategy: fill_with_const, fill_value: -2", train, rows, numbers=[[v] for v in logs(SimpleImputer(strategy="constant", fill_value=-2.0).fit(x).transform(probes))[:, 0]])
    angle = 2 * np.pi * np.fmod(probes[:, 0], 7.5) / 7.5
    case(["encoders periodic"], kind, "type: number, encoder: {type: periodic, period: 7.5}", train, rows, 1e-5,
         numbers=[[0.0, 0.0] if a != a else [s, c] for a, s, c in zip(angle, np.sin(angle), np.cos(angle))])

# Bins: as many values in each as pandas' qcut has where their number divides the rows, an own one
# for each of few values.
values = rng.sample(range(-1000, 1000), 96)
bins = pd.qcut(pd.Series(values), 8, labels=False)
case(["encoders bins", "missing_values number own_bin"], "int64", "type: number, encoder: {type: bins, count: 8}, missing_value_strategy: own_bin", values, values + [None], category=[int(b) + 1 for b in bins] + [0])
few = [rng.choice([0.5, -1.0, 3.0]) for _ in range(40)]
codes = OrdinalEncoder().fit_transform(np.array(few).reshape(-1, 1))[:, 0]
case(["encoders bins"], "float64", "type: number, encoder: {type: bins, count: 8}, missing_value_strategy: own_bin", few, few + [None, nan, inf], category=[int(c) + 1 for c in codes] + [0, 0, 0])

# Categories.
words = ["JFK", "", "é", "e\u0301", "Ωmega", "\U0001f6eb", "a b", "<x>", "0"]
texts = [None if rng.random() < 0.1 else words[min(int(rng.expovariate(0.5)), 8)] for _ in range(200)]
labels = [int(rng.random() < (0.2 if t is None else 0.1 + 0.08 * words.index(t))) for t in texts]
probes = words + [None, "never met"]
hashed = lambda text, buckets: murmurhash3_32(text.encode(), seed=0, positive=True) % buckets


def ids(values, most=None, least=1):
    """By falling count, then by bytes: 1, 2, ...; what is too rare is unknown, 0."""
    counts = pd.Series(values).value_counts()
    order = sorted((v for v in counts.index if counts[v] >= least), key=lambda v: (-counts[v], v.encode()))[:most]
    return {v: i + 1 for i, v in enumerate(order)}


filled = lambda values, fill: [fill if v is None else v for v in values]
mode = pd.Series([t for t in texts if t is not None]).value_counts().index[0]
for strategy, fill in [("missing_value_strategy: fill_with_const, fill_value: gone", "gone"), ("missing_value_strategy: fill_with_const", "<MISSING>"), ("missing_value_strategy: fill_with_mode", mode)]:
    entry = "missing_values category " + strategy.split(": ")[1].split(",")[0]
    for limit, most, least in [("", None, 1), (", most_common: 3", 3, 1), (", min_count: 12", None, 12)]:
        of = ids(filled(texts, fill), most, least)
        case(["encoders onehot", entry], "string", f"type: category, {strategy}{limit}", texts, probes, category=[of.get(v, 0) for v in filled(probes, fill)])
    case(["encoders hash", entry], "string", f"type: category, encoder: {{type: hash, buckets: 1000}}, {strategy}", texts, probes, category=[hashed(v, 1000) for v in filled(probes, fill)])
    of = ids(filled(texts, fill), None, 1)
    case(["encoders embedding", entry], "string", f"type: category, encoder: {{type: embedding, size: 3}}, {strategy}", texts, probes, category=[of.get(v, 0) for v in filled(probes, fill)])
known = [t for t in texts if t is not None]
of = ids(known)
case(["encoders onehot", "missing_values category drop_row"], "string", "type: category, missing_value_strategy: drop_row", texts, probes, category=[None if v is None else of.get(v, 0) for v in probes])
bools = [rng.choice([True, False, None]) for _ in range(30)]
whole_ids = ids([str(v) for v in whole if v is not None])
case(["encoders onehot", "missing_values category drop_row"], "int64", "type: category, missing_value_strategy: drop_row", whole, whole[:30] + [2**62], category=[None if v is None else whole_ids.get(str(v), 0) for v in whole[:30] + [2**62]])

# A category as a number: what scikit-learn makes of it, brought to mean 0 and deviation 1.
train = np.array(filled(texts, "<MISSING>"), dtype=object).reshape(-1, 1)
names = sorted(set(train[:, 0]), key=lambda v: (not v.isdigit(), v.encode()))  # whole numbers come before texts
rows = np.array(filled(probes, "<MISSING>"), dtype=object).reshape(-1, 1)
ordinal = OrdinalEncoder(categories=[names], handle_unknown="use_encoded_value", unknown_value=-1).fit(train)
frequency = pd.Series(train[:, 0]).value_counts(normalize=True)
target = TargetEncoder(target_type="binary", smooth=10.0).fit(train, np.array(labels))
for name, encode in {"ordinal": lambda v: ordinal.transform(v), "frequency": lambda v: np.array([[frequency.get(x[0], 0.0)] for x in v]), "target": lambda v: target.transform(v)}.items():
    options = f"{{type: {name}, smoothing: 10}}" if name == "target" else f"{{type: {name}}}"
    case([f"encoders {name}"], "string", f"type: category, encoder: {options}", texts, probes, 1e-5, labels=labels, numbers=StandardScaler().fit(encode(train)).transform(encode(rows)))

# Texts, by words of ASCII between blanks, and sets.
vocabulary = ["storm", "sea", "fog", "wind", "delayed", "gate", "crew", "x1"]
remarks = [None if rng.random() < 0.1 else " ".join(rng.choices(vocabulary, k=rng.randrange(0, 9))) for _ in range(80)]


def counted(text, buckets):
    row = np.zeros(buckets)
    for word in (text or "").split():
        row[hashed(word, buckets)] += 1
    return row


def terms(matrix, dropped=()):
    return [None if i in dropped else [[int(j), float(row[j])] for j in np.flatnonzero(row)] for i, row in enumerate(np.asarray(matrix))]


few = remarks[:30] + ["", "storm storm sea"]
for strategy, fill in [("missing_value_strategy: fill_with_const, fill_value: 'fog sea'", "fog sea"), ("missing_value_strategy: drop_row", None)]:
    entry = "missing_values text " + strategy.split(": ")[1].split(",")[0]
    taught = [r for r in remarks if r is not None]  # what fills others teaches nothing, as with numbers
    fitted, applied = np.array([counted(r, 64) for r in taught]), np.array([counted(r, 64) for r in filled(few, fill)])
    dropped = {i for i, r in enumerate(few) if r is None and fill is None}
    idf = TfidfTransformer().fit(fitted)
    for name, matrix in {"bag": applied, "hashing": normalize(applied), "tfidf": idf.transform(applied).toarray()}.items():
        case([f"encoders {name}", entry], "string", f"type: text, encoder: {{type: {name}, ngrams: [1, 1], buckets: 64}}, {strategy}", remarks, few, terms=terms(matrix, dropped))
sets = [None if rng.random() < 0.1 else "|".join(rng.choices(["Drama", "Komödie", "b c", "", "1"], k=rng.randrange(0, 5))) for _ in range(40)]
for strategy, fill in [("missing_value_strategy: fill_with_const, fill_value: 'Drama|x'", "Drama|x"), ("missing_value_strategy: drop_row", None)]:
    entry = "missing_values set " + strategy.split(": ")[1].split(",")[0]
    out = [None if s is None else [[int(b), 1.0] for b in sorted({hashed(v.strip(), 4096) for v in s.split("|") if v.strip()})] for s in filled(sets, fill)]
    case(["encoders multihot", entry], "string", f"type: set, encoder: {{type: multihot, buckets: 4096, separator: '|'}}, {strategy}", sets, sets, terms=out)

# Lists: each element is a number by itself.
lists = [None if rng.random() < 0.1 else [rng.gauss(0, 1), None if rng.random() < 0.1 else rng.gauss(100, 7), float(rng.randrange(3))] for _ in range(60)]
matrix = np.array([[nan if v is None else v for v in row] if row else [nan] * 3 for row in lists])
for strategy, imputer in [("fill_with_mean", SimpleImputer()), ("fill_with_const, fill_value: 2", SimpleImputer(strategy="constant", fill_value=2.0))]:
    for name, scaler in {"zscore": StandardScaler(), "minmax": MinMaxScaler()}.items():
        scaler.fit(matrix)
        case(["encoders elements", f"missing_values list {strategy.split(',')[0]}", f"normalizations {name}"], "list<float64>", f"type: list, normalization: {name}, missing_value_strategy: {strategy}", lists, lists[:20], 1e-5,
             numbers=scaler.transform(imputer.fit(matrix).transform(matrix[:20])))
whole_lists = [None if l is None or None in l else l for l in lists]
kept = np.array([row for row in whole_lists if row])
case(["encoders elements", "missing_values list drop_row"], "list<float64>", "type: list, normalization: zscore, missing_value_strategy: drop_row", whole_lists, whole_lists[:20], 1e-5,
     numbers=[None if row is None else StandardScaler().fit(kept).transform(np.array([row]))[0] for row in whole_lists[:20]])

print('{"made": "by reference.py", "cases": [\n' + ",\n".join(json.dumps(c) for c in cases) + "]}")
