package serve

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/thalweg/thalweg/coordinator/api"
	"github.com/thalweg/thalweg/coordinator/api/inference"
	"github.com/thalweg/thalweg/pipeline/artifact/artifacttest"
)

// TestMessagesAnswerWhatTheStreamWrites, whether elements are bytes or lists.
func TestMessagesAnswerWhatTheStreamWrites(t *testing.T) {
	t.Parallel()
	a := artifacttest.TrainFlights(t, explained, 2)
	s := serving(t, a, Limits{MaxBatch: 4})
	rapid.Check(t, func(rt *rapid.T) {
		flights := rapid.SliceOfN(rapid.Custom(anyFlight), 1, 9).Draw(rt, "flights")
		var events []string
		shape := []int64{int64(len(flights))}
		input := func(name, datatype string) *inference.ModelInferRequest_InferInputTensor {
			return &inference.ModelInferRequest_InferInputTensor{Name: name, Datatype: datatype, Shape: shape, Contents: new(inference.InferTensorContents)}
		}
		date, distance, origin := input("date", bytesType), input("distance", fp64Type), input("origin", bytesType)
		raw := make([][]byte, 3)
		for _, f := range flights {
			events = append(events, f.event())
			date.Contents.BytesContents = append(date.Contents.BytesContents, []byte(f.date))
			distance.Contents.Fp64Contents = append(distance.Contents.Fp64Contents, f.distance)
			origin.Contents.BytesContents = append(origin.Contents.BytesContents, []byte(f.origin))
			raw[0] = append(binary.LittleEndian.AppendUint32(raw[0], uint32(len(f.date))), f.date...)
			raw[1] = binary.LittleEndian.AppendUint64(raw[1], math.Float64bits(f.distance))
			raw[2] = append(binary.LittleEndian.AppendUint32(raw[2], uint32(len(f.origin))), f.origin...)
		}
		want := streamed(t, a, events)
		req := &inference.ModelInferRequest{Id: "7", Inputs: []*inference.ModelInferRequest_InferInputTensor{date, distance, origin}}
		for _, name := range []string{"prediction", "probability", "_feature_1", errorOutput} {
			req.Outputs = append(req.Outputs, &inference.ModelInferRequest_InferRequestedOutputTensor{Name: name})
		}
		for _, form := range []string{"lists", "bytes"} {
			if form == "bytes" {
				req.RawInputContents = raw
				for _, in := range req.Inputs {
					in.Contents = nil
				}
			}
			body, err := proto.Marshal(req)
			check(t, err)
			status, got, header := ask(t, s, "POST", "/v2/models/flights/infer", string(body), "Content-Type", api.MessageType)
			if status == 400 { // none was scored
				continue
			}
			var res inference.ModelInferResponse
			check(t, proto.Unmarshal([]byte(got), &res))
			if header.Get("Content-Type") != api.MessageType || res.Id != "7" || res.ModelVersion != "3" || len(res.RawOutputContents) != len(req.Outputs) {
				t.Fatalf("%s: %v", form, &res)
			}
			for k, o := range res.Outputs {
				data := decoded(o.Datatype, res.RawOutputContents[k])
				for i, w := range want {
					var scored map[string]any
					check(t, json.Unmarshal([]byte(w), &scored))
					if of, failed := scored["error"].(map[string]any); failed {
						if o.Name == errorOutput && data[i] != fmt.Sprint(of["stage"], ": ", of["reason"]) {
							t.Errorf("%s: error of row %d: %v, the stream %v", form, i, data[i], of)
						}
					} else if o.Name != errorOutput && data[i] != scored[o.Name] {
						t.Errorf("%s: %s of row %d: %v, the stream %v", form, o.Name, i, data[i], scored[o.Name])
					}
				}
			}
		}
	})
}

func TestMessagesThatCannotBeAnsweredSayWhy(t *testing.T) {
	t.Parallel()
	s := serving(t, artifacttest.TrainFlights(t, artifacttest.Flights, 1), Limits{})
	in := func(name, datatype string, contents *inference.InferTensorContents) []*inference.ModelInferRequest_InferInputTensor {
		return []*inference.ModelInferRequest_InferInputTensor{{Name: name, Datatype: datatype, Shape: []int64{1}, Contents: contents}}
	}
	for want, req := range map[string]*inference.ModelInferRequest{
		"one tensor for each column": {},
		"of 2 inputs, there are 1":   {Inputs: in("date", bytesType, nil), RawInputContents: [][]byte{nil, nil}},
		"and there are raw_input":    {Inputs: in("date", bytesType, new(inference.InferTensorContents)), RawInputContents: [][]byte{nil}},
		"0 elements of INT32":        {Inputs: in("distance", "INT32", &inference.InferTensorContents{Int64Contents: []int64{1}})},
		"0 elements of UINT8":        {Inputs: in("distance", "UINT8", nil)},
		"row 0: decode":              {Inputs: in("distance", "UINT64", &inference.InferTensorContents{Uint64Contents: []uint64{1 << 63}})},
	} {
		body, err := proto.Marshal(req)
		check(t, err)
		if status, said, _ := ask(t, s, "POST", "/v2/models/flights/infer", string(body), "Content-Type", api.MessageType); status != 400 || !strings.Contains(said, want) {
			t.Errorf("%d %s, want %q", status, said, want)
		}
	}
	if status, said, _ := ask(t, s, "POST", "/v2/models/flights/infer", "\xff", "Content-Type", api.MessageType); status != 400 {
		t.Errorf("no message: %d %s", status, said)
	}
}
