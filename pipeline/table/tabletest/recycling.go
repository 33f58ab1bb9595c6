package tabletest

import "github.com/apache/arrow/go/v15/arrow/memory"

// Recycling overwrites the memory that it is given back, as the readers of other batches do
// that get it from a pool: what is kept of a batch behind its release shows.
type Recycling struct{ memory.Allocator }

// Free implements memory.Allocator.
func (a Recycling) Free(b []byte) {
	for i := range b {
		b[i] = '?'
	}
	a.Allocator.Free(b)
}
