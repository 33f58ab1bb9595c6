package clean

import (
	"encoding/json"
	"math"
	"os"
	"strconv"
	"testing"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
)

// referenceCase is a step and what it makes of a column c, as other programs have it:
// testdata/reference.py says which.
type referenceCase struct {
	Step string     `json:"step"`
	Type table.Type `json:"type"`
	In   []any      `json:"in"`
	Out  []any      `json:"out"`
}

// plain returns a value of JSON as tabletest has it in a column of type t.
func plain(t testing.TB, v any, of table.Type) any {
	var err error
	var out any
	switch text, _ := v.(string); {
	case v == nil || of == table.String || of == table.Bool:
		return v
	case of == table.Float64 && text != "":
		out, err = strconv.ParseFloat(text, 64)
	case of == table.Float64:
		out, err = v.(json.Number).Float64()
	default:
		out, err = v.(json.Number).Int64()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestStepsDoWhatPandasAndDuckDBDo(t *testing.T) {
	file, err := os.Open("testdata/reference.json")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var all struct{ Cases []referenceCase }
	d := json.NewDecoder(file)
	d.UseNumber()
	if err := d.Decode(&all); err != nil || len(all.Cases) == 0 {
		t.Fatalf("%d cases, %v", len(all.Cases), err)
	}
	for _, tc := range all.Cases {
		_, mem := chainOf(t, columns("c", string(tc.Type)))
		in, want := make([][]any, len(tc.In)), make([][]any, len(tc.Out))
		for i, v := range tc.In {
			in[i] = []any{plain(t, v, tc.Type)}
		}
		plan := planOf(t, columns("c", string(tc.Type)), "{"+tc.Step+"}")
		if plan.Spec.Learns() {
			plan = learned(t, plan, in)
		}
		c := newChain(plan, pipeline.InTraining, mem)
		for i, v := range tc.Out {
			want[i] = []any{plain(t, v, c.Schema().Columns[0].Type)}
			if f, ok := want[i][0].(float64); ok && math.IsNaN(f) {
				want[i][0] = "NaN"
			}
		}
		rows, _ := apply(t, c, mem, in...)
		for i, row := range rows {
			rows[i] = row[:1]
		}
		check(t, tc.Step, rows, want)
	}
}
