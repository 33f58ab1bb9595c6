package feature_test

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"strconv"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/feature"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

const ofOneFeature = `
apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: test}
spec:
  sources: {train: {s3: {path: "s3://lake/*.parquet"}, format: {type: parquet}}}
  input_features: [{name: c, FEATURE}]
  output_features: [{name: y, type: binary}]
`

// valueOf returns a value of JSON as tabletest has it in a column of type t; floats that JSON
// lacks are in quotes.
func valueOf(t *testing.T, v any, of table.Type) (out any) {
	t.Helper()
	var err error
	switch text, quoted := v.(string); {
	case quoted && of == table.Float64:
		out, err = strconv.ParseFloat(text, 64)
	case v == nil || of == table.String || of == table.Bool:
		return v
	case of.Element() != "":
		var list []any
		for _, e := range v.([]any) {
			list = append(list, valueOf(t, e, of.Element()))
		}
		return list
	case of == table.Int64:
		out, err = v.(json.Number).Int64()
	default:
		out, err = v.(json.Number).Float64()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Each encoder, normalization and treatment of missing values makes of columns with nulls, NaN,
// extremes and Unicode what scikit-learn, pandas or NumPy do: testdata/reference.py says how.
func TestFeaturesAreThoseOfScikitLearn(t *testing.T) {
	text, err := os.ReadFile("testdata/reference.json")
	if err != nil {
		t.Fatal(err)
	}
	var all struct {
		Cases []struct {
			Entries     []string
			Type        table.Type
			Feature     string
			Train, Rows []any
			Labels      []int
			Tolerance   float64
			Numbers     [][]float64
			Category    []*uint32
			Terms       [][][2]float64
		}
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&all); err != nil {
		t.Fatal(err)
	}
	choices := pipeline.Catalog{pipeline.Encoders: feature.Encoders(), pipeline.Normalizations: feature.Normalizations(), pipeline.MissingValues: feature.MissingValues()}
	for _, c := range all.Cases {
		schema := table.Schema{Columns: []table.Column{{Name: "c", Type: c.Type, Nullable: true}, {Name: "y", Type: table.Bool, Nullable: true}}}
		spec, err := pipeline.Parse(choices, "test.yaml", bytes.Replace([]byte(ofOneFeature), []byte("FEATURE"), []byte(c.Feature), 1))
		if err != nil {
			t.Fatal(c.Feature, err)
		}
		plan, err := pipeline.Compile(spec, schema)
		if err != nil {
			t.Fatal(c.Feature, err)
		}
		batch := func(values []any, labels []int) arrow.Record {
			rows := make([][]any, len(values))
			for i, v := range values {
				rows[i] = []any{valueOf(t, v, c.Type), i%2 == 0}
				if labels != nil {
					rows[i][1] = labels[i] == 1
				}
			}
			return tabletest.Batch(memory.DefaultAllocator, schema, 0, rows...)
		}
		var partials [][]byte
		whole := batch(c.Train, c.Labels)
		for _, shard := range []arrow.Record{whole.NewSlice(0, whole.NumRows()/4), whole.NewSlice(whole.NumRows()/4, whole.NumRows())} {
			fitter := feature.NewFitter(plan)
			err := fitter.Observe(shard, make([]uint8, shard.NumRows()))
			if err != nil {
				t.Fatal(c.Feature, err)
			}
			p, err := fitter.Partial()
			if err != nil {
				t.Fatal(c.Feature, err)
			}
			partials = append(partials, p)
		}
		transform, err := feature.Finish(plan, partials)
		if err != nil {
			t.Fatal(c.Feature, err)
		}
		left, err := transform.Keep(batch(c.Rows, nil), new(pipeline.Report))
		if err != nil {
			t.Fatal(c.Feature, err)
		}
		block := new(kernel.Block)
		if err := transform.NewApplier().Apply(left, block, nil); err != nil {
			t.Fatal(c.Feature, err)
		}
		at := make(map[int]int) // the place in the block, by row
		for i := range block.Rows {
			at[int(table.RowNumber(left, i))] = i
		}
		for row, value := range c.Rows {
			i, kept := at[row]
			var dropped, same bool
			var got any
			switch {
			case c.Category != nil:
				if dropped = c.Category[row] == nil; kept && !dropped {
					got, same = block.Categories[0][i], block.Categories[0][i] == *c.Category[row]
				}
			case c.Terms != nil:
				if dropped = c.Terms[row] == nil; kept && !dropped {
					got, same = block.Terms[0][i], len(block.Terms[0][i]) == len(c.Terms[row])
					for k, term := range block.Terms[0][i] {
						same = same && float64(term.ID) == c.Terms[row][k][0] && math.Abs(float64(term.Weight)-c.Terms[row][k][1]) <= c.Tolerance
					}
				}
			default:
				if dropped = c.Numbers[row] == nil; kept && !dropped {
					var numbers []float32
					for _, n := range block.Numbers {
						numbers = append(numbers, n[i])
					}
					for _, l := range block.Lists {
						n := len(l) / block.Rows
						numbers = append(numbers, l[i*n:(i+1)*n]...)
					}
					got, same = numbers, len(numbers) == len(c.Numbers[row])
					for k, want := range c.Numbers[row] {
						same = same && math.Abs(float64(numbers[k])-want) <= c.Tolerance*max(1, math.Abs(want))
					}
				}
			}
			if kept == dropped || kept && !same {
				t.Errorf("%s of %v: row %d, %v, is %v (kept: %v), want another or dropped: %v", c.Feature, c.Entries, row, value, got, kept, dropped)
			}
		}
	}
	if len(all.Cases) < 60 {
		t.Errorf("only %d cases", len(all.Cases))
	}
}
