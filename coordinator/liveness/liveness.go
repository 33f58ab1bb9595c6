// Package liveness keeps what workers told this leader last. It is not
// replicated: the next leader is told anew.
package liveness

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/schedule"
	"github.com/thalweg/thalweg/coordinator/state"
	"github.com/thalweg/thalweg/pipeline"
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

// Liveness is what workers told this leader last: heartbeats, progress and stream
// positions. Its methods may be called concurrently.
type Liveness struct {
	since time.Time
	ttl   time.Duration
	mu    struct {
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
	// connections are those that it has.
	connections []*apiv1.Connection
}

// New returns what a leader begins with, whose leases last ttl: nothing.
func New(ttl time.Duration) *Liveness {
	l := &Liveness{since: time.Now(), ttl: ttl}
	l.mu.workers = make(map[thalweg.WorkerID]*worker)
	l.mu.progress = make(map[thalweg.TaskID]*apiv1.Progress)
	l.mu.streams = make(map[thalweg.TaskID]*apiv1.StreamPartition)
	return l
}

// Note takes in what a poll tells. It reports whether that concerns other workers
// too and which refusals are new, and fails with Fenced for a process that a newer
// one has replaced.
func (l *Liveness) Note(req *apiv1.PollRequest, now time.Time) (others bool, refusals []*apiv1.ModelRefusal, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	id := thalweg.WorkerID(req.WorkerId)
	w := l.mu.workers[id]
	if w == nil {
		if len(l.mu.workers) >= maxWorkers {
			return false, nil, &thalweg.Error{Op: "poll", Kind: thalweg.Exhausted, Subject: "worker " + req.WorkerId,
				Hint: fmt.Sprintf("a cluster has at most %d workers", maxWorkers)}
		}
		w = &worker{Worker: schedule.Worker{ID: id, Incarnation: req.Incarnation}, refusals: make(map[string]string)}
		l.mu.workers[id] = w
		others = true
	}
	if w.Incarnation != req.Incarnation {
		if slices.Contains(w.retired, req.Incarnation) {
			return false, nil, &thalweg.Error{Op: "poll", Kind: thalweg.Fenced, Subject: "worker " + req.WorkerId,
				Hint: "another process runs under this worker's name; give each its own"}
		}
		w.retired = append(w.retired, w.Incarnation)
		w.retired = w.retired[max(0, len(w.retired)-maxRetired):]
		w.Incarnation, w.refusals = req.Incarnation, make(map[string]string)
		// What its predecessor reported of its streams no longer holds.
		maps.DeleteFunc(l.mu.streams, func(_ thalweg.TaskID, p *apiv1.StreamPartition) bool { return p.Worker == req.WorkerId })
		others = true
	}
	others = others || w.Slots != int(req.Slots)
	w.Address, w.Slots, w.LastSeen, w.connections = req.ExchangeAddress, int(req.Slots), now, req.Connections
	for _, p := range req.Progress {
		l.mu.progress[thalweg.TaskID(p.TaskId)] = p
	}
	for _, p := range req.Streams {
		p.Worker = req.WorkerId
		l.mu.streams[state.ScoreTaskID(thalweg.PipelineName(p.Pipeline), uint32(p.Partition))] = p
	}
	before := w.refusals
	w.refusals = make(map[string]string, len(req.Refusals))
	for _, r := range req.Refusals {
		version := fmt.Sprintf("%s version %d", r.Model, r.Version)
		if before[version] == "" && w.refusals[version] == "" {
			refusals = append(refusals, r)
		}
		w.refusals[version] = r.Reason
	}
	return others, refusals, nil
}

// Seen notes that a worker's poll is still connected.
func (l *Liveness) Seen(id thalweg.WorkerID, incarnation string, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w := l.mu.workers[id]; w != nil && w.Incarnation == incarnation {
		w.LastSeen = now
	}
}

// Left forgets a worker that is leaving.
func (l *Liveness) Left(id thalweg.WorkerID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.mu.workers, id)
}

// Snapshot returns what a plan looks at.
func (l *Liveness) Snapshot() schedule.Liveness {
	l.mu.Lock()
	defer l.mu.Unlock()
	to := schedule.Liveness{LeaderSince: l.since, LeaseTTL: l.ttl, Workers: make(map[thalweg.WorkerID]schedule.Worker)}
	for id, w := range l.mu.workers {
		to.Workers[id] = w.Worker
	}
	return to
}

// ProgressOf returns the newest progress of a task under the given lease, or
// nil.
func (l *Liveness) ProgressOf(id thalweg.TaskID, token thalweg.Token) *apiv1.Progress {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.mu.progress[id]; p != nil && p.Token == uint64(token) {
		return p
	}
	return nil
}

// StreamOf returns the newest report on a partition by its holder, or nil, and
// the holder's refusals of model versions as one text.
func (l *Liveness) StreamOf(id thalweg.TaskID, holder thalweg.WorkerID) (p *apiv1.StreamPartition, refusals string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var texts []string
	if w := l.mu.workers[holder]; w != nil {
		for _, name := range slices.Sorted(maps.Keys(w.refusals)) {
			texts = append(texts, "model "+name+" refused: "+w.refusals[name])
		}
	}
	if p = l.mu.streams[id]; p != nil && p.Worker != string(holder) {
		p = nil
	}
	return p, strings.Join(texts, "; ")
}

// Connections returns those of the workers that are alive: none if there is none, or
// one does not tell.
func (l *Liveness) Connections(now time.Time) (known pipeline.Connections) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(l.mu.workers)) {
		w := l.mu.workers[id]
		if now.Sub(w.LastSeen) > l.ttl {
			continue
		}
		if len(w.connections) == 0 {
			return nil
		}
		for _, c := range w.connections {
			known = append(known, pipeline.Connection{Kind: c.Kind, Name: c.Name, Addresses: c.Addresses})
		}
	}
	return known
}

// Forget drops what concerns tasks that are no more and workers that are long
// lost.
func (l *Liveness) Forget(s *state.State, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.mu.progress, func(id thalweg.TaskID, _ *apiv1.Progress) bool { return s.Task(id) == nil })
	maps.DeleteFunc(l.mu.streams, func(id thalweg.TaskID, _ *apiv1.StreamPartition) bool { return s.Task(id) == nil })
	maps.DeleteFunc(l.mu.workers, func(_ thalweg.WorkerID, w *worker) bool { return now.Sub(w.LastSeen) > lostShown })
}

// ScoredWith returns the versions that streams of a model's pipelines score with,
// those of unfinished claims included. It is not known while one of their
// partitions is without a holder that has read its log: there may be a claim.
func (l *Liveness) ScoredWith(s *state.State, m *state.Model) (used map[thalweg.ModelVersion]bool, known bool) {
	used = make(map[thalweg.ModelVersion]bool)
	for p := range s.Pipelines() {
		// Where no holder has ever seen the topic, no event was claimed, unless by a
		// pipeline of that name before.
		if !p.Uses(m.Name) || !p.Counted && !slices.ContainsFunc(m.Versions, func(v *state.ModelVersion) bool { return v.Retired }) {
			continue
		}
		for _, part := range p.Partitions {
			v, _ := l.StreamOf(part.Task.ID, part.Task.Worker)
			if v == nil || v.Committed < 0 || v.ModelVersion == 0 {
				return nil, false
			}
			used[thalweg.ModelVersion(v.ModelVersion)] = true
		}
	}
	return used, true
}
