package expression_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"pgregory.net/rapid"

	"github.com/thalweg/thalweg/pipeline/expression"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

// columns are two of each type.
var columns = table.Schema{Columns: []table.Column{
	{Name: "i", Type: table.Int64}, {Name: "j", Type: table.Int64},
	{Name: "x", Type: table.Float64}, {Name: "y", Type: table.Float64},
	{Name: "s", Type: table.String}, {Name: "t", Type: table.String},
	{Name: "b", Type: table.Bool}, {Name: "c", Type: table.Bool},
	{Name: "d", Type: table.Timestamp}, {Name: "e", Type: table.Timestamp},
}}

// grammar writes random expressions by type: forms hold what the text of each
// type may be, with the types of its parts in braces; the first two are leaves.
var grammar = map[table.Type][]string{
	table.Int64: {"i", "j", "3", "-1", "9223372036854775807", "({int64} + {int64})", "({int64} - {int64})", "({int64} * {int64})",
		"({int64} % {int64})", "(-{int64})", "abs({int64})", "hour({timestamp})", "minute({timestamp})", "second({timestamp})",
		"weekday({timestamp})", "day({timestamp})", "month({timestamp})", "year({timestamp})", "len({string})", "int({float64})",
		"int({string})", "max({int64}, {int64}, {int64})", "min({int64}, {int64})", "({bool} ? {int64} : {int64})", "({int64} ?? {int64})",
		"coalesce({int64}, null, {int64})", "({bool} ? null : {int64})"},
	table.Float64: {"x", "y", "0.5", "1e300", "({number} / {number})", "({float64} + {number})", "({number} - {float64})", "({float64} * {number})",
		"({number} ** {number})", "(-{float64})", "abs({float64})", "float({int64})", "float({string})", "floor({number})", "round({number})", "secondsBetween({timestamp}, {timestamp})",
		"log1p({number})", "sqrt({number})", "max({float64}, {float64})", "({bool} ? {float64} : {float64})", "({float64} ?? {float64})"},
	table.String: {"s", "t", "'JFK'", "''", "({string} + {string})", "lower({string})", "upper({string})", "trim({string})", "trim({string}, 'J ')",
		"trimPrefix({string}, 'J')", "replace({string}, 'J', 'xx')", "split({string}, 'F')[{int64}]", "{string}[{int64}:{int64}]", "string({int64})",
		"string({float64})", "string({bool})", "({bool} ? {string} : {string})", "({string} ?? {string})", "coalesce({string}, {string})"},
	table.Bool: {"b", "c", "true", "false", "(not {bool})", "({bool} and {bool})", "({bool} or {bool})", "({bool} == {bool})", "({bool} != {bool})",
		"({number} < {number})", "({number} >= {number})", "({number} == {number})", "({int64} != {int64})", "({int64} < 3)", "(3 <= {int64})", "({float64} > 0.5)",
		"({string} == {string})", "({string} < {string})", "({string} != 'JFK')", "('a' <= {string})", "({timestamp} < {timestamp})",
		"({timestamp} >= '2001-09-09 01:46:40')", "({string} contains {string})", "({string} startsWith 'J')", "('JFK' endsWith {string})",
		"({string} matches '^ ?[A-J]+$')", "({int64} in [1, 2, -3])", "({float64} in [1, 0.5])", "({int64} in 2..20)", "({string} in ['JFK', ''])",
		"({bool} in [true, false])", "({int64} == null)", "({string} != null)", "({float64} == null)", "({timestamp} != null)", "({bool} == null)",
		"({bool} ? {bool} : {bool})", "({bool} ?? {bool})"},
	table.Timestamp: {"d", "e", "({bool} ? {timestamp} : {timestamp})", "({timestamp} ?? {timestamp})"},
}

var types = []table.Type{table.Int64, table.Float64, table.String, table.Bool, table.Timestamp}

// draw writes an expression of a type.
func draw(t *rapid.T, typ table.Type, depth int) string {
	forms := grammar[typ]
	if depth == 0 {
		forms = forms[:2]
	}
	form := rapid.SampledFrom(forms).Draw(t, "form")
	for _, name := range types {
		for strings.Contains(form, "{"+string(name)+"}") {
			form = strings.Replace(form, "{"+string(name)+"}", draw(t, name, depth-1), 1)
		}
	}
	for strings.Contains(form, "{number}") {
		number := rapid.SampledFrom([]table.Type{table.Int64, table.Float64}).Draw(t, "number")
		form = strings.Replace(form, "{number}", draw(t, number, depth-1), 1)
	}
	return form
}

func TestVectorsAgreeWithTheMachineRowByRow(t *testing.T) {
	zones := make([]*time.Location, 0, 3)
	for _, name := range []string{"UTC", "America/New_York", "Australia/Lord_Howe"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		zones = append(zones, zone)
	}
	rapid.Check(t, func(rt *rapid.T) {
		typ := rapid.SampledFrom(types).Draw(rt, "type")
		source := draw(rt, typ, rapid.IntRange(0, 4).Draw(rt, "depth"))
		if len(source) > expression.MaxSource {
			return
		}
		zone := rapid.SampledFrom(zones).Draw(rt, "zone")
		p, err := expression.Compile(source, columns, zone)
		if err != nil {
			// Parts without columns are computed at once, and may be null.
			if strings.Contains(err.Error(), "always null") || strings.Contains(err.Error(), "too large") {
				return
			}
			rt.Fatalf("%v", err)
		}
		if p.Type() != typ {
			rt.Fatalf("%s is %s, want %s", source, p.Type(), typ)
		}
		batch := tabletest.Draw(rt, memory.DefaultAllocator, columns, 150)
		defer batch.Release()
		agree(rt, source, p, batch, zone)
	})
}

func agree(rt *rapid.T, source string, p *expression.Program, batch arrow.Record, zone *time.Location) {
	got, err := p.Eval(batch)
	if err != nil {
		rt.Fatalf("%s: %v", source, err)
	}
	defer got.Release()
	if !arrow.TypeEqual(got.DataType(), p.Type().ArrowType()) || got.Len() != int(batch.NumRows()) {
		rt.Fatalf("%s yielded %d of %s", source, got.Len(), got.DataType())
	}
	machine := newOracle(rt, source, zone)
	nulls := 0
	for r := range got.Len() {
		env := make(map[string]any)
		for c, column := range columns.Columns {
			env[column.Name] = machineValue(tabletest.Value(batch.Column(c), r), column.Type)
		}
		want := machine.row(rt, env)
		if m, ok := want.(moment); ok {
			want = int64(m)
		}
		have := tabletest.Value(got, r)
		if have != want {
			rt.Fatalf("%s of %v is %v, the machine says %v", source, env, show(have), show(want))
		}
		if have == nil {
			nulls++
		}
	}
	if nulls != got.NullN() {
		rt.Fatalf("%s says %d nulls, has %d", source, got.NullN(), nulls)
	}
}

func show(v any) string { return fmt.Sprintf("%T %#v", v, v) }

// machineValue is a value as the oracle has it: NaN is null.
func machineValue(v any, t table.Type) any {
	switch v := v.(type) {
	case string:
		if t == table.Float64 {
			return nil
		}
	case float64:
		if math.IsNaN(v) {
			return nil
		}
	case int64:
		if t == table.Timestamp {
			return moment(v)
		}
	}
	return v
}
