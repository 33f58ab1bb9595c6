package table

import "github.com/apache/arrow/go/v15/arrow/memory"

// UseAllocator makes b take its memory from mem.
func (b *Binder) UseAllocator(mem memory.Allocator) { b.mem = mem }
