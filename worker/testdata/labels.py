"""Writes labels.json: rows of training data and of label files as JSON lines, and what
DuckDB's left join makes of them. Made with duckdb 2.0.1:

    python3 labels.py > labels.json
"""

import datetime
import json
import random

import duckdb

random.seed(11)
texts = ["", "a", "é", "Zürich", "x y", "0", "\U0001f6eb", "null", "a" * 300]
times = [-62135596800000000, 0, 1, 993945600000000, 253402300799999999]
keys = {
    "string": texts + [f"F{i}" for i in range(40)],
    "int64": [0, 1, -1, 2**63 - 1, -(2**63), 2**53 + 1, *range(100, 140)],
    "timestamp": times + [993945600000000 + i for i in range(1, 40)],
}
sql = {"string": "VARCHAR", "int64": "BIGINT", "timestamp": "BIGINT", "float64": "DOUBLE", "bool": "BOOLEAN"}
labels = {
    "word": ("string", texts), "number": ("int64", [0, -1, 2**63 - 1, -(2**63)]), "share": ("float64", [0.0, -0.5, 1e308, -5e-324, 0.1]),
    "late": ("bool", [True, False]), "landed": ("timestamp", times),
}


def line(row, types):
    """Renders a row, with times as texts."""
    out = {}
    for name, v in row.items():
        if v is not None and types[name] == "timestamp":
            v = (datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=v)).isoformat(timespec="microseconds") + "Z"
        if v is not None or random.random() < 0.5:
            out[name] = v
    return json.dumps(out, ensure_ascii=False)


cases = []
for kind, some in keys.items():
    some = list(some)
    random.shuffle(some)
    there, absent = some[:30], some[30:]
    train, n = [], 0
    for _ in range(90):
        v = None if random.random() < 0.1 else random.choice(absent if random.random() < 0.2 else there)
        train.append({"n": n, "id": v})
        n += 1
    label = [{"id": v, **{name: None if random.random() < 0.2 else random.choice(values) for name, (_, values) in labels.items()}} for v in [*there, *[None] * 4]]
    random.shuffle(label)
    con = duckdb.connect()
    con.execute(f"create table t (n BIGINT, id {sql[kind]})")
    con.executemany("insert into t values (?, ?)", [list(r.values()) for r in train])
    con.execute(f"create table l (id {sql[kind]}, {', '.join(f'{c} {sql[t]}' for c, (t, _) in labels.items())})")
    con.executemany(f"insert into l values ({', '.join('?' * (1 + len(labels)))})", [list(r.values()) for r in label])
    rows = con.execute(f"select n, {', '.join(labels)} from t left join l using (id) order by n").fetchall()
    one = lambda q: con.execute(q).fetchone()[0]
    types = {"n": "int64", "id": kind, **{c: t for c, (t, _) in labels.items()}}
    cases.append({
        "key": kind,
        "types": types,
        "columns": list(labels),
        "train": ["\n".join(line(r, types) for r in train[i::3]) for i in range(3)],
        "labels": ["\n".join(line(r, types) for r in label[i::2]) for i in range(2)] + [""],
        # Order is that of files, so rows are named by n.
        "rows": [[None if v is None else str(v).lower() if isinstance(v, bool) else repr(v) if isinstance(v, float) else str(v) for v in r] for r in rows],
        "unmatched": one("select count(*) from t where id is not null and id not in (select id from l where id is not null)"),
        "keyless": one("select count(*) from t where id is null"),
        "labels_unmatched": one("select count(*) from l where id is not null and id not in (select id from t where id is not null)"),
        "labels_keyless": one("select count(*) from l where id is null"),
    })
print(json.dumps(cases, ensure_ascii=False, indent=1))
