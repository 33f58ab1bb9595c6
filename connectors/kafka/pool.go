package kafka

import (
	"context"
	"sync"
)

// Pool lends the buffers of responses and inflated batches. Sources that share
// one hold memory only while records are on their way, however many partitions
// they read. It is safe for concurrent use, and the collector empties it.
type Pool struct {
	buffers  sync.Pool // of *[]byte
	decoders sync.Pool // of *zstdStream
}

// NewPool returns an empty Pool.
func NewPool() *Pool { return &Pool{} }

// keepBuffer is the size beyond which a buffer is not kept: one odd response
// must not hold memory for good.
const keepBuffer = 8 << 20

// get returns a buffer of size bytes, or an empty one for a size of 0.
func (p *Pool) get(size int) []byte {
	if b, ok := p.buffers.Get().(*[]byte); ok && cap(*b) >= size {
		return (*b)[:size]
	}
	return make([]byte, size)
}

func (p *Pool) put(b []byte) {
	if cap(b) > 0 && cap(b) <= keepBuffer {
		b = b[:0]
		p.buffers.Put(&b)
	}
}

// largeBytes is what a fetch may take beyond twice what was asked for before it
// asks Config.Large: the batches that producers make by default come without.
const largeBytes = 256 << 10

// large asks for the permission to hold more than a fetch of asked bytes
// stands for.
func (c Config) large(ctx context.Context) error {
	if c.Large == nil {
		return nil
	}
	return c.Large(ctx)
}
