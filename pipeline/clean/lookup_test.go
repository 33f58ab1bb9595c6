package clean

import (
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

// The tables places, by code, and days, by code and number.
var places, days = [][]any{{"JFK", "NY", 4.0}, {"LAX", "CA", nil}, {"", "none", -0.5}}, [][]any{{int64(1), "JFK", true}, {int64(2), "JFK", false}, {int64(1), "12", nil}}

// joined compiles steps of a spec with the tables.
func joined(t testing.TB, in table.Schema, steps ...string) (*pipeline.Plan, error) {
	t.Helper()
	for _, l := range []struct {
		name    string
		columns table.Schema
		keys    int
		rows    [][]any
	}{
		{"places", columns("code", "string", "state", "string", "height", "float64"), 1, places},
		{"days", columns("day", "int64", "code", "string", "open", "bool"), 2, days},
	} {
		b := table.NewLookupBuilder(l.name, l.columns.Columns, l.keys)
		batch := tabletest.Batch(memory.DefaultAllocator, l.columns, 0, l.rows...)
		err := b.Add(batch)
		batch.Release()
		read, failed := b.Finish()
		if err != nil || failed != nil {
			t.Fatal(err, failed)
		}
		in.Lookups = append(in.Lookups, read)
	}
	sections := ""
	for name, section := range map[string]string{
		"places": `    - {name: places, s3: {path: "s3://lake/places.parquet"}, key: {s: code}, columns: [state, height]}` + "\n",
		"days":   `    - {name: days, s3: {path: "s3://lake/days.parquet"}, key: {s: code, i: day}, columns: [open]}` + "\n",
	} {
		if strings.Contains(strings.Join(steps, ""), "table: "+name) {
			sections += section
		}
	}
	return compileWith(t, "UTC", in, "  lookups:\n"+sections, steps...)
}

// A row has what is in the table's row of its key, whatever batch it is in, in training
// and in scoring.
func TestLookupsJoinEachRowByItself(t *testing.T) {
	in := columns("s", "string", "i", "int64", "f", "float64")
	plan, err := joined(t, in, "{lookup: {table: places}}", "{lookup: {table: days, prefix: day_}}", "{case: {columns: [state], to: lower}}")
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
		defer mem.AssertSize(t, 0)
		batch := tabletest.Draw(rt, mem, in, 40)
		defer batch.Release()
		var want [][]any
		counts := map[string]int64{}
		for _, row := range tabletest.Rows(batch) {
			joined := append(row[:len(row)-1:len(row)-1], nil, nil, nil)
			found := [2]bool{}
			for _, p := range places {
				if row[0] == p[0] {
					joined[3], joined[4], found[0] = strings.ToLower(p[1].(string)), p[2], true
				}
			}
			for _, d := range days {
				if row[0] == d[1] && row[1] == d[0] {
					joined[5], found[1] = d[2], true
				}
			}
			for i, step := range []string{"1 lookup places", "2 lookup days"} {
				if !found[i] {
					counts[step]++
				}
			}
			want = append(want, append(joined, row[len(row)-1]))
		}
		for _, phase := range []pipeline.Phase{pipeline.InTraining, pipeline.InScoring} {
			c, rep := newChain(plan, phase, mem), new(pipeline.Report)
			var got [][]any
			pieces := tabletest.Split(rt, batch)
			for _, p := range pieces {
				out, err := c.Apply(t.Context(), p, rep)
				if err != nil {
					rt.Fatal(err)
				}
				if !out.Schema().Equal(c.Schema().Arrow()) {
					rt.Fatalf("the batch has schema\n%s\nthe chain says\n%s", out.Schema(), c.Schema().Arrow())
				}
				got = append(got, tabletest.Rows(out)...)
				out.Release()
				p.Release()
			}
			if diff := cmp.Diff(want, got); diff != "" {
				rt.Fatalf("%s: %s", phase, diff)
			}
			if len(counts) == 0 {
				counts = nil
			}
			if diff := cmp.Diff(counts, rep.Unmatched); diff != "" {
				rt.Fatalf("%s: %s", phase, diff)
			}
		}
	})
}

func TestALookupThatDoesNotFitIsRefused(t *testing.T) {
	in := columns("s", "string", "i", "int64", "f", "float64")
	for want, steps := range map[string][]string{
		"rows have a column state already (write prefix: places_)":                     {"{lookup: {table: places}}", "{lookup: {table: places}}"},
		"column i is string, and column day of table days is int64 (cast one of them)": {"{cast: {column: i, type: string}}", "{lookup: {table: days}}"},
		"table place is missing in lookups (did you mean places?)":                     {"{lookup: {table: places}}", "{lookup: {table: place}}"},
		"is not allowed: names that begin with _ are Thalweg's own":                    {"{lookup: {table: places, prefix: _}}"},
		"there is no column s": nil,
	} {
		have := in
		if steps == nil {
			steps, have = []string{"{lookup: {table: places}}"}, columns("i", "int64")
		}
		if _, err := joined(t, have, steps...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, not %s", steps, err, want)
		}
	}
}
