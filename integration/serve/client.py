"""Asks a server as users of Triton's client do, and fails where an answer is not what it should be."""

import sys

import numpy as np
import tritonclient.http as triton

address, model = sys.argv[1:3]
client = triton.InferenceServerClient(address)
assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(model)
assert not client.is_model_ready("nothing")
assert client.get_server_metadata()["name"] == "thalweg"
metadata = client.get_model_metadata(model)
assert {"name": "distance", "datatype": "INT64", "shape": [-1]} in metadata["inputs"], metadata
assert [m["name"] for m in client.get_model_repository_index()] == [model]

rows = 600  # more than a micro-batch


def column(name, datatype, values):
    tensor = triton.InferInput(name, [rows], datatype)
    tensor.set_data_from_numpy(values)
    return tensor


dates = np.array(["2001-03-04 05:06:07"] * rows, dtype=object)
dates[7] = "never"
inputs = [
    column("date", "BYTES", dates),
    column("distance", "INT64", np.arange(rows) + 50),
    column("origin", "BYTES", np.array(["SFO", "LAX"] * (rows // 2), dtype=object)),
    column("destination", "BYTES", np.array(["JFK"] * rows, dtype=object)),
]
names = ["probability", "prediction", "error"]
answers = []
for binary in (True, False):
    outputs = [triton.InferRequestedOutput(name, binary_data=binary) for name in names]
    result = client.infer(model, inputs, outputs=outputs, request_id="7", model_version="1")
    assert result.get_response()["id"] == "7" and result.get_response()["model_version"] == "1"
    probability, error = result.as_numpy("probability"), result.as_numpy("error")
    assert np.isnan(probability[7]) and "date" in str(error[7]), (probability[7], error[7])
    good = np.delete(probability, 7)
    assert ((good > 0) & (good < 1)).all()
    assert (np.delete(result.as_numpy("prediction"), 7) == (good >= 0.5)).all()
    answers.append(good)
assert (answers[0] == answers[1]).all()
assert (np.delete(client.infer(model, inputs).as_numpy("probability"), 7) == answers[0]).all()
assert client.get_inference_statistics(model)["model_stats"][0]["inference_stats"]["success"]["count"] > 0
print("the clients agree")
