"""Asks a server as users of the clients of Triton and KServe do, and fails where an answer is not what it should be."""

import asyncio
import sys

import numpy as np

library, address, model = sys.argv[1:4]
if library == "triton":  # both libraries define the protocol's messages, so a process has one of them
    import tritonclient.grpc
    import tritonclient.http
else:
    import kserve
    from kserve.protocol.infer_type import RequestedOutput
rows = 600  # more than a micro-batch
dates = np.array(["2001-03-04 05:06:07"] * rows, dtype=object)
dates[7] = "never"
columns = {
    "date": ("BYTES", dates),
    "distance": ("INT64", np.arange(rows) + 50),
    "origin": ("BYTES", np.array(["SFO", "LAX"] * (rows // 2), dtype=object)),
    "destination": ("BYTES", np.array(["JFK"] * rows, dtype=object)),
}
names = ["probability", "prediction", "error"]


def checked(result):
    """Returns the probabilities of the rows that can be scored."""
    probability, error = result.as_numpy("probability"), result.as_numpy("error")
    assert np.isnan(float(probability[7])) and "date" in str(error[7]), (probability[7], error[7])
    good = np.delete(probability, 7).astype(float)
    assert ((good > 0) & (good < 1)).all()
    if result.as_numpy("prediction") is not None:
        assert (np.delete(result.as_numpy("prediction"), 7) == (good >= 0.5)).all()
    return good


def triton(library, asked_for):
    client = library.InferenceServerClient(address)
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(model)
    assert not client.is_model_ready("nothing")
    as_json = {} if library is tritonclient.http else {"as_json": True}
    assert client.get_server_metadata(**as_json)["name"] == "thalweg"
    metadata = client.get_model_metadata(model, **as_json)
    assert "distance" in [i["name"] for i in metadata["inputs"]], metadata
    index = client.get_model_repository_index(**as_json)
    assert [m["name"] for m in (index if isinstance(index, list) else index["models"])] == [model]
    inputs = []
    for name, (datatype, values) in columns.items():
        inputs.append(library.InferInput(name, [rows], datatype))
        inputs[-1].set_data_from_numpy(values)
    for outputs in asked_for(library):
        result = client.infer(model, inputs, outputs=outputs, request_id="7", model_version="1")
        answer = result.get_response() if library is tritonclient.http else result.get_response(as_json=True)
        assert answer["id"] == "7" and answer["model_version"] == "1", answer
        yield checked(result)
    yield checked(client.infer(model, inputs))
    stats = client.get_inference_statistics(model, **as_json)
    assert int(stats["model_stats"][0]["inference_stats"]["success"]["count"]) > 0, stats


async def kserve_asks():
    inputs = []
    for name, (datatype, values) in columns.items():
        inputs.append(kserve.InferInput(name, [rows], datatype))
        inputs[-1].set_data_from_numpy(values, binary_data=True)
    rest = kserve.InferenceRESTClient(kserve.RESTConfig(protocol="v2"))
    base = f"http://{address}"
    assert await rest.is_server_live(base) and await rest.is_server_ready(base) and await rest.is_model_ready(base, model)
    grpc = kserve.InferenceGRPCClient(address)
    assert await grpc.is_server_live() and await grpc.is_server_ready() and await grpc.is_model_ready(model)
    answers = []
    for binary in (True, False):
        outputs = [RequestedOutput(name, {"binary_data": binary}) for name in names]
        request = kserve.InferRequest(model_name=model, infer_inputs=inputs, request_outputs=outputs, request_id="7")
        answers.append(await rest.infer(base, request, model_name=model))
    answers.append(await grpc.infer(kserve.InferRequest(model_name=model, infer_inputs=inputs, request_id="7")))
    return [checked_kserve(a) for a in answers]


def checked_kserve(answer):
    assert answer.id == "7", answer.id
    outputs = {o.name: o.as_numpy() for o in answer.outputs}
    good = np.delete(outputs["probability"], 7).astype(float)
    assert "date" in str(outputs["error"][7]), outputs["error"][7]
    return good


if library == "triton":
    answers = list(triton(tritonclient.http, lambda t: [[t.InferRequestedOutput(n, binary_data=b) for n in names] for b in (True, False)]))
    answers += list(triton(tritonclient.grpc, lambda t: [[t.InferRequestedOutput(n) for n in names]]))
else:
    answers = asyncio.run(kserve_asks())
assert all((a == answers[0]).all() for a in answers), answers
print(f"{len(answers)} answers of {library}'s clients agree")
