package tablewriter

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"go.uber.org/goleak"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/dataset"
	"github.com/thalweg/thalweg/storage/table/delta"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const prefix = "scored/"

// author writes the commit log of a source as scorers and compactors do.
type author struct {
	t        testing.TB
	bucket   storage.Bucket
	source   Source
	log      *commitlog.Log
	rng      *rand.Rand
	offset   int64
	at       int64 // ms
	by       string
	live     map[uint64][]commitlog.Object // scored objects by slot
	ranges   map[uint64][2]int64
	entries  []commitlog.Done
	removals []string // objects that compactions have replaced, and nobody has deleted
	body     func(part int, from, to int64) ([]byte, int64)
}

func newAuthor(t testing.TB, b storage.Bucket, s Source, seed uint64) *author {
	t.Helper()
	log, err := commitlog.New(b, commitlog.Config{Prefix: prefix, Pipeline: "p", Topic: s.Topic, Partition: s.Partition, Replay: s.Replay})
	if err != nil {
		t.Fatal(err)
	}
	a := &author{t: t, bucket: b, source: s, log: log, rng: rand.New(rand.NewPCG(seed, 7)), at: 1_750_000_000_000, live: map[uint64][]commitlog.Object{},
		ranges: map[uint64][2]int64{}}
	a.body = func(_ int, from, to int64) ([]byte, int64) {
		return parquetFile(t, from, to, arrow.Field{Name: "origin", Type: arrow.BinaryTypes.String, Nullable: true}), to - from
	}
	a.check2(log.Open(context.Background()))
	return a
}

func (a *author) check(err error) {
	a.t.Helper()
	if err != nil {
		a.t.Fatal(err)
	}
}

func (a *author) check2(_ commitlog.State, err error) { a.t.Helper(); a.check(err) }

func (a *author) id() string { return fmt.Sprintf("%016x%016x", a.rng.Uint64(), a.rng.Uint64()) }

func (a *author) claim(in commitlog.Intent) commitlog.Intent {
	a.t.Helper()
	state := a.log.State()
	a.at += 1000
	in.Seq, in.ID, in.Pipeline, in.Topic, in.Partition = state.NextSeq, a.id(), "p", a.source.Topic, a.source.Partition
	in.SpecGeneration, in.ScoredAtUS, in.Previous, in.PartitionBy = 1, a.at*1000, state.Previous, a.by
	won, _, err := a.log.Claim(context.Background(), in)
	a.check(err)
	if !won {
		a.t.Fatal("lost a slot that nobody else wants")
	}
	return in
}

// slot finishes a slot with rows for the given offsets; 0: with none.
func (a *author) slot(rows int64, days ...string) uint64 {
	a.t.Helper()
	in := commitlog.Intent{From: a.offset, To: a.offset + max(rows, 1), Model: "m", ModelVersion: 1,
		Checkpoint: thalweg.CheckpointRef{Key: "c", SHA256: strings.Repeat("a", 64)}}
	if a.source.Replay {
		in.Action, in.Slots = commitlog.Replay, [2]uint64{0, 1}
	}
	in = a.claim(in)
	var objects []commitlog.Object
	dropped := int64(0)
	switch {
	case rows == 0:
		dropped = 1
	case len(days) == 0:
		body, n := a.body(0, in.From, in.To)
		o, err := a.log.Publish(context.Background(), commitlog.Scored, "", n, body, nil)
		a.check(err)
		objects = append(objects, o)
	default:
		each := rows / int64(len(days))
		for i, day := range days {
			from := in.From + int64(i)*each
			to := from + each
			if i == len(days)-1 {
				to = in.To
			}
			body, n := a.body(i, from, to)
			o, err := a.log.Publish(context.Background(), commitlog.Scored, day, n, body, nil)
			a.check(err)
			objects = append(objects, o)
		}
	}
	d, err := a.log.Complete(commitlog.Done{Objects: objects, Dropped: dropped})
	a.check(err)
	a.finish(d)
	a.offset = in.To
	a.ranges[in.Seq] = [2]int64{in.From, in.To}
	return in.Seq
}

func (a *author) finish(d commitlog.Done) {
	a.t.Helper()
	_, _, err := a.log.Finish(context.Background(), d)
	a.check(err)
	if d.Scored > 0 {
		a.live[d.Seq] = d.Objects
	}
	for _, in := range d.Inputs {
		for _, o := range a.live[in] {
			a.removals = append(a.removals, o.Key)
		}
		delete(a.live, in)
	}
	a.entries = append(a.entries, d)
}

// compact merges the live objects of slots.
func (a *author) compact(inputs ...uint64) uint64 {
	a.t.Helper()
	slices.Sort(inputs)
	var rows int64
	span := [2]int64{1 << 62, 0}
	for _, in := range inputs {
		for _, o := range a.live[in] {
			rows += o.Rows
		}
		r := a.ranges[in]
		span = [2]int64{min(span[0], r[0]), max(span[1], r[1])}
	}
	in := a.claim(commitlog.Intent{Action: commitlog.Compact, From: a.offset, To: a.offset, Slots: [2]uint64{0, a.log.State().NextSeq}})
	body, n := a.body(0, span[0], span[0]+rows)
	if n != rows {
		a.t.Fatalf("%d rows in the merged file, want %d", n, rows)
	}
	publish := func() (commitlog.Object, error) {
		if a.by != "" { // of one day, for all that is judged here
			return a.log.Publish(context.Background(), commitlog.Scored, "2026-01-01", rows, body, nil)
		}
		return a.log.Publish(context.Background(), commitlog.Scored, "", rows, body, nil)
	}
	o, err := publish()
	a.check(err)
	d, err := a.log.Complete(commitlog.Done{Objects: []commitlog.Object{o}, Inputs: inputs, Offsets: span})
	a.check(err)
	a.finish(d)
	a.ranges[in.Seq] = span
	return in.Seq
}

// sweep deletes what compactions have replaced.
func (a *author) sweep() {
	a.t.Helper()
	for _, key := range a.removals {
		a.check(a.bucket.Delete(context.Background(), key))
	}
	a.removals = nil
}

// slots returns how many slots are finished.
func (a *author) slots() uint64 { return uint64(len(a.entries)) }

// liveAfter returns the paths that are live once the first n slots are.
func (a *author) liveAfter(n uint64) []string {
	live := map[uint64][]commitlog.Object{}
	for _, d := range a.entries[:n] {
		for _, in := range d.Inputs {
			delete(live, in)
		}
		if d.Scored > 0 {
			live[d.Seq] = d.Objects
		}
	}
	var paths []string
	for _, objects := range live {
		for _, o := range objects {
			if o.Kind == commitlog.Scored {
				paths = append(paths, strings.TrimPrefix(o.Key, prefix))
			}
		}
	}
	slices.Sort(paths)
	return paths
}

// parquetFile returns a file with the offsets [from, to) and other columns.
func parquetFile(t testing.TB, from, to int64, fields ...arrow.Field) []byte {
	t.Helper()
	fields = append(fields, arrow.Field{Name: "_offset", Type: arrow.PrimitiveTypes.Int64}, arrow.Field{Name: "_scored_at", Type: arrow.FixedWidthTypes.Timestamp_us})
	schema := arrow.NewSchema(fields, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for at := from; at < to; at++ {
		for _, c := range b.Fields() {
			switch c := c.(type) {
			case *array.StringBuilder:
				c.Append(fmt.Sprint("x", at%3))
			case *array.Int64Builder:
				c.Append(at)
			case *array.TimestampBuilder:
				c.Append(arrow.Timestamp(at*1000 + 1))
			case *array.Float64Builder:
				c.Append(float64(at))
			}
		}
	}
	rec := b.NewRecord()
	defer rec.Release()
	var out bytes.Buffer
	w, err := dataset.NewWriter(&out, schema, dataset.WriterConfig{})
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

// tableOf returns the newest snapshot and its files under a log's directory.
func tableOf(t testing.TB, b storage.Bucket, s Source) (*delta.Snapshot, []*delta.Add) {
	t.Helper()
	table := delta.New(b, prefix)
	snapshot, err := table.Load(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	dir := commitlog.Layout{Topic: s.Topic, Partition: s.Partition, Replay: s.Replay}.DataDir()
	var files []*delta.Add
	for a, err := range table.Files(context.Background(), snapshot) {
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(a.Path, dir) {
			files = append(files, a)
		}
	}
	slices.SortFunc(files, func(a, b *delta.Add) int { return strings.Compare(a.Path, b.Path) })
	return snapshot, files
}

func paths(files []*delta.Add) []string {
	var p []string
	for _, f := range files {
		p = append(p, f.Path)
	}
	return p
}

// running is a Writer whose Run is under way.
type running struct {
	*Writer
	t    testing.TB
	stop func()
}

func start(t testing.TB, b storage.Bucket, cfg Config, sources ...Source) *running {
	t.Helper()
	cfg.Pipeline, cfg.Prefix, cfg.MinBackoff = "p", prefix, time.Millisecond
	w := New(b, slog.New(slog.DiscardHandler), cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.Run(ctx)
	}()
	stop := func() { cancel(); <-done }
	t.Cleanup(stop)
	for _, s := range sources {
		w.Add(s)
	}
	return &running{w, t, stop}
}

// settle waits until all that an author finished is in the table.
func (r *running) settle(a *author) {
	r.t.Helper()
	r.Finished(a.source, a.slots())
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := r.Settle(ctx, a.source); err != nil {
		r.t.Fatal(err)
	}
}

// wait waits until the status of a source satisfies fact.
func (r *running) wait(s Source, fact func(SourceStatus) bool) SourceStatus {
	r.t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	for {
		r.mu.Lock()
		status, changed := r.mu.status.Sources[s], r.mu.changed
		r.mu.Unlock()
		if fact(status) {
			return status
		}
		select {
		case <-changed:
		case <-deadline.C:
			r.t.Fatalf("waited in vain: %+v", status)
		}
	}
}
