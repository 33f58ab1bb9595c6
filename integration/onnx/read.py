"""Checks and runs the models in the directories that are given: ONNX's own checker, then the
check that stands beside the export, whose path comes first. Prints a line of JSON for each."""

import importlib.util
import json
import pathlib
import sys

import onnx

spec = importlib.util.spec_from_file_location("check", sys.argv[1])
check = importlib.util.module_from_spec(spec)
spec.loader.exec_module(check)
for name in sys.argv[2:]:
    directory = pathlib.Path(name)
    onnx.checker.check_model(str(directory / "model.onnx"), full_check=True)
    print(json.dumps(check.check(directory)), flush=True)
