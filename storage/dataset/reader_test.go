package dataset_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	arrowmemory "github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/parquet-go/parquet-go"
	"go.uber.org/goleak"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/dataset"
)

// counting counts the range requests that reach a bucket, and may hold them up
// or fail them.
type counting struct {
	storage.Bucket
	ranges, bytes atomic.Int64
	before        func(offset int64) error
}

func (c *counting) GetRange(ctx context.Context, key string, offset int64, buf []byte) error {
	c.ranges.Add(1)
	c.bytes.Add(int64(len(buf)))
	if c.before != nil {
		if err := c.before(offset); err != nil {
			return err
		}
	}
	return c.Bucket.GetRange(ctx, key, offset, buf)
}

// manifest discovers one object, cut as cfg says.
func manifest(t testing.TB, b storage.Bucket, cfg dataset.DiscoverConfig) *dataset.Manifest {
	t.Helper()
	m, _, err := dataset.Discover(t.Context(), b, "*.parquet", cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestShardsTogetherAreTheDataset(t *testing.T) {
	defer goleak.VerifyNone(t)
	objects := map[string][]byte{"a.parquet": flights(t, 1, 950, 100), "b.parquet": flights(t, 2, 400, 400)}
	b := lake(t, objects)
	want := make(table)
	for _, key := range []string{"a.parquet", "b.parquet"} {
		part := readAll(t, objects[key], nil, 64)
		for name, v := range part {
			want[name] = append(want[name], v...)
		}
	}
	for name, cfg := range map[string]dataset.ReaderConfig{
		"whole objects":     {BatchRows: 64},
		"row group by one":  {BatchRows: 64, WholeObjectBytes: 1},
		"one byte of room":  {BatchRows: 64, WholeObjectBytes: 1, PrefetchBytes: 1},
		"room for a few":    {BatchRows: 64, WholeObjectBytes: 1, PrefetchBytes: 5000},
		"with another pool": {BatchRows: 64, WholeObjectBytes: 1, Pool: dataset.NewPool(1 << 20)},
	} {
		for _, shardRows := range []int64{1, 250, 1 << 20} {
			t.Run(fmt.Sprintf("%s/%d", name, shardRows), func(t *testing.T) {
				mem := arrowmemory.NewCheckedAllocator(arrowmemory.DefaultAllocator)
				defer mem.AssertSize(t, 0)
				cfg.Allocator = mem
				m := manifest(t, b, dataset.DiscoverConfig{ShardRows: shardRows})
				got := make(table)
				for i, s := range m.Shards {
					r, err := dataset.OpenShard(t.Context(), b, m, i, nil, cfg)
					if err != nil {
						t.Fatal(err)
					}
					part := drain(t, r, 64)
					for name, v := range part {
						if int64(len(v)) != s.Rows {
							t.Errorf("shard %+v has %d rows of %s", s, len(v), name)
						}
					}
					for name, v := range part {
						got[name] = append(got[name], v...)
					}
					if err := r.Close(); err != nil {
						t.Error(err)
					}
				}
				sameValues(t, got, want)
			})
		}
	}
}

func TestOnlyTheColumnsAskedForAreReadInThatOrder(t *testing.T) {
	data := flights(t, 5, 300, 100)
	all := readAll(t, data, nil, 50)
	// A damaged column does not matter to those who do not ask for it.
	file, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range file.Metadata().RowGroups[0].Columns {
		if c.MetaData.PathInSchema[0] == "date" {
			data[c.MetaData.DataPageOffset+c.MetaData.TotalCompressedSize/2] ^= 1
		}
	}
	if r, err := dataset.OpenBytes("x", data, nil, dataset.ReaderConfig{}); err != nil {
		t.Error(err)
	} else if _, err = r.Next(); !thalweg.Is(err, thalweg.Corrupt) || !strings.Contains(err.Error(), `column "date"`) {
		t.Errorf("with the damaged column: %v", err)
	}
	sameValues(t, readAll(t, data, []string{"origin", "delay"}, 50), table{"origin": all["origin"], "delay": all["delay"]})
	r, err := dataset.OpenBytes("x", data, []string{"origin", "delay"}, dataset.ReaderConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if r.Schema().Field(0).Name != "origin" || r.Schema().Field(1).Name != "delay" {
		t.Errorf("schema %v", r.Schema())
	}
	for _, c := range []struct {
		columns []string
		kind    thalweg.Kind
		named   string
	}{{[]string{"delay", "origins"}, thalweg.NotFound, `"origins"`}, {[]string{"delay", "delay"}, thalweg.Invalid, `"delay"`}} {
		if _, err := dataset.OpenBytes("x", data, c.columns, dataset.ReaderConfig{}); !thalweg.Is(err, c.kind) || !strings.Contains(err.Error(), c.named) {
			t.Errorf("%v: %v", c.columns, err)
		}
	}
}

func TestColumnsNotAskedForAreNotFetched(t *testing.T) {
	b := &counting{Bucket: lake(t, map[string][]byte{"a.parquet": flights(t, 6, 60_000, 60_000)})}
	m := manifest(t, b, dataset.DiscoverConfig{})
	b.ranges.Store(0)
	b.bytes.Store(0)
	r, err := dataset.OpenShard(t.Context(), b, m, 0, []string{"date"}, dataset.ReaderConfig{WholeObjectBytes: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	drain(t, r, 1<<16)
	if b.ranges.Load() != 2 || b.bytes.Load() > m.SizeBytes/2 {
		t.Errorf("%d bytes of %d in %d requests", b.bytes.Load(), m.SizeBytes, b.ranges.Load())
	}
}

func TestOneRequestForASmallObject(t *testing.T) {
	b := &counting{Bucket: lake(t, map[string][]byte{"a.parquet": flights(t, 6, 1000, 100)})}
	m := manifest(t, b, dataset.DiscoverConfig{})
	b.ranges.Store(0)
	r, err := dataset.OpenShard(t.Context(), b, m, 0, nil, dataset.ReaderConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	drain(t, r, 1<<16)
	if b.ranges.Load() != 1 {
		t.Errorf("%d requests", b.ranges.Load())
	}
}

func TestPrefetchIsBounded(t *testing.T) {
	b := &counting{Bucket: lake(t, map[string][]byte{"a.parquet": flights(t, 7, 2000, 100)})}
	m := manifest(t, b, dataset.DiscoverConfig{})
	started := make(chan int64)
	b.before = func(offset int64) error {
		started <- offset
		return nil
	}
	go func() { <-started }() // the footer
	r, err := dataset.OpenShard(t.Context(), b, m, 0, nil, dataset.ReaderConfig{BatchRows: 100, WholeObjectBytes: 1})
	if err != nil {
		t.Fatal(err)
	}
	// The first two row groups come without being asked for; then every one
	// that is taken makes room for another.
	<-started
	<-started
	for range 5 {
		rec, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		rec.Release()
		<-started
	}
	closed := make(chan struct{})
	go func() {
		for range started { // whatever is still under way
		}
		close(closed)
	}()
	r.Close()
	close(started)
	<-closed
	if n := b.ranges.Load(); n > 1+5+3 {
		t.Errorf("%d requests for five row groups of twenty", n)
	}
}

func TestCloseAndErrorsEndAReader(t *testing.T) {
	defer goleak.VerifyNone(t)
	mem := arrowmemory.NewCheckedAllocator(arrowmemory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	b := &counting{Bucket: lake(t, map[string][]byte{"a.parquet": flights(t, 8, 1000, 100)})}
	m := manifest(t, b, dataset.DiscoverConfig{})
	cfg := dataset.ReaderConfig{BatchRows: 30, WholeObjectBytes: 1, Allocator: mem}

	r, err := dataset.OpenShard(t.Context(), b, m, 0, nil, cfg)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	if got := text(rec.Column(3), 0); got == "" || rec.NumRows() != 30 {
		t.Error("a batch must outlive its Reader")
	}
	rec.Release()
	if _, err := r.Next(); !thalweg.Is(err, thalweg.Invalid) {
		t.Errorf("after Close: %v", err)
	}

	down := &thalweg.Error{Op: "get range", Kind: thalweg.Unavailable, Subject: "a.parquet"}
	footerRead := false
	b.before = func(offset int64) error {
		if !footerRead {
			footerRead = true
			return nil
		}
		return down
	}
	if r, err = dataset.OpenShard(t.Context(), b, m, 0, nil, cfg); err != nil {
		t.Fatal(err)
	}
	_, first := r.Next()
	if _, second := r.Next(); !thalweg.Is(first, thalweg.Unavailable) || !errors.Is(second, first) {
		t.Errorf("%v, then %v", first, second)
	}
	r.Close()

	b.before = nil
	ctx, cancel := context.WithCancel(t.Context())
	if r, err = dataset.OpenShard(ctx, b, m, 0, nil, cfg); err != nil {
		t.Fatal(err)
	}
	cancel()
	for err == nil {
		if rec, err = r.Next(); err == nil {
			rec.Release()
		}
	}
	if errors.Is(err, io.EOF) {
		t.Error("a cancelled reading must not look complete")
	}
	r.Close()
}

func TestAnObjectThatWasReplacedIsRefused(t *testing.T) {
	b := lake(t, map[string][]byte{"a.parquet": flights(t, 1, 500, 100)})
	m := manifest(t, b, dataset.DiscoverConfig{})
	if _, err := b.Put(t.Context(), "a.parquet", flights(t, 2, 500, 100)); err != nil {
		t.Fatal(err)
	}
	if _, err := dataset.OpenShard(t.Context(), b, m, 0, nil, dataset.ReaderConfig{}); !thalweg.Is(err, thalweg.Conflict) || !strings.Contains(err.Error(), "a.parquet") {
		t.Errorf("replaced: %v", err)
	}
	// Without ETags, what the footer says must still be what the manifest says.
	m.Objects[0].ETag = ""
	info, err := b.Head(t.Context(), "a.parquet")
	if err != nil {
		t.Fatal(err)
	}
	m.Objects[0].SizeBytes = info.SizeBytes
	m.Shards[0].Rows = 400
	for _, whole := range []int64{1, 1 << 20} {
		if _, err := dataset.OpenShard(t.Context(), b, m, 0, nil, dataset.ReaderConfig{WholeObjectBytes: whole}); !thalweg.Is(err, thalweg.Conflict) {
			t.Errorf("other rows: %v", err)
		}
	}
	if err := b.Delete(t.Context(), "a.parquet"); err != nil {
		t.Fatal(err)
	}
	if _, err := dataset.OpenShard(t.Context(), b, m, 0, nil, dataset.ReaderConfig{}); !thalweg.Is(err, thalweg.NotFound) {
		t.Errorf("deleted: %v", err)
	}
	if _, err := dataset.OpenShard(t.Context(), b, m, 1, nil, dataset.ReaderConfig{}); !thalweg.Is(err, thalweg.NotFound) {
		t.Errorf("no such shard: %v", err)
	}
}

func TestConfigsRefuseNegativeFields(t *testing.T) {
	if err := (dataset.ReaderConfig{BatchRows: -1}).Validate(); !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), "BatchRows") {
		t.Error(err)
	}
	if err := (dataset.DiscoverConfig{ShardRows: -1}).Validate(); !thalweg.Is(err, thalweg.Invalid) {
		t.Error(err)
	}
	if err := (dataset.WriterConfig{Compression: "lzma"}).Validate(); !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), "lzma") {
		t.Error(err)
	}
}
