"""Writes reference.json beside it: columns and what other programs make of them.

Made with Python 3.11, pandas 3.1.1, NumPy 2.4.6, SciPy 1.17.1 and DuckDB 2.0.1:

    python reference.py > reference.json

A case is a step, the type of its column, rows, and the rows that come out. Floats that JSON lacks
are in quotes.
"""

import io
import json
import math
import random
import statistics
import unicodedata

import duckdb
import numpy as np
import pandas as pd
from scipy import stats
import numpy as np

chosen = random.Random(7)
cases = []


def case(step, kind, rows, out):
    def plain(v):
        if isinstance(v, float) and (v != v or v in (float("inf"), float("-inf"))):
            return str(v)
        return v

    cases.append({"step": step, "type": kind, "in": [plain(v) for v in rows], "out": [plain(v) for v in out]})


def mapped(rows, f):
    return [None if v is None else f(v) for v in rows]


# Text: letters of several scripts, compatibility forms, marks, white space, with a null in ten.
pieces = ["a", "Z", "é", "e\u0301", "ﬁ", "①", "Ａ", "ｶﾞ", "각", "각", "ß", "İ", "\u1e9b\u0323", "Å", "Ω", "q\u0307\u0323", "½", "…", "𝔘",
          "\u00a0", "\u2003", "\u3000", "\t", "\r\n", " ", "  ", "\u200b", "\u0085", "\u00a8", "10", "-", "--", "_", "😀", "\u0f73\u0f71"]
texts = [None if chosen.random() < 0.1 else "".join(chosen.choices(pieces, k=chosen.randrange(7))) for _ in range(150)]
spaces = "[\\t-\\r \\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}]+"


def by_re2(rows, pattern, replacement):
    out = duckdb.execute("select regexp_replace(unnest(?::varchar[]), ?, ?, 'g')", [rows, pattern, replacement]).fetchall()
    return [r[0] for r in out]


for form in ["nfc", "nfkc", "nfd", "nfkd"]:
    normal = mapped(texts, lambda s: unicodedata.normalize(form.upper(), s))
    case(f"normalize_text: {{columns: [c], form: {form}}}", "string", texts, normal)
    case(f"normalize_text: {{columns: [c], form: {form}, collapse_space: true}}", "string", texts, by_re2(normal, spaces, " "))
case("normalize_text: {columns: [c], collapse_space: true}", "string", texts, by_re2(texts, spaces, " "))

for pattern, ours, theirs in [("-+", "_", "_"), ("(\\pL)(\\pN)", "${2}$1", "\\2\\1"), ("^\\s*|\\s*$", "", ""), ("x*", "-", "-"), ("[^a-z]", "", ""), ("(?i)z", "[$0]", "[\\0]")]:
    case(f"replace: {{column: c, pattern: {json.dumps(pattern)}, with: {json.dumps(ours)}}}", "string", texts, by_re2(texts, pattern, theirs))

# Text split and joined. A part that is not there is null.
for index in [0, 1, -1]:
    parts = duckdb.execute("select string_split(unnest(?::varchar[]), '-')[?]", [texts, index + (index >= 0)]).fetchall()
    case(f"derive: {{column: c, expression: 'split(c, \"-\")[{index}]'}}", "string", texts, [p[0] for p in parts])
joined = duckdb.execute("with t as (select unnest(?::varchar[]) as c) select c || '-' || c from t", [texts]).fetchall()
case("derive: {column: c, expression: 'c + \"-\" + c'}", "string", texts, [j[0] for j in joined])


def replaced(kind, rows, values):
    key = {"string": str, "int64": int, "float64": float, "bool": lambda s: s == "true"}[kind]
    values_of = {key(k): v for k, v in values.items()}
    out = mapped(rows, lambda v: values_of.get(v, v))
    case(f"replace: {{columns: [c], values: {json.dumps(values, ensure_ascii=False)}}}", kind, rows, out)


replaced("string", texts + ["", "N/A", "n/a", "é"], {"": "nothing", "N/A": None, "é": "e", "e": "f"})
replaced("int64", [None if chosen.random() < 0.1 else chosen.randrange(-3, 4) for _ in range(100)] + [2**63 - 1, -(2**63)],
         {"-3": None, "0": 7, "2": 0, "9223372036854775807": -1})
replaced("float64", [None, 0.0, -0.0, 0.5, -999.0, float("nan"), float("inf"), 1e308], {"-999": None, "0": 1.5, "0.5": 2, "1e308": 0.25})
replaced("bool", [True, None, False], {"true": False})

# Numbers with nulls, NaN and outliers: what is learnt of them comes of the rows that have a value.
floats = [None if chosen.random() < 0.1 else float("nan") if chosen.random() < 0.05 else chosen.gauss(10, 3) * (1 if chosen.random() < 0.95 else 50) for _ in range(121)]
whole = [None if chosen.random() < 0.1 else int(chosen.gauss(10, 3) * (1 if chosen.random() < 0.95 else 50)) for _ in range(121)]
tiny = [5e-324, -0.0, 0.0, 1e-308, None, 1.0, 1e300, -1e300, 1.7976931348623157e308]


def there(rows):
    return [v for v in rows if v is not None and v == v]


def away(v):
    return math.floor(v + 0.5) if v >= 0 else -math.floor(-v + 0.5)


for kind, rows in [("float64", floats), ("int64", whole), ("float64", tiny)]:
    values = there(rows)
    # statistics.mean and pstdev are exact, other than those of NumPy.
    mean, deviation = statistics.mean(map(float, values)), statistics.pstdev(map(float, values))
    for strategy, v in [("mean", mean), ("median", float(np.median(values))), ("mode", pd.Series(values).mode()[0].item())]:
        if kind == "int64":
            v = away(v)
        case(f"fill: {{columns: [c], strategy: fill_with_{strategy}}}", kind, rows, [v if r is None or r != r else r for r in rows])
    array = np.array(values, dtype="float64")
    with np.errstate(over="ignore"):
        median, mad = float(np.median(array)), float(stats.median_abs_deviation(array, scale="normal"))
        q1, q3 = (float(np.quantile(array, q)) for q in (0.25, 0.75))
    for method, k, lower, upper in [
        ("zscore", 2, mean - 2 * deviation, mean + 2 * deviation),
        ("zscore", None, mean - 3 * deviation, mean + 3 * deviation),
        ("iqr", None, q1 - 1.5 * (q3 - q1), q3 + 1.5 * (q3 - q1)),
        ("iqr", 0.3, q1 - 0.3 * (q3 - q1), q3 + 0.3 * (q3 - q1)),
        ("mad", None, median - 3.5 * mad, median + 3.5 * mad),
        ("quantile", None, float(np.quantile(array, 0.01)), float(np.quantile(array, 0.99))),
        ("quantile", 0.2, float(np.quantile(array, 0.2)), float(np.quantile(array, 0.8))),
    ]:
        if kind == "int64":
            lower, upper = math.ceil(lower), math.floor(upper)
        limit = 1.7976931348623157e308
        lower, upper = max(lower, -limit), min(upper, limit)
        for action in ["clip", "null", "drop"]:
            kept = {"clip": lambda v: min(max(v, lower), upper), "null": lambda v: None, "drop": lambda v: "gone"}[action]
            out = [r if r is None or r != r or lower <= r <= upper else kept(r) for r in rows]
            threshold = "" if k is None else f", threshold: {k}"
            case(f"outliers: {{column: c, method: {method}{threshold}, action: {action}}}", kind, rows, [v for v in out if v != "gone"])

case("fill: {columns: [c], strategy: fill_with_mode}", "string", texts, [pd.Series(there(texts)).mode()[0] if t is None else t for t in texts])
case("fill: {columns: [c], strategy: fill_with_mode}", "bool", [True, None, False, False], [True, False, False, False])


# Text with declared formats: numbers as pandas reads them in CSV, times as DuckDB's try_strptime does.
amounts = [chosen.gauss(0, 10.0 ** chosen.randrange(8)) for _ in range(60)] + [0.0, -0.5, 1e15]


def read(rows, **options):
    series = pd.read_csv(io.StringIO("c\n" + "\n".join('"%s"' % r for r in rows)), **options)["c"]
    return [v.item() for v in series.to_numpy()]


def german(text):
    return text.translate(str.maketrans(",.", ".,"))


rows = [german(f"{v:,.4f}") for v in amounts] + [german(f"{v:.2f}") for v in amounts]
case("cast: {column: c, type: float64, thousands: '.', decimal_comma: true}", "string", rows, read(rows, thousands=".", decimal=","))
rows = [f"{v:,.3e}" if abs(v) > 1e6 else f"{v:,.5f}" for v in amounts]
case("cast: {column: c, type: float64, thousands: ','}", "string", rows, read(rows, thousands=","))
rows = [f"{int(v):,}" for v in amounts] + ["+1,234", "-12", "0"]
case("cast: {column: c, type: int64, thousands: ','}", "string", rows, read(rows, thousands=","))
rows = ["Yes", "no", "yes", "NO"]
case("cast: {column: c, type: bool, true_words: [yes, y], false_words: [no, n]}", "string", rows,
     read(rows, true_values=["Yes", "yes"], false_values=["no", "NO"]))

dates = [f"{d}.{m}.{y}{t}" for d in ["1", "03", "29", "31"] for m in ["2", "02", "12"] for y in ["1969", "2024"] for t in ["", " 7:05", " 23:59"]] + [None, "", "x"]
for layout, form in [("02.01.2006", "%d.%m.%Y"), ("2.1.2006 15:04", "%-d.%-m.%Y %-H:%M")]:
    times = duckdb.execute("select epoch_us(try_strptime(unnest(?::varchar[]), ?))", [dates, form]).fetchall()
    strict = [t[0] for t in times]
    if layout == "02.01.2006":  # Go wants two digits where the layout has them
        strict = [t if d is None or len(d) == 10 else None for d, t in zip(dates, strict)]
    case(f"cast: {{column: c, type: timestamp, timestamp_formats: ['{layout}']}}", "string", dates, strict)

print('{"made": "by reference.py", "cases": [')
print(",\n".join(json.dumps(c) for c in cases))
print("]}")
