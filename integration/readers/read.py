"""Reads the Delta table at a URI with each reader in one call and prints, as
JSON, what each found: the rows as ranges of offsets by topic and partition, how
often a row came twice, and the sum of the distances. A column and a date, or
the word null, after the URI ask for the rows that have it there. The store's
endpoint and keys are in AWS_*."""

import json
import os
import sys
from datetime import date

import duckdb
import pyarrow.compute as pc
from deltalake import DeltaTable
from duckdb_extensions import import_extension

COLUMNS = ["_topic", "_partition", "_offset"]


def matching(where):
    if not where:
        return None
    column, value = where
    return pc.field(column).is_null() if value == "null" else pc.field(column) == date.fromisoformat(value)


def with_pandas(uri, where):
    frame = DeltaTable(uri).to_pandas(filters=matching(where))
    return list(frame[COLUMNS].itertuples(index=False, name=None)), frame["distance"].sum(), list(frame.columns)


def with_arrow(uri, where):
    table = DeltaTable(uri).to_pyarrow_dataset().to_table(filter=matching(where))
    return list(zip(*(table[c].to_pylist() for c in COLUMNS))), pc.sum(table["distance"], min_count=0).as_py(), table.column_names


def with_duckdb(uri, where):
    for name in ("httpfs", "delta"):
        import_extension(name)
    db = duckdb.connect()
    db.load_extension("httpfs")
    db.load_extension("delta")
    if uri.startswith("s3://"):
        endpoint = os.environ["AWS_ENDPOINT_URL"].removeprefix("http://")
        db.execute(
            f"""CREATE SECRET (TYPE s3, KEY_ID '{os.environ["AWS_ACCESS_KEY_ID"]}', SECRET '{os.environ["AWS_SECRET_ACCESS_KEY"]}',
            ENDPOINT '{endpoint}', USE_SSL false, URL_STYLE 'path', REGION '{os.environ["AWS_REGION"]}')"""
        )
    text = f"SELECT * FROM delta_scan('{uri}')"
    if where:
        text += f" WHERE {where[0]} " + ("IS NULL" if where[1] == "null" else f"= DATE '{where[1]}'")
    result = db.sql(text)
    rows = db.sql(f"SELECT {', '.join([*COLUMNS, 'distance'])} FROM ({text})").fetchall()
    return [row[:-1] for row in rows], sum(row[-1] or 0 for row in rows), result.columns


def ranges(rows):
    by_log = {}
    for topic, partition, offset in rows:
        by_log.setdefault(f"{topic}/{partition}", []).append(offset)
    out, twice = {}, 0
    for name, offsets in sorted(by_log.items()):
        offsets.sort()
        runs = []
        for at in offsets:
            if runs and at == runs[-1][1] - 1:
                twice += 1
            elif runs and at == runs[-1][1]:
                runs[-1][1] += 1
            else:
                runs.append([at, at + 1])
        out[name] = runs
    return out, twice


def main():
    uri, where = sys.argv[1], sys.argv[2:] or None
    found = {}
    for name, read in {"pandas": with_pandas, "DuckDB": with_duckdb, "Arrow": with_arrow}.items():
        rows, distance, columns = read(uri, where)
        offsets, twice = ranges(rows)
        found[name] = {"rows": len(rows), "twice": twice, "offsets": offsets, "distance": int(distance), "columns": columns}
    json.dump({"version": DeltaTable(uri).version(), "readers": found}, sys.stdout)


main()
