package lineage

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/deadletter"
	"github.com/thalweg/thalweg/worker/stream/engine"
	"github.com/thalweg/thalweg/worker/stream/scorer"
)

func verify(t *testing.T, w *world, doc *Document, given []byte) *Verification {
	t.Helper()
	from := w.sources()
	from.Sink.Prefix = "" // keys are whole
	v, err := Verify(t.Context(), from, doc, given)
	check(t, err)
	return v
}

func TestEveryRowAndDeadLetterIsMadeAgainFromItsDocument(t *testing.T) {
	w := newWorld(t, true)
	w.produce(100)
	w.stream()
	fates := make(map[string]int)
	for i, offset := range w.topic.all.Offsets {
		doc := w.trace(offset, false)
		fates[doc.Outcome]++
		v := verify(t, w, doc, nil)
		value := w.topic.all.Value(i)
		if !v.OK || v.Object != "equal" || v.Event != "broker" || doc.Event.SHA256 != storage.SHA256(value) || doc.Event.SizeBytes != int64(len(value)) {
			t.Fatalf("offset %d: %+v of %+v", offset, v, doc)
		}
		if doc.Outcome == Scored && (v.Columns != 16 || v.Equal != 16) {
			t.Errorf("offset %d: %+v, row %v", offset, v, doc.Row)
		}
		in := doc.Slot.Intent
		if in.From > offset || in.To <= offset || doc.Event.TopicID != topicID || doc.Event.TimestampUS != 1_000_000_000+offset*1000 ||
			doc.Spec.Generation != 2 || doc.Spec.SHA256 == "" || doc.ScoredAt != "2023-11-14T22:13:20Z" || len(doc.Notes) != 0 || !doc.Event.Held {
			t.Errorf("offset %d: %+v", offset, doc)
		}
		if tr := doc.Training; !cmp.Equal(tr.Objects, manifest.Objects) || tr.Dataset != manifest.Hash() || tr.Connection != "lake" || tr.Epochs != 3 ||
			doc.Model.RunID != "run-1" || doc.Model.SHA256 == "" {
			t.Errorf("offset %d: trained on %+v", offset, tr)
		}
	}
	if fates[Scored] < 70 || fates[Dead] < 12 {
		t.Errorf("fates %v", fates)
	}
	for _, c := range []struct {
		offset int64
		say    string
	}{{5, "no event there"}, {w.topic.end() + 10, "not committed"}} {
		if _, err := Trace(t.Context(), w.sources(), w, w.query(c.offset), false); !thalweg.Is(err, thalweg.NotFound) || !strings.Contains(err.Error(), c.say) {
			t.Errorf("offset %d: %v", c.offset, err)
		}
	}
}

func TestARowInAFileOfItsDayIsProved(t *testing.T) {
	w := newWorld(t, true)
	w.produce(60)
	w.stream(func(c *scorer.Config) { c.PartitionBy = "date" })
	for _, offset := range w.topic.all.Offsets {
		doc := w.trace(offset, false)
		v := verify(t, w, doc, nil)
		if day := strings.Contains(doc.Object.Key, "date=2001-03-"); !v.OK || v.Object != "equal" || doc.Outcome == Scored && !day {
			t.Errorf("offset %d: %+v of %s", offset, v, doc.Object.Key)
		}
	}
}

func TestAnEventOfAClaimThatTheTopicLostIsSaidToBeGivenUp(t *testing.T) {
	w := newWorld(t, true)
	w.produce(40)
	w.stream()
	for info, err := range w.lake.List(t.Context(), "scored/", "") { // the last slot is claimed, and no more
		check(t, err)
		if strings.Contains(info.Key, "/000000000001") && !strings.HasSuffix(info.Key, ".intent.json") {
			check(t, w.lake.Delete(t.Context(), info.Key))
		}
	}
	lost, kept := w.topic.all.Offsets[25], w.topic.all.Offsets[34]
	w.topic.cut(kept)
	w.stream(func(c *scorer.Config) { c.OnLost = scorer.Earliest })
	if _, err := Trace(t.Context(), w.sources(), w, w.query(lost), false); !thalweg.Is(err, thalweg.NotFound) || !strings.Contains(err.Error(), "slot 1 gave it up, as an operator authorized") {
		t.Errorf("%v", err)
	}
	if doc := w.trace(kept, false); !verify(t, w, doc, nil).OK || doc.Slot.Intent.Seq != 1 {
		t.Errorf("%+v", doc)
	}
}

func TestAnEventThatRetentionTookIsGivenByItsKeeper(t *testing.T) {
	w := newWorld(t, true)
	w.produce(40)
	w.stream()
	kept, before := w.trace(3, true), w.trace(3, false)
	dead := slices.IndexFunc(w.topic.all.Offsets, func(o int64) bool { return w.trace(o, false).Outcome == Dead })
	w.topic.cut(30)
	from := w.sources()
	_, err := Verify(t.Context(), from, before, nil)
	var missing *connectors.MissingRange
	if !thalweg.Is(err, thalweg.Lost) || errors.As(err, &missing) || !strings.Contains(err.Error(), "--event") {
		t.Errorf("without its event: %v", err)
	}
	value := w.topic.all.Value(slices.Index(w.topic.all.Offsets, 3))
	if v := verify(t, w, before, value); !v.OK || v.Event != "file" {
		t.Errorf("with a file: %+v", v)
	}
	if v := verify(t, w, kept, nil); !v.OK || v.Event != "document" {
		t.Errorf("with the event in the document: %+v", v)
	}
	if _, err := Verify(t.Context(), from, before, []byte(`{"date":"2001-03-01 00:00:00"}`)); !thalweg.Is(err, thalweg.Corrupt) {
		t.Errorf("with another event: %v", err)
	}
	// Found afterwards: it says that the event is gone, and a dead letter has it.
	if doc := w.trace(3, true); doc.Event.Held || doc.Event.SHA256 != "" || len(doc.Notes) != 1 || !strings.Contains(doc.Notes[0], "does not have the event") {
		t.Errorf("found afterwards: %+v", doc)
	}
	doc := w.trace(w.topic.all.Offsets[dead], false)
	if v := verify(t, w, doc, nil); !v.OK || v.Event != "dead letter" || doc.Event.SHA256 == "" || doc.Event.Held {
		t.Errorf("a dead letter: %+v of %+v", v, doc.Event)
	}
}

func TestWhatCameOutOtherwiseIsNamed(t *testing.T) {
	w := newWorld(t, true)
	w.produce(40)
	w.stream()
	for what, c := range map[string]struct {
		change func(*Document)
		names  []string
	}{
		"another version": {func(d *Document) { // and so another model
			m := w.versions[2].Model
			d.Slot.Intent.ModelVersion, d.Slot.Intent.Checkpoint = m.Version, m.Checkpoint
		}, []string{"prediction", "probability", "_model_version"}},
		"another time":        {func(d *Document) { d.Slot.Intent.ScoredAtUS++ }, []string{"_scored_at"}},
		"a bit of a float":    {func(d *Document) { d.Row[2].Bits = "bff0000000000001" }, []string{"ratio", "ratio"}},
		"a null":              {func(d *Document) { d.Row[3].Value = nil }, []string{"origin", "origin"}},
		"a column too many":   {func(d *Document) { d.Row = append(d.Row, Cell{Name: "x", Type: "int64"}) }, []string{"x", "x"}},
		"another dead offset": {func(d *Document) { d.Object.Index++ }, []string{"row_index"}},
	} {
		doc := w.trace(0, false)
		c.change(doc)
		v := verify(t, w, doc, nil)
		var names []string
		for _, m := range v.Differences {
			names = append(names, m.Name)
		}
		if v.OK || !cmp.Equal(names, c.names) {
			t.Errorf("%s: %v, want %v", what, names, c.names)
		}
	}
	doc := w.trace(0, false)
	doc.Object.SHA256 = strings.Repeat("0", 64)
	if v := verify(t, w, doc, nil); v.OK || !strings.Contains(v.Object, "sha256") {
		t.Errorf("an object that was changed: %+v", v)
	}
	doc = w.trace(0, false)
	check(t, w.lake.Delete(t.Context(), doc.Object.Key))
	if v := verify(t, w, doc, nil); !v.OK || !strings.Contains(v.Object, "gone") {
		t.Errorf("an object that is gone: %+v", v)
	}
}

func TestADeadLetterThatWasReplayedIsTracedToBothOfItsSlots(t *testing.T) {
	w := newWorld(t, true)
	w.produce(100)
	w.stream()
	var mended []int64
	for i, offset := range w.topic.all.Offsets {
		if strings.Contains(string(w.topic.all.Value(i)), "17.03.2001") {
			mended = append(mended, offset)
		}
	}
	before := w.trace(mended[0], false)
	if v := verify(t, w, before, nil); before.Outcome != Dead || !v.OK {
		t.Fatalf("before: %+v, %+v", before, v)
	}
	sum, err := deadletter.Replay(t.Context(), w.lake, w.registry, slog.New(slog.DiscardHandler), deadletter.ReplayConfig{Pipeline: "flight-delays", Generation: 3, Topic: topicName,
		Partitions: 1, Prefix: "scored/", Model: w.versions[2]}, nil)
	if err != nil || sum.Scored != int64(len(mended)) || sum.Dead == 0 {
		t.Fatalf("replay: %+v, %v", sum, err)
	}
	for _, offset := range mended {
		doc := w.trace(offset, false)
		v := verify(t, w, doc, nil)
		in := doc.Slot.Intent
		if !v.OK || v.Columns != 16 || doc.Outcome != Scored || in.Action != commitlog.Replay || in.SpecGeneration != 3 || doc.Model.Version != 2 || doc.DeadLetter == nil ||
			doc.DeadLetter.Stage != "decode" || doc.DeadLetter.ModelVersion != 1 || !strings.HasSuffix(doc.Slot.Log, "/00000-replay/") {
			t.Errorf("offset %d: %+v of %+v", offset, v, doc)
		}
		if last := doc.Row[len(doc.Row)-1]; last.Name != "_replay" || last.String() != in.ID {
			t.Errorf("offset %d: its last column is %+v, the replay is %s", offset, last, in.ID)
		}
	}
	for i, offset := range w.topic.all.Offsets { // dead again
		if strings.Contains(string(w.topic.all.Value(i)), "yesterday") {
			if doc := w.trace(offset, false); doc.Outcome != Dead || doc.Slot.Intent.Action != commitlog.Score || !verify(t, w, doc, nil).OK {
				t.Errorf("offset %d: %+v", offset, doc)
			}
		}
	}
}

func TestACheckpointWithoutItsManifestSaysSo(t *testing.T) {
	w := newWorld(t, false)
	w.produce(10)
	w.stream()
	if doc := w.trace(0, false); doc.Training == nil || len(doc.Training.Objects) != 0 || len(doc.Notes) != 1 {
		t.Errorf("%+v", doc)
	}
	w.versions[1] = w.versions[2] // the registry knows another checkpoint
	if doc := w.trace(0, false); doc.Training == nil || len(doc.Training.Objects) != 0 || len(doc.Notes) != 2 || !verify(t, w, doc, nil).OK {
		t.Errorf("without a registry: %+v", doc)
	}
}

func TestADocumentThatIsNoneIsRefused(t *testing.T) {
	for _, text := range []string{"", "{}", `{"format":"thalweg.lineage/v2"}`, `{"format":"thalweg.lineage/v1"}`, `{"format":"thalweg.lineage/v1","more":1}`, "[]"} {
		if _, err := Parse([]byte(text)); err == nil {
			t.Errorf("%q is taken for a document", text)
		}
	}
}

// The key and the headers of an event are withheld where columns have pii: a file of its
// value is not all that its row was made of.
func TestAWithheldEventIsVerifiedFromItsTopicOnly(t *testing.T) {
	w := newWorld(t, true)
	w.register(3, trainedBy(t, strings.Replace(document, "{name: origin,   type: string,", "{name: origin,   type: string, pii: mask,", 1), 3, true))
	w.registry.Offer([]engine.Candidate{w.versions[3]})
	w.produce(3)
	w.stream()
	doc := w.trace(0, false)
	if _, err := Verify(t.Context(), w.sources(), doc, w.topic.all.Value(0)); !thalweg.Is(err, thalweg.Unsupported) || !strings.Contains(err.Error(), "only the topic has them") {
		t.Errorf("with a file: %v", err)
	}
	if v := verify(t, w, doc, nil); !v.OK || v.Event != "broker" {
		t.Errorf("from the topic: %+v", v)
	}
}
