package commitlog

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
)

var (
	goldenIntent = Intent{
		Seq: 7, ID: "00112233445566778899aabbccddeeff", Pipeline: "flight-delays", Topic: "flights", Partition: 2, From: 350, To: 400,
		Model: "flight-delays", ModelVersion: 3, Checkpoint: thalweg.CheckpointRef{Key: "checkpoints/ab/manifest.json", SHA256: strings.Repeat("ab", 32)},
		SpecGeneration: 2, ScoredAtUS: 1_767_225_600_000_000, Previous: strings.Repeat("cd", 32),
	}
	goldenDone = Done{
		Seq: 7, Intent: goldenIntent.ID, IntentSHA256: strings.Repeat("ef", 32),
		Objects: []Object{
			{Key: "s/_dead/flights/00002/x-00.jsonl", SizeBytes: 90, SHA256: strings.Repeat("01", 32), Rows: 1, Kind: Dead},
			{Key: "s/data/flights/00002/x-00.parquet", SizeBytes: 4096, SHA256: strings.Repeat("02", 32), Rows: 48, Kind: Scored},
		},
		Scored: 48, Dead: 1, Dropped: 1, Total: Counts{Scored: 390, Dead: 5, Dropped: 5},
	}
)

// The formats are promised to other programs: a change here needs a new name
// in the format field.
const (
	goldenIntentRecord = `{"format":"thalweg.intent/v1","seq":7,"id":"00112233445566778899aabbccddeeff","pipeline":"flight-delays","topic":"flights","partition":2,` +
		`"from":350,"to":400,"model":"flight-delays","model_version":3,` +
		`"checkpoint":{"key":"checkpoints/ab/manifest.json","sha256":"abababababababababababababababababababababababababababababababab"},` +
		`"spec_generation":2,"scored_at_us":1767225600000000,"previous":"cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"`
	goldenDoneRecord = `{"format":"thalweg.done/v1","seq":7,"intent":"00112233445566778899aabbccddeeff",` +
		`"intent_sha256":"efefefefefefefefefefefefefefefefefefefefefefefefefefefefefefefef","objects":[` +
		`{"key":"s/_dead/flights/00002/x-00.jsonl","size":90,"sha256":"0101010101010101010101010101010101010101010101010101010101010101","rows":1,"kind":"dead"},` +
		`{"key":"s/data/flights/00002/x-00.parquet","size":4096,"sha256":"0202020202020202020202020202020202020202020202020202020202020202","rows":48,"kind":"scored"}],` +
		`"scored":48,"dead":1,"dropped":1,"total":{"scored":390,"dead":5,"dropped":5}`
)

// sealed ends a record as the formats say.
func sealed(record string) []byte {
	return []byte(record + `,"sum":"` + storage.SHA256([]byte(record)) + "\"}\n")
}

func TestRecordsHaveOneEncoding(t *testing.T) {
	got, err := goldenIntent.Encode()
	if err != nil || !bytes.Equal(got, sealed(goldenIntentRecord)) {
		t.Errorf("the intent is encoded as %s, %v", got, err)
	}
	if in, err := DecodeIntent(got); err != nil || in != goldenIntent {
		t.Errorf("the intent comes back as %+v, %v", in, err)
	}
	got, err = goldenDone.Encode()
	if err != nil || !bytes.Equal(got, sealed(goldenDoneRecord)) {
		t.Errorf("the done record is encoded as %s, %v", got, err)
	}
	d, err := DecodeDone(got)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := d.Encode(); err != nil || !bytes.Equal(again, got) {
		t.Errorf("the done record comes back as %+v, %v", d, err)
	}
	empty := Done{Intent: goldenDone.Intent, IntentSHA256: goldenDone.IntentSHA256, Dropped: 2, Total: Counts{Dropped: 2}}
	if got, err := empty.Encode(); err != nil || !bytes.Contains(got, []byte(`"objects":[]`)) {
		t.Errorf("a done record without objects is encoded as %s, %v", got, err)
	}
}

func TestAnyOtherEncodingIsRefused(t *testing.T) {
	change := func(old, new string) string {
		if !strings.Contains(goldenIntentRecord, old) {
			t.Fatalf("%q is not in the record", old)
		}
		return strings.Replace(goldenIntentRecord, old, new, 1)
	}
	for name, record := range map[string]string{
		"a space":               change(`"seq":7`, `"seq": 7`),
		"an unknown field":      change(`"seq":7`, `"seq":7,"extra":1`),
		"a field twice":         change(`"seq":7`, `"seq":6,"seq":7`),
		"a field of other case": change(`"seq":7`, `"Seq":7`),
		"fields in other order": change(`"from":350,"to":400`, `"to":400,"from":350`),
		"a missing field":       change(`"partition":2,`, ``),
		"a null":                change(`"partition":2`, `"partition":null`),
		"a float":               change(`"seq":7`, `"seq":7.0`),
		"a negative slot":       change(`"seq":7`, `"seq":-7`),
		"an escape":             change(`"topic":"flights"`, `"topic":"\u0066lights"`),
		"another format":        change(`intent/v1`, `intent/v2`),
		"the other record":      goldenDoneRecord,
		"a second value":        goldenIntentRecord + `}{"a":1`,
		"an array":              `[1`,
		"nothing":               ``,
		"deep nesting":          `{"format":` + strings.Repeat("[", 20_000),
		"bad UTF-8":             change(`"topic":"flights"`, "\"topic\":\"\xff\""),
		"offsets that overflow": change(`"to":400`, `"to":9223372036854775808`),
	} {
		if in, err := DecodeIntent(sealed(record)); !thalweg.Is(err, thalweg.Corrupt) {
			t.Errorf("%s: %+v, %v, want %q", name, in, err, thalweg.Corrupt)
		}
		if d, err := DecodeDone(sealed(record)); !thalweg.Is(err, thalweg.Corrupt) && record != goldenDoneRecord {
			t.Errorf("%s, as a done record: %+v, %v, want %q", name, d, err, thalweg.Corrupt)
		}
	}
	whole := sealed(goldenIntentRecord)
	for at := range whole {
		damaged := bytes.Clone(whole)
		damaged[at] ^= 1
		if _, err := DecodeIntent(damaged); !thalweg.Is(err, thalweg.Corrupt) {
			t.Fatalf("with a bit of byte %d flipped: %v", at, err)
		}
		if _, err := DecodeIntent(whole[:at]); !thalweg.Is(err, thalweg.Corrupt) {
			t.Fatalf("cut at byte %d: %v", at, err)
		}
	}
}

func TestRecordsAreBounded(t *testing.T) {
	d := goldenDone
	d.Objects = nil
	for range MaxObjects + 1 {
		d.Objects = append(d.Objects, Object{})
	}
	if _, err := d.Encode(); !thalweg.Is(err, thalweg.Invalid) {
		t.Errorf("%d objects: %v", len(d.Objects), err)
	}
	in := goldenIntent
	in.Seq = MaxSeq + 1
	if _, err := in.Encode(); !thalweg.Is(err, thalweg.Invalid) {
		t.Errorf("a slot beyond the last: %v", err)
	}
	if _, err := DecodeIntent(bytes.Repeat([]byte{' '}, MaxRecordBytes+1)); !thalweg.Is(err, thalweg.Corrupt) {
		t.Errorf("a record too large: %v", err)
	}
}

// What a scorer may have published must have a record: nothing else could
// finish its slot.
func TestTheLargestRecordsFit(t *testing.T) {
	config := testConfig
	config.Topic = strings.Repeat("t", 249)
	for longer := config; ; longer.Prefix += strings.Repeat(`"`, 20) + "/" { // a quote takes two bytes in JSON
		if _, err := New(nil, longer); err != nil {
			break
		}
		config = longer
	}
	y := config.layout()
	in := goldenIntent
	in.Topic = config.Topic
	full := func(perKind, gaps int) Done {
		d := Done{Intent: in.ID, IntentSHA256: strings.Repeat("ef", 32)}
		for _, kind := range []ObjectKind{Dead, Scored} {
			for part := range perKind {
				d.Objects = append(d.Objects, Object{Key: strings.Replace(y.key(in, kind, ""), "-00.", fmt.Sprintf("-%02d.", part), 1), SizeBytes: 1 << 40, SHA256: d.IntentSHA256, Rows: 1 << 40, Kind: kind})
			}
		}
		d.Scored, d.Dead = int64(perKind)<<40, int64(perKind)<<40
		d.Total = Counts{1 << 62, 1 << 62, 1 << 62, 1 << 62}
		for i := range gaps {
			at := int64(1<<63-1) - int64(2*(gaps-i))
			d.Gaps = append(d.Gaps, Gap{at, at + 1})
		}
		return d
	}
	moved := full(MaxObjects/2, 0)
	moved.Seq, moved.Offsets = MaxSeq, [2]int64{1<<63 - 2, 1<<63 - 1}
	for i := range uint64(MaxInputs) {
		moved.Inputs = append(moved.Inputs, MaxSeq-1-i)
	}
	for i := range uint64(MaxRuns) {
		at := MaxSeq - 3*MaxInputs - 2*(MaxRuns-i)
		moved.Runs = append(moved.Runs, Run{at, at + 1, at + 2})
	}
	for name, d := range map[string]Done{
		"all objects":                   full(MaxObjects/2, 0),
		"all objects, inputs and runs":  moved,
		"one object a kind, all gaps":   full(1, MaxGaps),
		"three objects a kind and gaps": full(3, MaxGaps),
	} {
		record, err := d.Encode()
		if err != nil {
			t.Errorf("%s with keys of %d bytes: %v", name, len(y.DataKey(in, "")), err)
			continue
		}
		if _, err := DecodeDone(record); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeysSortAsTheirSlots(t *testing.T) {
	y := Layout{Prefix: "s/", Topic: "flights", Partition: 2}
	last := ""
	for _, seq := range []uint64{0, 1, 9, 10, 99, 12345, MaxSeq} {
		for _, key := range []string{y.DoneKey(seq), y.IntentKey(seq)} {
			if key <= last {
				t.Errorf("%q does not sort after %q", key, last)
			}
			last = key
		}
		if got, done, ok := y.parseRecordKey(y.IntentKey(seq)); got != seq || done || !ok {
			t.Errorf("the intent key of slot %d parses as %d, %t, %t", seq, got, done, ok)
		}
		if got, done, ok := y.parseRecordKey(y.DoneKey(seq)); got != seq || !done || !ok {
			t.Errorf("the done key of slot %d parses as %d, %t, %t", seq, got, done, ok)
		}
	}
	for _, key := range []string{"", "s/_log/flights/00002/", "s/_log/flights/00002/1.intent.json", "s/_log/flights/00002/00000000000x.done.json",
		"s/_log/flights/00002/000000000001.other.json", "s/_log/flights/00002/+00000000001.done.json"} {
		if _, _, ok := y.parseRecordKey(key); ok {
			t.Errorf("%q is taken for a record", key)
		}
	}
	if got, want := y.DataKey(goldenIntent, ""),
		"s/data/flights/00002/000000000007-0000000000000000350-0000000000000000400-00112233445566778899aabbccddeeff-00.parquet"; got != want {
		t.Errorf("DataKey = %q, want %q", got, want)
	}
	if got, want := y.DeadKey(goldenIntent),
		"s/_dead/flights/00002/000000000007-0000000000000000350-0000000000000000400-00112233445566778899aabbccddeeff-00.jsonl"; got != want {
		t.Errorf("DeadKey = %q, want %q", got, want)
	}
}

func FuzzDecodeIntent(f *testing.F) {
	f.Add([]byte(goldenIntentRecord))
	f.Add([]byte(`{"format":"thalweg.intent/v1"`))
	for _, in := range []Intent{compactIntent(), skipIntent(), replayIntent()} {
		record, err := in.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(record[:bytes.LastIndex(record, []byte(sumField))])
	}
	f.Fuzz(func(t *testing.T, record []byte) {
		DecodeIntent(record) // must not panic, whatever comes
		data := sealed(string(record))
		in, err := DecodeIntent(data)
		if err != nil {
			if !thalweg.Is(err, thalweg.Corrupt) {
				t.Errorf("%q: %v, want %q", data, err, thalweg.Corrupt)
			}
			return
		}
		if again, err := in.Encode(); err != nil || !bytes.Equal(again, data) {
			t.Errorf("%q is accepted, but encoded as %q, %v", data, again, err)
		}
	})
}

func FuzzDecodeDone(f *testing.F) {
	f.Add([]byte(goldenDoneRecord))
	f.Add([]byte(`{"format":"thalweg.done/v1","objects":null`))
	compacted, err := compactDone().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(compacted[:bytes.LastIndex(compacted, []byte(sumField))])
	f.Add([]byte(strings.Replace(goldenDoneRecord, `,"scored"`, `,"gaps":[[350,352],[399,400]],"scored"`, 1)))
	f.Fuzz(func(t *testing.T, record []byte) {
		DecodeDone(record)
		data := sealed(string(record))
		d, err := DecodeDone(data)
		if err != nil {
			if !thalweg.Is(err, thalweg.Corrupt) {
				t.Errorf("%q: %v, want %q", data, err, thalweg.Corrupt)
			}
			return
		}
		if again, err := d.Encode(); err != nil || !bytes.Equal(again, data) {
			t.Errorf("%q is accepted, but encoded as %q, %v", data, again, err)
		}
	})
}
