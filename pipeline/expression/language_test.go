package expression_test

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/pipeline/expression"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

// TestExamplesOfTheLanguageYieldWhatTheySay: those of each operator and function,
// of the row that the language shows beside them.
func TestExamplesOfTheLanguageYieldWhatTheySay(t *testing.T) {
	language := expression.Explain()
	var schema table.Schema
	var row []any
	for _, s := range language.Sample {
		schema.Columns = append(schema.Columns, table.Column{Name: s.Name, Type: s.Type, Nullable: true})
		var value any
		switch s.Type {
		case table.Timestamp:
			us, _ := table.ParseTime(s.Value, time.UTC)
			value = us
		case table.Int64:
			i, _ := strconv.Atoi(s.Value)
			value = int64(i)
		case table.Float64:
			value, _ = strconv.ParseFloat(s.Value, 64)
		case table.Bool:
			value = s.Value == "true"
		case table.Float64List:
			var list []any
			if err := json.Unmarshal([]byte(s.Value), &list); err != nil {
				t.Fatal(err)
			}
			value = list
		case table.String:
			if value = s.Value; s.Value == "null" {
				value = nil
			}
		}
		row = append(row, value)
	}
	batch := tabletest.Batch(memory.DefaultAllocator, schema, 0, row)
	defer batch.Release()
	for _, e := range slices.Concat(language.Operators, language.Functions) {
		p, err := expression.Compile(e.Example, schema, nil)
		if err != nil {
			t.Error(err)
			continue
		}
		a, err := p.Eval(batch)
		if err != nil {
			t.Error(err)
			continue
		}
		got := ""
		switch v := tabletest.Value(a, 0).(type) {
		case string:
			got = strconv.Quote(v)
		case float64:
			if got = strconv.FormatFloat(v, 'g', -1, 64); !strings.Contains(got, ".") {
				got += ".0"
			}
		case int64:
			got = strconv.FormatInt(v, 10)
		case bool:
			got = strconv.FormatBool(v)
		}
		if a.Release(); got != e.Value {
			t.Errorf("%s is %s, and the language says %s", e.Example, got, e.Value)
		}
		if one, err := expression.ExplainOne(e.Names[0]); err != nil || one.Example != e.Example || e.Takes == "" || e.Yields == "" || e.Meaning == "" || len(e.Forms) == 0 {
			t.Errorf("%v: %+v, %v", e.Names, one, err)
		}
	}
}

// TestAFunctionOfAnotherLanguageIsExplainedByItsNearest.
func TestAFunctionOfAnotherLanguageIsExplainedByItsNearest(t *testing.T) {
	for name, want := range map[string]string{"houre": "did you mean hour?", "LENGTH": "write len(a)", "fillna": "write coalesce(a, b)", "now": "no clock", "starts_with": "write a startsWith b"} {
		if _, err := expression.ExplainOne(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
}
