"""Writes reference.json beside it: columns and what other programs make of them.

Made with Python 3.11, DuckDB 2.0.1:

    python reference.py > reference.json

A case is a step, the type of its column, rows, and the rows that come out. Floats that JSON lacks
are in quotes.
"""

import json
import random
import unicodedata

import duckdb
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
texts = [None if chosen.random() < 0.1 else "".join(chosen.choices(pieces, k=chosen.randrange(7))) for _ in range(300)]
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

print('{"made": "by reference.py", "cases": [')
print(",\n".join(json.dumps(c) for c in cases))
print("]}")
