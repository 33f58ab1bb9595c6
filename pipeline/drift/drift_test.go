package drift

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/thalweg/thalweg/pipeline/summary"
)

// Measures are those of NumPy and SciPy: testdata/measures.py says how.
func TestMeasuresAreThoseOfSciPy(t *testing.T) {
	data, err := os.ReadFile("testdata/measures.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Before, After []float64
		PSI, JS       float64
	}
	if err := json.Unmarshal(data, &cases); err != nil || len(cases) < 30 {
		t.Fatal(err, len(cases))
	}
	for i, c := range cases {
		var bins [][2]float64
		var before, after float64
		for k := range c.Before {
			bins = append(bins, [2]float64{c.Before[k], c.After[k]})
			before, after = before+c.Before[k], after+c.After[k]
		}
		got := Measure(bins, before, after)
		if math.Abs(got.PSI-c.PSI) > 1e-12*max(1, c.PSI) || math.Abs(got.JS-c.JS) > 1e-12 {
			t.Errorf("case %d: %+v, want %v and %v", i, got, c.PSI, c.JS)
		}
	}
}

// filled returns a distribution of values, which are numbers or texts.
func filled(values []any) *summary.Distribution {
	d := summary.NewTexts()
	for _, v := range values {
		if _, ok := v.(float64); ok {
			d = summary.NewNumbers()
		}
	}
	for _, v := range values {
		switch v := v.(type) {
		case nil:
			d.Missing++
		case float64:
			d.AddNumber(v)
		case string:
			d.AddText(v, 1)
		}
	}
	return d
}

// A reference of values is at no distance from them, has all of them in its bins, survives
// JSON, and the next number up is in a bin of its own where most are one number.
func TestAReferenceIsLikeItsOwnValues(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]*rapid.Generator[any]{
			rapid.OneOf(rapid.Float64().AsAny(), rapid.Just[any](math.NaN()), rapid.Just[any](math.Inf(1)), rapid.Just[any](math.Inf(-1)), rapid.Just[any](nil)),
			rapid.SampledFrom([]any{0.0, 0.0, 1.0, nil, math.MaxFloat64}),
			rapid.SampledFrom([]any{"", "a", "é", "b", nil}),
			rapid.Custom(func(t *rapid.T) any { return fmt.Sprint(rapid.IntRange(0, 3000).Draw(t, "n")) }),
		}).Draw(t, "kind")
		values := rapid.SliceOfN(kind, 1, 300).Draw(t, "values")
		d := filled(values)
		r := New(d)
		if err := r.Check(); err != nil || r.Rows != int64(len(values)) {
			t.Fatalf("%+v: %v", r, err)
		}
		data, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		again := new(Reference)
		if err := json.Unmarshal(data, again); err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("%+v became %+v: %v", r, again, err)
		}
		if got, err := again.Compare(d); err != nil || math.Abs(got.PSI) > 1e-12 || got.JS > 1e-12 {
			t.Fatalf("%+v, %v", got, err)
		}
	})
}

func TestShiftsAreFound(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	draw := func(n int, of func() any) *summary.Distribution {
		values := make([]any, n)
		for i := range values {
			values[i] = of()
		}
		return filled(values)
	}
	normal := func(by float64) func() any { return func() any { return by + random.NormFloat64() } }
	cities := func(share float64) func() any {
		return func() any {
			if random.Float64() < share {
				return "Oslo"
			}
			return fmt.Sprint("city ", random.IntN(5))
		}
	}
	many := func(from int) func() any { return func() any { return fmt.Sprint("id ", from+random.IntN(5000)) } }
	constant := func(v any) func() any { return func() any { return v } }
	for name, c := range map[string]struct {
		before, after func() any
		least, most   float64
	}{
		"the same numbers":     {normal(0), normal(0), 0, 0.05},
		"higher numbers":       {normal(0), normal(0.6), 0.25, 1},
		"the same texts":       {cities(0.2), cities(0.2), 0, 0.05},
		"a text more often":    {cities(0.1), cities(0.4), 0.25, 2},
		"the same of many":     {many(0), many(0), 0, 0.05},
		"a constant":           {constant(7.0), constant(7.0), 0, 1e-3},
		"the next number up":   {constant(7.0), constant(math.Nextafter(7, 8)), 5, 1e9},
		"nothing any more":     {normal(0), constant(nil), 5, 1e9},
		"mostly zero":          {func() any { return float64(max(0, random.IntN(10)-7)) }, func() any { return float64(max(0, random.IntN(10)-4)) }, 0.25, 5},
		"infinite, not finite": {normal(0), constant(math.Inf(1)), 1, 1e9},
	} {
		before, after := New(draw(3000, c.before)), draw(2000, c.after)
		if name == "nothing any more" {
			after = summary.NewNumbers()
			after.Missing = 2000
		}
		got, err := before.Compare(after)
		if err != nil || got.PSI < c.least || got.PSI > c.most || got.JS > 1 || (c.least > 0) != (got.JS > 0.02) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if _, err := New(filled([]any{1.0})).Compare(filled([]any{"a"})); err == nil {
		t.Error("numbers are compared with texts")
	}
	if _, err := New(filled([]any{1.0})).Compare(summary.NewNumbers()); err == nil {
		t.Error("no rows are compared")
	}
}

func TestDamagedReferencesAreRefused(t *testing.T) {
	for _, text := range []string{`{"rows":2,"missing":0,"counts":[1]}`, `{"rows":1,"missing":2,"counts":[-1]}`, `{"rows":1,"missing":0,"edges":[2,1],"counts":[1,0,0]}`,
		`{"rows":0,"missing":0}`, `{"rows":1,"missing":0,"edges":[1],"counts":[1]}`, `{"rows":1,"missing":0,"buckets":[1]}`} {
		var r Reference
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			t.Fatal(err)
		}
		if r.Check() == nil {
			t.Errorf("%s passes", text)
		}
	}
}
