"""Has DuckDB with one thread write the flights as CSV or JSON lines, unless the file is
there, and read them, and prints the CPU seconds of the reading as JSON.

    text.py FLIGHTS FORMAT FILE
"""

import json
import os
import sys
import time

import duckdb

flights, form, file = sys.argv[1:]
db = duckdb.connect(config={"threads": 1})
if not os.path.exists(file):
    options = "header" if form == "csv" else "format json"
    db.execute(f"copy (select date, delay, distance, origin, destination from '{flights}') to '{file}' ({options})")
reader = {"csv": "read_csv", "jsonl": "read_ndjson"}[form]
began = time.process_time()
rows = db.execute(f"select count(*), max(date), sum(delay), sum(distance), max(origin), max(destination) from {reader}('{file}')").fetchone()[0]
print(json.dumps({"seconds": time.process_time() - began, "rows": rows}))
