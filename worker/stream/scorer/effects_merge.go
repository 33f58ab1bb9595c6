package scorer

import (
	"context"
	"log/slog"
	"slices"

	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/compact"
)

// carryOutMerge starts an effect of the compactor.
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
		r.claimMerge(e)
	case publishMerge:
		w := r.merge
		r.spawn(func(ctx context.Context) func() event {
			err := w.Publish(ctx, r.logbook, e.hint)
			return func() event { return objectsPublished{err: err} }
		})
	case finishMerge:
		w := r.merge
		r.spawn(func(ctx context.Context) func() event {
			ev := r.finish(ctx, w.Done)
			return func() event {
				if ev.err == nil {
					in, rows := ev.entry.Intent, ev.entry.Done.Scored
					r.outdated = append(r.outdated, compact.Replaced{Slot: in.Seq, Slots: in.Slots, Since: r.machine.now.mono})
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
	var pending *commitlog.Intent
	if e.inputs == nil {
		pending = r.logbook.State().Pending
	}
	hold := r.cfg.Memory.MergeTurn()
	r.hold = hold
	r.spawn(func(ctx context.Context) func() event {
		inputs, hint, err := e.inputs, []commitlog.Run(nil), error(nil)
		if pending != nil {
			inputs, hint, err = compact.ReadInputs(ctx, r.logbook, pending)
		}
		var w *compact.Merged
		var apart uint64
		if err == nil {
			err = hold.Take(ctx)
		}
		if err == nil {
			w, apart, err = r.files.Merge(ctx, inputs)
		}
		moved := false
		if pending != nil && err != nil {
			// Another may have finished it, and deleted what it is made of.
			_, unfinished := r.logbook.Entry(ctx, pending.Seq)
			moved = unfinished == nil
		}
		return func() event {
			if w == nil || err != nil || e.epoch != r.machine.compactor.epoch {
				hold.Release()
			} else {
				w.Found, w.Hint = pending != nil, hint
				r.merge = w
			}
			return merged{e.epoch, apart, moved, err}
		}
	})
}

// claimMerge places the intent of the merged file, the same one for every try.
func (r *runner) claimMerge(e claimMerge) {
	w := r.merge
	if w.Intent == nil {
		state := r.logbook.State()
		if slices.Max(w.Inputs) >= state.NextSeq || w.Slots[1] > state.NextSeq {
			// What was read is beyond what this machine knows of: the slot is taken.
			r.spawn(func(context.Context) func() event { return func() event { return slotClaimed{won: false} } })
			return
		}
		w.Intent = &commitlog.Intent{
			Seq: state.NextSeq, ID: r.newID(), Pipeline: r.cfg.Pipeline, Topic: r.cfg.Topic, Partition: r.cfg.Partition,
			From: state.NextOffset, To: state.NextOffset, SpecGeneration: w.Generation, PartitionBy: w.Partition, ScoredAtUS: e.scoredAt,
			Previous: state.Previous, TopicID: state.TopicID, Action: commitlog.Compact, Slots: w.Slots,
		}
	}
	r.spawn(func(ctx context.Context) func() event {
		won, _, err := r.logbook.Claim(ctx, *w.Intent)
		return func() event { return slotClaimed{won, err} }
	})
}

// dropMerge frees what was merged.
func (r *runner) dropMerge() {
	if r.merge != nil {
		r.hold.Release()
		r.merge = nil
	}
}
