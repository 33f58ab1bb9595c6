package serve

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/thalweg/thalweg/pipeline/artifact/artifacttest"
	"github.com/thalweg/thalweg/worker/stream/engine"

	"github.com/thalweg/thalweg/coordinator/api"
)

// FuzzSplitRows holds the splitter against encoding/json: an array that is valid is taken
// apart as it does, and what is not is refused or found to be broken in a row.
func FuzzSplitRows(f *testing.F) {
	for _, seed := range []string{`{}`, `[]`, `[{"a":1},{"a":"]"}]`, `[ {"a":"\\\""} , [1,{}] ,"x",3 ]`, `[{]`, `[1,]`, `[1 2]`, `[{}] x`, `["\`, ``} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		values, ends, many, err := splitRows(slices.Clone(body))
		var elements []json.RawMessage
		whole := json.Unmarshal(body, &elements)
		if trimmed := bytes.TrimLeft(body, " \n\t\r"); whole != nil || len(trimmed) == 0 || trimmed[0] != '[' {
			broken := err != nil || !many
			for i := range ends {
				if many && !json.Valid(values[startOf(ends, i):ends[i]]) {
					broken = true
				}
			}
			if !broken {
				t.Fatalf("%q was taken apart to %d rows", body, len(ends))
			}
			return
		}
		if err != nil || !many || len(ends) != len(elements) {
			t.Fatalf("%q: %v, %d rows of %d", body, err, len(ends), len(elements))
		}
		for i, want := range elements {
			if got := values[startOf(ends, i):ends[i]]; !bytes.Equal(got, want) {
				t.Fatalf("%q: row %d is %q, not %q", body, i, got, want)
			}
		}
	})
}

func startOf(ends []int, i int) int {
	if i == 0 {
		return 0
	}
	return ends[i-1]
}

// FuzzInfer: what a client sends becomes rows of valid JSON, or an error that is its own.
func FuzzInfer(f *testing.F) {
	s, err := engine.NewRequestScorer(flights, artifacttest.TrainFlights(f, artifacttest.Flights, 1), engine.Config{})
	check(f, err)
	v := &Version{Model: flights, inputs: inputsOf(artifacttest.TrainFlights(f, artifacttest.Flights, 1)), answers: answerColumnsOf(s)}
	f.Add("", []byte(`{"inputs":[{"name":"distance","datatype":"INT32","shape":[2,1],"data":[[1],[2]]},{"name":"origin","datatype":"BYTES","shape":[2],"data":["\"",null]}]}`))
	raw := `{"inputs":[{"name":"origin","datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":6}},{"name":"distance","datatype":"FP32","shape":[1],"parameters":{"binary_data_size":4}}]}`
	f.Add(fmt.Sprint(len(raw)), []byte(raw+"\x02\x00\x00\x00\"\x01\x00\x00\xc0\x7f"))
	f.Add("5", []byte(`{"inputs":[{"name":"distance","datatype":"FP64","shape":[9223372036854775807,4],"data":[]}]}`))
	f.Fuzz(func(t *testing.T, header string, body []byte) {
		var req inferRequest
		values, ends, err := parseInfer(v, header, body, &req)
		if err != nil {
			if status := api.HTTPStatus(err); status != 400 && status != 413 {
				t.Fatalf("%q: %d %v", body, status, err)
			}
			return
		}
		for i := range ends {
			// Texts that are not UTF-8 are what the decoder of events rejects.
			if row := bytes.ToValidUTF8(values[startOf(ends, i):ends[i]], nil); !json.Valid(row) {
				t.Fatalf("row %d of %q is %q", i, body, row)
			}
		}
	})
}
