package scorer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/integration/fault"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/dataset"
	"github.com/thalweg/thalweg/storage/file"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/compact"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// dataFiles returns the keys of the files of scored rows.
func (w *world) dataFiles() (keys []string) {
	w.t.Helper()
	for info, err := range w.sink.List(context.Background(), w.config.Prefix+"data/", "") {
		if err != nil {
			w.t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

// liveFiles returns how many files a reader by log reads.
func (w *world) liveFiles(partition int) int {
	w.t.Helper()
	log, err := commitlog.New(w.sink, commitlog.Config{Prefix: w.config.Prefix, Pipeline: w.config.Pipeline, Topic: topic, Partition: partition})
	if err != nil {
		w.t.Fatal(err)
	}
	n := 0
	for e, err := range commitlog.Live(log.ReadBack(context.Background())) {
		if err != nil {
			w.t.Fatal(err)
		}
		for _, o := range e.Done.Objects {
			if o.Kind == commitlog.Scored {
				n++
			}
		}
	}
	return n
}

// untilFew waits until there are at most n files.
func (w *world) untilFew(r *active, n int) {
	w.t.Helper()
	last := 0
	r.wait(fmt.Sprintf("at most %d files", n), func(Status) bool { last = len(w.dataFiles()); return last <= n })
}

// trickle produces n good events, a few at a time, each few a file of their own.
func (w *world) trickle(r *active, from, n, few int) {
	w.t.Helper()
	for ; n > 0; n, from = n-few, from+few {
		w.produceGood(from, min(n, few))
		r.waitCommitted(int64(from + min(n, few)))
	}
}

// TestAStreamOfSmallFilesBecomesFewLargeOnes is the whole of it on real files: the
// rows are the same, byte for byte of every cell, fsck is content during and
// after, and a reader by log has each row once all the time.
func TestAStreamOfSmallFilesBecomesFewLargeOnes(t *testing.T) {
	buckets := map[string]func(t *testing.T) storage.Bucket{
		"in memory": nil,
		"on disk": func(t *testing.T) storage.Bucket {
			opener, err := file.New(file.Config{Dir: t.TempDir(), SkipSync: true})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { opener.Close() })
			if err := opener.CreateBucket(t.Context(), "sink"); err != nil {
				t.Fatal(err)
			}
			b, err := opener.Bucket(t.Context(), "sink")
			if err != nil {
				t.Fatal(err)
			}
			return b
		},
	}
	for name, bucket := range buckets {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1)
			if bucket != nil {
				w.sink = bucket(t)
			}
			w.promote(1)
			const files, few = 120, 5
			plain := w.start(func(c *Config) { c.Rolling.Count = few })
			w.trickle(plain, 0, files/2*few, few)
			if err := plain.stop(); err != nil {
				t.Fatal(err)
			}
			before, _ := w.read(0)
			compacting := func(c *Config) {
				c.Rolling.Count = few
				c.Compaction = compact.Config{MinFiles: 4, Retention: 20 * time.Millisecond}
			}
			r := w.start(compacting)
			for i := files / 2; i < files; i++ {
				w.trickle(r, i*few, few, few)
				if i%10 == 0 {
					w.judge()
					w.readLive(0)
				}
			}
			w.untilFew(r, 12)
			rows, _ := w.readLive(0)
			for at, row := range before {
				if !maps.Equal(row.cells, rows[at].cells) {
					t.Fatalf("offset %d was %v and is %v", at, row.cells, rows[at].cells)
				}
			}
			if len(rows) != files*few {
				t.Errorf("%d rows of %d events", len(rows), files*few)
			}
			// Another owner knows as much from the log alone.
			if err := r.stop(); err != nil {
				t.Fatal(err)
			}
			r = w.start(compacting)
			w.trickle(r, files*few, 40*few, few)
			w.untilFew(r, 12)
			v := w.judge()
			t.Logf("%d slots scored, %d files are there, %d of them live:\n%s", files+40, len(w.dataFiles()), w.liveFiles(0), v)
			if v.Compactions == 0 || v.Kept > 8 {
				t.Errorf("%+v", v)
			}
		})
	}
}

// TestFilesStayFewOnALongStreamWithAShortPeriod shows the numbers.
func TestFilesStayFewOnALongStreamWithAShortPeriod(t *testing.T) {
	w := newWorld(t, 1)
	w.promote(1)
	r := w.start(func(c *Config) {
		c.Rolling = Limits{Count: 1000, Period: time.Millisecond}
		c.Compaction = compact.Config{MinFiles: 8, Retention: 30 * time.Millisecond}
	})
	events := 0
	for round := range 5 {
		for range 60 {
			w.produceGood(events, 3)
			events += 3
			r.waitCommitted(int64(events))
		}
		w.untilFew(r, 40)
		v := w.judge()
		t.Logf("round %d: %d slots, %d compactions replaced %d files; there are %d, live %d", round, v.Partitions[0].Slots, v.Compactions, v.Replaced, len(w.dataFiles()), v.Partitions[0].Live)
		if v.Partitions[0].Live > 40 {
			t.Errorf("%d live files", v.Partitions[0].Live)
		}
	}
}

// TestCompactionWorksOnAStoreThatFails plays it on a store of which a tenth of
// the requests go wrong.
func TestCompactionWorksOnAStoreThatFails(t *testing.T) {
	w := newWorld(t, 1)
	w.promote(1)
	whole := w.sink
	faulty := fault.NewBucket(whole, fault.Plan{Seed: 11, Rules: []fault.Rule{
		{Fault: fault.LostRequest, Rate: 0.02}, {Fault: fault.LostReply, Rate: 0.03}, {Fault: fault.Reply412, Ops: fault.PutIfAbsent, Rate: 0.02},
		{Fault: fault.Reply503, Rate: 0.03}, {Fault: fault.BitFlip, Rate: 0.02, Times: 2},
	}})
	w.sink = faulty
	r := w.start(func(c *Config) { c.Compaction = compact.Config{MinFiles: 3, Retention: 10 * time.Millisecond} })
	w.trickle(r, 0, 300, 5)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	w.sink = whole
	if v := w.judge(); v.Compactions == 0 {
		t.Errorf("nothing was merged:\n%s", v)
	}
	if rows, _ := w.readLive(0); len(rows) != 300 {
		t.Errorf("%d rows of 300 events", len(rows))
	}
}

// claimedMerge leaves a log with small files and a compaction of them that was
// claimed, and maybe published, by an owner that then died.
func (w *world) claimedMerge(published bool) *commitlog.Log {
	w.t.Helper()
	r := w.start(func(c *Config) { c.Rolling.Count = 5 })
	w.trickle(r, 0, 30, 5)
	if err := r.stop(); err != nil {
		w.t.Fatal(err)
	}
	ctx := context.Background()
	log, err := r.openLog()
	if err != nil {
		w.t.Fatal(err)
	}
	state, err := log.Open(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	in := commitlog.Intent{Seq: state.NextSeq, ID: commitlog.NewID(), Pipeline: w.config.Pipeline, Topic: topic, From: state.NextOffset, To: state.NextOffset,
		SpecGeneration: w.config.Generation, ScoredAtUS: time.Now().UnixMicro(), Previous: state.Previous, TopicID: state.TopicID, LeaderEpoch: state.LeaderEpoch,
		Action: commitlog.Compact, Slots: [2]uint64{1, 5}}
	if won, _, err := log.Claim(ctx, in); err != nil || !won {
		w.t.Fatal(won, err)
	}
	if published {
		run := newRunner(r.Scorer, log)
		inputs, _, err := compact.ReadInputs(ctx, log, &in)
		if err != nil {
			w.t.Fatal(err)
		}
		// Another build may compress otherwise: the same rows in other bytes.
		run.files.NewMerger = func(int64) compact.Merger { return compact.NewParquetMerger(dataset.Snappy, 0) }
		work, _, err := run.files.Merge(ctx, inputs)
		if err != nil {
			w.t.Fatal(err)
		}
		if _, err := work.Publish(ctx, log, nil); err != nil {
			w.t.Fatal(err)
		}
	}
	return log
}

// TestASuccessorFinishesACompactionThatItFinds: whatever its own section says,
// and whether or not there was one.
func TestASuccessorFinishesACompactionThatItFinds(t *testing.T) {
	for _, published := range []bool{false, true} {
		w := newWorld(t, 1)
		w.promote(1)
		w.claimedMerge(published)
		before, _ := w.readLive(0)
		r := w.start()
		w.trickle(r, 30, 5, 5)
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		v := w.judge()
		if v.Compactions != 1 || v.Replaced != 4 || v.Kept != 4 || v.Partitions[0].Live != 4 {
			t.Errorf("published %t:\n%s", published, v)
		}
		rows, _ := w.readLive(0)
		for at, row := range before {
			if !maps.Equal(row.cells, rows[at].cells) {
				t.Errorf("offset %d was %v and is %v", at, row.cells, rows[at].cells)
			}
		}
	}
}

// TestAClaimedCompactionWhoseFilesAreGoneStopsTheStream: nothing else may have
// the slot, so it says so.
func TestAClaimedCompactionWhoseFilesAreGoneStopsTheStream(t *testing.T) {
	w := newWorld(t, 1)
	w.promote(1)
	w.claimedMerge(false)
	for _, key := range w.dataFiles() {
		if strings.Contains(key, "/000000000002-") {
			if err := w.sink.Delete(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		}
	}
	r := w.start()
	err := <-r.ended
	r.ended <- err
	if !thalweg.Is(err, thalweg.NotFound) || !strings.Contains(err.Error(), "compaction") {
		t.Errorf("it ended with %v", err)
	}
}

// TestADamagedFileIsLeftAloneAndScoringGoesOn: what cannot be merged is named,
// and nothing waits for it.
func TestADamagedFileIsLeftAloneAndScoringGoesOn(t *testing.T) {
	w := newWorld(t, 1)
	w.promote(1)
	r := w.start(func(c *Config) { c.Rolling.Count = 5 })
	w.trickle(r, 0, 20, 5)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	damaged := w.dataFiles()[2]
	body, _, err := w.sink.Get(t.Context(), damaged)
	if err != nil {
		t.Fatal(err)
	}
	body[len(body)/2] ^= 1
	if _, err := w.sink.Put(t.Context(), damaged, body); err != nil {
		t.Fatal(err)
	}
	r = w.start(func(c *Config) { c.Compaction = compact.Config{MinFiles: 4, Retention: time.Millisecond} })
	r.wait("the reason", func(s Status) bool {
		return strings.Contains(s.Message, "files are not merged") && strings.Contains(s.Message, damaged)
	})
	w.trickle(r, 20, 20, 5)
	if s := r.Status(); s.State != thalweg.StreamRunning {
		t.Errorf("%+v", s)
	}
}

// TestReplacedFilesThatALateRequestPutsBackAreDeletedAgain plays a zombie.
func TestReplacedFilesThatALateRequestPutsBackAreDeletedAgain(t *testing.T) {
	w := newWorld(t, 1)
	w.promote(1)
	plain := w.start(func(c *Config) { c.Rolling.Count = 5 })
	w.trickle(plain, 0, 40, 5)
	if err := plain.stop(); err != nil {
		t.Fatal(err)
	}
	old := w.objects()
	r := w.start(func(c *Config) { c.Compaction = compact.Config{MinFiles: 4, Retention: 100 * time.Millisecond} })
	w.untilFew(r, 2)
	for key, body := range old {
		if strings.Contains(key, "/data/") {
			if _, err := w.sink.PutIfAbsent(t.Context(), key, []byte(body)); err != nil && !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
		}
	}
	w.judge() // they are in nobody's way
	w.untilFew(r, 2)
}

// TestMergedFilesDependOnTheirRowsAlone is why a successor makes the same bytes.
func TestMergedFilesDependOnTheirRowsAlone(t *testing.T) {
	w := newWorld(t, 1)
	w.promote(1)
	r := w.start(func(c *Config) { c.Rolling.Count = 7 })
	w.trickle(r, 0, 70, 7)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	var parts [][]byte
	for _, key := range w.dataFiles() {
		body, _, err := w.sink.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, body)
	}
	join := func(parts ...[]byte) []byte {
		m := compact.NewParquetMerger(dataset.Zstd, 0)
		for _, p := range parts {
			if err := m.Add("", "part", p); err != nil {
				t.Fatal(err)
			}
		}
		files, err := m.Close()
		if err != nil {
			t.Fatal(err)
		}
		return files[0].Body
	}
	whole := join(parts...)
	if twoSteps := join(join(parts[:4]...), join(parts[4:6]...), join(parts[6:]...)); !bytes.Equal(whole, twoSteps) {
		t.Error("merged in two steps the file has other bytes")
	}
	var want, got []scoredRow
	for _, p := range parts {
		want = append(want, decodeRows(t, p)...)
	}
	got = decodeRows(t, whole)
	if !slices.EqualFunc(got, want, func(a, b scoredRow) bool { return maps.Equal(a.cells, b.cells) }) {
		t.Error("the rows are others, or in another order")
	}
	other := compact.NewParquetMerger(dataset.Zstd, 0)
	if err := other.Add("", "a", parts[0]); err != nil {
		t.Fatal(err)
	}
	if err := other.Add("", "b", fileOfOtherColumns(t)); !errors.Is(err, engine.ErrOtherColumns) {
		t.Errorf("a file of other columns: %v", err)
	}
}

// fileOfOtherColumns returns a Parquet file of one column.
func fileOfOtherColumns(t *testing.T) []byte {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{{Name: "x", Type: arrow.PrimitiveTypes.Int64}}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	b.Field(0).(*array.Int64Builder).Append(1)
	rec := b.NewRecord()
	defer rec.Release()
	var out bytes.Buffer
	f, err := dataset.NewWriter(&out, schema, dataset.WriterConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Write(rec), f.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestDaysAreMergedApart: of a partitioned sink each day gets a file of its own.
func TestDaysAreMergedApart(t *testing.T) {
	w := newWorld(t, 1)
	w.promote(1)
	r := w.start(func(c *Config) {
		c.PartitionBy = "date"
		c.Rolling.Count = 10
		c.Compaction = compact.Config{MinFiles: 4, Retention: 10 * time.Millisecond}
	})
	w.trickle(r, 0, 300, 10) // of 28 days
	w.untilFew(r, 3*28)
	v := w.judge()
	if v.Compactions == 0 {
		t.Errorf("nothing was merged:\n%s", v)
	}
	if rows, _ := w.readLive(0); len(rows) != 300 {
		t.Errorf("%d rows of 300 events", len(rows))
	}
	t.Logf("300 rows of 28 days in %d files:\n%s", len(w.dataFiles()), v)
}
