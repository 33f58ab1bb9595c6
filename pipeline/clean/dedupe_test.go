package clean

import (
	"encoding/binary"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

// What looks at other rows is refused where there are none, and where these are not known.
func TestDedupeIsRefusedWhereItCannotBeDone(t *testing.T) {
	in := columns("s", "string", "i", "int64", "l", "list<int64>")
	many := slices.Repeat([]string{`{dedupe: {keys: [s]}}`}, pipeline.MaxShuffles+1)
	for step, want := range map[string]string{
		`{dedupe: {keys: [s], apply_to: [training, scoring]}}`: "apply_to: dedupe of events, which come one by one: not supported (write apply_to: [training])",
		`{dedupe: {keys: [s, s]}}`:                             "keys[1]: column s appears twice",
		`{dedupe: {keys: [s, x]}}`:                             "keys[1]: there is no column x",
		`{dedupe: {keys: [l]}}`:                                "keys[0]: column l is list<int64>: rows are not brought together by lists",
		`{dedupe: {keys: [s], by: s}}`:                         "by: column s is string: rows are ordered by int64 or float64 or bool or timestamp (cast it first)",
		`{dedupe: {keys: [s], keep: all}}`:                     `keep: "all"`,
		`{dedupe: {keys: []}}`:                                 "keys: ",
		`{fill: {columns: [i], strategy: fill_with_median}}, {dedupe: {keys: [s]}}`: `step "1 fill" learns from the training rows, and which these are has to be settled first (put it before that step)`,
		strings.Join(many, ", "): "the spec asks for 9 passes over the whole dataset, at most 8 are made (join steps of the same keys, or prepare the files before)",
		`{dedupe: {keys: [s]}}, {fill: {columns: [i], strategy: fill_with_median}}`:     "",
		`{fill: {columns: [i], strategy: drop_row}}, {dedupe: {keys: [i, s], by: i}}`:   "",
		`{derive: {column: k, expression: "i + 1"}}, {dedupe: {keys: [k], keep: last}}`: "",
		strings.Join(many[1:], ", "): "",
	} {
		_, err := compile(t, "UTC", in, step)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got  %v\nwant %s", step, err, want)
		}
	}
}

// A row that a shuffle found is removed, counted and named, whatever steps before have
// removed; a chain that nobody told what shuffles found fails instead of keeping all.
func TestRowsThatAShuffleFoundAreRemoved(t *testing.T) {
	plan := planOf(t, columns("s", "string", "i", "int64"), stepOf(&Filter{Expression: "i > 0"}), `{dedupe: {keys: [s]}}`)
	chain := New(plan, pipeline.InTraining)
	rows := [][]any{{"a", int64(1)}, {"a", int64(0)}, {"a", int64(2)}, {"b", int64(3)}, {"b", int64(4)}}
	batch := tabletest.Batch(chain.mem, chain.Input(), 100, rows...)
	defer batch.Release()
	if _, err := chain.Apply(t.Context(), batch, nil); err == nil || !strings.Contains(err.Error(), "step 2 dedupe: the rows of each key have not been brought together yet") {
		t.Errorf("without what was found: %v", err)
	}
	rep := pipeline.Report{KeepRemoved: true}
	found := map[string]*pipeline.Settled{"2 dedupe": {Rows: []int64{3, 99, 102, 104, 200}}}
	out, err := chain.With(found).Apply(t.Context(), batch, &rep)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Release()
	const reason = "2 dedupe: another row has the same s"
	want := map[string]int64{"rows in": 5, "rows out": 2, "dropped 1 filter: i > 0": 1, "dropped " + reason: 2, "removed 101: 1 filter: i > 0": 1, "removed 102: " + reason: 1, "removed 104: " + reason: 1}
	if got := counts(&rep); !maps.Equal(got, want) || !slices.Equal(table.Rows(out), []int64{100, 103}) {
		t.Errorf("%v, rows %v", got, table.Rows(out))
	}
	// Who scores single rows goes without.
	alone, err := Alone(plan, pipeline.InTraining).Apply(t.Context(), batch, nil)
	if err != nil || alone.NumRows() != 4 {
		t.Errorf("%v, %v", alone, err)
	}
}

// What the last value of a key cannot do is refused.
func TestTheLastOfAKeyIsRefusedWhereItCannotBe(t *testing.T) {
	in := columns("s", "string", "i", "int64", "l", "list<int64>")
	for step, want := range map[string]string{
		`{fill: {columns: [i], strategy: last_in_key, key: s, apply_to: [scoring]}}`: "apply_to: last_in_key of events, which come one by one: not supported (write apply_to: [training])",
		`{fill: {columns: [i], strategy: last_in_key}}`:                              "fill.key: the field is missing",
		`{fill: {columns: [i], strategy: last_in_key, key: x}}`:                      "fill.key: there is no column x",
		`{fill: {columns: [i], strategy: last_in_key, key: l}}`:                      "rows are not brought together by lists",
		`{fill: {columns: [i], strategy: last_in_key, key: i}}`:                      "a column cannot be filled by itself",
		`{fill: {columns: [l], strategy: last_in_key, key: i}}`:                      "last_in_key does not fill lists",
		`{fill: {columns: [i], strategy: last_in_key, key: s, by: s}}`:               "fill.by: column s is string: rows are ordered by",
		`{fill: {columns: [i, s], strategy: last_in_key, key: s}}`:                   "last_in_key fills one column (write a step for each)",
		`{fill: {columns: [i], strategy: last_in_key, key: s, value: 1}}`:            "last_in_key takes no value",
		`{fill: {columns: [i], strategy: drop_row, key: s}}`:                         "key and by are of last_in_key",
		`{fill: {columns: [i], strategy: last_in_key, key: s, by: i}}`:               "",
	} {
		_, err := compile(t, "UTC", in, step)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got  %v\nwant %s", step, err, want)
		}
	}
}

// Values that a shuffle found are put in by type, and counted; the others stay.
func TestValuesThatAShuffleFoundFill(t *testing.T) {
	number := func(v uint64) string { return string(binary.LittleEndian.AppendUint64(nil, v)) }
	for _, c := range []struct {
		of    string
		rows  []any
		found []string
		want  []any
	}{
		{"int64", []any{nil, int64(2), nil, nil}, []string{number(7), number(math.MaxUint64)}, []any{nil, int64(2), int64(7), int64(-1)}},
		{"timestamp", []any{nil, int64(2), nil, nil}, []string{number(7), number(8)}, []any{nil, int64(2), int64(7), int64(8)}},
		{"float64", []any{nil, 2.5, math.NaN(), nil}, []string{number(math.Float64bits(0.5)), number(math.Float64bits(-1))}, []any{nil, 2.5, 0.5, -1.0}},
		{"bool", []any{nil, true, nil, nil}, []string{number(1), number(0)}, []any{nil, true, true, false}},
		{"string", []any{nil, "a", nil, nil}, []string{"", "a"}, []any{nil, "a", "", "a"}},
	} {
		chain := New(planOf(t, columns("v", c.of, "k", "int64"), `{fill: {columns: [v], strategy: last_in_key, key: k}}`), pipeline.InTraining)
		var rows [][]any
		for _, v := range c.rows {
			rows = append(rows, []any{v, int64(1)})
		}
		batch := tabletest.Batch(chain.mem, chain.Input(), 10, rows...)
		var rep pipeline.Report
		out, err := chain.With(map[string]*pipeline.Settled{"1 fill": {Rows: []int64{3, 12, 13}, Values: append([]string{"other"}, c.found...)}}).Apply(t.Context(), batch, &rep)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range c.want {
			if got := tabletest.Value(out.Column(0), i); got != want {
				t.Errorf("%s: row %d is %v, want %v", c.of, i, got, want)
			}
		}
		if rep.Changed["1 fill v"] != 2 || !out.Schema().Equal(batch.Schema()) {
			t.Errorf("%s: %v, %v", c.of, rep.Changed, out.Schema())
		}
	}
}
