# Writes testdata/arrow, with pyarrow 25 and Polars: python3 arrow.py
import polars
import pyarrow as pa

n = 40
t = pa.table({
    "i": pa.array([None if i % 7 == 0 else i for i in range(n)], pa.int32()),
    "s": [None if i % 3 == 0 else f"w{i % 5}" for i in range(n)],
    "d": pa.array([f"k{i % 4}" for i in range(n)]).dictionary_encode(),
    "b": [i % 2 == 0 for i in range(n)],
    "v": pa.array([f"a long string é{i}" for i in range(n)], pa.string_view()),
    "struct": [{"a": i} for i in range(n)],
})
for name, new, codec in ("file", pa.ipc.new_file, "zstd"), ("stream", pa.ipc.new_stream, "lz4"), ("plain", pa.ipc.new_file, None):
    with new(f"arrow/pyarrow-{name}", t.schema, options=pa.ipc.IpcWriteOptions(compression=codec)) as f:
        f.write_table(t, max_chunksize=16)
p = polars.from_arrow(t.set_column(4, "v", t["v"].cast(pa.string()))).with_columns(polars.col("d").cast(polars.Categorical))
p.write_ipc("arrow/polars-file", compression="zstd")
p.write_ipc_stream("arrow/polars-stream", compression="lz4")
