package pipeline_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
)

// manyFeatures returns a spec of 1,000 features, each of which is a number and
// has what else is in the text.
func manyFeatures(more string) []byte {
	var b strings.Builder
	b.WriteString("apiVersion: thalweg/v1\nkind: Pipeline\nmetadata: {name: many}\nspec:\n" +
		"  sources: {train: {s3: {path: \"s3://lake/a/*.parquet\"}, format: {type: parquet}}}\n" +
		"  output_features: [{name: y, type: number}]\n  input_features:\n")
	for i := range 1000 {
		fmt.Fprintf(&b, "  - {name: f%d,type: number%s}\n", i, more)
	}
	return []byte(b.String())
}

// readingTime is the best of three: other work on the machine only adds.
func readingTime(text []byte) (best time.Duration, err error) {
	for range 3 {
		began := time.Now()
		_, err = pipeline.Parse(catalog.All(), "", text)
		if d := time.Since(began); best == 0 || d < best {
			best = d
		}
	}
	return best, err
}

// TestMistakesCostNoMoreThanTheSpecWithoutThem: reading stops at the hundredth.
func TestMistakesCostNoMoreThanTheSpecWithoutThem(t *testing.T) {
	right, err := readingTime(manyFeatures(""))
	if err != nil {
		t.Fatal(err)
	}
	for what, more := range map[string]string{
		"fields that do not exist":  ",tpye: 1",
		"words that do not exist":   ",normalization: z",
		"options of other features": ",most_common: 3",
		"wrong kinds of values":     ",expression: []",
		"several mistakes an entry": ",a: 1,name: 2",
	} {
		took, err := readingTime(manyFeatures(more))
		var all *pipeline.SpecError
		if !errors.As(err, &all) || len(all.Diagnostics) != 100 || !all.More {
			t.Fatalf("%s: error %.200v", what, err)
		}
		if took > 10*right {
			t.Errorf("%s: reading takes %v, and %v without them", what, took, right)
		}
	}
}
