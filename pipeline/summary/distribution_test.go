package summary

import (
	"encoding/json"
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"
)

// A distribution has the same bytes in whatever order values come and however they are
// divided into parts, also those beyond its bounds.
func TestADistributionDoesNotDependOnOrderAndParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		texts := rapid.Bool().Draw(t, "texts")
		n, values := rapid.IntRange(1, 6000).Draw(t, "n"), rapid.IntRange(1, 2*mostNumbers).Draw(t, "values")
		seed := rapid.Uint64().Draw(t, "seed")
		add := func(d *Distribution, i int) {
			v := (uint64(i)*2654435761 + seed) % uint64(values)
			switch {
			case v == 0:
				d.Missing++
			case texts:
				d.AddText(fmt.Sprint("value ", v), 1)
			case v == 1:
				d.AddNumber(math.Inf(1))
			default:
				d.AddNumber(float64(v) * 1.1)
			}
		}
		empty := func() *Distribution {
			if texts {
				return NewTexts()
			}
			return NewNumbers()
		}
		whole := empty()
		for i := range n {
			add(whole, i)
		}
		merged, parts := empty(), rapid.IntRange(1, 5).Draw(t, "parts")
		for k := range parts {
			part := empty()
			for i := n - 1; i >= 0; i-- {
				if i%parts == k {
					add(part, i)
				}
			}
			data, err := json.Marshal(part)
			if err != nil {
				t.Fatal(err)
			}
			var again Distribution
			if err := json.Unmarshal(data, &again); err != nil {
				t.Fatal(err)
			}
			if err := again.Check(); err != nil {
				t.Fatal(err)
			}
			merged.Merge(&again)
		}
		a, _ := json.Marshal(whole)
		b, _ := json.Marshal(merged)
		if string(a) != string(b) || whole.Rows() != int64(n) {
			t.Fatalf("%d rows: %.300s\n%.300s", whole.Rows(), a, b)
		}
		if len(whole.Texts) > mostTexts || whole.Numbers != nil && whole.Numbers.used > mostNumbers {
			t.Fatal("it is not bounded")
		}
	})
}
