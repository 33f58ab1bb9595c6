package fsck

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/pqarrow"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
	bucketmem "github.com/thalweg/thalweg/storage/memory"
)

const prefix = "scored/flights/"

// slot is one slot of a log being made for a test; the zero value of every
// field but the first two is right.
type slot struct {
	from, to int64
	dead     []int64 // offsets of dead letters
	gap      [][2]int64
	rows     func(offsets []int64) []int64 // changes the offsets of the scored rows
	version  int64                         // written in the rows instead of the intent's
	hash     string                        // of the transform, written in the rows instead of the usual one
	letters  string                        // end of the dead letters instead of their provenance
	intent   func(*intentRecord)
	done     func(*doneRecord)
	pending  bool
	kept     int64   // if not 0, the topic had lost what is before
	held     []int64 // of that, offsets that are in rows all the same

	skip   bool // from..to is what is missing
	goOn   int64
	moves  [2]uint64                 // slots whose rows a compaction moves
	inputs []uint64                  // and the slots that it replaces
	moved  func([]testRow) []testRow // changes the rows that it moves
	replay [2]uint64                 // slots whose dead letters are scored again, those of rows(nil)
}

// testRow is a scored row.
type testRow struct{ offset, version int64 }

var registered = []Model{{Name: "m", Version: 3, Checkpoint: thalweg.ObjectRef{Key: "checkpoints/x", SHA256: strings.Repeat("c", 64)}, RegisteredAtUS: 1000}}

// write makes a log by hand, from the published formats.
func write(t *testing.T, slots ...slot) *bucketmem.Bucket {
	t.Helper()
	b := bucketmem.New()
	writeTo(t, b, "00000", slots...)
	return b
}

// writeTo makes the log of a partition's directories.
func writeTo(t *testing.T, b *bucketmem.Bucket, part string, slots ...slot) {
	t.Helper()
	var total counts
	previous := ""
	rowsOf := make(map[uint64][]testRow)
	for seq, s := range slots {
		in := intentRecord{Format: "thalweg.intent/v1", Seq: uint64(seq), ID: fmt.Sprintf("%032x", seq+1), Pipeline: "flights", Topic: "flights",
			From: s.from, To: s.to, Model: "m", ModelVersion: 3, Checkpoint: checkpointRef{"checkpoints/x", strings.Repeat("c", 64)},
			Generation: 1, ScoredAtUS: 2000, Previous: previous}
		switch {
		case s.skip:
			in.Action, in.Missing, in.To = "skip", [2]int64{s.from, s.to}, s.goOn
		case s.moves[1] > 0:
			in.Action, in.Slots, in.To = "compact", s.moves, s.from
		case s.replay[1] > 0:
			in.Action, in.Slots, in.Where = "replay", s.replay, "true"
		}
		if s.skip || s.moves[1] > 0 {
			in.Model, in.ModelVersion, in.Checkpoint = "", 0, checkpointRef{}
		}
		if s.intent != nil {
			s.intent(&in)
		}
		intentSum := putRecord(t, b, fmt.Sprintf("%s_log/flights/%s/%012d.intent.json", prefix, part, seq), in)
		var offsets []int64
		for o := s.from; o < s.to; o++ {
			inGap := slices.ContainsFunc(s.gap, func(g [2]int64) bool { return o >= g[0] && o < g[1] })
			if !inGap && !slices.Contains(s.dead, o) && (o >= s.kept || slices.Contains(s.held, o)) {
				offsets = append(offsets, o)
			}
		}
		if s.rows != nil {
			offsets = s.rows(offsets)
		}
		if s.skip || s.moves[1] > 0 {
			offsets = nil
		}
		version := int64(in.ModelVersion)
		if s.version != 0 {
			version = s.version
		}
		var rows []testRow
		for _, o := range offsets {
			rows = append(rows, testRow{o, version})
		}
		d := doneRecord{Format: "thalweg.done/v1", Seq: uint64(seq), Intent: in.ID, IntentSHA256: intentSum, Gaps: s.gap, Dead: int64(len(s.dead))}
		if s.moves[1] > 0 {
			for i := s.moves[0]; i < s.moves[1]; i++ {
				if slots[i].moves[1] == 0 {
					rows = append(rows, rowsOf[i]...)
					if !slots[i].skip && d.Offsets[1] == 0 {
						d.Offsets[0] = slots[i].from
					}
					d.Offsets[1] = slots[i].to
				}
			}
			if s.moved != nil {
				rows = s.moved(rows)
			}
			d.Inputs = s.inputs
		}
		rowsOf[uint64(seq)] = rows
		d.Scored = int64(len(rows))
		stem := objectStem(in)
		if len(s.dead) > 0 {
			var lines bytes.Buffer
			for _, o := range s.dead {
				provenance := `"model":"m","model_version":3,"spec_generation":1}`
				if s.letters != "" {
					provenance = s.letters
				}
				fmt.Fprintf(&lines, `{"topic":"flights","partition":0,"offset":%d,"reason":"not JSON",%s`+"\n", o, provenance)
			}
			d.Objects = append(d.Objects, putObject(t, b, prefix+"_dead/flights/"+part+stem+"00.jsonl", lines.Bytes(), int64(len(s.dead)), "dead"))
		}
		if len(rows) > 0 {
			d.Objects = append(d.Objects, putObject(t, b, prefix+"data/flights/"+part+stem+"00.parquet", parquetOf(t, rows, cmp.Or(s.hash, "abc")), int64(len(rows)), "scored"))
		}
		if s.kept > 0 {
			d.Lost = [2]int64{s.from, s.kept}
			total.Missing += s.to - s.from - int64(len(offsets)+len(s.dead))
			for _, g := range s.gap {
				total.Missing -= g[1] - g[0]
			}
		}
		if s.moves[1] == 0 {
			total.Scored += d.Scored
			total.Dead += d.Dead
		}
		if s.skip {
			total.Missing += s.to - s.from
		}
		d.Total = total
		if s.done != nil {
			s.done(&d)
		}
		if !s.pending {
			previous = putRecord(t, b, fmt.Sprintf("%s_log/flights/%s/%012d.done.json", prefix, part, seq), d)
		}
	}
}

func putRecord(t *testing.T, b *bucketmem.Bucket, key string, record any) (sum string) {
	t.Helper()
	data, err := json.Marshal(record)
	if err != nil {
		t.Fatal(err)
	}
	data = data[:bytes.LastIndex(data, []byte(`,"sum":`))]
	data = fmt.Appendf(data, `,"sum":"%x"}`+"\n", sha256.Sum256(data))
	put(t, b, key, data)
	return fmt.Sprintf("%x", sha256.Sum256(data))
}

func putObject(t *testing.T, b *bucketmem.Bucket, key string, body []byte, rows int64, kind string) objectRecord {
	t.Helper()
	put(t, b, key, body)
	return objectRecord{Key: key, Size: int64(len(body)), SHA256: fmt.Sprintf("%x", sha256.Sum256(body)), Rows: rows, Kind: kind}
}

func put(t *testing.T, b *bucketmem.Bucket, key string, body []byte) {
	t.Helper()
	if _, err := b.Put(context.Background(), key, body); err != nil {
		t.Fatal(err)
	}
}

func parquetOf(t *testing.T, rows []testRow, hash string) []byte {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "_topic", Type: arrow.BinaryTypes.String}, {Name: "_partition", Type: arrow.PrimitiveTypes.Int64},
		{Name: "_offset", Type: arrow.PrimitiveTypes.Int64}, {Name: "_model_version", Type: arrow.PrimitiveTypes.Int64},
		{Name: "_spec_generation", Type: arrow.PrimitiveTypes.Int64}, {Name: "_scored_at", Type: arrow.FixedWidthTypes.Timestamp_us},
		{Name: "_transform_hash", Type: arrow.BinaryTypes.String}}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for _, r := range rows {
		b.Field(0).(*array.StringBuilder).Append("flights")
		for i, v := range []int64{0, r.offset, r.version, 1} {
			b.Field(i + 1).(*array.Int64Builder).Append(v)
		}
		b.Field(5).(*array.TimestampBuilder).Append(2000)
		b.Field(6).(*array.StringBuilder).Append(hash)
	}
	rec := b.NewRecord()
	defer rec.Release()
	var out bytes.Buffer
	w, err := pqarrow.NewFileWriter(schema, &out, parquet.NewWriterProperties(), pqarrow.DefaultWriterProps())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(rec); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func run(t *testing.T, b *bucketmem.Bucket) *Verdict {
	t.Helper()
	v, err := Run(context.Background(), b, "flights", prefix, registered)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestAGoodLogIsOK(t *testing.T) {
	b := write(t, slot{from: 100, to: 150, dead: []int64{107, 149}}, slot{from: 150, to: 170, gap: [][2]int64{{155, 158}}}, slot{from: 170, to: 180, pending: true})
	v := run(t, b)
	if !v.OK() {
		t.Fatal(v)
	}
	if v.Scored != 48+17 || v.Dead != 2 || v.Absent != 3 || v.PendingSlots != 1 || v.RowsByModel["m 3"] != 65 {
		t.Fatalf("%+v", v)
	}
}

func TestNothingUnderThePrefixIsOK(t *testing.T) {
	if v := run(t, bucketmem.New()); !v.OK() || len(v.Partitions) != 0 {
		t.Fatal(v)
	}
}

// TestEachBrokenPromiseIsNamed breaks a good log in one way each.
func TestEachBrokenPromiseIsNamed(t *testing.T) {
	good := func() []slot { return []slot{{from: 0, to: 20, dead: []int64{3}}, {from: 20, to: 40}} }
	with := func(i int, change func(*slot)) func(*testing.T) *bucketmem.Bucket {
		return func(t *testing.T) *bucketmem.Bucket {
			s := good()
			change(&s[i])
			return write(t, s...)
		}
	}
	after := func(change func(t *testing.T, b *bucketmem.Bucket)) func(*testing.T) *bucketmem.Bucket {
		return func(t *testing.T) *bucketmem.Bucket {
			b := write(t, good()...)
			change(t, b)
			return b
		}
	}
	find := func(t *testing.T, b *bucketmem.Bucket, part string) string {
		for info, err := range b.List(context.Background(), prefix, "") {
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(info.Key, part) {
				return info.Key
			}
		}
		t.Fatalf("nothing has %s in its name", part)
		return ""
	}
	remove := func(part string) func(*testing.T) *bucketmem.Bucket {
		return after(func(t *testing.T, b *bucketmem.Bucket) {
			if err := b.Delete(context.Background(), find(t, b, part)); err != nil {
				t.Fatal(err)
			}
		})
	}
	flip := func(part string) func(*testing.T) *bucketmem.Bucket {
		return after(func(t *testing.T, b *bucketmem.Bucket) {
			key := find(t, b, part)
			body, _, err := b.Get(context.Background(), key)
			if err != nil {
				t.Fatal(err)
			}
			body[len(body)/2] ^= 4
			put(t, b, key, body)
		})
	}
	for _, c := range []struct {
		name string
		rule int
		make func(*testing.T) *bucketmem.Bucket
	}{
		{"an intent is missing", 1, remove("000000000000.intent")},
		{"a done record is missing before the end", 1, remove("000000000000.done")},
		{"a stray record", 1, after(func(t *testing.T, b *bucketmem.Bucket) {
			put(t, b, prefix+"_log/flights/00000/000000000009.intent.json", []byte("{}"))
		})},
		{"an intent is damaged", 2, flip("000000000001.intent")},
		{"a done record is damaged", 2, flip("000000000001.done")},
		{"the chain is broken", 2, with(1, func(s *slot) { s.intent = func(in *intentRecord) { in.Previous = strings.Repeat("0", 64) } })},
		{"a done record of another intent", 2, with(0, func(s *slot) { s.done = func(d *doneRecord) { d.Intent = strings.Repeat("9", 32) } })},
		{"offsets are skipped between slots", 3, with(1, func(s *slot) { s.from = 21 })},
		{"offsets overlap between slots", 3, with(1, func(s *slot) { s.from = 19 })},
		{"a data object is missing", 4, remove("data/flights/00000/000000000001")},
		{"a data object is damaged", 4, flip("data/flights/00000/000000000000")},
		{"a dead-letter object is missing", 4, remove("_dead/")},
		{"an object that no record names", 4, after(func(t *testing.T, b *bucketmem.Bucket) {
			put(t, b, prefix+"data/flights/00000/extra.parquet", []byte("x"))
		})},
		{"a row count is wrong", 4, with(0, func(s *slot) { s.done = func(d *doneRecord) { d.Objects[1].Rows++ } })},
		{"an event is in two rows", 5, with(0, func(s *slot) { s.rows = func(o []int64) []int64 { o[0] = o[1]; return o } })},
		{"an event is in no row", 5, with(0, func(s *slot) { s.rows = func(o []int64) []int64 { return o[1:] } })},
		{"an event is a row and a dead letter", 5, with(0, func(s *slot) { s.rows = func(o []int64) []int64 { o[0] = 3; return o } })},
		{"a row is from outside of the range", 5, with(0, func(s *slot) { s.rows = func(o []int64) []int64 { o[0] = 77; return o } })},
		{"a gap holds a row", 5, with(1, func(s *slot) { s.done = func(d *doneRecord) { d.Gaps = [][2]int64{{25, 26}} } })},
		{"a gap beyond the range", 5, with(1, func(s *slot) { s.done = func(d *doneRecord) { d.Gaps = [][2]int64{{39, 41}} } })},
		{"a dead letter of another version", 6, with(0, func(s *slot) { s.letters = `"model":"m","model_version":2,"spec_generation":1}` })},
		{"a dead letter of another generation", 6, with(0, func(s *slot) { s.letters = `"model":"m","model_version":3,"spec_generation":9}` })},
		{"rows of one version with two transforms", 6, with(1, func(s *slot) { s.hash = "other" })},
		{"a row names another model version", 6, with(1, func(s *slot) { s.version = 2 })},
		{"a model version that nobody registered", 7, with(1, func(s *slot) { s.intent = func(in *intentRecord) { in.ModelVersion = 9 } })},
		{"a version registered after its rows", 7, with(1, func(s *slot) { s.intent = func(in *intentRecord) { in.ScoredAtUS = 999 } })},
		{"a version with another checkpoint", 7, with(1, func(s *slot) { s.intent = func(in *intentRecord) { in.Checkpoint.SHA256 = strings.Repeat("d", 64) } })},
		{"a total is wrong", 8, with(1, func(s *slot) { s.done = func(d *doneRecord) { d.Total.Scored++ } })},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := run(t, c.make(t))
			if !slices.ContainsFunc(v.Violations, func(x Violation) bool { return x.Rule == c.rule && x.Subject != "" && x.Message != "" }) {
				t.Fatalf("rule %d is not named:\n%s", c.rule, v)
			}
		})
	}
}

func FuzzRecordsAndRowsOfAnyBytesAreJudged(f *testing.F) {
	f.Add([]byte(`{"format":"thalweg.intent/v1","sum":"x"}`), []byte("PAR1PAR1"))
	f.Fuzz(func(t *testing.T, record, rows []byte) {
		var in intentRecord
		parseRecord(record, &in)
		var d doneRecord
		parseRecord(record, &d)
		j := &judge{verdict: &Verdict{}, transforms: map[modelVersion]string{}}
		j.deadLetters("dead", rows, intentRecord{To: 10}, newOffsets(intentRecord{To: 10}).add)
		j.scoredRows("rows", rows, intentRecord{To: 10}, newOffsets(intentRecord{To: 10}).add)
		_ = newTable().decodeCheckpoint(rows)
	})
}

// growing is a bucket in which a slot is finished, and the next claimed and
// written, while its log is being listed.
type growing struct {
	*bucketmem.Bucket
	late map[string][]byte // put after the first listing of the log has passed their place
	seen string            // the ending of those that it has all the same
}

func (g *growing) List(ctx context.Context, under, after string) iter.Seq2[storage.Info, error] {
	return func(yield func(storage.Info, error) bool) {
		for info, err := range g.Bucket.List(ctx, under, after) {
			if !yield(info, err) {
				return
			}
		}
		if strings.HasSuffix(under, "/_log/") {
			for key, body := range g.late {
				g.Bucket.Put(ctx, key, body)
				if strings.HasSuffix(key, g.seen) && !yield(storage.Info{Key: key, SizeBytes: int64(len(body))}, nil) {
					return
				}
			}
		}
	}
}

func TestAStreamThatGoesOnMeanwhileIsOK(t *testing.T) {
	whole := write(t, slot{from: 0, to: 20}, slot{from: 20, to: 40}, slot{from: 40, to: 50, pending: true})
	for seen, late := range map[string][]string{
		// Slot 1 is finished, and slot 2 claimed and written, too late.
		".intent.json": {"000000000002", "000000000001.done"},
		// A directory is read in no order: of slot 1, only the last record was met.
		".done.json": {"000000000001"},
	} {
		g := &growing{Bucket: bucketmem.New(), late: map[string][]byte{}, seen: seen}
		for info, err := range whole.List(t.Context(), "", "") {
			if err != nil {
				t.Fatal(err)
			}
			body, _, err := whole.Get(t.Context(), info.Key)
			if err != nil {
				t.Fatal(err)
			}
			switch part := func(of string) bool { return strings.Contains(info.Key, of) }; {
			case slices.ContainsFunc(late, part):
				g.late[info.Key] = body
			case seen == ".intent.json" || !part("000000000002"):
				put(t, g.Bucket, info.Key, body)
			}
		}
		v, err := Run(t.Context(), g, "flights", prefix, registered)
		if err != nil || !v.OK() || v.Scored != 40 || v.PendingSlots != len(late)-1 {
			t.Errorf("%s seen: %v, %+v", seen, err, v)
		}
	}
}
