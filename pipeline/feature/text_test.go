package feature

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

// texts is a text feature of column s.
func texts(encoder string, cut Cut, o pipeline.FeatureOptions) pipeline.Feature {
	options := map[string]Encoder{"tfidf": &TFIDF{cut}, "hashing": &Hashing{cut}, "bag": &Bag{cut}}
	o.Encoder = pipeline.Choice{Name: encoder, Options: options[encoder]}
	return pipeline.Feature{Name: "t_" + encoder, Type: textType, Column: "s", Options: o}
}

// everyText is a plan with texts of each encoder, beside a number.
func everyText() *pipeline.Plan {
	return planOf(texts("tfidf", Cut{NGrams: []int{1, 2}, Buckets: 64, Stem: "english"}, pipeline.FeatureOptions{}),
		number("i", pipeline.FeatureOptions{Normalization: "zscore"}),
		texts("hashing", Cut{NGrams: []int{1, 1}, Buckets: 7}, pipeline.FeatureOptions{FillValue: "no remark"}),
		texts("bag", Cut{NGrams: []int{2, 3}, Buckets: 1 << 10}, pipeline.FeatureOptions{}))
}

// TestTermsHaveScikitLearnsWeights compares with TfidfTransformer and normalize over counts
// by murmurhash3_32, as scripted for scikit-learn 1.x on seeded texts whose words were cut
// by hand.
func TestTermsHaveScikitLearnsWeights(t *testing.T) {
	data, err := os.ReadFile("testdata/text.json")
	if err != nil {
		t.Fatal(err)
	}
	var oracle struct {
		Texts []string
		Cases []struct {
			Encoder string
			NGrams  []int
			Buckets int
			Rows    [][][2]float64
		}
	}
	if err := json.Unmarshal(data, &oracle); err != nil {
		t.Fatal(err)
	}
	var values []any
	for _, text := range oracle.Texts {
		values = append(values, text)
	}
	for _, c := range oracle.Cases {
		t.Run(fmt.Sprint(c.Encoder, c.NGrams), func(t *testing.T) {
			plan := planOf(texts(c.Encoder, Cut{NGrams: c.NGrams, Buckets: c.Buckets}, pipeline.FeatureOptions{}))
			tr := fit(t, plan, column("s", values[:25]...), column("s", values[25:]...))
			b, rep := apply(t, tr, column("s", values...))
			for i, want := range c.Rows {
				got := b.Terms[0][i]
				if len(got) != len(want) {
					t.Fatalf("%q: %v, want %v", oracle.Texts[i], got, want)
				}
				for k, term := range got {
					if float64(term.ID) != want[k][0] || math.Abs(float64(term.Weight)-want[k][1]) > 1e-7 {
						t.Errorf("%q: %v, want %v", oracle.Texts[i], term, want[k])
					}
				}
			}
			if empty := slices.DeleteFunc(slices.Clone(oracle.Texts), func(s string) bool { return s != "" }); rep.Unknown["t_"+c.Encoder] != int64(len(empty)) {
				t.Errorf("%d texts without a word, want %d", rep.Unknown["t_"+c.Encoder], len(empty))
			}
		})
	}
}

// TestATermThatNoTrainingRowHasDoesNotCount with tfidf, as with TfidfVectorizer.
func TestATermThatNoTrainingRowHasDoesNotCount(t *testing.T) {
	plan := planOf(texts("tfidf", Cut{NGrams: []int{1, 1}, Buckets: 1 << 16}, pipeline.FeatureOptions{}))
	a, b, rep := fit(t, plan, column("s", "fog storm", "fog")).NewApplier(), new(kernel.Block), new(pipeline.Report)
	if err := a.Apply(column("s", "fog storm", "fog and storm, never", "never"), b, rep); err != nil {
		t.Fatal(err)
	}
	if rows := b.Terms[0]; len(rows[0]) != 2 || !slices.Equal(rows[0], rows[1]) || len(rows[2]) > 0 || rep.Unknown["t_tfidf"] != 1 || a.Blank().Count() != 1 {
		t.Errorf("%v, %v", rows, rep)
	}
}

func TestAMissingTextHasTheTermsOfItsFill(t *testing.T) {
	plan := planOf(texts("bag", Cut{NGrams: []int{1, 1}, Buckets: 4096}, pipeline.FeatureOptions{FillValue: "No  remark"}))
	tr := fit(t, plan, column("s", "a b", nil))
	a, b, rep := tr.NewApplier(), new(kernel.Block), new(pipeline.Report)
	if err := a.Apply(column("s", nil, "remark no", "a"), b, rep); err != nil {
		t.Fatal(err)
	}
	if rows := b.Terms[0]; len(rows[0]) != 2 || !slices.Equal(rows[0], rows[1]) || rep.Filled["t_bag"] != 1 || a.Blank().Count() > 0 {
		t.Errorf("%v, %v", rows, rep)
	}
	// Without one it has none, as a text without a word has, and nothing is known of the row.
	plan = planOf(texts("bag", Cut{NGrams: []int{1, 1}, Buckets: 4096}, pipeline.FeatureOptions{}))
	a = fit(t, plan, column("s", "a b", nil)).NewApplier()
	if err := a.Apply(column("s", nil, "...", "a"), b, nil); err != nil {
		t.Fatal(err)
	}
	if rows := b.Terms[0]; len(rows[0])+len(rows[1]) > 0 || !slices.Equal(slices.Collect(a.Blank().Marked()), []int{0, 1}) {
		t.Errorf("%v, blank %v", rows, a.Blank())
	}
	plan = planOf(texts("bag", Cut{NGrams: []int{1, 1}, Buckets: 16}, pipeline.FeatureOptions{MissingValueStrategy: dropRow}))
	kept, err := fit(t, plan, column("s", "a")).Keep(column("s", nil, "", "a"), nil)
	if err != nil || kept.NumRows() != 2 {
		t.Errorf("%v, %v", kept, err)
	}
}

// TestBucketsAreNamedByMostOfWhatIsInThem has two buckets at most times, in any shards.
func TestBucketsAreNamedByMostOfWhatIsInThem(t *testing.T) {
	plan := planOf(texts("tfidf", Cut{NGrams: []int{1, 1}, Buckets: 1 << 16}, pipeline.FeatureOptions{}))
	long := strings.Repeat("x", maxTermBytes+1)
	for _, shards := range [][]arrow.Record{{column("s", "fog fog storm", "fog", nil, long)}, {column("s", "fog fog storm"), column("s"), column("s", "fog", nil, long)}} {
		tr := fit(t, plan, shards...)
		ids := map[uint32]string{}
		for _, word := range []string{"fog", "storm", "never", long} {
			ids[termID([]byte(word), 1<<16)] = "bucket"
		}
		tr.TermNames(0, ids)
		for word, want := range map[string]string{"fog": "fog", "storm": "storm", "never": "bucket", long: "bucket"} {
			if got := ids[termID([]byte(word), 1<<16)]; got != want {
				t.Errorf("%s is called %q", word, got)
			}
		}
		if d := tr.Features()[0].Terms; d.Rows != 3 || d.Missing != 1 || d.Documents[termID([]byte("fog"), 1<<16)] != 2 {
			t.Errorf("%d rows, %d missing", d.Rows, d.Missing)
		}
	}
	// Of terms that share a bucket that has the name which most of them are.
	plan = planOf(texts("tfidf", Cut{NGrams: []int{1, 1}, Buckets: 2}, pipeline.FeatureOptions{}))
	even := map[uint32][]string{}
	for _, word := range []string{"a", "b", "c", "d", "e"} {
		even[termID([]byte(word), 2)] = append(even[termID([]byte(word), 2)], word)
	}
	for id, words := range even {
		if len(words) < 2 {
			continue
		}
		tr := fit(t, plan, column("s", words[1]+" "+words[0]), column("s", words[0], words[0]+" "+words[0]), column("s", words[1]))
		ids := map[uint32]string{id: ""}
		if tr.TermNames(0, ids); ids[id] != words[0] {
			t.Errorf("the bucket of %s and, twice as often, %s is called %q", words[1], words[0], ids[id])
		}
	}
}

func TestATransformOfTextsIsLoadedAsItWas(t *testing.T) {
	tr := fit(t, everyText(), column("s", "Storm over the sea", nil, "a\xffb <&>", "storms"), column("s", "fog"))
	data, err := json.Marshal(tr)
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := Load(everyText(), data)
	if err != nil || loaded.Hash() != tr.Hash() {
		t.Fatalf("%v", err)
	}
	for _, edit := range [][2]string{{`"rows":4`, `"rows":0`}, {`"buckets":64`, `"buckets":65`}, {`"stem":"english"`, `"stem":""`}, {`"ngrams":[1,2]`, `"ngrams":[1,1]`}} {
		if !bytes.Contains(data, []byte(edit[0])) {
			t.Fatalf("no %s", edit[0])
		}
		if _, err := Load(everyText(), bytes.Replace(data, []byte(edit[0]), []byte(edit[1]), 1)); err == nil {
			t.Errorf("with %s it was loaded", edit[1])
		}
	}
	whole := partial(t, everyText(), column("s", "storm", "fog"))
	for _, edit := range [][2]string{{`"rows":2`, `"rows":-2`}, {`"rows":2`, `"rows":0`}, {`"votes":[`, `"votes":[1,`}, {`"missing":0,"buckets"`, `"missing":-1,"buckets"`},
		{`"buckets":64`, `"buckets":63`}, {`"buckets":64`, `"buckets":1000000000`}, {`"buckets":7,"ids":[`, `"buckets":7,"ids":[9,`}} {
		if !bytes.Contains(whole, []byte(edit[0])) {
			t.Fatalf("no %s in %s", edit[0], whole)
		}
		if _, err := Finish(everyText(), [][]byte{bytes.Replace(whole, []byte(edit[0]), []byte(edit[1]), 1)}); err == nil {
			t.Errorf("a partial with %s was merged", edit[1])
		}
	}
}

// A partial is as large as what its rows have, however many buckets there are.
func TestPartialsOfTextsAreOfTheTermsThatRowsHave(t *testing.T) {
	plan := planOf(texts("tfidf", Cut{NGrams: []int{1, 1}, Buckets: maxBuckets}, pipeline.FeatureOptions{}))
	if whole := partial(t, plan, column("s", "fog storm", "fog", nil)); len(whole) > 4<<10 {
		t.Errorf("%d bytes", len(whole))
	}
}

func TestTermsThatDoNotVaryAreConstant(t *testing.T) {
	for _, c := range []struct {
		terms Terms
		want  bool
	}{
		{Terms{Missing: 3, Fill: "x", Documents: []int64{0, 0}}, true},
		{Terms{Rows: 3, Documents: []int64{0, 0}}, true},
		{Terms{Rows: 3, Missing: 1, Documents: []int64{0, 0}}, true},
		{Terms{Rows: 3, Missing: 1, Fill: "x", Documents: []int64{0, 0}}, false},
		{Terms{Rows: 3, Documents: []int64{3, 0}}, false}, // one may have it twice
		{Terms{Rows: 3, Separator: "|", Documents: []int64{3, 0}}, true},
		{Terms{Rows: 3, Missing: 1, Separator: "|", Documents: []int64{3, 0}}, false},
		{Terms{Rows: 3, Separator: "|", Documents: []int64{3, 2}}, false},
	} {
		if got := c.terms.Constant(); got != c.want {
			t.Errorf("%+v: %v", c.terms, got)
		}
	}
}

// A row of a block does not keep the room for the longest text that it ever had.
func TestBlocksDoNotKeepTheRoomOfLongTexts(t *testing.T) {
	var long strings.Builder
	for i := range 100 * keptTerms {
		fmt.Fprintf(&long, "w%d ", i)
	}
	plan := planOf(texts("bag", Cut{NGrams: []int{1, 1}, Buckets: maxBuckets}, pipeline.FeatureOptions{}))
	a, b := fit(t, plan, column("s", "a")).NewApplier(), new(kernel.Block)
	for _, text := range []string{long.String(), "a b"} {
		if err := a.Apply(column("s", text), b, nil); err != nil {
			t.Fatal(err)
		}
	}
	if n := cap(b.Terms[0][0]); n > keptTerms+8 {
		t.Errorf("room for %d terms is kept", n)
	}
}

// BenchmarkTexts encodes remarks of 20 words.
func BenchmarkTexts(b *testing.B) {
	for _, stem := range []string{"none", "english"} {
		b.Run(stem, func(b *testing.B) {
			var values []any
			for i := range 1000 {
				var words []string
				for k := range 20 {
					words = append(words, fmt.Sprintf("wording%d", (i*i+k*k*7)%997))
				}
				values = append(values, strings.Join(words, " "))
			}
			rec := column("s", values...)
			tr := fit(b, planOf(texts("tfidf", Cut{NGrams: []int{1, 2}, Buckets: 1 << 16, Stem: stem}, pipeline.FeatureOptions{})), rec)
			a, block := tr.NewApplier(), new(kernel.Block)
			b.ReportAllocs()
			for b.Loop() {
				if err := a.Apply(rec, block, nil); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/20_000, "ns/word")
		})
	}
}
