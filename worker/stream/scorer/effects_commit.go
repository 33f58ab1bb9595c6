package scorer

import (
	"context"
	"errors"
	"log/slog"
	"slices"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/compact"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// commit carries out one stage of a slot.
func (r *runner) commit(e commit) {
	slot := e.job.slot()
	switch e.stage {
	case opMerge:
		r.merge(e.job.(*merging))
	case opClaim:
		if slot.intent == nil {
			slot.intent = r.intentOf(e.job)
		}
		in := slot.intent
		r.do(func(ctx context.Context) event {
			if in == nil {
				return slotClaimed{won: false}
			}
			began := r.traceClock()
			won, _, err := r.logbook.Claim(ctx, *in)
			r.traceCommit(e.job, "claim", began, err)
			if won && in.Seq == 0 {
				r.line.Store(&in.ID)
			}
			return slotClaimed{won, err}
		})
	case opPublish:
		if s, ok := e.job.(*span); ok {
			r.publish(s)
			return
		}
		job := e.job.(*merging)
		hint := r.machine.merges.Hint(job.slots)
		r.do(func(ctx context.Context) event {
			var err error
			job.done, err = job.work.Publish(ctx, r.logbook, hint)
			return objectsPublished{err: err}
		})
	case opDeliver:
		letters := e.job.(*span).rows.DeadLetters()
		r.do(func(ctx context.Context) event {
			began := r.traceClock()
			err := r.outbox.Deliver(ctx, letters)
			r.traceCommit(e.job, "deliver", began, err)
			return deadLettersDelivered{err}
		})
	case opFinish:
		r.finish(e.job)
	}
}

// intentOf returns the intent of what is to be the next slot, nil if that is
// known to be taken: what was merged is of slots that this machine does not know.
func (r *runner) intentOf(job slotJob) *commitlog.Intent {
	state := r.logbook.State()
	in := &commitlog.Intent{Seq: state.NextSeq, ID: r.newID(), Pipeline: r.cfg.Pipeline, Topic: r.cfg.Topic, Partition: r.cfg.Partition,
		ScoredAtUS: job.slot().scoredAt, Previous: state.Previous}
	switch j := job.(type) {
	case *span:
		in.From, in.To, in.Model, in.ModelVersion, in.Checkpoint = j.from, j.to, j.model.Name, j.model.Version, j.model.Checkpoint
		in.Rollout = j.model.Rollout
		in.SpecGeneration, in.PartitionBy, in.TopicID, in.LeaderEpoch = j.generation, j.partitionBy, j.topicID, j.leaderEpoch
		in.RowsTopic = r.machine.rowsTopicOf(j, state.RowsTopic)
		if j.skip {
			in.Action, in.Missing = commitlog.Skip, j.missing
		}
	case *merging:
		if slices.Max(j.work.Done.Inputs) >= state.NextSeq || j.work.Slots[1] > state.NextSeq {
			return nil
		}
		in.Action, in.From, in.To, in.Slots = commitlog.Compact, state.NextOffset, state.NextOffset, j.work.Slots
		in.SpecGeneration, in.PartitionBy, in.TopicID = j.work.Generation, j.work.PartitionBy, state.TopicID
		in.LeaderEpoch, in.RowsTopic = state.LeaderEpoch, state.RowsTopic
	}
	return in
}

func (r *runner) publish(s *span) {
	if s.rows == nil { // a skip, or a claim of which all is lost
		s.rows = &engine.Rows{Topic: r.cfg.Topic, Partition: r.cfg.Partition}
	}
	rows := s.rows
	rows.FirstAvailable = s.firstAvailable
	if p := r.logbook.State().Pending; rows.Engine == nil && p != nil && p.Action == commitlog.Score {
		rows.Model, rows.Engine, rows.To = s.model, r.engines[s.model], s.firstAvailable
	}
	r.spawn(func(ctx context.Context) func() event {
		began := r.traceClock()
		done, err := rows.Publish(ctx, r.logbook, r.cfg.Memory)
		if err == nil {
			err = r.keepCounts(ctx, rows)
		}
		s.done = done
		r.traceCommit(s, "write", began, err)
		return func() event {
			s.rowBytes = rows.SizeBytes()
			ev := objectsPublished{cut: errors.Is(err, engine.ErrIncomplete), err: err}
			if err == nil {
				ev.adopted = int(done.Dead - rows.Rejected)
			}
			return ev
		}
	})
}

// keepCounts keeps what was counted of the rows of the pending intent before that is finished.
// A stream goes on without counts where they cannot be kept for good.
func (r *runner) keepCounts(ctx context.Context, rows *engine.Rows) error {
	counts, flaw := rows.Counts()
	if pending := r.logbook.State().Pending; counts != nil && pending != nil {
		if err := r.counts.Add(ctx, pending.Seq, counts); thalweg.IsTransient(err) || thalweg.Is(err, thalweg.Canceled) {
			return err
		} else if flaw == nil {
			flaw = err
		}
	}
	if flaw != nil {
		r.log.Warn("rows are not counted: drift in them is not found", slog.String(keyError, flaw.Error()))
	}
	return nil
}

func (r *runner) finish(job slotJob) {
	done := job.slot().done
	r.spawn(func(ctx context.Context) func() event {
		var e commitlog.Entry
		if pending := r.logbook.State().Pending; pending != nil {
			e.Intent = *pending
		}
		var err error
		began := r.traceClock()
		_, e.Done, err = r.logbook.Finish(ctx, done)
		state := r.logbook.State()
		r.finished(state, err)
		return func() event {
			r.traceCommit(job, commitStep, began, err)
			if in := e.Intent; err == nil && in.Action == commitlog.Compact {
				r.log.Info("merged files", slog.Uint64(keyFirstSlot, in.Slots[0]), slog.Uint64(keyEndSlot, in.Slots[1]), slog.Int(keyFiles, len(e.Done.Inputs)), slog.Int64(keyRows, e.Done.Scored))
			}
			return slotFinished{state.Total, e, err}
		}
	})
}

// merge merges files; what comes of it is the runner's unless the log was given
// up meanwhile.
func (r *runner) merge(job *merging) {
	epoch := r.machine.merges.epoch
	var pending *commitlog.Intent
	if job.inputs == nil {
		pending = r.logbook.State().Pending
	}
	r.spawn(func(ctx context.Context) func() event {
		inputs, hint, err := job.inputs, []commitlog.Run(nil), error(nil)
		if pending != nil {
			inputs, hint, err = compact.ReadInputs(ctx, r.logbook, pending)
		}
		var w *compact.Merged
		var boundary uint64
		if err == nil {
			err = r.cfg.Memory.AwaitMerge(ctx)
		}
		if err == nil {
			w, boundary, err = r.files.Merge(ctx, inputs)
		}
		moved := false
		if pending != nil && err != nil {
			// Another may have finished it, and deleted what it is made of.
			_, unfinished := r.logbook.Entry(ctx, pending.Seq)
			moved = unfinished == nil
		}
		return func() event {
			if w == nil || err != nil || epoch != r.machine.merges.epoch {
				r.cfg.Memory.GiveMerge()
			} else {
				w.Found, w.Done.Runs = pending != nil, hint
				job.work = w
			}
			return merged{epoch, boundary, moved, err}
		}
	})
}

// release frees what is finished or given up. What a goroutine still works on is
// freed when it answers.
func (r *runner) release(job slotJob) {
	switch j := job.(type) {
	case *span:
		if j.rows != nil && j != r.scoring {
			j.rows.Release()
		}
	case *merging:
		if j.work != nil {
			r.cfg.Memory.GiveMerge()
			j.work = nil
		}
	}
}

// sweep deletes objects that compactions have replaced.
func (r *runner) sweep(e sweep) {
	r.do(func(ctx context.Context) event {
		again, err := r.sweeper.Sweep(ctx, e.now, e.retention)
		return swept{again, err}
	})
}
