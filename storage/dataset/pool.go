package dataset

import (
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/thalweg/thalweg/storage/dataset/internal/compress"
	"github.com/thalweg/thalweg/storage/dataset/internal/emit"
)

// defaultPoolBytes is what NewPool(0) keeps: a few objects' worth.
const defaultPoolBytes = 256 << 20

// Pool lends buffers and compressors to Readers and Writers. It may be used by
// several goroutines.
type Pool struct {
	maxBytes int64
	mu       struct {
		sync.Mutex
		free   [][]byte // least recently given back first
		size   int64    // bytes in free
		unzstd *zstd.Decoder
		zstd   *zstd.Encoder
	}
}

// NewPool returns a pool that keeps at most maxBytes of idle buffers; 0 means
// 256 MiB.
func NewPool(maxBytes int64) *Pool {
	if maxBytes <= 0 {
		maxBytes = defaultPoolBytes
	}
	return &Pool{maxBytes: maxBytes}
}

// get returns a buffer of n bytes, whose contents are arbitrary.
func (p *Pool) get(n int64) []byte {
	p.mu.Lock()
	best := -1
	for i, b := range p.mu.free {
		if int64(cap(b)) >= n && (best < 0 || cap(b) < cap(p.mu.free[best])) {
			best = i
		}
	}
	if best >= 0 {
		b := p.mu.free[best]
		p.removeLocked(best)
		p.mu.Unlock()
		return b[:n]
	}
	p.mu.Unlock()
	// Some spare room, so that the next row group, a little larger, fits too.
	return make([]byte, n, n+n/8)
}

// put takes a buffer back; the oldest make room for it.
func (p *Pool) put(b []byte) {
	size := int64(cap(b))
	if size == 0 || size > p.maxBytes {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.mu.size+size > p.maxBytes {
		p.removeLocked(0)
	}
	p.mu.free = append(p.mu.free, b)
	p.mu.size += size
}

func (p *Pool) removeLocked(i int) {
	p.mu.size -= int64(cap(p.mu.free[i]))
	p.mu.free = append(p.mu.free[:i], p.mu.free[i+1:]...)
}

// decompressor returns a Decompressor for one goroutine.
func (p *Pool) decompressor() (*compress.Decompressor, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.unzstd == nil {
		z, err := compress.NewZstd()
		if err != nil {
			return nil, err
		}
		p.mu.unzstd = z
	}
	return compress.New(p.mu.unzstd), nil
}

// compressor returns the zstd encoder, which any number of goroutines may use.
func (p *Pool) compressor() (*zstd.Encoder, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.zstd == nil {
		z, err := emit.NewZstd()
		if err != nil {
			return nil, err
		}
		p.mu.zstd = z
	}
	return p.mu.zstd, nil
}
