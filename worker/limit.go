package worker

import (
	"math"
	"runtime/debug"
	"sync"
)

// memoryLimit keeps the Go runtime's soft limit while streams are all that the
// process does: garbage is then collected before the heap has doubled. Training
// holds as much as its rows take (Config.CacheBytes), and under the same limit
// the collector would run without end.
type memoryLimit struct {
	bytes int64 // 0: none
	mu    struct {
		sync.Mutex
		batch int // tasks under way that are no streams
	}
}

// set puts the limit in force. It is called once, before the first task.
func (l *memoryLimit) set(bytes int64) {
	if l.bytes = bytes; bytes > 0 {
		debug.SetMemoryLimit(bytes)
	}
}

// lift suspends the limit while a task runs, until the returned function is
// called.
func (l *memoryLimit) lift() (restore func()) {
	if l.bytes == 0 {
		return func() {}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.batch++; l.mu.batch == 1 {
		debug.SetMemoryLimit(math.MaxInt64)
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.mu.batch--; l.mu.batch == 0 {
			debug.SetMemoryLimit(l.bytes)
		}
	}
}
