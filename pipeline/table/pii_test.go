package table_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/google/go-cmp/cmp"

	"github.com/thalweg/thalweg/pipeline/table"
)

const secret = "sixteen bytes or more"

func newKey(t *testing.T) table.Key {
	t.Helper()
	key, err := table.NewKey([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestMaskKeepsNothingButTheShape(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "Jo Smith": "xx xxxxx", "+49 (151) 23-4": "+99 (999) 99-9", "a.b@c.de": "x.x@x.xx",
		"Žofie Ünal": "xxxxx xxxx", "李雷 ٣٤": "xx 99", "5€ 😀\x00\x7f": "9? ???", "a\tb\nc": "x x x", "\xff\xfe": "??",
		strings.Repeat("a1", 17): strings.Repeat("x9", 16) + "…",
	} {
		if got := table.Masked(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestAKeyPrintsNowhere(t *testing.T) {
	key := newKey(t)
	s := table.Schema{Key: key}
	text, err := json.Marshal(s)
	all := fmt.Sprintf("%v %+v %#v %s %x %s", key, s, s, key, key, text)
	if err != nil || strings.Contains(all, "sixteen") || strings.Contains(all, hex.EncodeToString([]byte("sixteen"))) {
		t.Errorf("%v: %s", err, all)
	}
	if _, err := table.NewKey([]byte("too short")); err == nil {
		t.Error("a key of 9 bytes is taken")
	}
}

// boundTexts binds one column of a record and returns its values.
func boundTexts(t *testing.T, s table.Schema, a arrow.Array) []string {
	t.Helper()
	rec := array.NewRecord(arrow.NewSchema([]arrow.Field{{Name: "c", Type: a.DataType(), Nullable: true}}, nil), []arrow.Array{a}, int64(a.Len()))
	b, err := table.NewBinder(s, rec.Schema())
	if err != nil {
		t.Fatal(err)
	}
	bound, err := b.Bind(rec, 0)
	if err != nil {
		t.Fatal(err)
	}
	words := bound.Column(0).(*array.Dictionary)
	out := make([]string, words.Len())
	for i := range out {
		if out[i] = "null"; words.IsValid(i) {
			out[i] = words.Dictionary().(*array.String).Value(words.GetValueIndex(i))
		}
	}
	return out
}

func TestHashedColumnsAreTextsOfTheSameValues(t *testing.T) {
	mac := func(text string) string {
		h := hmac.New(sha256.New, []byte(secret))
		h.Write([]byte(text))
		return hex.EncodeToString(h.Sum(nil))[:32]
	}
	mem := memory.DefaultAllocator
	texts, ints, floats, bools := array.NewStringBuilder(mem), array.NewInt32Builder(mem), array.NewFloat64Builder(mem), array.NewBooleanBuilder(mem)
	times := array.NewTimestampBuilder(mem, table.Timestamp.ArrowType().(*arrow.TimestampType))
	texts.AppendValues([]string{"Ann", "", "Bob", "Ann"}, []bool{true, true, false, true})
	ints.AppendValues([]int32{42, -7, 0, 42}, []bool{true, true, false, true})
	floats.AppendValues([]float64{0.1, 42, 0, 1e300}, []bool{true, true, false, true})
	bools.AppendValues([]bool{true, false, false, true}, []bool{true, true, false, true})
	times.AppendValues([]arrow.Timestamp{0, 1500000, 0, 0}, []bool{true, true, false, true})
	for _, c := range []struct {
		raw  table.Type
		of   arrow.Array
		want []string
	}{
		{table.String, texts.NewArray(), []string{"Ann", "", "null", "Ann"}},
		{table.Int64, ints.NewArray(), []string{"42", "-7", "null", "42"}},
		{table.Float64, floats.NewArray(), []string{"0.1", "42", "null", "1e+300"}},
		{table.Bool, bools.NewArray(), []string{"true", "false", "null", "true"}},
		{table.Timestamp, times.NewArray(), []string{"1970-01-01T00:00:00Z", "1970-01-01T00:00:01.5Z", "null", "1970-01-01T00:00:00Z"}},
	} {
		s := table.Schema{Key: newKey(t), Columns: []table.Column{{Name: "c", Type: table.String, Raw: c.raw, Nullable: true, PII: table.PIIHash}}}
		for i, text := range c.want {
			if text != "null" {
				c.want[i] = mac(text)
			}
		}
		if diff := cmp.Diff(c.want, boundTexts(t, s, c.of)); diff != "" {
			t.Errorf("%s: %s", c.raw, diff)
		}
		s.Key = table.Key{}
		if _, err := table.NewBinder(s, arrow.NewSchema([]arrow.Field{{Name: "c", Type: c.of.DataType()}}, nil)); err == nil || !strings.Contains(err.Error(), "no key") {
			t.Errorf("%s without a key: %v", c.raw, err)
		}
	}
}

func TestMaskedTextsThatBecomeEqualAreOneWord(t *testing.T) {
	b := array.NewStringBuilder(memory.DefaultAllocator)
	b.AppendValues([]string{"Ann", "Bob", "Bob", "a1"}, nil)
	s := table.Schema{Columns: []table.Column{{Name: "c", Type: table.String, Nullable: true, PII: table.PIIMask}}}
	if diff := cmp.Diff([]string{"xxx", "xxx", "xxx", "x9"}, boundTexts(t, s, b.NewArray())); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsWrongWithAProtectedValueDoesNotQuoteIt(t *testing.T) {
	b := array.NewUint64Builder(memory.DefaultAllocator)
	b.AppendValues([]uint64{1, 1<<63 + 4242}, nil)
	rec := array.NewRecord(arrow.NewSchema([]arrow.Field{{Name: "c", Type: arrow.PrimitiveTypes.Uint64}}, nil), []arrow.Array{b.NewArray()}, 2)
	s := table.Schema{Key: newKey(t), Columns: []table.Column{{Name: "c", Type: table.String, Raw: table.Int64, PII: table.PIIHash}}}
	binder, err := table.NewBinder(s, rec.Schema())
	if err != nil {
		t.Fatal(err)
	}
	if _, err = binder.Bind(rec, 10); err == nil || strings.Contains(err.Error(), "4242") || strings.Contains(err.Error(), "9223372036854780050") || !strings.Contains(err.Error(), "column c") || !strings.Contains(err.Error(), "11") {
		t.Error(err)
	}
}

// An ID is the same for the same secret only, and a check by it names the key.
func TestAKeyIsKnownByItsIDAndNotBySecret(t *testing.T) {
	key := newKey(t)
	other, err := table.NewKey([]byte("another secret of the test"))
	if err != nil {
		t.Fatal(err)
	}
	if id := key.ID(); len(id) != 16 || id != newKey(t).ID() || id == other.ID() || (table.Key{}).ID() != "" {
		t.Errorf("id %q, of another %q", id, other.ID())
	}
	if err := key.Check("people", key.ID()); err != nil {
		t.Error(err)
	}
	if err := key.Check("people", ""); err != nil {
		t.Error(err)
	}
	for _, k := range []table.Key{other, {}} {
		if err := k.Check("people", key.ID()); err == nil || !strings.Contains(err.Error(), "key people") {
			t.Errorf("another secret: %v", err)
		}
	}
}
