"""Writes reference.json: rows of real flights and others that are drawn, and for steps, splits and
data tests of a spec what DuckDB makes of them, or plain Python where it says so.

    python3 reference.py ../../../deploy/demo/flights.parquet > reference.json     # duckdb 2.0.1

A case names the entries of the catalogs that it is of. Its rows are those that are left, by id,
with the values of some columns; "failing" is how many rows fail the only test.
"""

import json
import random
import sys

import duckdb

rng = random.Random(5)
pick = rng.choice
rows = []
db = duckdb.connect()
flights = db.execute(f"select epoch_us(date::timestamp), distance, delay, origin from '{sys.argv[1]}' order by hash(date, distance, origin) limit 120").fetchall()
for date, distance, delay, origin in flights:
    rows.append([origin, origin, distance, None if delay is None else float(delay), date])
words = ["", "JFK", " lax", "Straße ", "éa\u0301", "Ωmega", "\u00a0x\u2003", "\U0001f6eb", "it's", "a\tb", "ﬁn", "ǆ", "o'neil co"]
for _ in range(180):
    rows.append([pick([None, "JFK", "LAX", "", "Ωmega", "é"]), pick(words + [None]),
                 pick([None, 0, -1, 7, 7, 2**63 - 1, -(2**63), rng.randint(-9, 9)]),
                 pick([None, 0.0, -0.0, 0.5, 1e308, -1e308, 5e-324, "NaN", rng.uniform(-20, 20), rng.randint(-3, 3) / 2]),
                 pick([None, rng.randint(-10**15, 10**15), rng.randint(0, 40) * 3600 * 10**6])])
rng.shuffle(rows)
for i, row in enumerate(rows):
    row.insert(0, i)

db.execute("create table r (id bigint, k varchar, s varchar, n bigint, f double, t bigint)")
db.executemany("insert into r values (?, ?, ?, ?, ?::double, ?)", [[*row[:4], None if row[4] is None else str(row[4]), row[5]] for row in rows])
places = [["JFK", "New York", 4], ["LAX", "Kalifornien", None], ["", "nowhere", -1], ["Ωmega", None, 7], ["ORD", "Illinois", 204]]
db.execute("create table places (code varchar, state varchar, height bigint)")
db.executemany("insert into places values (?, ?, ?)", places)

cases = []


def case(entries, spec, sql=None, failing=None, out=None):
    c = {"entries": entries, "spec": spec}
    if sql is not None:
        got = db.execute(sql)
        c["columns"] = [d[0] for d in got.description]
        out = got.fetchall()
    if out is not None:
        c.setdefault("columns", ["id", "_split"])
        c["rows"] = [[str(v) if isinstance(v, float) else v for v in row] for row in sorted(out)]
    if failing is not None:
        c["failing"] = db.execute(failing).fetchone()[0]
    cases.append(c)


def clean(*steps):
    return f"preprocessing: {{clean: [{', '.join(steps)}]}}"


spaces = "chr(9) || chr(10) || chr(11) || chr(12) || chr(13) || ' ' || chr(133) || chr(160) || chr(5760) || chr(8194) || chr(8195) || chr(8239) || chr(8287) || chr(12288)"
case(["steps trim"], clean("{trim: {columns: [s]}}"), f"select id, trim(s, {spaces}) as s from r")
case(["steps normalize_text"], clean("{normalize_text: {columns: [s], form: nfc}}"), "select id, nfc_normalize(s) as s from r")
case(["steps case"], clean("{case: {columns: [s], to: upper}}"), "select id, replace(upper(s), 'ẞ', 'ß') as s from r")  # ß has no upper letter in Unicode's simple mapping
case(["steps case"], clean("{case: {columns: [s], to: lower}}"), "select id, lower(s) as s from r")
case(["steps replace"], clean("{replace: {column: s, pattern: '[a-z]+', with: '<$0>'}}"), "select id, regexp_replace(s, '[a-z]+', '<\\0>', 'g') as s from r")
case(["steps replace"], clean("{replace: {columns: [k], values: {JFK: LAX, '': null, LAX: x}}}"), "select id, case k when 'JFK' then 'LAX' when '' then null when 'LAX' then 'x' else k end as k from r")
case(["steps filter"], clean("{filter: {expression: 'n > 0 && k != \"JFK\"'}}"), "select id, n from r where n > 0 and k <> 'JFK'")
case(["steps filter"], clean("{filter: {expression: 'f == null or f < 0.5'}}"), "select id, f from r where f is null or isnan(f) or f < 0.5")
case(["steps derive"], clean("{derive: {column: d, expression: 'k + \"-\" + s'}}"), "select id, k || '-' || s as d from r")
case(["steps derive"], clean("{derive: {column: d, expression: 'hour(t)'}}"), "select id, hour(make_timestamp(t)) as d from r")
case(["steps cast"], clean("{cast: {column: n, type: string}}"), "select id, n::varchar as n from r")
case(["steps cast"], clean("{cast: {column: s, type: int64}}"), "select id, try_cast(s as bigint) as s from r")
case(["steps fill"], clean("{fill: {columns: [k, n], strategy: drop_row}}"), "select id, k, n from r where k is not null and n is not null")
case(["steps fill"], clean("{fill: {columns: [s], strategy: fill_with_const, value: none}}"), "select id, coalesce(s, 'none') as s from r")
case(["steps fill"], clean("{fill: {columns: [n], strategy: last_in_key, key: k, apply_to: [training]}}"),
     "select id, coalesce(n, last_value(n ignore nulls) over (partition by k order by id rows between unbounded preceding and 1 preceding)) as n from r")
case(["steps outliers"], clean("{outliers: {column: n, method: quantile, threshold: 0.1, action: drop}}"),
     "select id, n from r, (select quantile_cont(n::double, 0.1) as a, quantile_cont(n::double, 0.9) as b from r) where n is null or n between ceil(a) and floor(b)")
for keys in ["k", "k, n", "f", "s, t"]:
    case(["steps dedupe"], clean(f"{{dedupe: {{keys: [{keys}]}}}}"), f"select id from r qualify row_number() over (partition by {keys} order by id) = 1")
    case(["steps dedupe"], clean(f"{{dedupe: {{keys: [{keys}], keep: last}}}}"), f"select id from r qualify row_number() over (partition by {keys} order by id desc) = 1")
case(["steps dedupe"], clean("{dedupe: {keys: [k], keep: last, by: n}}"), "select id from r qualify row_number() over (partition by k order by n desc nulls last, id desc) = 1")
# Copies have the id of their row, and which rows are drawn no other program says.
case(["steps balance"], clean("{balance: {by: k, method: upsample}}"), "select id from r")
lookups = 'lookups: [{name: places, s3: {path: "s3://lake/places.parquet"}, key: {k: code}, columns: [state, height]}]\n  '
case(["steps lookup"], lookups + clean("{lookup: {table: places}}"), "select id, state, height from r left join places on k = code")

# Splits. The hashes are written out here: MurmurHash3 x64 (its first half) and SplitMix64's finalizer.
mask = 2**64 - 1


def mix(x):
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & mask
    x = (x ^ x >> 27) * 0x94D049BB133111EB & mask
    return x ^ x >> 31


def murmur(text):
    def rot(x, r):
        return (x << r | x >> 64 - r) & mask

    def final(x):
        x = (x ^ x >> 33) * 0xFF51AFD7ED558CCD & mask
        x = (x ^ x >> 33) * 0xC4CEB9FE1A85EC53 & mask
        return x ^ x >> 33

    data, c1, c2, a, b = text.encode(), 0x87C37B91114253D5, 0x4CF5AD432745937F, 0, 0
    tail = data[len(data) // 16 * 16 :]
    for i in range(0, len(data) - 15, 16):
        x, y = (int.from_bytes(data[i + j : i + j + 8], "little") for j in (0, 8))
        a = ((rot(a ^ rot(x * c1 & mask, 31) * c2 & mask, 27) + b) * 5 + 0x52DCE729) & mask
        b = ((rot(b ^ rot(y * c2 & mask, 33) * c1 & mask, 31) + a) * 5 + 0x38495AB5) & mask
    b ^= rot(int.from_bytes(tail[8:], "little") * c2 & mask, 33) * c1 & mask
    a ^= rot(int.from_bytes(tail[:8], "little") * c1 & mask, 31) * c2 & mask
    a, b = a ^ len(data), b ^ len(data)
    a = (a + b) & mask
    b = (b + a) & mask
    return (final(a) + final(b)) & mask


golden, seed, shares = 0x9E3779B97F4A7C15, 7, (0.6, 0.8)
names = ["train", "validation", "test"]


def part(value, cuts):
    return names[(value >= cuts[0]) + (value >= cuts[1])]


bounds = [int(p * 2**64) for p in shares]
base = mix(seed ^ mix((murmur("rows") + golden) & mask))
of_row = [mix(base ^ row[0]) for row in rows]


def split(kind, column=None, out=None):
    column = f", column: {column}" if column else ""
    case([f"splits {kind}"], f"trainer: {{seed: {seed}}}\n  preprocessing: {{split: {{type: {kind}{column}, probabilities: [0.6, 0.2, 0.2]}}}}", out=out)


split("random", out=[(row[0], part(of_row[row[0]], bounds)) for row in rows])
for column, at in {"k": 1, "n": 3}.items():
    out = []
    for row in rows:
        v = row[at]
        h = None if v is None else mix(mix((seed + golden) & mask) ^ (murmur(v) if column == "k" else mix(v & mask)))
        out.append((row[0], "train" if h is None else part(h, bounds)))
    split("hash", column, out)
of_value = {}
for row in rows:
    of_value.setdefault(row[1], []).append(of_row[row[0]])
cuts = {}
for value, hashes in of_value.items():
    hashes = sorted(hashes) + [mask]
    cuts[value] = [hashes[int(p * (len(hashes) - 1) + 0.5)] for p in shares]
split("stratify", "k", [(row[0], part(of_row[row[0]], cuts[row[1]])) for row in rows])
# Times that are equal stay together: the cut is where the share of rows is nearest.
ordered = db.execute("select t, count(*) from r where t is not null group by t order by t").fetchall()
total, times = sum(n for _, n in ordered), []
for p in shares:
    below = [(abs(sum(n for _, n in ordered[:i]) - p * total), i) for i in range(len(ordered) + 1)]
    times.append((ordered + [(2**62, 0)])[min(below)[1]][0])
split("datetime", "t", [(row[0], "train" if row[5] is None else part(row[5], times)) for row in rows])
case(["splits fixed"], "preprocessing: {clean: [{derive: {column: part, expression: 'id % 5 == 0 ? \"test\" : id % 3 == 0 ? \"validation\" : \"train\"'}}], split: {type: fixed, column: part}}",
     "select id, case when id % 5 = 0 then 'test' when id % 3 = 0 then 'validation' else 'train' end as _split from r")


def fails(entry, test, sql):
    case([f"tests {entry}"], f"tests: [{{{test}, severity: warn}}]", failing=sql)


fails("check", "column: n, check: 'value >= 0 && value < 1000'", "select count(*) from r where not (n >= 0 and n < 1000)")
fails("not_null", "column: f, not_null: true", "select count(*) from r where f is null or isnan(f)")
fails("accepted_values", "column: k, accepted_values: [JFK, LAX, é]", "select count(*) from r where k not in ('JFK', 'LAX', 'é')")
fails("range", "column: n, range: {min: -1, max: 700}", "select count(*) from r where not (n between -1 and 700)")
fails("regex", "column: s, regex: '^\\p{Lu}{3}$'", "select count(*) from r where not regexp_matches(s, '^\\p{Lu}{3}$')")
fails("unique", "columns: [k, n], unique: true", "select count(*) - (select count(*) from (select distinct k, n from r)) from r")
fails("unique", "column: s, unique: true", "select count(*) - (select count(*) from (select distinct s from r)) from r")
case(["tests in_lookup"], lookups + "tests: [{column: k, in_lookup: places, severity: warn}]", failing="select count(*) from r where k is not null and k not in (select code from places)")
case(["tests row_count"], clean("{filter: {expression: 'n > 0'}}") + "\n  tests: [{row_count: {min: 1000}, severity: warn}]", failing="select count(*) from r where n > 0")

print('{"rows": [\n' + ",\n".join(json.dumps(r) for r in rows) + '],\n"places": ' + json.dumps(places) + ',\n"cases": [\n' + ",\n".join(json.dumps(c) for c in cases) + "]}")
