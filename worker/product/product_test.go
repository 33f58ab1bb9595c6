package product

import (
	"bytes"
	"context"
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
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/dataset"
	storememory "github.com/thalweg/thalweg/storage/memory"
	"github.com/thalweg/thalweg/storage/table/delta"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

func newTable(t *testing.T) *Table {
	t.Helper()
	bucket, err := storememory.NewOpener("lake").Bucket(t.Context(), "lake")
	if err != nil {
		t.Fatal(err)
	}
	return &Table{Place: storage.Place{Bucket: bucket, Name: "lake", Prefix: "t/"}, Owner: "p", Use: "rows"}
}

var oneColumn = arrow.NewSchema([]arrow.Field{{Name: "x", Type: arrow.PrimitiveTypes.Int64}}, nil)

// part writes a part of so many rows.
func (t *Table) part(test *testing.T, name, day string, rows int, rejects ...Reject) *Part {
	test.Helper()
	by := ""
	if day != "" {
		by = "at"
	}
	w := t.Create(name, "", by, dataset.WriterConfig{})
	b := array.NewRecordBuilder(memory.DefaultAllocator, oneColumn)
	defer b.Release()
	for i := range rows {
		b.Field(0).(*array.Int64Builder).Append(int64(i))
	}
	rec := b.NewRecord()
	defer rec.Release()
	if err := w.Write(test.Context(), day, rec); err != nil {
		test.Fatal(err)
	}
	for _, r := range rejects {
		if err := w.Reject(test.Context(), r); err != nil {
			test.Fatal(err)
		}
	}
	p, err := w.Close(test.Context(), pipeline.Report{RowsIn: int64(rows + len(rejects)), RowsOut: int64(rows), Rejected: int64(len(rejects))})
	if err != nil {
		test.Fatal(err)
	}
	return p
}

func (t *Table) replace(test *testing.T, minute int, parts ...*Part) (int64, bool) {
	test.Helper()
	version, changed, err := t.Replace(test.Context(), Contents{Schema: oneColumn, Parts: parts, Now: time.Unix(int64(minute)*60, 0), NewID: fmt.Sprintf("%032d", minute)})
	if err != nil {
		test.Fatal(err)
	}
	return version, changed
}

// files returns the names in the table, those that lie there, and the parts and rejects
// that are known.
func (t *Table) files(test *testing.T) (live, there, known string) {
	test.Helper()
	log := delta.New(t.Bucket, t.Prefix)
	s, err := log.Load(test.Context())
	if err != nil {
		test.Fatal(err)
	}
	var of [3][]string
	for add, err := range log.Files(test.Context(), s) {
		if err != nil {
			test.Fatal(err)
		}
		of[0] = append(of[0], strings.TrimPrefix(add.Path, dataDir))
	}
	for info, err := range t.Bucket.List(test.Context(), t.Prefix, "") {
		if err != nil {
			test.Fatal(err)
		}
		switch key := info.Key[len(t.Prefix):]; {
		case strings.HasPrefix(key, dataDir):
			of[1] = append(of[1], strings.TrimPrefix(key, dataDir))
		case strings.HasPrefix(key, partsDir), strings.HasPrefix(key, RejectsDir):
			of[2] = append(of[2], key)
		}
	}
	slices.Sort(of[0])
	return strings.Join(of[0], " "), strings.Join(of[1], " "), strings.Join(of[2], " ")
}

// A run replaces a table whole, and what it replaced stays for those that read it, as long
// as a version of the last ten minutes had it; checkpoints change nothing about that.
func TestATableIsReplacedWholeAndStaleFilesAreCollected(t *testing.T) {
	table := newTable(t)
	if err := table.Claim(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, b := table.part(t, "a", "", 3, Reject{Object: "o", Stage: "s"}), table.part(t, "b", "", 5)
	table.part(t, "lost", "", 1) // of a run that was given up
	if v, changed := table.replace(t, 1, a, b); v != 0 || !changed {
		t.Errorf("version %d, %v", v, changed)
	}
	if v, changed := table.replace(t, 2, a, b); v != 0 || changed {
		t.Errorf("the same again is version %d, %v", v, changed)
	}
	expect := func(what, live, there, known string) {
		t.Helper()
		if l, h, k := table.files(t); l != live || h != there || k != known {
			t.Errorf("%s: live %s; there %s; known %s", what, l, h, k)
		}
	}
	expect("two parts", "a-00.parquet b-00.parquet", "a-00.parquet b-00.parquet", "_parts/a.json _parts/b.json _rejects/a-00.jsonl")
	c := table.part(t, "c", "", 7)
	if v, _ := table.replace(t, 3, b, c); v != 1 {
		t.Errorf("version %d", v)
	}
	expect("one replaced", "b-00.parquet c-00.parquet", "a-00.parquet b-00.parquet c-00.parquet", "_parts/b.json _parts/c.json")
	table.replace(t, 4, b, c)
	expect("soon after", "b-00.parquet c-00.parquet", "a-00.parquet b-00.parquet c-00.parquet", "_parts/b.json _parts/c.json")
	table.replace(t, 14, b, c)
	expect("long after", "b-00.parquet c-00.parquet", "b-00.parquet c-00.parquet", "_parts/b.json _parts/c.json")
	for i := range 2 * checkpointEvery {
		d := table.part(t, fmt.Sprint("d", i), "", 1)
		if v, _ := table.replace(t, 100+20*i, d); v != int64(i+2) {
			t.Errorf("version %d", v)
		}
		before := "b-00.parquet c-00.parquet"
		if i > 0 {
			before = fmt.Sprintf("d%d-00.parquet", i-1)
		}
		live := fmt.Sprintf("d%d-00.parquet", i)
		both := strings.Fields(before + " " + live)
		slices.Sort(both)
		expect(fmt.Sprint("version ", i+2), live, strings.Join(both, " "), fmt.Sprintf("_parts/d%d.json", i))
	}
	if s, err := delta.New(table.Bucket, table.Prefix).Load(t.Context()); err != nil || s.Checkpoint < 0 {
		t.Errorf("no checkpoint: %v, %v", s, err)
	}
	if part, err := table.Find(t.Context(), "a", ""); part != nil || err != nil {
		t.Errorf("a part that was collected is found: %v, %v", part, err)
	}
}

// A file that a version replaced stays for the whole retention, however many checkpoints
// are written meanwhile, and goes after it.
func TestReplacedFilesStayForTheRetentionAcrossCheckpoints(t *testing.T) {
	table := newTable(t)
	const retention = 24 // hours, of which each version takes one
	for i := range 3 * retention {
		c := Contents{Schema: oneColumn, Parts: []*Part{table.part(t, fmt.Sprintf("v%02d", i), "", 1)}, Now: time.Unix(0, 0).Add(time.Duration(i) * time.Hour),
			NewID: fmt.Sprintf("%032d", i), Retention: retention * time.Hour}
		if _, _, err := table.Replace(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if i%7 == 0 {
			if err := table.Collect(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		var want []string
		for j := max(0, i-retention); j <= i; j++ { // j was replaced at j+1
			want = append(want, fmt.Sprintf("v%02d-00.parquet", j))
		}
		if _, there, _ := table.files(t); there != strings.Join(want, " ") {
			t.Fatalf("version %d: there are %s\nwant %v", i, there, want)
		}
	}
}

// raced is a bucket in which somebody else makes a version of the table first.
type raced struct {
	storage.Bucket
	at string
}

func (r *raced) PutIfAbsent(ctx context.Context, key string, body []byte) (storage.Info, error) {
	if key == r.at {
		r.at = ""
		commit := delta.Commit{Version: 1, Actions: []delta.Action{{CommitInfo: &delta.CommitInfo{TxnID: "other"}}}}
		other, err := commit.Encode()
		if err == nil {
			_, err = r.Bucket.PutIfAbsent(ctx, key, other)
		}
		if err != nil {
			return storage.Info{}, err
		}
	}
	return r.Bucket.PutIfAbsent(ctx, key, body)
}

// Of two that replace a table at once one succeeds, and the other does not overwrite it.
func TestOfTwoReplacementsOneIsAConflict(t *testing.T) {
	table := newTable(t)
	table.replace(t, 1, table.part(t, "a", "", 3))
	b := table.part(t, "b", "", 5)
	table.Bucket = &raced{table.Bucket, delta.Layout(table.Prefix).CommitKey(1)}
	c := Contents{Schema: oneColumn, Parts: []*Part{b}, Now: time.Unix(120, 0), NewID: strings.Repeat("7", 32)}
	if _, _, err := table.Replace(t.Context(), c); !thalweg.Is(err, thalweg.Conflict) {
		t.Errorf("%v", err)
	}
	if live, there, _ := table.files(t); live != "a-00.parquet" || there != "a-00.parquet b-00.parquet" {
		t.Errorf("live %s, there %s", live, there)
	}
	if v, changed, err := table.Replace(t.Context(), c); v != 2 || !changed || err != nil {
		t.Errorf("tried again: %d, %v, %v", v, changed, err)
	}
}

// A run that was taken for dead neither replaces the table nor removes what a later one has
// written, however far it was.
func TestARunIsFencedByTheClaimOfALaterOne(t *testing.T) {
	earlier := newTable(t)
	later := *earlier
	earlier.Run, later.Run = "p-1-9", "p-2-1"
	if err := earlier.Claim(t.Context()); err != nil {
		t.Fatal(err)
	}
	a := earlier.part(t, "a", "", 3)
	earlier.replace(t, 1, a)
	if err := later.Claim(t.Context()); err != nil {
		t.Fatal(err)
	}
	b := later.part(t, "b", "", 5)
	expect := func(wantLive string) {
		t.Helper()
		for _, parts := range [][]*Part{{a}, {earlier.part(t, "late", "", 1)}} {
			_, _, err := earlier.Replace(t.Context(), Contents{Schema: oneColumn, Parts: parts, Now: time.Unix(3600, 0), NewID: strings.Repeat("7", 32)})
			if !thalweg.Is(err, thalweg.Conflict) || !strings.Contains(err.Error(), "run p-2-1 has claimed it since run p-1-9 did") {
				t.Errorf("%v", err)
			}
		}
		if live, there, _ := later.files(t); live != wantLive || there != "a-00.parquet b-00.parquet late-00.parquet" {
			t.Errorf("live %s, there %s", live, there)
		}
	}
	expect("a-00.parquet")
	later.replace(t, 2, b)
	expect("b-00.parquet")
	// It is claimed while its sweep is about to begin.
	c := later.part(t, "c", "", 2)
	later.Bucket = &claimed{later.Bucket, earlier, delta.Layout(later.Prefix).CommitKey(2)}
	version, changed, err := later.Replace(t.Context(), Contents{Schema: oneColumn, Parts: []*Part{c}, Now: time.Unix(7200, 0), NewID: strings.Repeat("8", 32)})
	if version != 2 || !changed || !thalweg.Is(err, thalweg.Conflict) {
		t.Errorf("%d, %v, %v", version, changed, err)
	}
	if live, there, _ := later.files(t); live != "c-00.parquet" || there != "a-00.parquet b-00.parquet c-00.parquet late-00.parquet" {
		t.Errorf("live %s, there %s", live, there)
	}
}

// claimed is a bucket in which a table is claimed as soon as a key is there.
type claimed struct {
	storage.Bucket
	table *Table
	at    string
}

func (c *claimed) PutIfAbsent(ctx context.Context, key string, body []byte) (storage.Info, error) {
	info, err := c.Bucket.PutIfAbsent(ctx, key, body)
	if err == nil && key == c.at {
		err = c.table.Claim(ctx)
	}
	return info, err
}

// A part whose objects are not all there, or whose record is damaged, is not found.
func TestOnlyWholePartsAreFound(t *testing.T) {
	table := newTable(t)
	p := table.part(t, "a", "2026-01-02", 3)
	if got, err := table.Find(t.Context(), "a", ""); err != nil || fmt.Sprint(got) != fmt.Sprint(p) || got.Files[0].Path != "data/at_date=2026-01-02/a-00.parquet" {
		t.Errorf("%v, %v", got, err)
	}
	for key, body := range map[string]string{"t/data/at_date=2026-01-02/a-00.parquet": "short", "t/_parts/a.json": `{"name":"b"}`} {
		whole, _, err := table.Bucket.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := table.Bucket.Put(t.Context(), key, []byte(body)); err != nil {
			t.Fatal(err)
		}
		if got, err := table.Find(t.Context(), "a", ""); got != nil || err != nil {
			t.Errorf("%s: %v, %v", key, got, err)
		}
		if _, err := table.Bucket.Put(t.Context(), key, whole); err != nil {
			t.Fatal(err)
		}
	}
}

// Rows that are in no count are an error, wherever they were lost.
func TestEachRowIsInOneCount(t *testing.T) {
	table := newTable(t)
	if _, err := table.Create("a", "", "", dataset.WriterConfig{}).Close(t.Context(), pipeline.Report{RowsIn: 3, Rejected: 1, Dropped: map[string]int64{"f": 1}}); err == nil || !strings.Contains(err.Error(), "3 rows were read, 2 are written") {
		t.Errorf("%v", err)
	}
	total := Sum([]*Part{table.part(t, "b", "", 3, Reject{Object: "o"}), table.part(t, "c", "", 2)})
	if err := total.Balance(6); err != nil || total.Files != 2 || total.Rejects != "_rejects/b-00.jsonl" || len(total.First) != 1 {
		t.Errorf("%v, %+v", err, total)
	}
	if err := total.Balance(7); err == nil {
		t.Error("a row of the dataset is missing, and nobody says so")
	}
}

// Many rows become several files, cut at fixed rows, and rejected ones are bounded.
func TestFilesAndRejectedRowsAreBounded(t *testing.T) {
	table := newTable(t)
	p := table.part(t, "a", "", maxFileRows+5)
	if len(p.Files) != 2 || p.Files[0].Rows != maxFileRows || p.Files[1].Rows != 5 || p.Files[1].Path != "data/a-01.parquet" {
		t.Errorf("%+v", p.Files)
	}
	w := table.Create("b", "", "", dataset.WriterConfig{})
	long := Reject{Object: "o", Reason: "because", Text: strings.Repeat("x", 1<<20)}
	for range 100 {
		if err := w.Reject(t.Context(), long); err != nil {
			t.Fatal(err)
		}
	}
	if w.rejects.Len() > maxRejectBytes {
		t.Errorf("%d bytes of rejected rows are in memory", w.rejects.Len())
	}
	b, err := w.Close(t.Context(), pipeline.Report{RowsIn: 100, Rejected: 100})
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for _, key := range []string{"_rejects/b-00.jsonl", "_rejects/b-01.jsonl"} {
		body, _, err := table.Bucket.Get(t.Context(), table.Prefix+key)
		if err != nil {
			t.Fatal(err)
		}
		lines += bytes.Count(body, []byte("\n"))
	}
	table.replace(t, 1, p, b)
	if _, _, known := table.files(t); lines != 100 || known != "_parts/a.json _parts/b.json _rejects/b-00.jsonl _rejects/b-01.jsonl" {
		t.Errorf("%d lines, %s", lines, known)
	}
	table.replace(t, 2, p)
	if _, _, known := table.files(t); known != "_parts/a.json" {
		t.Errorf("of a part that is gone there are %s", known)
	}
}

// Rows of many days in no order of time end early, by an error that names the column and
// the days, and not with a file of each day and batch; in order of time they are written.
func TestRowsOfTooManyDaysInNoOrderEndEarly(t *testing.T) {
	b := array.NewRecordBuilder(memory.DefaultAllocator, oneColumn)
	defer b.Release()
	b.Field(0).(*array.Int64Builder).Append(1)
	rec := b.NewRecord()
	defer rec.Release()
	day := func(i int) string { return time.Unix(0, 0).UTC().AddDate(0, 0, i).Format(time.DateOnly) }
	write := func(of ...int) (*Table, error) {
		table := newTable(t)
		w := table.Create("a", "", "at", dataset.WriterConfig{})
		for _, i := range of {
			if err := w.Write(t.Context(), day(i), rec); err != nil {
				return table, err
			}
		}
		_, err := w.Close(t.Context(), pipeline.Report{RowsIn: int64(len(of)), RowsOut: int64(len(of))})
		return table, err
	}
	var sorted, mixed []int
	for i := range 3652 {
		sorted = append(sorted, i)
	}
	for range 100 {
		for i := range 1000 {
			mixed = append(mixed, i)
		}
	}
	if _, err := write(sorted...); err != nil {
		t.Errorf("ten years in order of time: %v", err)
	}
	table, err := write(mixed...)
	if !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), "column at: a shard has rows of 1000 days") || !strings.Contains(err.Error(), "sort the source by at") {
		t.Errorf("%v", err)
	}
	n := 0
	for _, err := range table.Bucket.List(t.Context(), table.Prefix+dataDir, "") {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n > maxPartFiles {
		t.Errorf("%d files were written", n)
	}
}

// Files of days are partitions of the table, those of rows without a day of null.
func TestPartitionsAreDaysOfTheTable(t *testing.T) {
	table := newTable(t)
	parts := []*Part{table.part(t, "a", "2026-01-02", 3), table.part(t, "b", commitlog.Unknown, 2)}
	if _, _, err := table.Replace(t.Context(), Contents{Schema: oneColumn, PartitionBy: "at", Parts: parts, Now: time.Unix(60, 0), NewID: strings.Repeat("a", 32)}); err != nil {
		t.Fatal(err)
	}
	log := delta.New(table.Bucket, table.Prefix)
	s, err := log.Load(t.Context())
	if err != nil || !slices.Equal(s.Metadata.PartitionColumns, []string{"at_date"}) {
		t.Fatalf("%v, %v", s, err)
	}
	got := map[string]string{}
	for add, err := range log.Files(t.Context(), s) {
		if err != nil {
			t.Fatal(err)
		}
		got[add.Path] = "null"
		if day := add.PartitionValues["at_date"]; day != nil {
			got[add.Path] = *day
		}
	}
	if want := map[string]string{"data/at_date=2026-01-02/a-00.parquet": "2026-01-02", "data/at_date=__HIVE_DEFAULT_PARTITION__/b-00.parquet": "null"}; !maps.Equal(got, want) {
		t.Errorf("%v", got)
	}
}
