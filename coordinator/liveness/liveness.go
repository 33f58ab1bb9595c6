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
	"github.com/thalweg/thalweg/retry"
)

// Bounds of what a leader remembers of workers.
const (
	// MaxWorkers bounds the known workers, each of which has a poll open: what one leader
	// answers in time, as `make crowd` shows.
	MaxWorkers = 16_384
	// maxRetired is the number of earlier processes remembered per worker.
	maxRetired = 8
	// lostShown is how long a lost worker is still shown.
	lostShown = 10 * time.Minute
	// calmTTLs is how many times a lease's time a process must have lived, or been heard,
	// for its worker not to flap when it ends.
	calmTTLs = 2
)

// flapBackoff is how long a worker takes no leases that has begun anew twice, three times, …
// soon after it had: each time its tasks moved, and those who exchange with it waited. The
// bound is that of an operator's patience with a worker that was mended.
var flapBackoff = retry.Backoff{Min: time.Second, Max: 30 * time.Second}

// Liveness is what workers told this leader last: heartbeats, progress and stream
// positions. Its methods may be called concurrently.
type Liveness struct {
	since time.Time
	ttl   time.Duration
	mu    struct {
		sync.Mutex
		workers  map[thalweg.WorkerID]*worker
		version  uint64 // of who is there
		progress map[thalweg.TaskID]*apiv1.Progress
		streams  map[thalweg.TaskID]*apiv1.StreamPartition
		reached  map[thalweg.RunID]uint64 // the newest exchange of trainings
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
	told        *apiv1.Worker // of its process: build, cores, memory, certificate
	polls       int           // that are open, of its process
	began       time.Time     // when its process first called, or did again after it was lost
	flaps       int           // how often in a row that was soon after the time before
}

// Noted is what a poll told.
type Noted struct {
	Others   bool                  // it concerns other workers too
	Refusals []*apiv1.ModelRefusal // that are new
	// Flaps is how often in a row the worker has begun anew soon after it had, and Rests how
	// long it takes no leases because of that, if this poll is of such a process.
	Flaps int
	Rests time.Duration
}

// beginAnew notes that a worker's process, or its connection, has begun anew.
func (w *worker) beginAnew(ttl time.Duration, now time.Time) (noted Noted) {
	if calm := calmTTLs * ttl; now.Sub(w.began) > calm && now.Sub(w.RestsUntil) > calm { // what rests proves nothing
		w.flaps = 0
	}
	w.began = now
	if w.flaps++; w.flaps > 1 { // anybody may begin anew once
		noted.Flaps, noted.Rests = w.flaps, flapBackoff.Longest(w.flaps-1)
		w.RestsUntil = now.Add(noted.Rests)
	}
	return noted
}

// New returns what a leader begins with, whose leases last ttl: nothing.
func New(ttl time.Duration) *Liveness {
	l := &Liveness{since: time.Now(), ttl: ttl}
	l.mu.workers = make(map[thalweg.WorkerID]*worker)
	l.mu.progress = make(map[thalweg.TaskID]*apiv1.Progress)
	l.mu.streams = make(map[thalweg.TaskID]*apiv1.StreamPartition)
	l.mu.reached = make(map[thalweg.RunID]uint64)
	return l
}

// Note takes in what a poll tells, which is open until Closed. It fails with Fenced for a
// process that a newer one has replaced.
func (l *Liveness) Note(req *apiv1.PollRequest, now time.Time) (noted Noted, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	id := thalweg.WorkerID(req.WorkerId)
	w := l.mu.workers[id]
	if w == nil {
		if len(l.mu.workers) >= MaxWorkers {
			return noted, &thalweg.Error{Op: "poll", Kind: thalweg.Exhausted, Subject: "worker " + req.WorkerId,
				Hint: fmt.Sprintf("a cluster has at most %d workers", MaxWorkers)}
		}
		w = &worker{Worker: schedule.Worker{ID: id, Incarnation: req.Incarnation}, refusals: make(map[string]string), began: now}
		l.mu.workers[id] = w
		noted.Others = true
	}
	switch {
	case w.Incarnation != req.Incarnation:
		if slices.Contains(w.retired, req.Incarnation) {
			return noted, &thalweg.Error{Op: "poll", Kind: thalweg.Fenced, Subject: "worker " + req.WorkerId,
				Hint: "another process runs under this worker's name; give each its own"}
		}
		w.retired = append(w.retired, w.Incarnation)
		w.retired = w.retired[max(0, len(w.retired)-maxRetired):]
		w.Incarnation, w.refusals = req.Incarnation, make(map[string]string)
		// What its predecessor reported of its streams no longer holds.
		maps.DeleteFunc(l.mu.streams, func(_ thalweg.TaskID, p *apiv1.StreamPartition) bool { return p.Worker == req.WorkerId })
		noted = w.beginAnew(l.ttl, now)
		noted.Others, w.polls = true, 0
	case !w.LastSeen.IsZero() && w.polls == 0 && now.Sub(w.LastSeen) > l.ttl:
		noted = w.beginAnew(l.ttl, now)
	}
	noted.Others = noted.Others || w.Slots != int(req.Slots) || w.NoRoom != req.NoRoom
	if noted.Others || noted.Flaps > 0 || w.Unreachable || now.Sub(w.LastSeen) > l.ttl {
		l.mu.version++
	}
	w.NoRoom = req.NoRoom
	w.polls++
	w.Silent, w.Unreachable = time.Time{}, false
	w.Address, w.Slots, w.LastSeen, w.connections = req.ExchangeAddress, int(req.Slots), now, req.Connections
	w.MemoryBytes = req.MemoryBytes
	w.told = &apiv1.Worker{Version: req.Version, Cores: req.Cores, MemoryBytes: req.MemoryBytes, CertificateExpiresAtUnixMs: req.CertificateExpiresAtUnixMs}
	for _, p := range req.Progress {
		l.mu.progress[thalweg.TaskID(p.TaskId)] = p
		if run, _, _ := strings.Cut(p.TaskId, "/"); p.Exchange > l.mu.reached[thalweg.RunID(run)] {
			l.mu.reached[thalweg.RunID(run)] = p.Exchange
		}
	}
	for _, p := range req.Unreachable {
		if peer := l.mu.workers[thalweg.WorkerID(p.Worker)]; peer != nil && peer.Address == p.Address && peer.polls == 0 {
			peer.Unreachable = true
		}
	}
	for _, p := range req.Streams {
		p.Worker, p.LagSeconds = req.WorkerId, LagSeconds(p.OldestUnixMs, now)
		l.mu.streams[state.ScoreTaskID(thalweg.PipelineName(p.Pipeline), uint32(p.Partition))] = p
	}
	before := w.refusals
	w.refusals = make(map[string]string, len(req.Refusals))
	for _, r := range req.Refusals {
		version := fmt.Sprintf("%s version %d", r.Model, r.Version)
		if before[version] == "" && w.refusals[version] == "" {
			noted.Refusals = append(noted.Refusals, r)
		}
		w.refusals[version] = r.Reason
	}
	return noted, nil
}

// Closed notes that a poll is over: answered, or its connection broke.
func (l *Liveness) Closed(id thalweg.WorkerID, incarnation string, answered bool, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.mu.workers[id]
	if w == nil || w.Incarnation != incarnation || w.polls == 0 {
		return
	}
	if w.polls--; w.polls == 0 {
		w.Silent = now
	}
	if answered {
		w.LastSeen = now
	}
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
	l.mu.version++
}

// Version changes when a worker comes or goes, begins anew, or takes more or less than
// before.
func (l *Liveness) Version() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.version
}

// Snapshot returns what a plan looks at.
func (l *Liveness) Snapshot() schedule.Liveness {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.snapshotLocked()
}

func (l *Liveness) snapshotLocked() schedule.Liveness {
	to := schedule.Liveness{LeaderSince: l.since, LeaseTTL: l.ttl,
		Workers: make(map[thalweg.WorkerID]schedule.Worker, len(l.mu.workers)), Reached: maps.Clone(l.mu.reached),
		Behind: make(map[thalweg.PipelineName]time.Duration)}
	for id, w := range l.mu.workers {
		to.Workers[id] = w.Worker
	}
	for _, p := range l.mu.streams {
		if p.State == thalweg.StreamRunning && p.LagSeconds >= 0 { // what does not run waits for nobody's core
			name := thalweg.PipelineName(p.Pipeline)
			to.Behind[name] = max(to.Behind[name], time.Duration(p.LagSeconds*float64(time.Second)))
		}
	}
	return to
}

// Alive counts the workers that are alive and take tasks, and those with room for them.
func (l *Liveness) Alive(now time.Time) (alive, roomy int) { return l.Snapshot().Alive(now) }

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

// Oldest returns the timestamp of a partition's first event that is not scored, Unix
// milliseconds, as whoever held the partition last has told; -1 where nobody has, or all
// were scored then.
func (l *Liveness) Oldest(id thalweg.TaskID) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.mu.streams[id]; p != nil && p.OldestUnixMs > 0 {
		return p.OldestUnixMs
	}
	return -1
}

// LagSeconds returns how long ago the first event was written that is not scored, by its
// timestamp: 0 where all are, -1 where that is not known. A timestamp in the future is now.
func LagSeconds(oldestMS int64, now time.Time) float64 {
	if oldestMS <= 0 {
		return float64(oldestMS)
	}
	return max(0, now.Sub(time.UnixMilli(oldestMS)).Seconds())
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
	maps.DeleteFunc(l.mu.reached, func(id thalweg.RunID, _ uint64) bool { r := s.Run(id); return r == nil || r.Current() == nil })
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
