package commitlog

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
)

// Bounds of the log. A record beyond one of them is refused when it is made
// and when it is read.
const (
	MaxRecordBytes = 256 << 10       // of an encoded record: MaxObjects objects and MaxGaps gaps fit whatever their keys
	MaxObjects     = 128             // named by one done record: an intent is one file, or one for each of some months' days
	MaxGaps        = 1024            // listed by one done record: a scorer ends a range before it has more
	MaxSeq         = 999_999_999_999 // the width of a slot's name, so that byte order is slot order
	MaxPartition   = 99_999          // the width of a partition's name
	MaxNameBytes   = 253             // of a pipeline's or model's name
	MaxInputs      = 256             // slots whose objects one compaction replaces
	MaxRuns        = 96              // merged runs that a compaction's done record lists
	MaxWhereBytes  = 4096            // of the selection of a replay
)

// The first field of each record. A change of the format is a new name here:
// decoders know one format each and refuse every other.
const (
	intentFormat = "thalweg.intent/v1"
	doneFormat   = "thalweg.done/v1"
)

// Action is what the owner of a slot does.
type Action string

// The actions. A reader that meets another one must not go on: it cannot know
// what became of the rows.
const (
	Score   Action = ""        // the events of [From, To) become rows
	Compact Action = "compact" // the scored rows of Slots move to objects of this slot
	Skip    Action = "skip"    // the offsets of Missing are given up, as an operator authorized
	Replay  Action = "replay"  // in a replay log: dead letters of Slots are scored again
)

// Intent claims one slot of the log: the owner of slot Seq, and nobody else,
// turns exactly the offsets [From, To) of one topic partition into rows, with
// exactly one model version, or does what Action says instead.
type Intent struct {
	Seq            uint64                `json:"seq"`             // number of the slot, from 0
	ID             string                `json:"id"`              // unique per claim (NewID): tells one claimant from another
	Pipeline       thalweg.PipelineName  `json:"pipeline"`        // whose log this is
	Topic          string                `json:"topic"`           // Kafka topic
	Partition      int                   `json:"partition"`       // of the topic, from 0
	From           int64                 `json:"from"`            // first offset; the previous intent's To, but in a replay log
	To             int64                 `json:"to"`              // one past the last offset, greater than From; Compact: From; Skip: where the next slot begins
	Model          thalweg.ModelName     `json:"model"`           // the model that scores; Compact and Skip: empty, as are the next two
	ModelVersion   thalweg.ModelVersion  `json:"model_version"`   // its version, from 1
	Checkpoint     thalweg.CheckpointRef `json:"checkpoint"`      // what the version is, byte for byte
	SpecGeneration thalweg.Generation    `json:"spec_generation"` // of the pipeline's spec, from 1; Compact: of all the rows
	ScoredAtUS     int64                 `json:"scored_at_us"`    // microseconds since 1970 UTC, the _scored_at of every row; Compact and Skip: of the claim
	Previous       string                `json:"previous"`        // sha256 of the previous slot's done record; empty in slot 0

	Action  Action    `json:"action,omitzero"`   // what is done, Score if absent
	TopicID string    `json:"topic_id,omitzero"` // which topic of that name: 32 hex digits, empty where the source knows none; once there is one, all later intents have one
	Slots   [2]uint64 `json:"slots,omitzero"`    // Compact: slots of this log before this one; Replay: slots of the main log; half open
	Missing [2]int64  `json:"missing,omitzero"`  // Skip: offsets that nobody will score, from From on, half open
	Where   string    `json:"where,omitzero"`    // Replay: the selection among the dead letters, as it was given
	Reread  bool      `json:"reread,omitzero"`   // Replay: of the dead letters that have no event, which is read from the topic again, and no others

	LeaderEpoch int32  `json:"leader_epoch,omitzero"` // of the record before To, Kafka's number plus 1: by which leader's term it was written; 0: not known. Compact: as before
	PartitionBy string `json:"partition_by,omitzero"` // column whose UTC day decides the scored object that a row lies in; empty: they are not split
	RowsTopic   string `json:"rows_topic,omitzero"`   // topic that the rows are in too before the slot is finished; empty: none. Compact and Skip: as before

	Rollout Rollout `json:"rollout,omitzero"` // Score: the candidate beside ModelVersion, and what decides which of the two scores an event
}

// ObjectKind says what an object of a done record holds.
type ObjectKind string

// The kinds of objects.
const (
	Scored ObjectKind = "scored" // Parquet: one row per scored event
	Dead   ObjectKind = "dead"   // JSON lines: one per event that could not be scored
)

// Object names one immutable object that an intent's execution left.
type Object struct {
	Key       string     `json:"key"`    // in the bucket, the sink's prefix included
	SizeBytes int64      `json:"size"`   // of its bytes
	SHA256    string     `json:"sha256"` // of its bytes, 64 hex digits
	Rows      int64      `json:"rows"`   // rows of Parquet or lines of JSON
	Kind      ObjectKind `json:"kind"`
}

// Done says that an intent has been carried out and what it left. It holds
// nothing but what follows from the intent and the events, so that whoever
// carries an intent out again makes the same record.
type Done struct {
	Seq          uint64   `json:"seq"`              // the intent's
	Intent       string   `json:"intent"`           // the intent's ID
	IntentSHA256 string   `json:"intent_sha256"`    // of the intent's record
	Objects      []Object `json:"objects"`          // ordered by key, none with 0 rows
	Gaps         []Gap    `json:"gaps,omitempty"`   // offsets of the range that the topic never held as events, in order
	Lost         [2]int64 `json:"lost,omitzero"`    // Score: the beginning of the range, which the topic lost before it was scored: its offsets that no object holds are given up
	Inputs       []uint64 `json:"inputs,omitempty"` // Compact: the slots whose scored objects this slot's replace, in the order of the rows
	Offsets      [2]int64 `json:"offsets,omitzero"` // Compact: the range of the slots whose rows moved, from the first's From to the last's To
	Runs         []Run    `json:"runs,omitempty"`   // Compact: other merged objects that may be merged again
	Scored       int64    `json:"scored"`           // rows of the objects of kind Scored
	Dead         int64    `json:"dead"`             // lines of the objects of kind Dead
	Dropped      int64    `json:"dropped"`          // events that an operator which applies to scoring removed
	Total        Counts   `json:"total"`            // the three above, summed from slot 0 to this one; rows that a compaction moved count once
}

// Run says that the scored rows of slots [Run[0], Run[1]) are in the objects of
// compaction slot Run[2]. It is how the end of a long log is known from a few
// records. Its JSON is [first, end, slot].
type Run [3]uint64

// Gap is a run of offsets [From, To) that are no events: control records,
// records of aborted transactions, records removed by compaction. Its JSON is
// [from, to].
type Gap [2]int64

// Counts sums what became of events.
type Counts struct {
	Scored  int64 `json:"scored"`
	Dead    int64 `json:"dead"`
	Dropped int64 `json:"dropped"`
	Missing int64 `json:"missing,omitzero"` // offsets given up by operators, of skips and of what a claim's range has lost
}

// Events returns the number of events counted; what is missing was never seen.
func (c Counts) Events() int64 { return c.Scored + c.Dead + c.Dropped }

// Missing returns how many offsets of its intent's range a record gives up: of
// those that are lost, the ones that are in no object of the slot.
func (d Done) Missing(in Intent) int64 {
	if d.Lost == [2]int64{} {
		return 0
	}
	n := in.To - in.From - d.Counts().Events()
	for _, g := range d.Gaps {
		n -= g[1] - g[0]
	}
	return n
}

// Counts returns what is in this slot: of a compaction, rows of other slots.
func (d Done) Counts() Counts { return Counts{Scored: d.Scored, Dead: d.Dead, Dropped: d.Dropped} }

// adds returns what a slot adds to the totals of its log.
func adds(in Intent, d Done) Counts {
	switch in.Action {
	case Compact:
		return Counts{}
	case Skip:
		return Counts{Missing: in.Missing[1] - in.Missing[0]}
	}
	c := d.Counts()
	c.Missing = d.Missing(in)
	return c
}

func (c Counts) plus(o Counts) Counts {
	return Counts{c.Scored + o.Scored, c.Dead + o.Dead, c.Dropped + o.Dropped, c.Missing + o.Missing}
}

// NewID returns a new unique intent ID: 128 random bits as 32 hex digits.
func NewID() string {
	var id [16]byte
	rand.Read(id[:]) // never fails: crypto/rand ends the process instead
	return hex.EncodeToString(id[:])
}

// Encode returns the one encoding of a valid intent.
func (in Intent) Encode() ([]byte, error) {
	if err := in.Validate(); err != nil {
		return nil, err
	}
	return encode(struct {
		Format string `json:"format"`
		Intent
	}{intentFormat, in}, fmt.Sprintf("intent %d", in.Seq))
}

// DecodeIntent is the inverse of Intent.Encode. It refuses, with Corrupt,
// bytes that Encode would not have made.
func DecodeIntent(data []byte) (Intent, error) {
	var record struct {
		Format string `json:"format"`
		Intent
	}
	err := decode("decode intent", data, &record, &record.Format, intentFormat, func() ([]byte, error) { return record.Intent.Encode() })
	if err != nil {
		return Intent{}, err
	}
	return record.Intent, nil
}

// Encode returns the one encoding of a valid done record.
func (d Done) Encode() ([]byte, error) {
	if err := d.Validate(); err != nil {
		return nil, err
	}
	if d.Objects == nil {
		d.Objects = []Object{} // [] rather than null
	}
	return encode(struct {
		Format string `json:"format"`
		Done
	}{doneFormat, d}, fmt.Sprintf("done %d", d.Seq))
}

// DecodeDone is the inverse of Done.Encode. It refuses, with Corrupt, bytes
// that Encode would not have made.
func DecodeDone(data []byte) (Done, error) {
	var record struct {
		Format string `json:"format"`
		Done
	}
	err := decode("decode done record", data, &record, &record.Format, doneFormat, func() ([]byte, error) { return record.Done.Encode() })
	if err != nil {
		return Done{}, err
	}
	return record.Done, nil
}

// sumField begins the last field of every record, "sum": the sha256 of all the
// record's bytes before it. It is what tells a flipped bit in a record that no
// other record refers to yet.
const sumField = `,"sum":"`

// encode writes record as one line of JSON without HTML escapes, its sum last.
func encode(record any, subject string) ([]byte, error) {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	if err := e.Encode(record); err != nil {
		return nil, &thalweg.Error{Op: "encode record", Kind: thalweg.Invalid, Subject: subject, Err: err}
	}
	buf.Truncate(buf.Len() - len("}\n"))
	sum := storage.SHA256(buf.Bytes())
	buf.WriteString(sumField + sum + "\"}\n")
	if buf.Len() > MaxRecordBytes {
		return nil, &thalweg.Error{Op: "encode record", Kind: thalweg.Exhausted, Subject: subject,
			Err: fmt.Errorf("%d bytes, at most %d fit", buf.Len(), MaxRecordBytes)}
	}
	return buf.Bytes(), nil
}

// decode reads a record of one format. That encode makes the same bytes again
// excludes duplicate keys and the like.
func decode(op string, data []byte, record any, format *string, want string, encode func() ([]byte, error)) error {
	if err := decodeSummed(data, record); err != nil {
		return corrupt(op, "", err)
	}
	if *format != want {
		return corrupt(op, "format", fmt.Errorf("%.40q, want %q", *format, want))
	}
	again, err := encode()
	if err == nil && !bytes.Equal(again, data) {
		err = errors.New("not the canonical encoding of a record")
	}
	if err != nil {
		return corrupt(op, "", err)
	}
	return nil
}

// decodeSummed checks the sum and reads exactly one JSON value without unknown
// fields.
func decodeSummed(data []byte, record any) error {
	if len(data) > MaxRecordBytes {
		return fmt.Errorf("%d bytes, at most %d are a record", len(data), MaxRecordBytes)
	}
	at := bytes.LastIndex(data, []byte(sumField))
	if at < 0 {
		return errors.New("no record: its sum is missing")
	}
	if want := sumField + storage.SHA256(data[:at]) + "\"}\n"; string(data[at:]) != want {
		return errors.New("the record's sum is not that of its bytes")
	}
	return thalweg.DecodeStrict(append(data[:at:at], '}'), record)
}

func corrupt(op, subject string, err error) error {
	return &thalweg.Error{Op: op, Kind: thalweg.Corrupt, Subject: subject, Err: err}
}
