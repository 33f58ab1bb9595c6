package compact

import (
	"cmp"
	"context"
	"iter"
	"slices"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

// ReadTail returns the live runs of the end of the log, all from the first on,
// in order. It reads back to the newest compaction, whose record says where the
// runs before it are, and then those slots that are in none: a number of
// records that follows from how many small files there are, not from the length
// of the log. Of a log without a compaction it reads maxTail slots. Slots from
// before on do not count.
func ReadTail(ctx context.Context, log *commitlog.Log, before uint64) ([]Run, error) {
	var runs []Run
	read := 0
	for e, err := range readBefore(ctx, log, before) {
		if err != nil {
			return nil, err
		}
		read++
		if e.Intent.Action == commitlog.Compact {
			earlier, err := readHinted(ctx, log, e)
			if err != nil {
				return nil, err
			}
			runs = append(runs, earlier...)
			break
		}
		if r, ok := runOf(e); ok {
			runs = append(runs, r)
		}
		if read >= maxTail {
			break
		}
	}
	sortRuns(runs)
	return runs[max(0, len(runs)-maxTail):], nil
}

// readHinted returns the runs that a compaction, the newest of its log, and its
// hint tell of, and those of the slots between and behind them, up to its own.
func readHinted(ctx context.Context, log *commitlog.Log, newest commitlog.Entry) ([]Run, error) {
	own, _ := runOf(newest)
	runs := []Run{own}
	for _, h := range newest.Done.Runs {
		r, err := readRun(ctx, log, h[2])
		if err != nil {
			return nil, err
		}
		if r == nil || !r.Merged || r.Slots != [2]uint64{h[0], h[1]} {
			return nil, &thalweg.Error{Op: "read log", Kind: thalweg.Corrupt, Subject: log.Layout().DoneKey(newest.Intent.Seq),
				Hint: "its runs are not those of the log: run thalweg fsck"}
		}
		runs = append(runs, *r)
	}
	sortRuns(runs)
	var all []Run
	at := runs[0].Slots[0]
	for _, next := range append(runs, Run{Slots: [2]uint64{newest.Intent.Seq, newest.Intent.Seq}}) {
		if next.Slots[0]-at > maxTail {
			all, at = nil, next.Slots[0] // what lies further back stays as it is
		}
		for ; at < next.Slots[0]; at++ {
			r, err := readRun(ctx, log, at)
			if err != nil {
				return nil, err
			}
			if r != nil && !r.Merged { // a compaction's rows are of other slots
				all = append(all, *r)
			}
		}
		if next.Slots[0] < newest.Intent.Seq {
			all = append(all, next)
		}
		at = next.Slots[1]
	}
	return all, nil
}

// readRun returns what a finished slot holds, nil if that is no scored row.
func readRun(ctx context.Context, log *commitlog.Log, slot uint64) (*Run, error) {
	e, err := log.Entry(ctx, slot)
	if thalweg.Is(err, thalweg.NotFound) {
		return nil, &thalweg.Error{Op: "read log", Kind: thalweg.Corrupt, Subject: log.Layout().DoneKey(slot), Err: err}
	}
	if err != nil {
		return nil, err
	}
	if r, ok := runOf(e); ok {
		return &r, nil
	}
	return nil, nil
}

func sortRuns(runs []Run) {
	slices.SortFunc(runs, func(a, b Run) int { return cmp.Compare(a.Slots[0], b.Slots[0]) })
}

func readBefore(ctx context.Context, log *commitlog.Log, before uint64) iter.Seq2[commitlog.Entry, error] {
	return func(yield func(commitlog.Entry, error) bool) {
		for e, err := range log.ReadBack(ctx) {
			if (err != nil || e.Intent.Seq < before) && !yield(e, err) {
				return
			}
		}
	}
}

// ReadInputs returns the runs that a claimed compaction replaces, and the hint
// of its record. They follow from the log before it, whoever asks and when.
func ReadInputs(ctx context.Context, log *commitlog.Log, claimed *commitlog.Intent) (inputs []Run, hint []commitlog.Run, err error) {
	slots := claimed.Slots
	tail, err := ReadTail(ctx, log, claimed.Seq)
	if err != nil {
		return nil, nil, err
	}
	hint = hintOf(tail, slots)
	if len(tail) == 0 || tail[0].Slots[0] > slots[0] {
		// The hint does not reach that far: every slot is read.
		if tail, err = readExactly(ctx, log, slots[0], claimed.Seq); err != nil {
			return nil, nil, err
		}
	}
	for _, r := range tail {
		if r.Slots[0] >= slots[0] && r.Slots[1] <= slots[1] {
			inputs = append(inputs, r)
		}
	}
	return inputs, hint, nil
}

// readExactly returns the live runs that hold rows of slots from first on.
func readExactly(ctx context.Context, log *commitlog.Log, first, before uint64) ([]Run, error) {
	var runs []Run
	for e, err := range commitlog.Live(readBefore(ctx, log, before)) {
		if err != nil {
			return nil, err
		}
		r, ok := runOf(e)
		if ok && r.Slots[0] >= first {
			runs = append(runs, r)
		}
		if e.Intent.Seq <= first {
			break
		}
	}
	sortRuns(runs)
	return runs, nil
}
