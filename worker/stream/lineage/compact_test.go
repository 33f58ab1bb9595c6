package lineage

import (
	"reflect"
	"testing"

	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/commitlog/commitlogtest"
)

func TestARowThatACompactionMovedIsFoundAndProved(t *testing.T) {
	w := newWorld(t, true)
	w.produce(100)
	w.stream()
	before := make(map[int64]*Document)
	for _, offset := range w.topic.all.Offsets {
		before[offset] = w.trace(offset, false)
	}
	cfg := commitlog.Config{Prefix: "scored/", Pipeline: "flight-delays", Topic: topicName}
	commitlogtest.Compact(t, w.lake, cfg, 1, 3)
	commitlogtest.Compact(t, w.lake, cfg, 3, 5)
	for offset, was := range before {
		doc := w.trace(offset, false)
		v := verify(t, w, doc, nil)
		moved := was.Outcome == Scored && was.Slot.Intent.Seq >= 1 && was.Slot.Intent.Seq < 5
		if !v.OK || v.Object != "equal" || doc.Slot.Intent != was.Slot.Intent || moved != (doc.Object.Slot != doc.Slot.Intent.Seq) || moved == (doc.Object.Key == was.Object.Key) {
			t.Fatalf("offset %d: %+v of %+v, was %+v", offset, v, doc, was)
		}
		// A document that was made before has all it takes; only its object is gone.
		if v := verify(t, w, was, nil); !v.OK || moved != (v.Object != "equal") {
			t.Errorf("offset %d, by its older document: %+v", offset, v)
		}
	}
	for offset, was := range before {
		doc := w.trace(offset, false)
		if doc.Object.Key == was.Object.Key {
			continue
		}
		// A late request of who had another part of the claim.
		_, err := w.lake.Put(t.Context(), was.Object.Key, []byte("PAR1"))
		check(t, err)
		if again := w.trace(offset, false); !reflect.DeepEqual(again.Object, doc.Object) {
			t.Errorf("offset %d, with a file back: %+v, want %+v", offset, again.Object, doc.Object)
		}
	}
}
