#!/usr/bin/env python3
"""Writes Parquet files of every kind that pyarrow and DuckDB can write into a directory, and
beside each its columns as JSON: [[name, values], ...], values as the test's text function
renders them, null where no column of a table has the type. A file with no JSON beside it is one
that has to be refused.

    python3 variety.py directory
"""
import datetime, decimal, glob, itertools, json, os, sys, uuid

where = sys.argv[1]
sys.argv = ["generate.py", "60", where]
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import generate as g  # writes its own files, too
import duckdb, pyarrow as pa, pyarrow.parquet as pq, pyarrow.parquet.encryption as pe

for path in glob.glob(os.path.join(where, "*.json")):
    with open(path) as f:
        columns = list(json.load(f).items())
    with open(path, "w") as f:
        json.dump(columns, f)


def shown(v, t):
    if v is None:
        return "null"
    if isinstance(v, datetime.datetime) and v.tzinfo:
        v = v.astimezone(datetime.timezone.utc)
    if isinstance(v, datetime.time):
        return v.isoformat("milliseconds" if t == pa.time32("ms") else "microseconds")
    if isinstance(v, datetime.timedelta):
        return str(v // datetime.timedelta(microseconds=1))
    if isinstance(v, (str, uuid.UUID)):
        return g.go_quote(str(v))
    try:
        return g.text(v, t)
    except TypeError:
        return None


def describe(name, table):
    out = []
    for field, column in zip(table.schema, table.columns):
        values = [shown(v, field.type) for v in column.to_pylist()]
        out.append([field.name, None if None in values else values])
    with open(os.path.join(where, name + ".json"), "w") as f:
        json.dump(out, f)


def path(name):
    return os.path.join(where, name + ".parquet")


def write(name, table, **options):
    pq.write_table(table, path(name), **options)
    describe(name, table)


# Every codec, page version and dictionary, with and without statistics and the page index.
for codec, version, dictionary in itertools.product(["none", "snappy", "gzip", "brotli", "lz4", "zstd"], ["1.0", "2.0"], [True, False]):
    write(f"codec-{codec}-v{version}-{dictionary}", g.flat(), compression=codec, data_page_version=version, use_dictionary=dictionary,
          write_statistics=dictionary, write_page_index=dictionary, write_page_checksum=not dictionary, data_page_size=200, write_batch_size=7)
for version in ["1.0", "2.4", "2.6"]:
    write(f"format-{version}", g.flat(), version=version)
    write(f"nested-{version}", g.nested(), version=version, row_group_size=7)
    write(f"lists-{version}", g.lists(), version=version, use_dictionary=False)

# Every encoding of every type that takes it.
numbers = ["int8", "uint16", "int32", "uint32", "int64", "uint64", "ms", "us", "ns", "date"]
texts = ["string", "large", "binary", "fixed", "decimal30", "decimal60"]
for encoding, names in {"PLAIN": numbers + texts + ["bool", "float16", "float", "double"], "RLE": ["bool"], "DELTA_BINARY_PACKED": numbers,
                        "DELTA_LENGTH_BYTE_ARRAY": ["string", "large", "binary"], "DELTA_BYTE_ARRAY": texts,
                        "BYTE_STREAM_SPLIT": numbers + ["float16", "float", "double", "fixed", "decimal30"]}.items():
    for nulls, version in itertools.product([0, 0.3, 1], ["1.0", "2.0"]):
        table = g.flat(nulls).select(names)
        write(f"encoding-{encoding}-{nulls}-v{version}", table, use_dictionary=False, data_page_version=version, data_page_size=100, write_batch_size=8,
              column_encoding={n: encoding for n in names})

# Types that other programs write.
clock = datetime.time(12, 30, 1)
others = pa.table({
    "time32": pa.array([clock, None], pa.time32("ms")), "time64": pa.array([clock, None], pa.time64("us")),
    "duration": pa.array([datetime.timedelta(1), None], pa.duration("us")), "date64": pa.array([datetime.date(2001, 2, 3), None], pa.date64()),
    "uuid": pa.array([uuid.UUID(int=5).bytes, None], pa.uuid()), "json": pa.array(['{"a": 1}', None], pa.json_()),
    "view": pa.array(["a", None], pa.string_view()), "binary_view": pa.array([b"a", None], pa.binary_view()), "number": [1, None],
    "zoned": pa.array([datetime.datetime(2001, 2, 3, 4, 5, 6), None], pa.timestamp("us", "Europe/Paris")),
    "seconds": pa.array([datetime.datetime(2001, 2, 3, 4, 5, 6), None], pa.timestamp("s")),
    "struct of nothing": pa.array([{"a": None}, None], pa.struct([("a", pa.null())])),
    "decimal4": pa.array([decimal.Decimal("1.5"), None], pa.decimal128(4, 1)), "decimal38": pa.array([decimal.Decimal("1.5"), None], pa.decimal128(38, 37)),
})
write("other-types", others)
write("other-types-bare", others, store_schema=False, version="1.0")
write("int96-nested", pa.table({"l": pa.array([[datetime.datetime(2001, 2, 3)], None], pa.list_(pa.timestamp("ns")))}), use_deprecated_int96_timestamps=True)
write("integer-decimals-v2", g.flat().select(["decimal9", "decimal30"]), store_decimal_as_integer=True, use_dictionary=False, data_page_version="2.0")

# Shapes: no rows, no columns, empty row groups, single values, long texts, wide and deep.
write("no-columns", pa.table({}))
write("one-row", g.flat().slice(0, 1))
write("long-texts", pa.table({"s": ["x" * 2_000_000, None, "", "é" * 100_000]}), use_dictionary=False)
write("long-dictionary", pa.table({"s": ["x" * 2_000_000, None, "", "é" * 100_000]}))
write("wide", pa.table({f"c{i}": [i, None] for i in range(2000)}))
deep = pa.int64()
for _ in range(20):
    deep = pa.list_(deep)
write("deep", pa.table({"deep": pa.array([None, []], deep), "flat": [1, 2]}))
write("many-groups", g.flat(), row_group_size=1)
with pq.ParquetWriter(path("empty-groups"), g.flat().schema) as w:
    for part in [g.flat().slice(0, 0), g.flat(), g.flat().slice(0, 0)]:
        w.write_table(part)
describe("empty-groups", pq.read_table(path("empty-groups")))

# Names.
write("odd-names", pa.table({n: [i, None] for i, n in enumerate([" ", "a.b", "a", "é", "a\nb", "a\tb", "\u200b", "x" * 1000, "select", '"', "列", "A", "list", "element", "0"])}))
write("two-of-a-name", pa.table([[1, 2], [3, 4]], names=["a", "a"]))
write("no-name", pa.table({"": [1, 2]}))

# Encryption.
class Keys(pe.KmsClient):
    def wrap_key(self, key, name):
        return "k" + key.hex()

    def unwrap_key(self, wrapped, name):
        return bytes.fromhex(wrapped[1:])


for plain in [True, False]:
    config = pe.EncryptionConfiguration(footer_key="f", plaintext_footer=plain, column_keys={"c": ["int64"]}, double_wrapping=False)
    properties = pe.CryptoFactory(lambda _: Keys()).file_encryption_properties(pe.KmsConnectionConfig(), config)
    with pq.ParquetWriter(path(f"encrypted-{plain}"), g.flat().schema, encryption_properties=properties) as w:
        w.write_table(g.flat())

# DuckDB: bloom filters, its own encodings, all codecs.
db = duckdb.connect()
db.execute("""CREATE TABLE t AS SELECT i::TINYINT AS i8, i::USMALLINT AS u16, i * 1000003 AS i64, i / 8 AS f64, (i / 8)::FLOAT AS f32, i % 3 = 0 AS b,
    'text ' || i % 7 AS s, ('text ' || i)::BLOB AS blob, DATE '2001-01-01' + i::INTEGER AS d, TIMESTAMP '2001-01-01 00:00:00' + INTERVAL (i) HOUR AS ts,
    TIMESTAMPTZ '2001-01-01 00:00:00+00' AS tz, (i / 4)::DECIMAL(9, 2) AS dec, (i / 4)::DECIMAL(30, 5) AS big, [i, NULL] AS l, {'a': i, 'b': 'x'} AS st,
    MAP {'k': i} AS m, CASE WHEN i % 2 = 0 THEN i END AS half, NULL::INTEGER AS none, ('v' || i % 2)::ENUM ('v0', 'v1') AS e, i::HUGEINT AS huge
    FROM range(100) r(i)""")
for codec, version in itertools.product(["uncompressed", "snappy", "gzip", "zstd", "brotli", "lz4_raw"], ["V1", "V2"]):
    name = f"duckdb-{codec}-{version}"
    db.execute(f"COPY t TO '{path(name)}' (FORMAT parquet, COMPRESSION {codec}, PARQUET_VERSION {version}, ROW_GROUP_SIZE 2048)")
    describe(name, pq.read_table(path(name)))
