"""Has DuckDB or Polars with one thread make the features of the flights pipeline from the
Parquet file, its values of categories known: the distance normalised, categories as
numbers. It does so twice, and prints the CPU seconds of the second time as JSON.

    features.py FLIGHTS duckdb|polars
"""

import json
import os
import sys
import time

os.environ["POLARS_MAX_THREADS"] = "1"
flights, engine = sys.argv[1:]
categories = ("origin", "destination")


def duckdb():
    import duckdb

    db = duckdb.connect(config={"threads": 1})
    for c in categories:
        db.execute(f"create type {c}s as enum (select distinct {c} from '{flights}' order by 1)")

    def run():
        query = db.sql(
            "select ((distance - 700) / 500)::float distance, origin::origins origin, destination::destinations destination,"
            f" hour(date)::utinyint as hour, dayofweek(date)::utinyint as weekday from '{flights}'"
        )
        return sum(batch.num_rows for batch in query.to_arrow_reader(1 << 16))

    return run


def polars():
    import polars as pl

    lazy = pl.scan_parquet(flights)
    values = {c: pl.Enum(lazy.select(pl.col(c).unique().sort()).collect()[c]) for c in categories}
    query = lazy.select(
        ((pl.col("distance") - 700) / 500).cast(pl.Float32),
        *(pl.col(c).cast(kind).to_physical() for c, kind in values.items()),
        pl.col("date").dt.hour().alias("hour"),
        pl.col("date").dt.weekday().alias("weekday"),
    )
    return lambda: query.collect(engine="streaming").height


run = {"duckdb": duckdb, "polars": polars}[engine]()
run()
began = time.process_time()
rows = run()
print(json.dumps({"seconds": time.process_time() - began, "rows": rows}))
