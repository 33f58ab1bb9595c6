"""Runs model.onnx on the rows of sample.json, both of which stand in each directory that is
an argument (default: this file's), and prints as JSON, a line each, how far the outputs are
from those of scoring: the largest difference, relative to the larger of 1 and the value, how
many values have other bits, and how many answers are others. Needs onnxruntime."""

import base64
import json
import pathlib
import sys

import numpy as np
import onnxruntime


def tensor(given, rows):
    if given["type"] == "string":
        return np.array(given.get("texts") or [], dtype=object).reshape(rows, given["width"])
    return np.frombuffer(base64.b64decode(given.get("bytes", "")), dtype="<f8" if given["type"] == "float64" else "<i8").reshape(rows, given["width"])


def compare(have, want):
    have = np.asarray(have, dtype=np.float32).reshape(want.shape)
    with np.errstate(invalid="ignore"):
        off = np.abs(have.astype(np.float64) - want) / np.maximum(1, np.abs(want))
    off = np.where(have.view(np.int32) == want.view(np.int32), 0, off)
    return {"largest_difference": float(np.nan_to_num(off, nan=np.inf).max(initial=0)), "other_bits": int((have.view(np.int32) != want.view(np.int32)).sum())}


def check(directory):
    sample = json.loads((directory / "sample.json").read_text())
    rows, outputs = sample["rows"], sample["outputs"]
    session = onnxruntime.InferenceSession(str(directory / "model.onnx"), providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    found = dict(zip(names, session.run(names, {name: tensor(given, rows) for name, given in sample["inputs"].items()})))
    want = {k: np.frombuffer(base64.b64decode(sample[k]), dtype="<f4").reshape(rows, outputs) for k in ("raw_score", "predictions")}
    values = next(k for k in ("probabilities", "quantiles", "probability", "score") if k in found)
    answers = [str(p).lower() if p is True or p is False else str(p) for p in found["prediction"].reshape(-1).tolist()]
    return {
        "rows": rows,
        "onnxruntime": onnxruntime.__version__,
        "raw_score": compare(found["raw_score"], want["raw_score"]),
        values: compare(found[values], want["predictions"]),
        "other_answers": sum(a != b for a, b in zip(answers, sample.get("answers", answers), strict=True)),
    }


if __name__ == "__main__":
    for directory in sys.argv[1:] or [pathlib.Path(__file__).parent]:
        print(json.dumps(check(pathlib.Path(directory))), flush=True)
