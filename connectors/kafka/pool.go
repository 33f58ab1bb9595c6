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

// large asks for the permission to hold so many bytes, more than a fetch asked for.
func (c Config) large(ctx context.Context, bytes int) error {
	if c.Large == nil {
		return nil
	}
	return c.Large(ctx, bytes)
}

// mayHold is large without waiting.
func (c Config) mayHold(ctx context.Context, bytes int) bool {
	ended, end := context.WithCancel(ctx)
	end()
	return c.large(ended, bytes) == nil
}
