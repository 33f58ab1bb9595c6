package lineage

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// Verification is what came of scoring an event again.
type Verification struct {
	OK bool `json:"ok"`
	// Event says where its bytes are from: "broker", "document", "dead letter" or
	// "file"; EventSHA256 is theirs.
	Event       string `json:"event"`
	EventSHA256 string `json:"event_sha256"`
	Checkpoint  string `json:"checkpoint"` // key#sha256, each part of which was verified
	Columns     int    `json:"columns"`    // compared, of a row
	Equal       int    `json:"equal"`      // to the bit
	// Differences are the columns, or of a dead letter the fields, that are not.
	Differences []Mismatch `json:"differences"`
	// Object tells whether the object of the document has the row still: "equal",
	// or why not.
	Object string `json:"object"`
}

// Mismatch is one thing that came out otherwise.
type Mismatch struct {
	Name     string `json:"name"`
	Recorded string `json:"recorded"`
	Again    string `json:"again"`
}

// Verify scores the event of a document again, from the document, the
// checkpoint that it names and the event alone, and compares with the row, or
// the dead letter, of the document bit for bit; and that with the object, where
// it is there still. given is the event's value if it is not to be had from the
// topic; nil: it is.
//
// An error says that the event could not be scored again.
func Verify(ctx context.Context, from Sources, doc *Document, given []byte) (*Verification, error) {
	v := &Verification{Checkpoint: doc.Model.Checkpoint.String(), Differences: []Mismatch{}}
	r, err := v.obtain(ctx, from, doc, given)
	if err != nil {
		return nil, err
	}
	in := doc.Slot.Intent
	models := engine.NewRegistry(from.State, from.Catalog)
	models.Schemas, models.Keys = from.Schemas, from.Keys
	a, err := models.Load(ctx, engine.Model{Name: doc.Model.Name, Version: doc.Model.Version, Checkpoint: doc.Model.Checkpoint})
	if err != nil {
		return nil, err
	}
	if a.Spec.Spec.Schema.Private() {
		v.EventSHA256 = "" // as Event.withhold has it
		if given != nil && (in.Rollout.Candidate != 0 || engine.FieldsOf(a)&(connectors.Keys|connectors.Headers) != 0) {
			return nil, &thalweg.Error{Op: "verify", Kind: thalweg.Unsupported, Subject: fmt.Sprintf("%s/%d offset %d", doc.Event.Topic, doc.Event.Partition, doc.Event.Offset),
				Err: errors.New("columns, or the version that scores it, come from its key and headers, which are withheld: only the topic has them"), Hint: "verify it without --event"}
		}
	}
	file, letter, err := engine.Rescore(ctx, in, models, r)
	if err != nil {
		return nil, err
	}
	if doc.Outcome == Dead {
		v.compareDeadLetter(doc, letter)
	} else if err := v.compareRow(doc, file, letter); err != nil {
		return nil, err
	}
	v.object(ctx, from.Sink, doc)
	v.OK = len(v.Differences) == 0
	return v, nil
}

// obtain returns the record, whose bytes are those that the document is of.
func (v *Verification) obtain(ctx context.Context, from Sources, doc *Document, given []byte) (*connectors.Records, error) {
	e := &doc.Event
	var r *connectors.Records
	switch {
	case given != nil:
		v.Event, r = "file", e.record(given)
	case e.Value != nil:
		v.Event, r = "document", e.record(e.Value)
	default:
		fetched, err := fetch(ctx, from.Events, Query{Topic: e.Topic, TopicID: e.TopicID, Partition: e.Partition, Offset: e.Offset})
		l := doc.DeadLetter
		switch {
		case err == nil:
			v.Event, r = "broker", fetched
		case thalweg.Is(err, thalweg.Lost) && l != nil && l.Whole(0):
			v.Event, r = "dead letter", e.record(l.Raw)
		case thalweg.Is(err, thalweg.Lost):
			return nil, &thalweg.Error{Op: "verify", Kind: thalweg.Lost, Subject: fmt.Sprintf("%s/%d offset %d", e.Topic, e.Partition, e.Offset), Err: err,
				Hint: "give the event's bytes by --event"}
		default:
			return nil, err
		}
	}
	v.EventSHA256 = storage.SHA256(r.Value(0))
	if e.SHA256 != "" && v.EventSHA256 != e.SHA256 {
		return nil, &thalweg.Error{Op: "verify", Kind: thalweg.Corrupt, Subject: "the event of the " + v.Event,
			Err: fmt.Errorf("its sha256 is %s, the document's event has %s", v.EventSHA256, e.SHA256)}
	}
	return r, nil
}

func (v *Verification) differ(name, recorded, again string) {
	v.Differences = append(v.Differences, Mismatch{name, recorded, again})
}

func (v *Verification) compareDeadLetter(doc *Document, letter *engine.DeadLetter) {
	if doc.DeadLetter == nil || letter == nil {
		v.differ("outcome", doc.Outcome, fate(letter))
		return
	}
	had := &doc.DeadLetter.DeadLetter
	for _, f := range []struct{ name, recorded, again string }{
		{"stage", had.Stage, letter.Stage}, {"reason", had.Reason, letter.Reason},
		{"timestamp_us", fmt.Sprint(had.TimestampUS), fmt.Sprint(letter.TimestampUS)},
		{"model", fmt.Sprint(had.Model, " ", had.ModelVersion), fmt.Sprint(letter.Model, " ", letter.ModelVersion)},
		{"spec_generation", fmt.Sprint(had.SpecGeneration), fmt.Sprint(letter.SpecGeneration)},
	} {
		if f.recorded != f.again {
			v.differ(f.name, f.recorded, f.again)
		}
	}
	if !bytes.Equal(had.Raw, letter.Raw) {
		v.differ("raw", storage.SHA256(had.Raw), storage.SHA256(letter.Raw))
	}
}

func fate(letter *engine.DeadLetter) string {
	if letter == nil {
		return Scored
	}
	return Dead + ": " + letter.Stage + ": " + letter.Reason
}

func (v *Verification) compareRow(doc *Document, file []byte, letter *engine.DeadLetter) error {
	if letter != nil {
		v.differ("outcome", doc.Outcome, fate(letter))
		return nil
	}
	again, _, err := findRow("the row scored again", file, doc.Event.Offset)
	if err != nil {
		return err
	}
	v.Columns = max(len(doc.Row), len(again))
	v.compareCells(doc.Row, again)
	v.Equal = v.Columns - len(v.Differences)
	return nil
}

func (v *Verification) compareCells(recorded, again []Cell) {
	at := func(row []Cell, i int) (Cell, string) {
		if i >= len(row) {
			return Cell{}, "no such column"
		}
		c := row[i]
		text := fmt.Sprintf("%s %s", c.Type, c)
		if c.Bits != "" {
			text += " (" + c.Bits + ")"
		}
		return c, text
	}
	for i := range max(len(recorded), len(again)) {
		a, had := at(recorded, i)
		b, have := at(again, i)
		if !a.equal(b) {
			v.differ(cmp.Or(a.Name, b.Name), had, have)
		}
	}
}

// object looks at the object that held the row when the document was made.
func (v *Verification) object(ctx context.Context, sink storage.Place, doc *Document) {
	body, err := commitlog.ReadObject(ctx, sink.Bucket, commitlog.Object{Key: doc.Object.Key, SizeBytes: doc.Object.SizeBytes, SHA256: doc.Object.SHA256})
	switch {
	case thalweg.Is(err, thalweg.NotFound):
		v.Object = "gone: compacted or deleted since the document was made"
		return
	case err != nil:
		v.Object = err.Error()
		v.differ("object", doc.Object.SHA256, err.Error())
		return
	}
	v.Object = "equal"
	if doc.Outcome == Dead {
		return // its bytes have the sha256 that the log names
	}
	row, index, err := findRow(doc.Object.Key, body, doc.Event.Offset)
	before := len(v.Differences)
	switch {
	case err != nil:
		v.differ("object", doc.Object.SHA256, err.Error())
	case index != doc.Object.Index:
		v.differ("row_index", fmt.Sprint(doc.Object.Index), fmt.Sprint(index))
	default:
		v.compareCells(doc.Row, row)
	}
	if len(v.Differences) > before {
		v.Object = "it has another row"
	}
}
