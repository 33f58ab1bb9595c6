#!/usr/bin/env python3
"""Writes Parquet files by pyarrow and, beside each, its values as JSON.

    python3 generate.py [rows [directory]]

The values are rendered as the test's text function renders them. The files in
this directory are those of the default 40 rows.
"""
import datetime, decimal, json, os, random, sys, uuid
import pyarrow as pa
import pyarrow.parquet as pq

rows = int(sys.argv[1]) if len(sys.argv) > 1 else 40
where = sys.argv[2] if len(sys.argv) > 2 else os.path.dirname(os.path.abspath(__file__))
rng = random.Random(1)
EPOCH = datetime.datetime(1970, 1, 1)


def go_quote(s):
    return json.dumps(s, ensure_ascii=False)


def moment(v):
    """RFC 3339 with as many digits as needed, in UTC."""
    s = v.strftime("%Y-%m-%dT%H:%M:%S")
    frac = ("%06d" % v.microsecond).rstrip("0")
    return s + ("." + frac if frac else "") + "Z"


def text(v, t):
    if v is None:
        return "(null)" if pa.types.is_null(t) else "null"
    if pa.types.is_boolean(t):
        return "true" if v else "false"
    if pa.types.is_integer(t):
        return str(v)
    if pa.types.is_floating(t):
        return "%g" % v
    if pa.types.is_string(t) or pa.types.is_large_string(t):
        return go_quote(v)
    if pa.types.is_dictionary(t):
        return go_quote(v)
    if pa.types.is_binary(t) or pa.types.is_large_binary(t) or pa.types.is_fixed_size_binary(t):
        return v.hex()
    if pa.types.is_decimal(t):
        return "%de-%d" % (int(v.scaleb(t.scale)), t.scale)
    if pa.types.is_date(t):
        return v.isoformat()
    if pa.types.is_timestamp(t):
        return moment(v.replace(tzinfo=None))
    if pa.types.is_list(t) or pa.types.is_large_list(t) or pa.types.is_fixed_size_list(t):
        return "[" + "".join(text(x, t.value_type) + " " for x in v) + "]"
    if pa.types.is_struct(t):
        return "{" + "".join(text(v[f.name], f.type) + " " for f in t) + "}"
    if pa.types.is_map(t):
        return ("[" + "".join(text(k, t.key_type) + " " for k, _ in v) + "]:["
                + "".join(text(x, t.item_type) + " " for _, x in v) + "]")
    raise TypeError(t)


def column(make, t, nulls=0.2):
    out, v = [], None
    for _ in range(rows):
        if rng.random() < nulls:
            out.append(None)
            continue
        if v is None or rng.random() > 0.3:
            v = make()
        out.append(v)
    return pa.array(out, t)


def word():
    return rng.choice(["", "ATL", "Zürich", "東京", "x" * 40]) + str(rng.randrange(30))


def when():
    return EPOCH + datetime.timedelta(microseconds=rng.randrange(2**50))


def number(bits):
    return rng.randrange(-(2 ** (bits - 1)), 2 ** (bits - 1)) >> rng.randrange(bits)


def flat(nulls=0.2):
    c = lambda make, t: column(make, t, nulls)
    return pa.table({
        "bool": c(lambda: rng.random() < 0.5, pa.bool_()),
        "int8": c(lambda: number(8), pa.int8()), "uint16": c(lambda: rng.randrange(2**16), pa.uint16()),
        "int32": c(lambda: number(32), pa.int32()), "uint32": c(lambda: rng.randrange(2**32), pa.uint32()),
        "int64": c(lambda: number(64), pa.int64()), "uint64": c(lambda: rng.randrange(2**64), pa.uint64()),
        "float16": c(lambda: rng.randrange(100) / 4, pa.float16()),
        "float": c(lambda: rng.randrange(1000) / 8, pa.float32()), "double": c(lambda: rng.randrange(1000) / 8, pa.float64()),
        "string": c(word, pa.string()), "large": c(word, pa.large_string()), "binary": c(lambda: word().encode(), pa.binary()),
        "fixed": c(lambda: rng.randbytes(3), pa.binary(3)),
        "ms": c(lambda: when().replace(microsecond=123000), pa.timestamp("ms")),
        "us": c(when, pa.timestamp("us", "UTC")), "ns": c(when, pa.timestamp("ns")),
        "date": c(lambda: when().date(), pa.date32()),
        "decimal9": c(lambda: decimal.Decimal(number(28)).scaleb(-2), pa.decimal128(9, 2)),
        "decimal30": c(lambda: decimal.Decimal(number(64)).scaleb(-5), pa.decimal128(30, 5)),
        "decimal60": c(lambda: decimal.Decimal(number(64)).scaleb(-5), pa.decimal256(60, 5)),
    })


def nested():
    return pa.table({
        "list": column(lambda: [rng.choice([None, number(32)]) for _ in range(rng.randrange(4))], pa.list_(pa.int32())),
        "lists": column(lambda: [[word() for _ in range(rng.randrange(3))] for _ in range(rng.randrange(3))], pa.list_(pa.list_(pa.string()))),
        "struct": column(lambda: {"a": rng.choice([None, number(64)]), "b": word()}, pa.struct([("a", pa.int64()), ("b", pa.string())])),
        "deep": column(lambda: [{"x": None, "y": [True, None]}, None, {"x": 1.5, "y": []}], pa.list_(pa.struct([("x", pa.float64()), ("y", pa.list_(pa.bool_()))]))),
        "map": column(lambda: [(word() + str(i), rng.choice([None, number(16)])) for i in range(rng.randrange(3))], pa.map_(pa.string(), pa.int16())),
        "flat": column(lambda: number(64), pa.int64()),
    })


def lists():
    some = lambda make: [rng.choice([None, make()]) for _ in range(rng.randrange(5))]
    return pa.table({
        "floats": column(lambda: some(lambda: rng.randrange(1000) / 8), pa.list_(pa.float32())),
        "doubles": column(lambda: some(lambda: rng.randrange(1000) / 8), pa.large_list(pa.float64())),
        "bools": column(lambda: some(lambda: rng.random() < 0.5), pa.list_(pa.bool_())),
        "fixed_size": column(lambda: [rng.randrange(1000) / 8 for _ in range(4)], pa.list_(pa.float32(), 4)),
        "whole": column(lambda: [number(32) for _ in range(rng.randrange(3))], pa.list_(pa.field("element", pa.int64(), False)), 0),
    })


def write(name, t, **options):
    path = os.path.join(where, name)
    pq.write_table(t, path + ".parquet", **options)
    values = {n: [text(v, t.schema.field(n).type) for v in t[n].to_pylist()] for n in t.column_names}
    with open(path + ".json", "w") as f:
        json.dump(values, f, ensure_ascii=False)
        f.write("\n")


some = ["int32", "int64", "float", "double", "fixed"]
group = max(rows // 3, 1)
write("defaults", flat())
write("no-nulls", flat(0), row_group_size=group)
write("v2-checksums", flat(), data_page_version="2.0", write_page_checksum=True, compression="zstd", data_page_size=256)
write("split", flat().select(some), use_dictionary=False, use_byte_stream_split=True, compression="gzip")
write("delta", flat().select(["int8", "int32", "int64", "uint64", "string", "binary", "fixed", "us"]), use_dictionary=False, compression="brotli", column_encoding={
    "int8": "DELTA_BINARY_PACKED", "int32": "DELTA_BINARY_PACKED", "int64": "DELTA_BINARY_PACKED", "uint64": "DELTA_BINARY_PACKED",
    "string": "DELTA_BYTE_ARRAY", "binary": "DELTA_LENGTH_BYTE_ARRAY", "fixed": "DELTA_BYTE_ARRAY", "us": "DELTA_BINARY_PACKED"})
write("fallback", flat().select(["int64", "string", "binary", "fixed", "decimal30"]), dictionary_pagesize_limit=64, data_page_size=64, write_batch_size=8, compression="lz4")
write("int96", flat().select(["ms", "us", "ns"]), use_deprecated_int96_timestamps=True)
write("integer-decimals", flat().select(["decimal9", "decimal30"]), store_decimal_as_integer=True, compression="none")
write("old-format", flat().select(["uint32", "int64", "ms", "us", "string", "float"]), version="1.0", write_page_index=True)
write("nested", nested(), data_page_size=128, write_batch_size=8)
write("nested-v2", nested(), data_page_version="2.0", compression="zstd", row_group_size=group)
write("nulls", pa.table({"null": pa.nulls(rows), "string": pa.nulls(rows, pa.string()), "double": pa.nulls(rows, pa.float64()), "bool": pa.nulls(rows, pa.bool_())}))
write("dictionary", pa.table({"dictionary": flat()["string"].dictionary_encode()}))
write("empty", flat().slice(0, 0))
write("lists", lists())
write("lists-old-names", lists(), use_compliant_nested_type=False, version="1.0", store_schema=False)
write("lists-v2", lists(), data_page_version="2.0", data_page_size=64, write_batch_size=4, use_dictionary=False, compression="zstd", row_group_size=group)
