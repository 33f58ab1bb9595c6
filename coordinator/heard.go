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
	// maxWorkers bounds the workers heard of: what one leader can answer several
	// times a second.
	maxWorkers = 1024
	// maxRetired is the number of earlier processes remembered per worker.
	maxRetired = 8
	// lostShown is how long a lost worker is still shown.
	lostShown = 10 * time.Minute
)

// heard is what the leader has heard from workers: heartbeats, progress and
// stream positions. It is not replicated; the next leader hears it anew.
type heard struct {
	mu struct {
		sync.Mutex
		workers  map[thalweg.WorkerID]*worker
		progress map[thalweg.TaskID]*apiv1.Progress
		streams  map[thalweg.TaskID]*apiv1.StreamPartition
	}
}

// worker is what was heard from one worker.
type worker struct {
	schedule.Worker
	// retired are earlier processes of the worker. One that calls again after a
	// newer did is a second process under the same name.
	retired  []string
	refusals map[string]string // model versions that it could not load, and why
}

func newHeard() *heard {
	h := &heard{}
	h.mu.workers = make(map[thalweg.WorkerID]*worker)
	h.mu.progress = make(map[thalweg.TaskID]*apiv1.Progress)
	h.mu.streams = make(map[thalweg.TaskID]*apiv1.StreamPartition)
	return h
}

// note takes a poll's news in. It reports whether they concern other workers
// too, and fails with Fenced for a process that a newer one has replaced.
func (h *heard) note(req *apiv1.PollRequest, now time.Time) (others bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	id := thalweg.WorkerID(req.WorkerId)
	w := h.mu.workers[id]
	if w == nil {
		if len(h.mu.workers) >= maxWorkers {
			return false, &thalweg.Error{Op: "poll", Kind: thalweg.Exhausted, Subject: "worker " + req.WorkerId,
				Hint: fmt.Sprintf("a cluster has at most %d workers", maxWorkers)}
		}
		w = &worker{Worker: schedule.Worker{ID: id, Incarnation: req.Incarnation}}
		h.mu.workers[id] = w
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
		// What its predecessor said of its streams is no longer so.
		maps.DeleteFunc(h.mu.streams, func(_ thalweg.TaskID, p *apiv1.StreamPartition) bool { return p.Worker == req.WorkerId })
		others = true
	}
	others = others || w.Slots != int(req.Slots)
	w.Address, w.Slots, w.LastSeen = req.ExchangeAddress, int(req.Slots), now
	for _, p := range req.Progress {
		h.mu.progress[thalweg.TaskID(p.TaskId)] = p
	}
	for _, p := range req.Streams {
		p.Worker = req.WorkerId
		h.mu.streams[state.ScoreTaskID(thalweg.PipelineName(p.Pipeline), uint32(p.Partition))] = p
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

// refused reports whether a worker said before that it cannot load a version.
func (h *heard) refused(w string, r *apiv1.ModelRefusal) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	known := h.mu.workers[thalweg.WorkerID(w)]
	return known != nil && known.refusals[refusalKey(r.Model, r.Version)] != ""
}

// seen notes that a worker's poll is still connected.
func (h *heard) seen(id thalweg.WorkerID, incarnation string, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if w := h.mu.workers[id]; w != nil && w.Incarnation == incarnation {
		w.LastSeen = now
	}
}

// left forgets a worker that is leaving.
func (h *heard) left(id thalweg.WorkerID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.mu.workers, id)
}

// snapshot returns what a plan looks at.
func (h *heard) snapshot(since time.Time) schedule.Heard {
	h.mu.Lock()
	defer h.mu.Unlock()
	to := schedule.Heard{LeaderSince: since, Workers: make(map[thalweg.WorkerID]schedule.Worker, len(h.mu.workers))}
	for id, w := range h.mu.workers {
		to.Workers[id] = w.Worker
	}
	return to
}

// progressOf returns the newest progress of a task under the given lease, or
// nil.
func (h *heard) progressOf(id thalweg.TaskID, token thalweg.Token) *apiv1.Progress {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p := h.mu.progress[id]; p != nil && p.Token == uint64(token) {
		return p
	}
	return nil
}

// streamOf returns what the holder of a partition said of it last, or nil, and
// the holder's refusals of model versions as one text.
func (h *heard) streamOf(id thalweg.TaskID, holder thalweg.WorkerID) (p *apiv1.StreamPartition, refusals string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if w := h.mu.workers[holder]; w != nil {
		for _, name := range sortedKeys(w.refusals) {
			if refusals != "" {
				refusals += "; "
			}
			refusals += "model " + name + " refused: " + w.refusals[name]
		}
	}
	if p = h.mu.streams[id]; p == nil || p.Worker != string(holder) {
		return nil, refusals
	}
	return p, refusals
}

// list returns the workers in order of their IDs.
func (h *heard) list() []schedule.Worker {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]schedule.Worker, 0, len(h.mu.workers))
	for _, w := range h.mu.workers {
		all = append(all, w.Worker)
	}
	slices.SortFunc(all, func(a, b schedule.Worker) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// forget drops what concerns tasks that are no more and workers that are long
// lost.
func (h *heard) forget(s *state.State, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id := range h.mu.progress {
		if s.Task(id) == nil {
			delete(h.mu.progress, id)
		}
	}
	for id := range h.mu.streams {
		if s.Task(id) == nil {
			delete(h.mu.streams, id)
		}
	}
	for id, w := range h.mu.workers {
		if now.Sub(w.LastSeen) > lostShown {
			delete(h.mu.workers, id)
		}
	}
}
