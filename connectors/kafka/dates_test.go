package kafka_test

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestTheTimeOfARecordIsToldWithoutFetchingIt: of the record at an offset, inside a batch
// that of the batch, and none behind the last.
func TestTheTimeOfARecordIsToldWithoutFetchingIt(t *testing.T) {
	c := newCluster(t, 1)
	cl := newFranz(t, c, kgo.ManualFlushing()) // so that a batch has all the records of a turn
	begin := time.UnixMilli(1_700_000_000_000)
	for i, values := range [][]string{numbered(0, 3), numbered(3, 1)} {
		for j, v := range values {
			r := &kgo.Record{Value: []byte(v), Timestamp: begin.Add(time.Duration(10*i+j) * time.Second)}
			cl.Produce(t.Context(), r, func(_ *kgo.Record, err error) {
				if err != nil {
					t.Error(err)
				}
			})
		}
		if err := cl.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s := newSource(t, config(c))
	for offset, want := range map[int64]time.Duration{0: 0, 2: 0, 3: 10 * time.Second} {
		us, ok, err := s.TimeAt(t.Context(), 0, offset, "")
		if err != nil || !ok || us != begin.Add(want).UnixMicro() {
			t.Errorf("offset %d: %v, %v, %v", offset, time.UnixMicro(us), ok, err)
		}
	}
	if us, ok, err := s.TimeAt(t.Context(), 0, 4, ""); err != nil || ok {
		t.Errorf("behind the last record: %v, %v, %v", us, ok, err)
	}
	if _, _, err := s.TimeAt(t.Context(), 0, 9, ""); err == nil {
		t.Error("an offset beyond the end has a time")
	}
}

// TestMarkersOfTransactionsHaveNoTime: they are no events.
func TestMarkersOfTransactionsHaveNoTime(t *testing.T) {
	c := newCluster(t, 1)
	cl := newFranz(t, c, kgo.TransactionalID("t"))
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	produceSync(t, cl, 0, numbered(0, 1)...)
	if err := cl.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	s := newSource(t, config(c))
	if _, ok, err := s.TimeAt(t.Context(), 0, 0, ""); err != nil || !ok {
		t.Errorf("the event: %v, %v", ok, err)
	}
	if us, ok, err := s.TimeAt(t.Context(), 0, 1, ""); err != nil || ok {
		t.Errorf("its marker: %v, %v, %v", us, ok, err)
	}
}
