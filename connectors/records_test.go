package connectors

import (
	"fmt"
	"slices"
	"testing"
)

// told returns all that a run tells of its records.
func told(r *Records) []string {
	var all []string
	for i := range r.Len() {
		text := fmt.Sprintf("%d@%d %q", r.Offsets[i], r.Timestamps[i], r.Value(i))
		if r.Null != nil && r.Null[i] {
			text += " null"
		}
		if r.Want&Keys != 0 {
			text += fmt.Sprintf(" key %q null %v", r.Key(i), r.Key(i) == nil)
		}
		if r.Want&Headers != 0 {
			for name, value := range r.AllHeaders(i) {
				text += fmt.Sprintf(" %s=%q null %v", name, value, value == nil)
			}
		}
		if why, bad := r.Unreadable[i]; bad {
			text += " unreadable: " + why
		}
		all = append(all, text)
	}
	return all
}

// filled returns a run with every kind of record.
func filled(want Fields) *Records {
	r := &Records{Want: want}
	r.Reset()
	r.Append(3, 30, []byte("k"), []byte("value"))
	r.AppendHeader("a", []byte("1"))
	r.AppendHeader("b", nil)
	r.AppendHeader("a", []byte("2"))
	r.AppendHeader("", []byte{})
	r.Append(4, 40, nil, nil)
	r.Append(7, 70, []byte{}, []byte{})
	r.AppendHeader("c", []byte("3"))
	r.Append(8, 80, nil, nil)
	r.Unreadable = map[int]string{3: "too large"}
	return r
}

func TestNullAndEmptyAreToldApart(t *testing.T) {
	r := filled(Keys | Headers)
	if r.Key(1) != nil || r.Key(2) == nil || len(r.Key(2)) != 0 || string(r.Key(0)) != "k" {
		t.Errorf("keys %q %v", r.KeyBytes, r.NullKeys)
	}
	if want := []bool{false, true, false, true}; !slices.Equal(r.Null, want) {
		t.Errorf("null values %v", r.Null)
	}
	for _, c := range []struct {
		i     int
		name  string
		value string
		null  bool
		ok    bool
	}{{1, "a", "2", false, true}, {1, "b", "", true, true}, {1, "", "", false, true}, {1, "c", "", true, false}, {0, "a", "", true, false}, {3, "c", "3", false, true}} {
		value, ok := r.Header(c.i, c.name)
		if ok != c.ok || string(value) != c.value || (value == nil) != c.null {
			t.Errorf("header %q of record %d: %q, null %v, there %v", c.name, c.i, value, value == nil, ok)
		}
	}
}

func TestAppendedRecordsAreTheSameRecords(t *testing.T) {
	for _, want := range []Fields{0, Keys, Headers, Keys | Headers} {
		whole := filled(want)
		for cut := range whole.Len() + 1 {
			joined := &Records{Want: want}
			joined.Reset()
			joined.AppendRecords(whole, 0, cut)
			joined.AppendRecords(whole, cut, whole.Len())
			if got := told(joined); !slices.Equal(got, told(whole)) {
				t.Errorf("cut at %d: %q, want %q", cut, got, told(whole))
			}
		}
		whole.Reset()
		if whole.Want != want || whole.Len() != 0 || whole.SizeBytes() != 0 {
			t.Errorf("after a reset: %+v", whole)
		}
	}
}
