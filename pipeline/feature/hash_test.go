package feature

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/twmb/murmur3"
	"pgregory.net/rapid"

	"github.com/thalweg/thalweg/pipeline"
)

// hashCategory is a category with encoder hash.
func hashCategory(column string, buckets int, o pipeline.FeatureOptions) pipeline.Feature {
	o.Encoder = pipeline.Choice{Name: "hash", Options: &Hash{Buckets: buckets}}
	return category(column, o)
}

// crossed is a plan with crosses of categories of every type, hashed or not, and of a
// number in bins.
func crossed() *pipeline.Plan {
	p := planOf(
		category("s", pipeline.FeatureOptions{}),
		hashCategory("i", 1000, pipeline.FeatureOptions{MissingValueStrategy: fillWithMode}),
		hashCategory("b", 1<<22, pipeline.FeatureOptions{FillValue: true}),
		binnedFeature("f", 4, pipeline.FeatureOptions{MissingValueStrategy: ownBin}),
	)
	p.Crosses = []pipeline.Cross{{Name: "c_s × c_i", Of: []int{0, 1}, Buckets: 1 << 16}, {Name: "c_b × n_f × c_i", Of: []int{2, 3, 1}, Buckets: 999}}
	return p
}

func TestHashesAreThoseOfONNXRuntimes(t *testing.T) {
	for text, want := range map[string]uint32{"foo": 4138058784, "": 0, "7": murmur3.Sum32([]byte("7")), "é": murmur3.Sum32([]byte{0xc3, 0xa9})} {
		if got := hashOf(text); got != want {
			t.Errorf("%q: %d, not %d", text, got, want)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		a, b := rapid.Uint32().Draw(rt, "a"), rapid.Uint32().Draw(rt, "b")
		if got, want := jointHash(a, b), murmur3.Sum32(binary.LittleEndian.AppendUint64(nil, uint64(a)<<32|uint64(b))); got != want {
			rt.Errorf("%d and %d: %d, not %d", a, b, got, want)
		}
	})
}

func TestAHashedCategoryHasAnIDForEveryValue(t *testing.T) {
	tr := fit(t, planOf(hashCategory("s", 512, pipeline.FeatureOptions{}), hashCategory("i", 1000, pipeline.FeatureOptions{}), hashCategory("b", 2, pipeline.FeatureOptions{})),
		batch([]any{"ORD", int64(7), nil, true}))
	rec := batch([]any{"ORD", int64(7), nil, true}, []any{"never met", int64(-1 << 40), nil, false}, []any{nil, nil, nil, nil}, []any{"<MISSING>", int64(5000), nil, nil})
	block, rep := apply(t, tr, rec)
	id := func(text string, n uint32) uint32 { return murmur3.StringSum32(text) % n }
	check(t, "texts", block.Categories[0], []uint32{id("ORD", 512), id("never met", 512), id("<MISSING>", 512), id("<MISSING>", 512)})
	check(t, "integers", block.Categories[1], []uint32{id("7", 1000), id("-1099511627776", 1000), id("<MISSING>", 1000), id("5000", 1000)})
	check(t, "bools", block.Categories[2], []uint32{id("true", 2), id("false", 2), id("<MISSING>", 2), id("<MISSING>", 2)})
	check(t, "cardinalities", tr.Shape().Cardinalities, []int{512, 1000, 2})
	check(t, "unknown values", len(rep.Unknown), 0)
	check(t, "filled values", rep.Filled, map[string]int64{"c_s": 1, "c_i": 1, "c_b": 2})
}

func TestARowOfHashedCategoriesIsBlankOnlyWhereAllAreMissing(t *testing.T) {
	a := fit(t, planOf(hashCategory("s", 2, pipeline.FeatureOptions{}), hashCategory("i", 2, pipeline.FeatureOptions{})), batch([]any{"a", int64(1), nil, nil})).NewApplier()
	block, _ := apply(t, a.transform, batch())
	if err := a.Apply(batch([]any{"b", nil, nil, nil}, []any{"c", int64(5), nil, nil}, []any{nil, nil, 1.5, nil}, []any{"d", nil, nil, nil}), block, nil); err != nil {
		t.Fatal(err)
	}
	check(t, "blank rows", a.Blank().Words, []uint64{1 << 2})
}

func TestMissingHashedCategoriesAreFilledOrDropTheRow(t *testing.T) {
	tr := fit(t, planOf(hashCategory("s", 512, pipeline.FeatureOptions{MissingValueStrategy: fillWithMode}), hashCategory("i", 512, pipeline.FeatureOptions{MissingValueStrategy: dropRow})),
		batch([]any{"a", int64(1), nil, nil}, []any{"b", int64(1), nil, nil}, []any{"b", int64(1), nil, nil}))
	block, _ := apply(t, tr, batch([]any{nil, int64(1), nil, nil}, []any{"b", nil, nil, nil}))
	check(t, "the mode's id", block.Categories[0][0], block.Categories[0][1])
	kept, err := tr.Keep(batch([]any{nil, int64(1), nil, nil}, []any{"b", nil, nil, nil}), nil)
	if err != nil || kept.NumRows() != 1 {
		t.Errorf("kept %v, error %v", kept, err)
	}
}

func TestCrossesAreOfTheHashesOfTheirValues(t *testing.T) {
	tr := fit(t, crossed(), batch([]any{"a", int64(1), 1.5, true}, []any{"b", int64(2), 2.5, false}))
	block, _ := apply(t, tr, batch([]any{"ORD", int64(7), 2.0, false}, []any{nil, int64(-3), nil, nil}, []any{"\xff", nil, 1e9, true}))
	joint := func(hashes ...uint32) (h uint32) {
		h = hashes[0]
		for _, other := range hashes[1:] {
			h = murmur3.Sum32(binary.LittleEndian.AppendUint64(nil, uint64(h)<<32|uint64(other)))
		}
		return h
	}
	of := murmur3.StringSum32
	n := len(block.Categories)
	check(t, "pairs", block.Categories[n-2], []uint32{joint(of("ORD"), of("7")) % (1 << 16), joint(of("<MISSING>"), of("-3")) % (1 << 16), joint(of("\uFFFD"), of("1")) % (1 << 16)})
	bins := block.Categories[n-3]
	check(t, "triples", block.Categories[n-1], []uint32{joint(of("false"), of(fmt.Sprint(bins[0])), of("7")) % 999,
		joint(of("true"), of("0"), of("-3")) % 999, joint(of("true"), of(fmt.Sprint(bins[2])), of("1")) % 999})
	check(t, "slots", tr.Shape().CategoryNames[n-2:], []string{"c_s × c_i", "c_b × n_f × c_i"})
}

func TestTheNamesOfHashedValuesAreKeptWhereTheyAreFew(t *testing.T) {
	plan := crossed()
	few := []any{"a", int64(1), 1.5, true}
	var many [][]any
	for i := range maxNames + 1 {
		many = append(many, []any{"a", int64(i), 1.5, true})
	}
	tr := fit(t, plan, batch(few, []any{"b", int64(2), 2.5, nil}, few))
	check(t, "values", tr.Features()[1].Hashed.Values, []string{"1", "2"})
	names := map[uint32]string{bucket(hashOf("1"), 1000): "?", 3: "?"}
	tr.HashedNames(1, names)
	check(t, "names of values", names, map[uint32]string{bucket(hashOf("1"), 1000): "1", 3: "?"})
	pair := bucket(jointHash(hashOf("b"), hashOf("1")), 1<<16)
	names = map[uint32]string{pair: "?"}
	tr.CrossNames(0, names)
	check(t, "names of combinations", names, map[uint32]string{pair: "b × 1"})

	plan.Features[1].Options.MissingValueStrategy = fillWithConst
	for _, shards := range [][][][]any{{many}, {many[:4000], many[4000:]}, {{few}, many}} {
		var partials [][]byte
		for _, rows := range shards {
			partials = append(partials, partial(t, plan, batch(rows...)))
		}
		tr, err := Finish(plan, partials)
		if err != nil {
			t.Fatal(err)
		}
		check(t, "many values", tr.Features()[1].Hashed.Values, []string{})
	}
}

func TestATransformOfCrossesIsLoadedAsItWas(t *testing.T) {
	plan := crossed()
	tr := fit(t, plan, batch([]any{"a", int64(1), 1.5, true}))
	data, err := json.Marshal(tr)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Load(plan, data)
	if err != nil {
		t.Fatal(err)
	}
	check(t, "hash", again.Hash(), tr.Hash())
	check(t, "shape", again.Shape(), tr.Shape())
	plan.Crosses[0].Buckets = 512
	if _, err := Load(plan, data); err == nil {
		t.Error("a transform of other crosses was loaded")
	}
	plan.Crosses[0].Buckets = 1 << 16
	plan.Features[1].Options.Encoder.Options = &Hash{Buckets: 4}
	if _, err := Load(plan, data); err == nil {
		t.Error("a transform of other buckets was loaded")
	}
}
