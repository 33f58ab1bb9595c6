"""Writes reference.json: a seeded table, and for data tests of it the rows that DuckDB
finds to fail. A test fails a row where its condition is false; NaN is null, as it is to
Thalweg. Run by hand: python reference.py > reference.json (duckdb 2.0.1)."""

import json
import random

import duckdb

TESTS = [  # a test of a spec, and its condition in SQL
    ("{column: i, check: \"value >= 0 && value <= 20000\"}", "i >= 0 and i <= 20000"),
    ("{column: i, check: \"value >= -5 and (f == null or value < f)\"}", "i >= -5 and (f is null or i < f)"),
    ("{column: i, check: \"value != null\"}", "i is not null"),
    ("{column: i, range: {min: -3, max: 9007199254740993}}", "i between -3 and 9007199254740993"),
    ("{column: i, accepted_values: [0, -1, 7, 9223372036854775807]}", "i in (0, -1, 7, 9223372036854775807)"),
    ("{column: i, not_null: true}", "i is not null"),
    ("{column: f, check: \"value > -10.0 and value < 10.0\"}", "f > -10 and f < 10"),
    ("{column: f, range: {min: 0}}", "f >= 0"),
    ("{column: f, range: {max: 1.0e+300}}", "f <= 1e300"),
    ("{column: f, accepted_values: [0.5, -0.0, 1]}", "f in (0.5, -0.0, 1)"),
    ("{column: f, not_null: true}", "f is not null"),
    ("{column: s, regex: \"^[A-Z]{3}$\"}", "regexp_matches(s, '^[A-Z]{3}$')"),
    ("{column: s, regex: \"\\\\p{Greek}|['\\\"\\\\\\\\]\"}", "regexp_matches(s, '\\p{Greek}|[''\"\\\\]')"),
    ("{column: s, accepted_values: [JFK, \"\", \"it's\", \"a\\\"b\", \"back\\\\slash\", Ωmega]}",
     "s in ('JFK', '', 'it''s', 'a\"b', 'back\\slash', 'Ωmega')"),
    ("{column: s, range: {min: B, max: b}}", "s >= 'B' and s <= 'b'"),
    ("{column: s, not_null: true}", "s is not null"),
    ("{column: s, check: \"len(value) == 3\"}", "length(s) = 3"),
    ("{column: b, accepted_values: [true]}", "b in (true)"),
    ("{column: b, check: \"value or i > 0\"}", "b or i > 0"),
    ("{column: t, range: {min: \"2001-01-01\", max: \"2001-06-30 12:00:00\"}}",
     "t between timestamp '2001-01-01' and timestamp '2001-06-30 12:00:00'"),
    ("{column: t, check: \"month(value) != 2\"}", "month(t) <> 2"),
]

random.seed(11)
ROWS = 300
pick = random.choice
rows = []
for _ in range(ROWS):
    i = pick([None, 0, -1, 7, 2**63 - 1, -(2**63), random.randint(-10, 30000), random.randint(-10, 10)])
    f = pick([None, "NaN", 0.5, 0.0, 1.0, 1e308, -1e308, "Infinity", "-Infinity", random.uniform(-20, 20)])
    s = pick([None, "", "JFK", "jfk", "it's", 'a"b', "back\\slash", "Ωmega", "b", "B", "éa\u0301", "\U0001f6eb", "a\nb", "LAX"])
    b = pick([None, True, False])
    t = pick([None, "2001-%02d-%02d %02d:00:00" % (random.randint(1, 12), random.randint(1, 28), random.randint(0, 23)), "2001-01-01 00:00:00"])
    rows.append([i, f, s, b, t])

db = duckdb.connect()
db.execute("create table r (n bigint, i bigint, f double, s varchar, b boolean, t timestamp)")
db.executemany("insert into r values (?, ?, case when ? = 'NaN' then null else ?::double end, ?, ?, ?)",
               [[n, r[0], str(r[1]), r[1] if r[1] is None else str(r[1]), r[2], r[3], r[4]] for n, r in enumerate(rows)])
tests = []
for text, sql in TESTS:
    failing = [n for (n,) in db.execute(f"select n from r where not ({sql}) order by n").fetchall()]
    tests.append({"test": text, "failing": failing})
print('{"rows": [\n' + ",\n".join(json.dumps([None if r[0] is None else str(r[0]), None if r[1] is None else str(r[1]), *r[2:]]) for r in rows)
      + '],\n"tests": [\n' + ",\n".join(json.dumps(t) for t in tests) + "]}")
