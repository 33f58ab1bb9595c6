package worker

import "sync"

// maxRecent bounds what is kept of one kind.
const maxRecent = 8

// recent keeps what the tasks of a run make again and again of the same inputs: a
// compiled spec, a model. What is kept is immutable.
type recent[T any] struct {
	mu struct {
		sync.Mutex
		byKey map[string]T
	}
}

// of returns what build makes, which it may have made before. Failures are not kept.
func (r *recent[T]) of(key string, build func() (T, error)) (T, error) {
	r.mu.Lock()
	made, ok := r.mu.byKey[key]
	r.mu.Unlock()
	if ok {
		return made, nil
	}
	made, err := build()
	if err != nil {
		return made, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.byKey == nil || len(r.mu.byKey) >= maxRecent {
		r.mu.byKey = make(map[string]T)
	}
	r.mu.byKey[key] = made
	return made, nil
}
