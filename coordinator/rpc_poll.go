package coordinator

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/liveness"
	"github.com/thalweg/thalweg/coordinator/state"
	"github.com/thalweg/thalweg/coordinator/view"
)

// Bounds of one poll, which hold for a worker with a share of the largest stage.
const (
	maxPollsPerTTL   = 3   // a poll waits a third of a lease's time at most
	maxNameBytes     = 253 // a worker's name or address: those of a host
	maxSlots         = 1024
	maxPollItems     = 4096 // progress, reports, streams
	maxRefusals      = 64
	maxConnections   = 1024 // and as many addresses
	maxOutputs       = 64
	maxOutputBytes   = api.MaxOutputBytes
	maxPartialBytes  = 320  // of one reference: state.MaxHeldPartials of them fit into an answer
	maxMeasurements  = 4096 // metrics and counts of one report
	maxMeasuredBytes = 512  // the name of one
)

// Poll takes a worker's heartbeat, reports and progress, and answers with all
// leases that it holds, waiting for them to differ from those that it knows.
func (s *service) Poll(ctx context.Context, msg *apiv1.PollRequest) (*apiv1.PollResponse, error) {
	c := s.c
	if err := checkPoll(msg); err != nil {
		return nil, err
	}
	lead, err := c.waitLeading(ctx)
	if err != nil {
		return nil, err
	}
	noted, err := lead.liveness.Note(msg, time.Now())
	if err != nil {
		return nil, err
	}
	answered := false
	defer func() {
		lead.liveness.Closed(thalweg.WorkerID(msg.WorkerId), msg.Incarnation, answered, time.Now())
	}()
	if noted.Rests > 0 {
		c.metrics.flaps.Inc()
		c.log.Warn("worker flaps; it gets no leases for a while", keyWorker, msg.WorkerId, keyFlaps, noted.Flaps, keyWait, noted.Rests)
	}
	for _, r := range noted.Refusals {
		c.log.Warn("worker cannot load a model version", keyWorker, msg.WorkerId,
			keyModel, r.Model, keyVersion, r.Version, keyError, r.Reason)
	}
	lead.looks.Note(msg.Looked)
	lead.rollouts.Note(msg, time.Now())
	if noted.Others {
		c.changes.Notify()
	}
	accepted, err := c.takeReports(lead, msg)
	if err != nil {
		return nil, err
	}
	if msg.Leaving {
		return &apiv1.PollResponse{Accepted: accepted}, c.leave(lead, thalweg.WorkerID(msg.WorkerId))
	}
	res, err := c.awaitLeases(ctx, lead, msg, accepted)
	answered = err == nil
	return res, err
}

// awaitLeases plans for the worker until its leases differ from those it knows,
// or its wait is over.
func (c *Coordinator) awaitLeases(ctx context.Context, lead *leadership, msg *apiv1.PollRequest, accepted []string) (*apiv1.PollResponse, error) {
	defer c.parked.Add(-1)
	atOnce := c.parked.Add(1) > liveness.MaxWorkers || len(accepted) > 0
	wait := min(time.Duration(max(msg.WaitMs, 0))*time.Millisecond, c.cfg.LeaseTTL/maxPollsPerTTL)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	id := thalweg.WorkerID(msg.WorkerId)
	for {
		changed := c.changes.Changed()
		alive, err := c.advance(ctx, lead, id)
		if err != nil {
			return nil, err
		}
		var leases []*apiv1.Lease
		var hash string
		c.replica.view(func(s *state.State) { leases, hash, err = view.Leases(s, alive, id, msg.KnownLeases) })
		if err != nil {
			return nil, err
		}
		if atOnce || hash != msg.KnownLeases {
			res := &apiv1.PollResponse{Accepted: accepted, Leases: leases, LeasesHash: hash}
			c.replica.view(func(s *state.State) { res.Looks = lead.looks.Due(s, time.Now(), c.cfg.LookEvery) })
			return res, nil
		}
		select {
		case <-changed:
		case <-timer.C:
			atOnce = true
		case <-c.stopping:
			return nil, notLeader("")
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		lead.liveness.Seen(id, msg.Incarnation, time.Now())
	}
}

// takeReports commits what a poll brought for the log: reports of tasks, saved
// checkpoints and newly seen partitions. It returns the tasks whose reports were
// dealt with: none while this node only reads, and the worker sends them again.
func (c *Coordinator) takeReports(lead *leadership, msg *apiv1.PollRequest) (accepted []string, err error) {
	if c.node.Writable() != nil {
		return nil, nil
	}
	var group errgroup.Group
	for _, r := range msg.Reports {
		accepted = append(accepted, r.TaskId)
		group.Go(func() error { return c.report(lead, msg.WorkerId, r) })
	}
	var noted []state.Command
	c.replica.view(func(s *state.State) { noted = slices.Concat(newCheckpoints(s, msg), ofStreams(s, msg)) })
	for _, cmd := range noted {
		group.Go(func() error { return c.carryOut(cmd) })
	}
	return accepted, group.Wait()
}

// report commits one report.
func (c *Coordinator) report(lead *leadership, worker string, r *apiv1.TaskReport) error {
	cmd := &state.ReportTask{Task: thalweg.TaskID(r.TaskId), Token: thalweg.Token(r.Token)}
	if flaw := flawOf(r); flaw != "" {
		cmd.Failure = &state.ReportFailure{Error: "the worker's report is unusable: " + flaw, Permanent: true}
	} else if r.Error != "" {
		cmd.Failure = &state.ReportFailure{Error: failureText(r), Permanent: r.Permanent, OfWorker: r.OfWorker}
	} else {
		cmd.Results = state.Results{Partials: r.Partials, Outputs: r.Outputs, Metrics: r.Metrics,
			Counts: maps.Clone(r.Counts), Rows: r.Counts["rows"], Warnings: r.Warnings}
		delete(cmd.Counts, "rows") // the stage's progress, not a count of the run
		if p := lead.liveness.ProgressOf(cmd.Task, cmd.Token); p != nil && cmd.Rows == 0 {
			cmd.Rows = max(p.RowsDone, p.RowsTotal)
		}
	}
	if !c.holds(worker, cmd.Task) {
		c.log.Info("report of a worker that does not hold the task", keyTask, r.TaskId, keyWorker, worker)
		return nil
	}
	answer, err := c.propose(cmd)
	switch {
	case err != nil:
		return err
	case answer.Fenced:
		c.log.Info("report was fenced: the task is another's by now", keyTask, r.TaskId, keyToken, r.Token, keyWorker, worker)
	case cmd.Failure != nil:
		c.metrics.restarts.WithLabelValues(restartFailed).Inc()
		c.log.Warn("task failed", keyTask, r.TaskId, keyWorker, worker, keyError, cmd.Failure.Error)
	}
	if answer.Stage != "" {
		run, _, _ := strings.Cut(r.TaskId, "/")
		c.logStage(thalweg.RunID(run), answer.Stage)
	}
	return nil
}

// logStage logs the end of a stage, and that of the run if it was the last.
func (c *Coordinator) logStage(run thalweg.RunID, name string) {
	c.replica.view(func(s *state.State) {
		r := s.Run(run)
		if r == nil {
			return // its pipeline was deleted since
		}
		log := c.log.With(keyPipeline, r.Pipeline, keyRun, r.ID)
		c.traceStage(r, name)
		if i := slices.IndexFunc(r.Stages, func(s *state.Stage) bool { return s.Name == name }); i >= 0 {
			stage := r.Stages[i]
			log.Info("stage ended", keyStage, name, keyState, stage.State, keyTasks, stage.Done, keyRows, stage.Rows,
				keyTook, time.Duration(stage.EndedMS-stage.StartedMS)*time.Millisecond)
		}
		if r.Current() == nil && r.Stage().Name == name {
			log.Info("run ended", keyState, r.State, keyReason, r.Error, keyTook, time.Duration(r.EndedMS-r.StartedMS)*time.Millisecond)
		}
	})
}

// holds reports whether a worker's report of a task may count: nobody else holds it.
// Of tasks that are no more the state says so itself.
func (c *Coordinator) holds(worker string, task thalweg.TaskID) (ok bool) {
	c.replica.view(func(s *state.State) {
		t := s.Task(task)
		ok = t == nil || t.Worker == "" || string(t.Worker) == worker || t.Backup != nil && string(t.Backup.Worker) == worker
	})
	return ok
}

// flawOf tells why a report cannot be kept: it is over a bound, or has a metric
// that is not finite.
func flawOf(r *apiv1.TaskReport) string {
	switch {
	case len(r.Outputs) > maxOutputs:
		return fmt.Sprintf("%d outputs, at most %d", len(r.Outputs), maxOutputs)
	case len(r.Warnings) > state.MaxWarnings:
		return fmt.Sprintf("%d warnings, at most %d", len(r.Warnings), state.MaxWarnings)
	case len(r.Partials) > state.MaxReducers:
		return fmt.Sprintf("%d partials, at most %d", len(r.Partials), state.MaxReducers)
	case len(r.Metrics)+len(r.Counts) > maxMeasurements:
		return fmt.Sprintf("%d metrics and counts, at most %d", len(r.Metrics)+len(r.Counts), maxMeasurements)
	}
	for i, partial := range r.Partials {
		if len(partial) > maxPartialBytes {
			return fmt.Sprintf("partial %d has %d bytes, at most %d", i, len(partial), maxPartialBytes)
		}
	}
	for _, name := range sortedKeys(r.Outputs) {
		if len(name) > maxMeasuredBytes || len(r.Outputs[name]) > maxOutputBytes {
			return fmt.Sprintf("output %.64q has %d bytes, at most %d", name, len(r.Outputs[name]), maxOutputBytes)
		}
	}
	for _, name := range sortedKeys(r.Metrics) {
		if v := r.Metrics[name]; math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Sprintf("metric %.64q is %v", name, v)
		}
	}
	for _, name := range slices.Concat(sortedKeys(r.Metrics), sortedKeys(r.Counts)) {
		if len(name) > maxMeasuredBytes {
			return fmt.Sprintf("metric or count %.64q: the name is too long", name)
		}
	}
	return ""
}

// newCheckpoints returns the checkpoints that replicas of the worker saved and
// the state does not know.
func newCheckpoints(s *state.State, msg *apiv1.PollRequest) []state.Command {
	var commands []state.Command
	for _, p := range msg.Progress {
		t := s.Task(thalweg.TaskID(p.TaskId))
		if p.Checkpoint == "" || t == nil || !t.IsReplica() || t.Checkpoint == p.Checkpoint || t.Token != thalweg.Token(p.Token) {
			continue
		}
		commands = append(commands, &state.SaveCheckpoint{Task: t.ID, Token: t.Token, Checkpoint: p.Checkpoint})
	}
	return commands
}

// ofStreams returns what reports on partitions that the worker scores change: the
// first count and the growth of topics, and streams to pause because of too many
// dead letters.
func ofStreams(s *state.State, msg *apiv1.PollRequest) []state.Command {
	var commands []state.Command
	counted := make(map[state.SetPartitions]bool) // partitions of one topic tell the same
	for _, p := range msg.Streams {
		name, partition := thalweg.PipelineName(p.Pipeline), uint32(p.Partition)
		t := s.Task(state.ScoreTaskID(name, partition))
		if t == nil || t.Worker != thalweg.WorkerID(msg.WorkerId) {
			continue
		}
		count := state.SetPartitions{Pipeline: name, Topic: p.Topic, Partitions: uint32(max(p.Partitions, 0))}
		if count.Due(s) && !counted[count] {
			counted[count] = true
			commands = append(commands, &count)
		}
		trip := &state.TripStream{Pipeline: name, Partition: partition,
			Generation: thalweg.Generation(p.Generation), Resumes: p.Resumes, Reason: p.Tripped}
		if trip.Due(s) {
			commands = append(commands, trip)
		}
	}
	return commands
}

// leave takes back the leases of a worker that is leaving, and forgets it.
func (c *Coordinator) leave(lead *leadership, id thalweg.WorkerID) error {
	var cmd *state.ReleaseLeases
	c.replica.view(func(s *state.State) { cmd = state.Release("", s.HeldBy(id)...) })
	if len(cmd.Leases) > 0 {
		if _, err := c.propose(cmd); err != nil {
			return err
		}
	}
	lead.liveness.Left(id)
	return nil
}

// checkPoll refuses a poll that is over a bound.
func checkPoll(msg *apiv1.PollRequest) error {
	invalid := func(subject, hint string) error {
		return &thalweg.Error{Op: "poll", Kind: thalweg.Invalid, Subject: subject, Hint: hint}
	}
	switch {
	case msg.WorkerId == "" || len(msg.WorkerId) > maxNameBytes:
		return invalid(fmt.Sprintf("worker_id %.64q", msg.WorkerId), "a name of 1 to 253 bytes")
	case msg.Incarnation == "" || len(msg.Incarnation) > maxNameBytes:
		return invalid(fmt.Sprintf("incarnation %.64q", msg.Incarnation), "a name of 1 to 253 bytes, new for each process")
	case len(msg.ExchangeAddress) > maxNameBytes:
		return invalid("exchange_address", "host:port")
	case len(msg.Version) > maxNameBytes:
		return invalid("version", "at most 253 bytes")
	case msg.Slots > maxSlots:
		return invalid(fmt.Sprintf("%d slots", msg.Slots), fmt.Sprintf("at most %d", maxSlots))
	case len(msg.Looked) > maxPollItems:
		return invalid("looked", fmt.Sprintf("at most %d", maxPollItems))
	case len(msg.Rollouts) > maxPollItems:
		return invalid("rollouts", fmt.Sprintf("at most %d", maxPollItems))
	case len(msg.Unreachable) > maxPollItems:
		return invalid("unreachable", fmt.Sprintf("at most %d", maxPollItems))
	case len(msg.Progress) > maxPollItems || len(msg.Reports) > maxPollItems || len(msg.Streams) > maxPollItems || len(msg.Refusals) > maxRefusals:
		return invalid("progress, reports, streams or refusals", fmt.Sprintf("at most %d of each, %d refusals", maxPollItems, maxRefusals))
	}
	addresses := 0
	for _, c := range msg.Connections {
		addresses += max(len(c.Addresses), 1)
	}
	if addresses > maxConnections {
		return invalid(fmt.Sprintf("%d addresses of connections", addresses), fmt.Sprintf("at most %d", maxConnections))
	}
	for _, f := range msg.Looked {
		if len(f.Objects) > state.MaxHashBytes || len(f.Error) > state.MaxTextBytes {
			return invalid(fmt.Sprintf("objects of %.64q", f.Pipeline), "its hash or error is too long")
		}
	}
	for _, r := range msg.Rollouts {
		if len(r.Failure) > state.MaxTextBytes {
			return invalid(fmt.Sprintf("rollout %.64q", r.Salt), "its failure is too long")
		}
	}
	for _, p := range msg.Streams {
		if len(p.Tripped) > state.MaxTextBytes {
			return invalid(fmt.Sprintf("stream of %.64q", p.Pipeline), "its reason is too long")
		}
	}
	for _, p := range msg.Progress {
		if len(p.Message) > state.MaxTextBytes || len(p.Checkpoint) > maxOutputBytes {
			return invalid(fmt.Sprintf("progress of %.64q", p.TaskId), "its message or checkpoint is too long")
		}
		if p.Checkpoint != "" {
			if _, err := thalweg.ParseObjectRef(p.Checkpoint); err != nil {
				return err
			}
		}
	}
	return nil
}

// failureText is the error of a report, with its kind where that adds something:
// what is wrong or missing the text itself says.
func failureText(r *apiv1.TaskReport) string {
	switch r.ErrorKind {
	case "", thalweg.Other.String(), thalweg.Invalid.String(), thalweg.NotFound.String():
		return r.Error
	}
	if strings.Contains(r.Error, r.ErrorKind) {
		return r.Error
	}
	return r.ErrorKind + ": " + r.Error
}

// sortedKeys returns a map's keys in order.
func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
