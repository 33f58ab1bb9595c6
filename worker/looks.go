package worker

import (
	"context"
	"sync"

	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
)

// maxLooks bounds the listings that wait, and the answers: a coordinator asks again.
const maxLooks = 64

// looks are listings of training data that coordinators asked for.
type looks struct {
	wanted chan *apiv1.Look
	mu     struct {
		sync.Mutex
		found []*apiv1.Looked
	}
}

// want queues the listings that an answer asks for.
func (l *looks) want(looks []*apiv1.Look) {
	for _, look := range looks {
		select {
		case l.wanted <- look:
		default:
		}
	}
}

// take returns what was found since it was called last.
func (l *looks) take() []*apiv1.Looked {
	l.mu.Lock()
	defer l.mu.Unlock()
	found := l.mu.found
	l.mu.found = nil
	return found
}

// look lists what is asked for until ctx ends.
func (w *Worker) look(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case look := <-w.looks.wanted:
			found := &apiv1.Looked{Pipeline: look.Pipeline, Generation: look.Generation}
			var err error
			if found.Objects, err = w.list(ctx, look); err != nil {
				found.Error = brief(err.Error())
			}
			w.looks.mu.Lock()
			if len(w.looks.mu.found) < maxLooks {
				w.looks.mu.found = append(w.looks.mu.found, found)
			}
			w.looks.mu.Unlock()
		}
	}
}

// list names the objects of a spec's training data, and of its tables, as they are now.
func (w *Worker) list(ctx context.Context, look *apiv1.Look) (objects string, err error) {
	spec, err := w.spec(&apiv1.Lease{Pipeline: look.Pipeline, Spec: look.Spec})
	if err != nil {
		return "", err
	}
	source, err := w.source(ctx, spec)
	if err != nil {
		return "", err
	}
	objects, _, err = w.objects(ctx, spec, source)
	return objects, err
}
