// Package state is the coordinator's replicated state machine: pipelines and
// their generations, runs with their stages and tasks, leases, models and
// streams. It is pure: no consensus library, no clock, no I/O, no randomness and
// no dependence on map order, so that every node that applies the same log holds
// the same bytes. Time and identifiers arrive in the command; the token of a
// lease is the index of the entry that granted it. DESIGN.md lists the
// invariants.
package state

import (
	"iter"
	"maps"
	"slices"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/alert"
)

// State is the whole replicated state. It is not safe for concurrent use: one
// goroutine applies, and readers are kept apart from it by the owner. Pointers
// that accessors return lead into the state; readers must neither change nor
// keep them.
type State struct {
	// index is that of the last entry applied; timeMS is the newest time that an
	// entry carried, so that time never runs backwards when leaders' clocks differ.
	index  uint64
	timeMS int64
	// cluster is the cluster's ID, empty until runs were moved to records.
	cluster string
	level   int // 0: the first

	pipelines map[thalweg.PipelineName]*Pipeline
	runs      map[thalweg.RunID]*Run
	models    map[thalweg.ModelName]*Model
	deleted   map[thalweg.PipelineName]*Tombstone
	forgotten Forgotten // what bounds the numbers of those without a tombstone
	requests  []request // the newest MaxRequests, oldest first
	audit     auditLog
	alerts    alert.Book

	jobs map[thalweg.JobID]*Job

	tokens     map[string]*Token // by name
	tokensMade bool              // there was one at some time

	// Derived from the above, not part of a snapshot: live tasks by ID, and the
	// leased ones by their holder.
	tasks map[thalweg.TaskID]*Task
	held  map[thalweg.WorkerID]map[thalweg.TaskID]*Task

	goingJobs    map[thalweg.JobID]*Job // derived: those that have not ended
	tokensByHash map[string]*Token      // derived
}

// New returns the empty state.
func New() *State {
	return &State{
		pipelines: make(map[thalweg.PipelineName]*Pipeline),
		runs:      make(map[thalweg.RunID]*Run),
		models:    make(map[thalweg.ModelName]*Model),
		deleted:   make(map[thalweg.PipelineName]*Tombstone),
		tasks:     make(map[thalweg.TaskID]*Task),
		held:      make(map[thalweg.WorkerID]map[thalweg.TaskID]*Task),

		jobs: make(map[thalweg.JobID]*Job), goingJobs: make(map[thalweg.JobID]*Job),
		tokens: make(map[string]*Token), tokensByHash: make(map[string]*Token),
	}
}

// Apply carries out the log entry at index and returns its answer. An index
// that was applied before changes nothing and answers nothing. An error means
// that this build does not understand an entry it must understand: the node has
// to stop, because going on would make its state differ from the others'.
func (s *State) Apply(index uint64, entry []byte) (Answer, error) {
	if index <= s.index {
		return Answer{}, nil
	}
	env, cmd, err := decode(entry)
	if err != nil {
		return Answer{}, err
	}
	s.index = index
	s.timeMS = max(s.timeMS, env.TimeMS)
	if env.Request == "" {
		return s.carryOut(env, cmd), nil
	}
	if first := s.request(env.Request); first != nil {
		if first.Command != env.Command {
			return failure(thalweg.Invalid, cmd.name(), "request id "+env.Request,
				"the id was used for another request; make a new one for each"), nil
		}
		return first.Answer, nil
	}
	answer := s.carryOut(env, cmd)
	kept := s.requests[max(0, len(s.requests)-MaxRequests+1):]
	s.requests = append(kept, request{ID: env.Request, Command: env.Command, Answer: answer})
	return answer, nil
}

// carryOut applies a command, and records it where somebody asked for it: what cannot
// be recorded is not done.
func (s *State) carryOut(env envelope, cmd Command) Answer {
	m, _ := cmd.(Mutation)
	if env.Caller == nil || m == nil {
		return cmd.apply(s)
	}
	if full := s.auditFull(cmd); full != nil {
		return Answer{Failure: full}
	}
	answer := cmd.apply(s)
	s.writeAudit(env, m, answer)
	return answer
}

// Index returns the index of the last entry applied.
func (s *State) Index() uint64 { return s.index }

// Skip moves the index ahead, for a state that goes on under another log.
func (s *State) Skip(entries uint64) { s.index += entries }

// Blank reports whether there is nothing that users made.
func (s *State) Blank() bool {
	return len(s.pipelines)+len(s.models)+len(s.deleted) == 0 && s.forgotten == Forgotten{}
}

// Cluster returns the cluster's ID, which tells its records from those of others
// that kept theirs in the same bucket; empty while it has none.
func (s *State) Cluster() string { return s.cluster }

// Pipeline returns the named pipeline, or nil.
func (s *State) Pipeline(name thalweg.PipelineName) *Pipeline { return s.pipelines[name] }

// Pipelines yields the pipelines in order of their names.
func (s *State) Pipelines() iter.Seq[*Pipeline] { return sorted(s.pipelines) }

// Run returns the named run, or nil.
func (s *State) Run(id thalweg.RunID) *Run { return s.runs[id] }

// Runs yields the runs in order of their IDs.
func (s *State) Runs() iter.Seq[*Run] { return sorted(s.runs) }

// ActiveRuns returns the runs that have not ended, in the order in which they
// started.
func (s *State) ActiveRuns() []*Run {
	var active []*Run
	for _, p := range s.pipelines {
		if r := s.runs[p.ActiveRun]; r != nil {
			active = append(active, r)
		}
	}
	slices.SortFunc(active, compareStart)
	return active
}

// Model returns the named model, or nil.
func (s *State) Model(name thalweg.ModelName) *Model { return s.models[name] }

// Models yields the models in order of their names.
func (s *State) Models() iter.Seq[*Model] { return sorted(s.models) }

// Task returns a live task, one that may be leased now or later, or nil.
func (s *State) Task(id thalweg.TaskID) *Task { return s.tasks[id] }

// Holders returns the workers that hold at least one lease, in order.
func (s *State) Holders() []thalweg.WorkerID { return slices.Sorted(maps.Keys(s.held)) }

// HeldBy returns the tasks that a worker holds leases for, in order of their
// IDs.
func (s *State) HeldBy(w thalweg.WorkerID) []*Task {
	held := s.held[w]
	tasks := make([]*Task, 0, len(held))
	for _, id := range slices.Sorted(maps.Keys(held)) {
		tasks = append(tasks, held[id])
	}
	return tasks
}

// sortedKeys returns a map's keys in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// sorted yields a map's values in order of its keys.
func sorted[K ~string, V any](m map[K]V) iter.Seq[V] {
	return func(yield func(V) bool) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !yield(m[k]) {
				return
			}
		}
	}
}
