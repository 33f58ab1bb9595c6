package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// digits returns images of the given number of pixels, of which a few tell the
// label.
func digits(t *testing.T, pixels int) []byte {
	t.Helper()
	fields := []arrow.Field{{Name: "label", Type: arrow.PrimitiveTypes.Int64}}
	for i := range pixels {
		fields = append(fields, arrow.Field{Name: fmt.Sprintf("pixel_%d", i), Type: arrow.PrimitiveTypes.Int64})
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(fields, nil))
	random := rand.New(rand.NewPCG(1, 1))
	for range 1000 {
		ink := int64(0)
		for i := range pixels {
			v := random.Int64N(256)
			if i%100 == 7 {
				ink += v
			}
			b.Field(i + 1).(*array.Int64Builder).Append(v)
		}
		b.Field(0).(*array.Int64Builder).Append(ink / 256)
	}
	return parquetOf(t, b)
}

const digitsSpec = `
apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: digits}
spec:
  sources: {train: {s3: {path: "s3://lake/flights/*.parquet"}, format: {type: parquet}}}
  input_features: [{columns: "*", type: number, normalization: minmax}]
  output_features: [{name: many, type: binary, expression: "label > 3"}]
`

// A line of the spec makes 784 columns features. What it matched is said by validate
// and by the run; a run on data with more columns has more features.
func TestManyColumnsAreOneLineOfTheSpec(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/digits.parquet", string(digits(t, 784)))
	put(t, dir+"/digits.yaml", digitsSpec)
	c, _ := startDev(t, t.TempDir())
	text, err := command(t, c, "validate", dir+"/digits.yaml", "--data", dir+"/digits.parquet")
	want := `features "*": 784 of type number, from "pixel_0" to "pixel_783"; 1 that match are features of their own or the label's`
	if err != nil || !strings.Contains(text, want) {
		t.Errorf("%v\n%s", err, text)
	}
	upload(t, c, digits(t, 784))
	if text, err := command(t, c, "apply", "-f", dir+"/digits.yaml", "--wait"); err != nil || !strings.Contains(text, strings.TrimPrefix(want, "features ")) {
		t.Errorf("%v\n%s", err, text)
	}
	upload(t, c, digits(t, 800))
	text, err = command(t, c, "runs", "start", "digits", "--wait")
	if err != nil || !strings.Contains(text, `"*": 800 of type number, from "pixel_0" to "pixel_799"`) || !strings.Contains(text, "features         800") {
		t.Errorf("%v\n%s", err, text)
	}
}
