package registry

import (
	"slices"
	"sync"
	"time"

	"github.com/thalweg/thalweg"
)

// answer is what the registry says of an id, or will have said when done is
// closed.
type answer struct {
	done  chan struct{}
	texts []string
	err   error
	until time.Time // when it is forgotten; zero: never
}

// cache keeps answers, so that each is asked for once, by one of those who want
// it.
type cache struct {
	max    int
	forget time.Duration
	now    func() time.Time
	mu     *sync.Mutex // guards the rest

	known   map[uint32]*answer
	used    []uint32 // keys of known, the one used last at the end
	pending map[uint32]*answer
}

func newCache(maxSchemas int, forget time.Duration) cache {
	return cache{max: maxSchemas, forget: forget, now: time.Now, mu: new(sync.Mutex), known: make(map[uint32]*answer), pending: make(map[uint32]*answer)}
}

// entry returns the answer of an id, and whether the caller has to get it.
func (k *cache) entry(id uint32) (a *answer, mine bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if a := k.known[id]; a != nil {
		i := slices.Index(k.used, id)
		k.used = slices.Delete(k.used, i, i+1)
		if a.until.IsZero() || k.now().Before(a.until) {
			k.used = append(k.used, id)
			return a, false
		}
		delete(k.known, id)
	}
	if a := k.pending[id]; a != nil {
		return a, false
	}
	a = &answer{done: make(chan struct{})}
	k.pending[id] = a
	return a, true
}

// settle keeps an answer, if it is one to keep, and tells those who wait.
func (k *cache) settle(id uint32, a *answer) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.pending, id)
	verdict := true
	switch thalweg.KindOf(a.err) {
	case thalweg.NotFound, thalweg.Unsupported, thalweg.Corrupt:
		a.until = k.now().Add(k.forget)
	default:
		verdict = a.err == nil
	}
	if verdict {
		if len(k.used) >= k.max {
			delete(k.known, k.used[0])
			k.used = slices.Delete(k.used, 0, 1)
		}
		k.known[id] = a
		k.used = append(k.used, id)
	}
	close(a.done)
}
