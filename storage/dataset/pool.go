package dataset

import (
	"math/bits"
	"sync"

	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/klauspost/compress/zstd"

	"github.com/thalweg/thalweg/storage/parquet/compress"
	"github.com/thalweg/thalweg/storage/parquet/encode"
)

const (
	// defaultPoolBytes is what NewPool(0) keeps: a few objects' worth.
	defaultPoolBytes = 256 << 20
	// minPooled is the size from which buffers are kept. Go's allocator is fast
	// below it, and aligns to 64 bytes, as Arrow wants, from there on.
	minPooled = 8 << 10
)

// Pool lends buffers, compressors and the memory of columns to Readers and
// Writers. It may be used by several goroutines.
type Pool struct {
	maxBytes int64
	spares   encode.Spares
	// Any number of goroutines may use the two at a time.
	unzstd func() (*zstd.Decoder, error)
	zstd   func() (*zstd.Encoder, error)
	mu     struct {
		sync.Mutex
		free map[int][][]byte // idle buffers by capacity
		size int64            // bytes in free
	}
}

// NewPool returns a pool that keeps at most maxBytes of idle buffers; 0 means
// 256 MiB.
func NewPool(maxBytes int64) *Pool {
	if maxBytes <= 0 {
		maxBytes = defaultPoolBytes
	}
	p := &Pool{maxBytes: maxBytes, unzstd: sync.OnceValues(compress.NewZstd), zstd: sync.OnceValues(encode.NewZstd)}
	p.mu.free = make(map[int][][]byte)
	return p
}

// roundUp returns the capacity of buffers of n bytes: four sizes to each power
// of two, so that at most a quarter is spare.
func roundUp(n int) int {
	shift := max(bits.Len(uint(n-1))-3, 0)
	return (n + 1<<shift - 1) >> shift << shift
}

// get returns a buffer of n bytes, whose contents are arbitrary.
func (p *Pool) get(n int) []byte {
	if n < minPooled {
		return make([]byte, n)
	}
	size := roundUp(n)
	p.mu.Lock()
	defer p.mu.Unlock()
	if idle := p.mu.free[size]; len(idle) > 0 {
		b := idle[len(idle)-1]
		p.mu.free[size] = idle[:len(idle)-1]
		p.mu.size -= int64(size)
		return b[:n]
	}
	return make([]byte, n, size)
}

// put takes a buffer back, if it is one of get's and there is room for it.
func (p *Pool) put(b []byte) {
	size := cap(b)
	if size < minPooled || size != roundUp(size) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.size+int64(size) <= p.maxBytes {
		p.mu.free[size] = append(p.mu.free[size], b)
		p.mu.size += int64(size)
	}
}

// Empty gives the idle buffers up.
func (p *Pool) Empty() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.mu.free)
	p.mu.size = 0
}

// Allocator returns an allocator for ReaderConfig that uses the memory of
// batches again as soon as they are released. That spares Go's allocator, its
// clearing and its collector, about a third of the time of reading; and it makes
// the rule binding that nothing of a batch may be touched after its release.
//
// It is for Readers only: what it allocates is not cleared.
func (p *Pool) Allocator() memory.Allocator { return recycler{p} }

type recycler struct{ pool *Pool }

func (r recycler) Allocate(size int) []byte { return r.pool.get(size) }

func (r recycler) Reallocate(size int, b []byte) []byte {
	if size <= cap(b) && cap(b) <= 2*max(size, minPooled) {
		return b[:size]
	}
	grown := r.pool.get(size)
	copy(grown, b)
	r.pool.put(b)
	return grown
}

func (r recycler) Free(b []byte) { r.pool.put(b) }
