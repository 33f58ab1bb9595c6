package connectors_test

import (
	"testing"

	"github.com/thalweg/thalweg/connectors"
)

func TestRecordsThatWereNotAskedForAreSeen(t *testing.T) {
	for _, c := range []struct {
		what    string
		offsets []int64
		next    int64
		good    bool
	}{
		{"a run", []int64{10, 11, 12}, 13, true},
		{"gaps before, between and behind", []int64{11, 15}, 20, true},
		{"no record", nil, 10, true},
		{"only a gap", nil, 12, true},
		{"a record that was read before", []int64{9, 10, 11}, 12, false},
		{"a record twice", []int64{10, 10}, 11, false},
		{"records in another order", []int64{11, 10}, 12, false},
		{"a way back behind the records", []int64{10, 11}, 11, false},
		{"a way back", nil, 9, false},
	} {
		r := connectors.Records{Offsets: c.offsets, Next: c.next}
		if err := r.CheckFrom(10); (err == nil) != c.good {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}
