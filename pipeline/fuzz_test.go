package pipeline_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
)

// A text is refused with diagnostics, or is a spec that rendering keeps.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	for _, text := range []string{"", "{}", "[", "a: &b *b", "? x", "kind: |\n  Pipeline", "spec:\n  - - a", "\xff", "a: \"\\x00\""} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := pipeline.Parse(catalog.All(), "fuzz", text)
		if err != nil {
			var all *pipeline.SpecError
			if !errors.As(err, &all) || len(all.Diagnostics) == 0 || all.Error() == "" {
				t.Fatalf("error %T %v", err, err)
			}
			return
		}
		first, err := pipeline.Render(s)
		if err != nil {
			t.Fatal(err)
		}
		again, err := pipeline.Parse(catalog.All(), "rendered", first)
		if err != nil {
			t.Fatalf("%v\nof\n%s", err, first)
		}
		if diff := cmp.Diff(s, again, cmpopts.IgnoreUnexported(pipeline.Spec{}), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("rendering changed the spec:\n%s", diff)
		}
		if second, _ := pipeline.Render(again); string(first) != string(second) {
			t.Fatalf("rendered twice:\n%s", cmp.Diff(string(first), string(second)))
		}
		// Compile must not panic either, whatever it says.
		_, _ = pipeline.Compile(s, flightColumns)
	})
}
