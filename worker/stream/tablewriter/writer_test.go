package tablewriter

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/memory"
	"github.com/thalweg/thalweg/storage/table/delta"
)

var flights = Source{Topic: "flights", Partition: 3}

func TestFinishedSlotsAreInTheTable(t *testing.T) {
	b := memory.New()
	a, other := newAuthor(t, b, flights, 1), newAuthor(t, b, Source{Topic: "flights", Partition: 4}, 2)
	replay := newAuthor(t, b, Source{Topic: "flights", Partition: 3, Replay: true}, 3)
	a.slot(0) // dead letters only
	w := start(t, b, Config{}, flights, other.source, replay.source)
	for range 5 {
		a.slot(10)
		w.settle(a)
		other.slot(7)
		w.settle(other)
	}
	replay.slot(2)
	w.settle(replay)
	for _, a := range []*author{a, other, replay} {
		s, files := tableOf(t, b, a.source)
		if got, want := paths(files), a.liveAfter(a.slots()); !slices.Equal(got, want) {
			t.Errorf("%s: files %v, want %v", a.source, got, want)
		}
		if s.Txns[a.source.AppID()] != int64(a.slots())-1 {
			t.Errorf("%s: txns %v", a.source, s.Txns)
		}
	}
	s, files := tableOf(t, b, flights)
	// A reader may pass over a file whose statistics have bounds of some columns when
	// a filter asks for another one.
	if want := `{"numRecords":10}`; files[0].Stats != want {
		t.Errorf("statistics %s, want %s: of every column or none", files[0].Stats, want)
	}
	if got := s.Schema.String(); !strings.Contains(got, `{"name":"_scored_at","type":"timestamp","nullable":true`) {
		t.Errorf("schema %s", got)
	}
	if w.Status().Lost > 0 {
		t.Errorf("lost %d commits to nobody", w.Status().Lost)
	}
}

func TestAnotherWriterGoesOnWhereTheFirstEnded(t *testing.T) {
	b := memory.New()
	a := newAuthor(t, b, flights, 1)
	first := start(t, b, Config{CheckpointEvery: 2}, flights)
	for range 300 {
		if a.slot(1) > 250 {
			first.settle(a)
		}
	}
	first.settle(a)
	first.stop()
	a.slot(1)
	second := start(t, b, Config{CheckpointEvery: 2}, flights)
	second.settle(a)
	s, files := tableOf(t, b, flights)
	if got, want := paths(files), a.liveAfter(301); !slices.Equal(got, want) {
		t.Errorf("%d files, want %d", len(got), len(want))
	}
	if s.Checkpoint < 0 {
		t.Error("no checkpoint")
	}
}

func TestSlotsOfManyDaysHaveTheirDays(t *testing.T) {
	b := memory.New()
	a := newAuthor(t, b, flights, 1)
	a.by = "date"
	a.slot(9, "2026-01-01", "2026-01-02", "__HIVE_DEFAULT_PARTITION__")
	w := start(t, b, Config{}, flights)
	w.settle(a)
	s, files := tableOf(t, b, flights)
	if !slices.Equal(s.Metadata.PartitionColumns, []string{"date_date"}) || s.Schema[len(s.Schema)-1].Type != delta.Date {
		t.Errorf("partition columns %v, schema %s", s.Metadata.PartitionColumns, s.Schema)
	}
	if len(files) != 3 || *files[0].PartitionValues["date_date"] != "2026-01-01" || files[2].PartitionValues["date_date"] != nil {
		t.Errorf("files %+v", files)
	}
	// A slot that is partitioned otherwise cannot be in this table.
	a.by = ""
	a.slot(5)
	w.Finished(flights, a.slots())
	status := w.wait(flights, func(s SourceStatus) bool { return s.Message != "" })
	if status.Behind != 1 || !strings.Contains(status.Message, "partitioned by") {
		t.Errorf("%+v", status)
	}
}

func TestColumnsThatDifferInCaseAreRefusedInTheFirstFileToo(t *testing.T) {
	b := memory.New()
	a := newAuthor(t, b, flights, 1)
	number := arrow.Field{Name: "Weather", Type: arrow.PrimitiveTypes.Float64, Nullable: true}
	same := number
	same.Name = "weather"
	a.body = func(_ int, from, to int64) ([]byte, int64) { return parquetFile(t, from, to, number, same), to - from }
	a.slot(5)
	w := start(t, b, Config{}, flights)
	w.Finished(flights, 1)
	status := w.wait(flights, func(s SourceStatus) bool { return s.Message != "" })
	if !strings.Contains(status.Message, "column weather") || !strings.Contains(status.Message, "it differs from column Weather in case only") {
		t.Errorf("message %q", status.Message)
	}
}

func TestColumnsAreAddedAndATypeIsRefusedByName(t *testing.T) {
	b := memory.New()
	a := newAuthor(t, b, flights, 1)
	other := newAuthor(t, b, Source{Topic: "flights", Partition: 4}, 2)
	file := func(fields ...arrow.Field) func(int, int64, int64) ([]byte, int64) {
		return func(_ int, from, to int64) ([]byte, int64) { return parquetFile(t, from, to, fields...), to - from }
	}
	a.slot(5)
	a.body = file(arrow.Field{Name: "weather", Type: arrow.PrimitiveTypes.Float64, Nullable: true})
	a.slot(5)
	a.body = file(arrow.Field{Name: "origin", Type: arrow.PrimitiveTypes.Int64, Nullable: true})
	a.slot(5)
	w := start(t, b, Config{}, flights, other.source)
	w.Finished(flights, 3)
	status := w.wait(flights, func(s SourceStatus) bool { return s.Message != "" && s.Behind == 1 })
	if !strings.Contains(status.Message, "column origin") || !strings.Contains(status.Message, "it is long now, string in the table") {
		t.Errorf("message %q", status.Message)
	}
	s, files := tableOf(t, b, flights)
	if got := paths(files); !slices.Equal(got, a.liveAfter(2)) {
		t.Errorf("files %v", got)
	}
	var names []string
	for _, f := range s.Schema {
		names = append(names, f.Name)
	}
	if !slices.Equal(names, []string{"origin", "_offset", "_scored_at", "weather"}) {
		t.Errorf("columns %v", names)
	}
	// The others go on.
	other.slot(3)
	w.settle(other)
}

func TestACompactionIsOneVersionThatChangesNoData(t *testing.T) {
	b := memory.New()
	a := newAuthor(t, b, flights, 1)
	w := start(t, b, Config{}, flights)
	a.slot(5)
	a.slot(0)
	a.slot(6)
	a.slot(7)
	w.settle(a)
	a.compact(0, 2)
	w.settle(a)
	table := delta.New(b, prefix)
	s, files := tableOf(t, b, flights)
	if got, want := paths(files), a.liveAfter(a.slots()); !slices.Equal(got, want) {
		t.Errorf("files %v, want %v", got, want)
	}
	c, err := table.Read(t.Context(), s.Version)
	if err != nil {
		t.Fatal(err)
	}
	adds, removes := 0, 0
	for _, x := range c.Actions {
		if x.Add != nil {
			adds++
		}
		if x.Remove != nil {
			removes++
		}
		if x.Add != nil && x.Add.DataChange || x.Remove != nil && x.Remove.DataChange {
			t.Error("the compaction says that it changes data")
		}
	}
	if adds != 1 || removes != 2 {
		t.Errorf("%d files added, %d removed", adds, removes)
	}
	// A merge of a merge, while the writer was away, and both inputs deleted.
	w.stop()
	a.slot(3)
	four := a.compact(3, 4)
	a.compact(four, 5)
	a.sweep()
	second := start(t, b, Config{}, flights)
	second.settle(a)
	_, files = tableOf(t, b, flights)
	if got, want := paths(files), a.liveAfter(a.slots()); !slices.Equal(got, want) {
		t.Errorf("after the second: files %v, want %v", got, want)
	}
}

func TestATableThatBeginsLateHasWhatIsLeft(t *testing.T) {
	for name, late := range map[string]int64{"and nothing else is there": 0, "and files with less are back": 1, "and files with more are back": 30} {
		t.Run(name, func(t *testing.T) {
			b := memory.New()
			a := newAuthor(t, b, flights, 1)
			for range 20 {
				a.slot(2)
			}
			first := a.compact(0, 1, 2, 3)
			a.slot(2)
			a.compact(first, 4, 5)
			a.slot(2)
			gone := a.removals
			a.sweep()
			for _, key := range gone {
				if late > 0 { // by a late request of who had another part of the claim
					_, err := b.PutIfAbsent(t.Context(), key, parquetFile(t, 0, late))
					a.check(err)
				}
			}
			w := start(t, b, Config{}, flights)
			w.settle(a)
			_, files := tableOf(t, b, flights)
			if got, want := paths(files), a.liveAfter(a.slots()); !slices.Equal(got, want) {
				t.Errorf("files %v, want %v", got, want)
			}
		})
	}
}

func TestAnObjectThatIsGoneIsNamedAndWaitedFor(t *testing.T) {
	b := memory.New()
	a := newAuthor(t, b, flights, 1)
	a.slot(2)
	a.slot(2)
	key := a.live[0][0].Key
	body, _, err := b.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	w := start(t, b, Config{}, flights)
	w.Finished(flights, 2)
	status := w.wait(flights, func(s SourceStatus) bool { return s.Message != "" })
	if !strings.Contains(status.Message, key) || status.Behind != 2 {
		t.Errorf("%+v", status)
	}
	if _, err := b.Put(t.Context(), key, body); err != nil {
		t.Fatal(err)
	}
	w.settleAnyhow(a)
	_, files := tableOf(t, b, flights)
	if got := paths(files); !slices.Equal(got, a.liveAfter(2)) {
		t.Errorf("files %v", got)
	}
}

// settleAnyhow is settle for a source that has a message meanwhile.
func (r *running) settleAnyhow(a *author) {
	r.t.Helper()
	r.wait(a.source, func(s SourceStatus) bool { return s.Behind == 0 && s.Message == "" })
}

func TestARewriteByAnotherWriterIsRespectedOrRefused(t *testing.T) {
	rewrite := func(t *testing.T, b storage.Bucket, remove ...string) {
		t.Helper()
		table := delta.New(b, prefix)
		s, err := table.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c := &delta.Commit{Version: s.Version + 1, Actions: []delta.Action{{CommitInfo: &delta.CommitInfo{TxnID: "optimize", Operation: "OPTIMIZE"}},
			{Add: &delta.Add{Path: "part-0.parquet", PartitionValues: map[string]*string{}, Size: 1, Stats: `{"numRecords":4}`}}}}
		for _, path := range remove {
			c.Actions = append(c.Actions, delta.Action{Remove: &delta.Remove{Path: path}})
		}
		if won, _, err := table.Commit(t.Context(), c); err != nil || !won {
			t.Fatal(won, err)
		}
	}
	for _, all := range []bool{true, false} {
		b := memory.New()
		a := newAuthor(t, b, flights, 1)
		a.slot(2)
		a.slot(2)
		w := start(t, b, Config{}, flights)
		w.settle(a)
		before := a.liveAfter(2)
		if all {
			rewrite(t, b, before...)
		} else {
			rewrite(t, b, before[0])
		}
		a.compact(0, 1)
		w.Finished(flights, a.slots())
		_ = w.Settle(t.Context(), flights) // it may be refused: the message says so
		status := w.Status().Sources[flights]
		s, files := tableOf(t, b, flights)
		if all && (len(files) != 0 || status.Message != "" || s.Recent["part-0.parquet"].Add == nil || s.Txns[flights.AppID()] != 2) {
			t.Errorf("rewritten wholly: files %v, %+v", paths(files), status)
		}
		if !all && (!slices.Equal(paths(files), before[1:]) || !strings.Contains(status.Message, "slot 2") || !strings.Contains(status.Message, "2 of the 4 rows")) {
			t.Errorf("rewritten in part: files %v, %+v", paths(files), status)
		}
		w.stop()
	}
}

func TestATableThatDemandsMoreStopsTheTableAndNothingElse(t *testing.T) {
	b := memory.New()
	a := newAuthor(t, b, flights, 1)
	a.slot(2)
	w := start(t, b, Config{}, flights)
	w.settle(a)
	table := delta.New(b, prefix)
	if won, _, err := table.Commit(t.Context(), &delta.Commit{Version: 1, Actions: []delta.Action{{CommitInfo: &delta.CommitInfo{TxnID: "x"}},
		{Protocol: &delta.Protocol{MinReaderVersion: 3, MinWriterVersion: 7, ReaderFeatures: []string{"deletionVectors"}}}}}); err != nil || !won {
		t.Fatal(won, err)
	}
	a.slot(2)
	w.Finished(flights, 2)
	status := w.wait(flights, func(s SourceStatus) bool { return s.Message != "" })
	if !strings.Contains(status.Message, "deletionVectors") {
		t.Errorf("%+v", status)
	}
	if s, _ := tableOf(t, b, flights); s.Version != 1 {
		t.Errorf("version %d was written", s.Version)
	}
}

// counted counts requests.
type counted struct {
	storage.Bucket
	n map[string]int
}

func (c counted) GetRange(ctx context.Context, key string, offset int64, buf []byte) error {
	c.n["get"]++
	return c.Bucket.GetRange(ctx, key, offset, buf)
}

func (c counted) Head(ctx context.Context, key string) (storage.Info, error) {
	c.n["head"]++
	return c.Bucket.Head(ctx, key)
}

func (c counted) PutIfAbsent(ctx context.Context, key string, body []byte) (storage.Info, error) {
	c.n["put"]++
	return c.Bucket.PutIfAbsent(ctx, key, body)
}

// What a slot costs is promised in DESIGN.md.
func TestASlotCostsSevenRequests(t *testing.T) {
	b := memory.New()
	a := newAuthor(t, b, flights, 1)
	a.slot(1)
	c := counted{b, map[string]int{}}
	w := start(t, c, Config{}, flights)
	w.settle(a)
	w.stop()
	w = start(t, c, Config{}, flights)
	w.settle(a)
	clear(c.n)
	const n = 50
	for range n {
		a.slot(1)
		w.settle(a)
	}
	w.stop()
	// Done and intent, each asked for and read; a footer, twice; a version of the table.
	if c.n["head"] != 2*n || c.n["get"] != 4*n || c.n["put"] != n {
		t.Errorf("%d slots cost %v", n, c.n)
	}
}
