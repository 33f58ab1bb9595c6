package expression_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/pipeline/expression"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

func FuzzCompile(f *testing.F) {
	for _, seed := range []string{"hour(date)", "delay > 15", "origin + '-' + upper(origin)", "delay in [1, 2]", "late ? null : $env['x']",
		"delay IS NULL", "x if late else y", "CASE WHEN late THEN 1 END", "origin.lower() = 'a'", "delay BETWEEN 1 AND 2", "origin || delay", "a LIKE '%b'",
		"split(origin, '-')[0][1:-1]", "a < b < c", "(((", "1e999", "not not true", "9223372036854775808", "date > '2020'", "\"\\u00e4\"", "a | b()"} {
		f.Add(seed)
	}
	batch := tabletest.Batch(memory.DefaultAllocator, flights, 0, rows...)
	f.Fuzz(func(t *testing.T, source string) {
		p, err := expression.Compile(source, flights, nil)
		if err != nil {
			formCompiles(t, err)
			return
		}
		a, err := p.Eval(batch)
		if err != nil {
			t.Fatalf("%s: %v", source, err)
		}
		if a.Len() != len(rows) || a.DataType().ID() != p.Type().ArrowType().ID() {
			t.Fatalf("%s yielded %d of %s", source, a.Len(), a.DataType())
		}
	})
}

// formCompiles checks the form that a hint offers for a text.
func formCompiles(t *testing.T, err error) {
	t.Helper()
	var p *expression.Problem
	if !errors.As(err, &p) {
		t.Fatal(err)
	}
	form, offered := strings.CutPrefix(p.Hint, "write ")
	general := strings.Contains(p.Message, " takes ") || strings.Contains(p.Message, "not a date") || strings.HasPrefix(form, "weekday(t)")
	if !offered || general || strings.Contains(form, "; then there is no ") {
		return
	}
	if _, err := expression.Compile(form, flights, nil); err != nil {
		t.Errorf("the form %s: %v", form, err)
	}
}
