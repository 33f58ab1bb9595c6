package coordinator

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/schedule"
	"github.com/thalweg/thalweg/coordinator/state"
)

// Bounds of what a leader remembers of workers.
const (
	// maxWorkers bounds the known workers: what one leader can answer several
	// times a second.
	maxWorkers = 1024
	// maxRetired is the number of earlier processes remembered per worker.
	maxRetired = 8
	// lostShown is how long a lost worker is still shown.
	lostShown = 10 * time.Minute
)

// liveness is what workers told this leader last: heartbeats, progress and
// stream positions. It is not replicated; the next leader is told anew.
type liveness struct {
	mu struct {
		sync.Mutex
		workers  map[thalweg.WorkerID]*worker
		progress map[thalweg.TaskID]*apiv1.Progress
		streams  map[thalweg.TaskID]*apiv1.StreamPartition
	}
}

// worker is what is known of one worker.
type worker struct {
	schedule.Worker
	// retired are earlier processes of the worker. One that calls again after a
	// newer did is a second process under the same name.
	retired  []string
	refusals map[string]string // model versions that it could not load, and why
}

func newLiveness() *liveness {
	l := &liveness{}
	l.mu.workers = make(map[thalweg.WorkerID]*worker)
	l.mu.progress = make(map[thalweg.TaskID]*apiv1.Progress)
	l.mu.streams = make(map[thalweg.TaskID]*apiv1.StreamPartition)
	return l
}

// note takes in what a poll tells. It reports whether they concern other workers
// too, and fails with Fenced for a process that a newer one has replaced.
func (l *liveness) note(req *apiv1.PollRequest, now time.Time) (others bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	id := thalweg.WorkerID(req.WorkerId)
	w := l.mu.workers[id]
	if w == nil {
		if len(l.mu.workers) >= maxWorkers {
			return false, &thalweg.Error{Op: "poll", Kind: thalweg.Exhausted, Subject: "worker " + req.WorkerId,
				Hint: fmt.Sprintf("a cluster has at most %d workers", maxWorkers)}
		}
		w = &worker{Worker: schedule.Worker{ID: id, Incarnation: req.Incarnation}}
		l.mu.workers[id] = w
		others = true
	}
	if w.Incarnation != req.Incarnation {
		if slices.Contains(w.retired, req.Incarnation) {
			return false, &thalweg.Error{Op: "poll", Kind: thalweg.Fenced, Subject: "worker " + req.WorkerId,
				Hint: "another process runs under this worker's name; give each its own"}
		}
		w.retired = append(w.retired, w.Incarnation)
		w.retired = w.retired[max(0, len(w.retired)-maxRetired):]
		w.Incarnation, w.refusals = req.Incarnation, nil
		// What its predecessor reported of its streams no longer holds.
		maps.DeleteFunc(l.mu.streams, func(_ thalweg.TaskID, p *apiv1.StreamPartition) bool { return p.Worker == req.WorkerId })
		others = true
	}
	others = others || w.Slots != int(req.Slots)
	w.Address, w.Slots, w.LastSeen = req.ExchangeAddress, int(req.Slots), now
	for _, p := range req.Progress {
		l.mu.progress[thalweg.TaskID(p.TaskId)] = p
	}
	for _, p := range req.Streams {
		p.Worker = req.WorkerId
		l.mu.streams[state.ScoreTaskID(thalweg.PipelineName(p.Pipeline), uint32(p.Partition))] = p
	}
	for _, r := range req.Refusals {
		if w.refusals == nil {
			w.refusals = make(map[string]string)
		}
		w.refusals[refusalKey(r.Model, r.Version)] = r.Reason
	}
	return others, nil
}

func refusalKey(model string, version uint64) string {
	return fmt.Sprintf("%s version %d", model, version)
}

// refused reports whether a worker has already reported that it cannot load a version.
func (l *liveness) refused(w string, r *apiv1.ModelRefusal) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	known := l.mu.workers[thalweg.WorkerID(w)]
	return known != nil && known.refusals[refusalKey(r.Model, r.Version)] != ""
}

// seen notes that a worker's poll is still connected.
func (l *liveness) seen(id thalweg.WorkerID, incarnation string, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w := l.mu.workers[id]; w != nil && w.Incarnation == incarnation {
		w.LastSeen = now
	}
}

// left forgets a worker that is leaving.
func (l *liveness) left(id thalweg.WorkerID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.mu.workers, id)
}

// snapshot returns what a plan looks at.
func (l *liveness) snapshot(since time.Time) schedule.Liveness {
	l.mu.Lock()
	defer l.mu.Unlock()
	to := schedule.Liveness{LeaderSince: since, Workers: make(map[thalweg.WorkerID]schedule.Worker, len(l.mu.workers))}
	for id, w := range l.mu.workers {
		to.Workers[id] = w.Worker
	}
	return to
}

// progressOf returns the newest progress of a task under the given lease, or
// nil.
func (l *liveness) progressOf(id thalweg.TaskID, token thalweg.Token) *apiv1.Progress {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.mu.progress[id]; p != nil && p.Token == uint64(token) {
		return p
	}
	return nil
}

// streamOf returns the newest report on a partition by its holder, or nil, and
// the holder's refusals of model versions as one text.
func (l *liveness) streamOf(id thalweg.TaskID, holder thalweg.WorkerID) (p *apiv1.StreamPartition, refusals string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w := l.mu.workers[holder]; w != nil {
		for _, name := range sortedKeys(w.refusals) {
			if refusals != "" {
				refusals += "; "
			}
			refusals += "model " + name + " refused: " + w.refusals[name]
		}
	}
	if p = l.mu.streams[id]; p == nil || p.Worker != string(holder) {
		return nil, refusals
	}
	return p, refusals
}

// list returns the workers in order of their IDs.
func (l *liveness) list() []schedule.Worker {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]schedule.Worker, 0, len(l.mu.workers))
	for _, w := range l.mu.workers {
		all = append(all, w.Worker)
	}
	slices.SortFunc(all, func(a, b schedule.Worker) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// forget drops what concerns tasks that are no more and workers that are long
// lost.
func (l *liveness) forget(s *state.State, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id := range l.mu.progress {
		if s.Task(id) == nil {
			delete(l.mu.progress, id)
		}
	}
	for id := range l.mu.streams {
		if s.Task(id) == nil {
			delete(l.mu.streams, id)
		}
	}
	for id, w := range l.mu.workers {
		if now.Sub(w.LastSeen) > lostShown {
			delete(l.mu.workers, id)
		}
	}
}
