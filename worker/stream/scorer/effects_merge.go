package scorer

import (
	"context"
	"log/slog"
	"slices"

	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

// carryOutMerge starts an effect of the compactor.
func (r *runner) carryOutMerge(e effect) {
	switch e := e.(type) {
	case readRuns:
		r.spawn(func(ctx context.Context) func() event {
			runs, err := readTail(ctx, r.logbook, theEnd)
			return func() event { return runsRead{e.epoch, runs, err} }
		})
	case merge:
		r.mergeRuns(e)
	case claimMerge:
		r.claimMerge(e)
	case publishMerge:
		w := r.merge
		r.spawn(func(ctx context.Context) func() event {
			err := w.publish(ctx, r.logbook, e.hint)
			return func() event { return objectsPublished{err: err} }
		})
	case finishMerge:
		w := r.merge
		r.spawn(func(ctx context.Context) func() event {
			ev := r.finish(ctx, w.done)
			return func() event {
				if ev.err == nil {
					in, rows := ev.entry.Intent, ev.entry.Done.Scored
					r.outdated = append(r.outdated, replaced{in.Seq, in.Slots, r.machine.now.mono})
					r.log.Info("merged files", slog.Uint64(keyFirstSlot, in.Slots[0]), slog.Uint64(keyEndSlot, in.Slots[1]), slog.Int(keyFiles, len(ev.entry.Done.Inputs)), slog.Int64(keyRows, rows))
				}
				return ev
			}
		})
	case dropMerge:
		r.dropMerge()
	case sweep:
		outdated := r.outdated
		r.outdated = nil
		r.spawn(func(ctx context.Context) func() event {
			for _, f := range outdated {
				r.sweeper.note(f)
			}
			deleted, again, err := r.sweeper.sweep(ctx, e.now, e.retention)
			return func() event { return swept{deleted, again, err} }
		})
	}
}

// mergeRuns merges files; what comes of it is the runner's unless the log was
// given up meanwhile.
func (r *runner) mergeRuns(e merge) {
	var pending *commitlog.Intent
	if e.inputs == nil {
		pending = r.logbook.State().Pending
	}
	hold := r.cfg.Memory.MergeTurn()
	r.hold = hold
	r.spawn(func(ctx context.Context) func() event {
		inputs, hint, err := e.inputs, []commitlog.Run(nil), error(nil)
		if pending != nil {
			inputs, hint, err = readInputs(ctx, r.logbook, pending)
		}
		var w *mergeWork
		var apart uint64
		if err == nil {
			err = hold.take(ctx)
		}
		if err == nil {
			w, apart, err = r.files.merge(ctx, inputs)
		}
		moved := false
		if pending != nil && err != nil {
			// Another may have finished it, and deleted what it is made of.
			_, unfinished := r.logbook.Entry(ctx, pending.Seq)
			moved = unfinished == nil
		}
		return func() event {
			if w == nil || err != nil || e.epoch != r.machine.compactor.epoch {
				hold.release()
			} else {
				w.found, w.hint = pending != nil, hint
				r.merge = w
			}
			return merged{e.epoch, apart, moved, err}
		}
	})
}

// claimMerge places the intent of the merged file, the same one for every try.
func (r *runner) claimMerge(e claimMerge) {
	w := r.merge
	if w.intent == nil {
		state := r.logbook.State()
		if slices.Max(w.inputs) >= state.NextSeq || w.slots[1] > state.NextSeq {
			// What was read is beyond what this machine knows of: the slot is taken.
			r.spawn(func(context.Context) func() event { return func() event { return slotClaimed{won: false} } })
			return
		}
		w.intent = &commitlog.Intent{
			Seq: state.NextSeq, ID: r.newID(), Pipeline: r.cfg.Pipeline, Topic: r.cfg.Topic, Partition: r.cfg.Partition,
			From: state.NextOffset, To: state.NextOffset, SpecGeneration: w.generation, PartitionBy: w.partition, ScoredAtUS: e.scoredAt,
			Previous: state.Previous, TopicID: state.TopicID, Action: commitlog.Compact, Slots: w.slots,
		}
	}
	r.spawn(func(ctx context.Context) func() event {
		won, _, err := r.logbook.Claim(ctx, *w.intent)
		return func() event { return slotClaimed{won, err} }
	})
}

// dropMerge frees what was merged.
func (r *runner) dropMerge() {
	if r.merge != nil {
		r.hold.release()
		r.merge = nil
	}
}
