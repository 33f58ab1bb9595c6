package scorer

import (
	"context"
	"log/slog"
	"slices"

	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/compact"
)

func (r *runner) carryOutMerge(e effect) {
	switch e := e.(type) {
	case readRuns:
		r.spawn(func(ctx context.Context) func() event {
			runs, err := compact.ReadTail(ctx, r.logbook)
			return func() event { return runsRead{e.epoch, runs, err} }
		})
	case merge:
		r.mergeRuns(e)
	case claimMerge:
		r.claimMerge(e.job)
	case publishMerge:
		job, hint := e.job, r.machine.merges.Hint(e.job.slots)
		r.spawn(func(ctx context.Context) func() event {
			done, err := job.held.work.Publish(ctx, r.logbook, hint)
			job.held.done = done
			return func() event { return objectsPublished{err: err} }
		})
	case finishMerge:
		r.spawn(func(ctx context.Context) func() event {
			ev := r.finish(ctx, e.job.held.done)
			return func() event {
				if ev.err == nil {
					in, rows := ev.entry.Intent, ev.entry.Done.Scored
					r.outdated = append(r.outdated, compact.Replaced{Slot: in.Seq, Slots: in.Slots, Since: r.machine.Now.Mono})
					r.log.Info("merged files", slog.Uint64(keyFirstSlot, in.Slots[0]), slog.Uint64(keyEndSlot, in.Slots[1]), slog.Int(keyFiles, len(ev.entry.Done.Inputs)), slog.Int64(keyRows, rows))
				}
				return ev
			}
		})
	case dropMerge:
		r.dropMerge(e.job)
	case sweep:
		outdated := r.outdated
		r.outdated = nil
		r.spawn(func(ctx context.Context) func() event {
			for _, f := range outdated {
				r.sweeper.Note(f)
			}
			deleted, again, err := r.sweeper.Sweep(ctx, e.now, e.retention)
			return func() event { return swept{deleted, again, err} }
		})
	}
}

// mergeRuns merges files; what comes of it is the runner's unless the log was
// given up meanwhile.
func (r *runner) mergeRuns(e merge) {
	job := e.job
	var pending *commitlog.Intent
	if job.inputs == nil {
		pending = r.logbook.State().Pending
	}
	turn := r.cfg.Memory.MergeTurn()
	r.turn = turn
	r.spawn(func(ctx context.Context) func() event {
		inputs, hint, err := job.inputs, []commitlog.Run(nil), error(nil)
		if pending != nil {
			inputs, hint, err = compact.ReadInputs(ctx, r.logbook, pending)
		}
		var w *compact.Merged
		var boundary uint64
		if err == nil {
			err = turn.Take(ctx)
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
			if w == nil || err != nil || e.epoch != r.machine.merges.epoch {
				turn.Release()
			} else {
				w.Found, w.Hint = pending != nil, hint
				job.held.work = w
			}
			return merged{e.epoch, boundary, moved, err}
		}
	})
}

// claimMerge places the intent of what was merged, the same one for every try.
func (r *runner) claimMerge(job *merging) {
	if w := job.held.work; job.held.intent == nil {
		state := r.logbook.State()
		if slices.Max(w.Inputs) >= state.NextSeq || w.Slots[1] > state.NextSeq {
			// What was read is beyond what this machine knows of: the slot is taken.
			r.spawn(func(context.Context) func() event { return func() event { return slotClaimed{won: false} } })
			return
		}
		job.held.intent = &commitlog.Intent{
			Seq: state.NextSeq, ID: r.newID(), Pipeline: r.cfg.Pipeline, Topic: r.cfg.Topic, Partition: r.cfg.Partition,
			From: state.NextOffset, To: state.NextOffset, SpecGeneration: w.Generation, PartitionBy: w.PartitionBy, ScoredAtUS: job.scoredAt,
			Previous: state.Previous, TopicID: state.TopicID, Action: commitlog.Compact, Slots: w.Slots,
		}
	}
	r.place(*job.held.intent)
}

// dropMerge frees what was merged, and the turn to have it. One that is under way
// is freed when it answers.
func (r *runner) dropMerge(job *merging) {
	if job != nil && job.held.work != nil {
		r.turn.Release()
		job.held.work = nil
	}
}
