"""Has DuckDB with one thread estimate quantiles of the delays of the flights, which are in
memory, as they are or jittered so that hardly two are the same: seven of them, or what
its SUMMARIZE tells of a column. Prints the CPU seconds as JSON.

    quantiles.py FLIGHTS delay|jittered summary|profile
"""

import json
import sys
import time

import duckdb

flights, column, what = sys.argv[1:]
db = duckdb.connect(config={"threads": 1})
value = {"delay": "delay::double", "jittered": "delay + random()"}[column]
db.execute(f"create table flights as select {value} as x from '{flights}'")
began = time.process_time()
if what == "summary":
    db.execute("select approx_quantile(x, [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99]) from flights").fetchall()
else:
    db.execute("summarize flights").fetchall()
seconds = time.process_time() - began
print(json.dumps({"seconds": seconds, "rows": db.execute("select count(*) from flights").fetchone()[0]}))
