"""Writes texts.json: CSV in dialects, and what DuckDB reads of it; pandas must agree, but
for nulls in quotes, which it does not tell apart. Made with duckdb 1.5.5 and pandas 3.1.1:

    python3 texts.py > texts.json
"""

import base64
import io
import json
import os
import random
import tempfile

import duckdb
import pandas

dialects = [
    {}, {"delimiter": ";"}, {"delimiter": "\t"}, {"delimiter": "|", "quote": "'"}, {"null_text": "NA"}, {"escape": "\\"},
    {"comment": "#"}, {"header": False}, {"encoding": "utf-16"}, {"encoding": "iso-8859-1", "delimiter": ";"},
    {"delimiter": ";", "decimal_comma": True}, {"delimiter": ";", "quote": "'", "escape": "\\", "null_text": "-", "comment": "%"},
]
words = ["a", "", "NA", "-", "é", "Zürich", "x y", " lead", "trail ", "1,5", "2;3", "d|d", "t\tt", "q'q", 'q"q', "l\nm", "b\\s", "#h", "%h", "0", "007", "l\n\nm", "'", '"', "\\"]

random.seed(7)
cases = []
for n in range(4 * len(dialects)):
    d = dialects[n % len(dialects)]
    delimiter, quote, escape, null = d.get("delimiter", ","), d.get("quote", '"'), d.get("escape"), d.get("null_text", "")
    end = ["\n", "\r\n"][n // len(dialects) % 2]
    number = lambda v: str(v).replace(".", "," if d.get("decimal_comma") else ".")

    def field(v):
        if v is None:
            return null
        special = any(c in v for c in [delimiter, quote, "\n", "\r"]) or v == null or v[:1] in "#%" and v
        if not special and not (escape and escape in v) and random.random() < 0.7:
            return v
        return quote + (v.replace(escape, 2 * escape).replace(quote, escape + quote) if escape else v.replace(quote, 2 * quote)) + quote

    lines = [] if d.get("header") is False else [delimiter.join(["a", "b", "f"])]
    for _ in range(12):
        if "comment" in d and random.random() < 0.2:
            lines.append(d["comment"] + " no, row")
        a, b = random.choice(words), random.choice(words + [None])
        lines.append(delimiter.join([quote + "k" + quote if random.random() < 0.1 else "k" + str(n), field(b if random.random() < 0.9 else a), number(random.choice([1.5, -2.25, 0.125, 3e-3, 100]))]))
    body = end.join(lines) + random.choice(["", end])
    coding = {"utf-16": "utf-16", "iso-8859-1": "latin-1"}.get(d.get("encoding"), "utf-8-sig" if n % 5 == 0 and "comment" not in d else "utf-8")
    data = body.encode(coding)
    with tempfile.NamedTemporaryFile(suffix=".csv", delete=False) as f:
        f.write(body.encode("utf-8"))  # its encodings are an extension
    options = {"delim": delimiter, "quote": quote, "escape": escape or quote, "nullstr": null, "header": d.get("header", True), "allow_quoted_nulls": False,
               "comment": d.get("comment", ""), "decimal_separator": "," if d.get("decimal_comma") else ".", "auto_detect": False, "strict_mode": True,
               "columns": {"a": "VARCHAR", "b": "VARCHAR", "f": "DOUBLE"}, "parallel": False, "max_line_size": 1 << 20}
    text = ", ".join(f"{k} = {json.dumps(v).replace(chr(34), chr(39)) if isinstance(v, (dict, bool)) else repr(v) if isinstance(v, int) else chr(39) + v.replace(chr(39), 2 * chr(39)) + chr(39)}" for k, v in options.items())
    rows = [list(r) for r in duckdb.sql(f"from read_csv('{f.name}', {text})").fetchall()]
    os.unlink(f.name)
    frame = pandas.read_csv(io.BytesIO(data), sep=delimiter, quotechar=quote, escapechar=escape, doublequote=escape is None, header=None if d.get("header") is False else 0,
                            names=["a", "b", "f"], comment=None, keep_default_na=False, na_filter=False, dtype=str, encoding=coding)
    if "comment" in d:
        frame = frame[~frame["a"].str.startswith(d["comment"])]
    theirs = [[a, b, float(x.replace(",", "."))] for a, b, x in frame.values.tolist()]
    norm = lambda s: s if s is None else s.replace("\r\n", "\n")
    assert [[a, norm(null if b is None else b), x] for a, b, x in rows] == [[a, norm(b), x] for a, b, x in theirs], (n, d, rows, theirs)
    cases.append({"format": json.dumps({"type": "csv", **d, **({"columns": ["a", "b", "f"]} if d.get("header") is False else {})}), "text": base64.b64encode(data).decode(), "rows": rows})
print("[" + ",\n".join(json.dumps(c) for c in cases) + "]")
