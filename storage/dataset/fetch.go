package dataset

import (
	"cmp"
	"context"
	"slices"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/parquet/metadata"
)

const (
	// coalesceGap is the bytes not asked for up to which two ranges are fetched
	// as one: about what a request's latency costs at the speed of a store.
	coalesceGap = 1 << 20
	// rangeConcurrency bounds the requests for one row group at a time.
	rangeConcurrency = 4
	// groupsAhead is the row groups that may be fetched before they are needed.
	groupsAhead = 2
)

// fetched is a row group's column chunks in memory.
type fetched struct {
	group   int
	pages   [][]byte // by column chunk; nil for one that is not needed
	err     error
	release func() // gives the memory back; never nil
}

// span is a range of an object's bytes.
type span struct{ from, to int64 }

// spans returns the ranges that hold the chunks, those close together as one.
func spans(chunks []metadata.Chunk, needed []int) []span {
	var all []span
	for _, i := range needed {
		if c := chunks[i]; c.Size > 0 {
			all = append(all, span{c.Offset, c.Offset + c.Size})
		}
	}
	slices.SortFunc(all, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	var merged []span
	for _, s := range all {
		if n := len(merged); n > 0 && s.from <= merged[n-1].to+coalesceGap {
			merged[n-1].to = max(merged[n-1].to, s.to)
			continue
		}
		merged = append(merged, s)
	}
	return merged
}

// fetcher reads row groups of one object in the background, in order.
type fetcher struct {
	bucket storage.Bucket
	key    string
	file   *metadata.File
	needed []int // column chunks
	pool   *Pool
	room   *semaphore.Weighted // bytes of the groups in memory
	limit  int64
	out    chan *fetched
	ctx    context.Context // of run
	cancel context.CancelFunc

	missing int // row groups not yet returned by next
}

// fetch starts reading row groups [first, end). close must be called.
func fetch(ctx context.Context, b storage.Bucket, key string, file *metadata.File, needed []int, first, end int, cfg ReaderConfig) *fetcher {
	ctx, cancel := context.WithCancel(ctx)
	f := &fetcher{bucket: b, key: key, file: file, needed: needed, pool: cfg.Pool, limit: cfg.PrefetchBytes,
		// One more waits in the hand of run.
		room: semaphore.NewWeighted(cfg.PrefetchBytes), out: make(chan *fetched, groupsAhead-1),
		ctx: ctx, cancel: cancel, missing: end - first}
	go f.run(first, end)
	return f
}

func (f *fetcher) run(first, end int) {
	defer close(f.out)
	for g := first; g < end; g++ {
		got := f.group(g)
		select {
		case f.out <- got:
		case <-f.ctx.Done():
			got.release()
			return
		}
		if got.err != nil {
			return
		}
	}
}

// group fetches one row group.
func (f *fetcher) group(g int) *fetched {
	chunks := f.file.RowGroups[g].Chunks
	ranges := spans(chunks, f.needed)
	var size int64
	for _, s := range ranges {
		size += s.to - s.from
	}
	got := &fetched{group: g, pages: make([][]byte, len(chunks)), release: func() {}}
	// A group larger than the bound takes all of it, and so comes alone.
	weight := min(size, f.limit)
	if err := f.room.Acquire(f.ctx, weight); err != nil {
		return f.cancelled()
	}
	buffers := make([][]byte, len(ranges))
	got.release = func() {
		for _, b := range buffers {
			f.pool.put(b)
		}
		f.room.Release(weight)
		got.pages, got.release = nil, func() {}
	}
	requests, rctx := errgroup.WithContext(f.ctx)
	requests.SetLimit(rangeConcurrency)
	for i, s := range ranges {
		buffers[i] = f.pool.get(int(s.to - s.from))
		requests.Go(func() error { return f.bucket.GetRange(rctx, f.key, s.from, buffers[i]) })
	}
	if err := requests.Wait(); err != nil {
		got.release()
		got.err = &thalweg.Error{Op: "fetch", Subject: objectSubject(f.key), Err: err}
		return got
	}
	for _, i := range f.needed {
		c := chunks[i]
		for j, s := range ranges {
			if c.Offset >= s.from && c.Offset+c.Size <= s.to {
				got.pages[i] = buffers[j][c.Offset-s.from:][:c.Size]
				break
			}
		}
	}
	return got
}

// next returns the next row group, nil after the last.
func (f *fetcher) next() *fetched {
	if f.missing == 0 {
		return nil
	}
	f.missing--
	if got, ok := <-f.out; ok {
		return got
	}
	return f.cancelled() // run ends early only then, and after an error
}

func (f *fetcher) cancelled() *fetched {
	return &fetched{release: func() {}, err: &thalweg.Error{Op: "fetch", Kind: thalweg.Canceled, Subject: objectSubject(f.key), Err: context.Cause(f.ctx)}}
}

// close stops fetching, waits for the end of it and gives memory back.
func (f *fetcher) close() {
	f.cancel()
	for got := range f.out {
		got.release()
	}
}
