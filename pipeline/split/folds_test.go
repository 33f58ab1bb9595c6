package split

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
)

// folded returns a plan with folds.
func folded(kind string, folds int, probabilities ...float64) *pipeline.Plan {
	p := plan(kind)
	p.Spec.Spec.Preprocessing.Split.Folds = folds
	if probabilities != nil {
		p.Spec.Spec.Preprocessing.Split.Probabilities = probabilities
	}
	return p
}

// A row's fold is the same however objects are cut into shards and these into batches, test
// rows are in none, and with folds each row has the split that it has without.
func TestFoldsDoNotDependOnShardsAndBatches(t *testing.T) {
	values := []any{nil, "", "a", "b", "late", "café", "0"}
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]string{"random", "hash", "stratify"}).Draw(t, "kind")
		folds := rapid.IntRange(2, 20).Draw(t, "folds")
		shares := rapid.SampledFrom([][]float64{{0.7, 0.15, 0.15}, {1, 0, 0}, {0.8, 0, 0.2}, {0.8, 0.2, 0}}).Draw(t, "shares")
		sizes := rapid.SliceOfN(rapid.IntRange(1, 60), 1, 4).Draw(t, "sizes")
		objects := objectsOf(sizes, func() any { return rapid.SampledFrom(values).Draw(t, "value") })
		cut := func() []shardOf {
			return cutInto(objects, func(most int) int { return rapid.IntRange(1, most).Draw(t, "shard") })
		}
		p := folded(kind, folds, shares...)
		want, cuts := splitOf(t, p, table.String, cut(), 7)
		for range 2 {
			got, _ := splitOf(t, p, table.String, cut(), rapid.IntRange(1, 50).Draw(t, "batch"))
			for row, code := range want {
				if got[row] != code {
					t.Fatalf("row %s is %d and %d", row, code, got[row])
				}
			}
		}
		plain, _ := splitOf(t, folded(kind, 0, shares...), table.String, cut(), 7)
		for row, code := range want {
			part, fold := Whole.Of(code), FoldOf(code)
			if part != plain[row] {
				t.Fatalf("row %s is %s with folds, %s without", row, Names[part], Names[plain[row]])
			}
			held := 0
			for f := 1; f <= cuts.Folds; f++ {
				switch of := Without(f).Of(code); {
				case of == Test:
					held++
				case of == Unused && part == Test:
				case of != part:
					t.Fatalf("row %s is %d without fold %d, not %d", row, of, f, part)
				}
			}
			if wantHeld := min(fold, 1); held != wantHeld || fold > folds || (part == Test) != (fold == 0) && kind != "hash" {
				t.Fatalf("row %s of %s is in fold %d and held out %d times", row, Names[part], fold, held)
			}
		}
	})
}

// Of each value, a fold of a stratified split has the same share of the training rows and of
// the validation rows, to the row.
func TestFoldsOfAStratifiedSplitAreStratified(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	objects := objectsOf([]int{4000, 6000, 1}, func() any {
		if v := r.IntN(10); v > 0 {
			return []any{"rare", "some", "some", "often"}[min(v/2, 3)]
		}
		return nil
	})
	got, _ := splitOf(t, folded("stratify", 7), table.String, cutInto(objects, func(most int) int { return 1 + r.IntN(most) }), 500)
	counts := make(map[string]*[8]int)
	for name, rows := range objects {
		for i, row := range rows {
			code := got[fmt.Sprint(name, " ", i)]
			if part := Whole.Of(code); part != Test {
				key := fmt.Sprint(row.value, " ", Names[part])
				if counts[key] == nil {
					counts[key] = new([8]int)
				}
				counts[key][FoldOf(code)]++
			}
		}
	}
	if len(counts) != 8 {
		t.Errorf("%d values and splits", len(counts))
	}
	for key, of := range counts {
		if least, most := slices.Min(of[1:]), slices.Max(of[1:]); of[0] != 0 || most-least > 1 {
			t.Errorf("%s: folds of %v rows", key, of)
		}
	}
}

func TestFoldsHaveEqualSharesOfEachSplit(t *testing.T) {
	objects := objectsOf([]int{50_000, 50_000}, func() any { return nil })
	got, _ := splitOf(t, folded("random", 5), table.String, cutInto(objects, func(most int) int { return most }), 10_000)
	var counts [Count][6]float64
	for _, code := range got {
		counts[Whole.Of(code)][FoldOf(code)]++
	}
	for part, share := range []float64{0.7, 0.15} {
		for fold := 1; fold <= 5; fold++ {
			want := share * 100_000 / 5
			if n := counts[part][fold]; math.Abs(n-want) > 4*math.Sqrt(want) {
				t.Errorf("fold %d has %v rows of %s, want about %v", fold, n, Names[part], want)
			}
		}
	}
}

// All rows of a key are in one fold, whatever their number; those without a key are in none.
func TestAKeyIsOnOneSideOfEachFold(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	objects := objectsOf([]int{3000, 3000}, func() any {
		if k := r.IntN(400); k > 0 {
			return fmt.Sprint("key ", k)
		}
		return nil
	})
	got, _ := splitOf(t, folded("hash", 4), table.String, cutInto(objects, func(most int) int { return 1 + r.IntN(most) }), 100)
	of := make(map[any]uint8)
	seen := make(map[int]bool)
	for name, rows := range objects {
		for i, row := range rows {
			code := got[fmt.Sprint(name, " ", i)]
			if was, ok := of[row.value]; ok && was != code {
				t.Fatalf("%v is %d and %d", row.value, was, code)
			}
			of[row.value] = code
			seen[FoldOf(code)] = true
		}
	}
	if of[nil] != Train || len(seen) != 5 {
		t.Errorf("rows without a key are %d, folds %v", of[nil], seen)
	}
}

func TestFoldsByTooManyValuesAreRefused(t *testing.T) {
	var rows []rowOf
	for i := range 2*maxStrata/5 + 1 {
		rows = append(rows, rowOf{"a", int64(i), fmt.Sprint(i)})
	}
	o, err := NewObserver(folded("stratify", 5), Origin{})
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Observe(rowsOf(table.String, rows, 0)); !thalweg.Is(err, thalweg.Exhausted) || !strings.Contains(err.Error(), "more than 400 values") {
		t.Errorf("error %v", err)
	}
}
