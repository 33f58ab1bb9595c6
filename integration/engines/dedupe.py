"""Has DuckDB with one thread find one flight of each pair of airports and time, and keep
the numbers of these rows, in so much memory; prints the CPU seconds and the rows as JSON.

    dedupe.py FLIGHTS MEMORY DIRECTORY
"""

import json
import sys
import time

import duckdb

flights, memory, directory = sys.argv[1:]
db = duckdb.connect(config={"threads": 1, "memory_limit": memory, "temp_directory": directory})
began = time.process_time()
db.execute(
    "create temp table kept as select distinct on (origin, destination, date) file_row_number"
    f" from read_parquet('{flights}', file_row_number=true)"
)
seconds = time.process_time() - began
print(json.dumps({"seconds": seconds, "rows": db.execute("select count(*) from kept").fetchone()[0]}))
