package deadletter

import (
	"context"
	"fmt"
	"slices"

	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// keepReplayed is how many slots of a replay log are kept decoded: pages of
// dead letters come in order, and each lies in the range of a few.
const keepReplayed = 8

// replayHistory answers which dead letters of a partition have been scored
// again, from the finished slots of its replay log.
type replayHistory struct {
	bucket storage.Bucket
	log    *commitlog.Log
	slots  []commitlog.Entry // from 0
	kept   []*replayedSlot   // the most recently used last

	offsetsIn func(name string, file []byte, to []int64) ([]int64, error)
}

// replayedSlot is what one slot of a replay log left.
type replayedSlot struct {
	seq    uint64
	scored []int64                     // offsets, in order
	dead   map[int64]engine.DeadLetter // without their events
}

func newReplayHistory(bucket storage.Bucket, log *commitlog.Log, offsetsIn func(string, []byte, []int64) ([]int64, error)) *replayHistory {
	return &replayHistory{bucket: bucket, log: log, offsetsIn: offsetsIn}
}

// read learns the slots before the given one, which are finished.
func (h *replayHistory) read(ctx context.Context, before uint64) error {
	if uint64(len(h.slots)) > before {
		h.slots = h.slots[:before]
	}
	if uint64(len(h.slots)) == before {
		return nil
	}
	for e, err := range h.log.Read(ctx, uint64(len(h.slots))) {
		if err != nil {
			return err
		}
		h.slots = append(h.slots, e)
		if uint64(len(h.slots)) == before {
			return nil
		}
	}
	return &thalweg.Error{Op: "read replay log", Kind: thalweg.Unavailable, Subject: h.log.Layout().LogDir(),
		Err: fmt.Errorf("%d finished slots, expected %d", len(h.slots), before)}
}

// scored returns the offsets, of dead letters of the main log, that have become
// rows. Their slot has one topic, and so has every replay slot that covers it: an
// offset means one event.
func (h *replayHistory) scored(ctx context.Context, p page) (map[int64]bool, error) {
	out := make(map[int64]bool)
	err := h.eachCovering(ctx, p, func(_ commitlog.Intent, r *replayedSlot) {
		first, _ := slices.BinarySearch(r.scored, p.letters[0].Offset)
		for _, at := range r.scored[first:] {
			if at > p.letters[len(p.letters)-1].Offset {
				break
			}
			out[at] = true
		}
	})
	return out, err
}

// eachCovering calls fn with the slots that may have scored letters of a page, oldest
// first.
func (h *replayHistory) eachCovering(ctx context.Context, p page, fn func(commitlog.Intent, *replayedSlot)) error {
	slot, first, last := p.slot.Seq, p.letters[0].Offset, p.letters[len(p.letters)-1].Offset
	for i := range h.slots {
		in := &h.slots[i].Intent
		if slot < in.Slots[0] || slot >= in.Slots[1] || in.To <= first || in.From > last {
			continue
		}
		r, err := h.load(ctx, &h.slots[i])
		if err != nil {
			return err
		}
		fn(*in, r)
	}
	return nil
}

// load returns what a slot left.
func (h *replayHistory) load(ctx context.Context, e *commitlog.Entry) (*replayedSlot, error) {
	if i := slices.IndexFunc(h.kept, func(r *replayedSlot) bool { return r.seq == e.Intent.Seq }); i >= 0 {
		r := h.kept[i]
		h.kept = append(slices.Delete(h.kept, i, i+1), r)
		return r, nil
	}
	r := &replayedSlot{seq: e.Intent.Seq, dead: make(map[int64]engine.DeadLetter)}
	for _, o := range e.Done.Objects {
		if o.Kind == commitlog.Scored {
			body, err := commitlog.ReadObject(ctx, h.bucket, o)
			if err == nil {
				r.scored, err = h.offsetsIn(o.Key, body, r.scored)
			}
			if err != nil {
				return nil, err
			}
			continue
		}
		for page, err := range readPages(ctx, h.bucket, o) {
			if err != nil {
				return nil, err
			}
			for _, l := range page {
				l.Raw, l.Text = nil, nil
				r.dead[l.Offset] = l
			}
		}
	}
	slices.Sort(r.scored)
	if len(h.kept) == keepReplayed {
		h.kept = slices.Delete(h.kept, 0, 1)
	}
	h.kept = append(h.kept, r)
	return r, nil
}

// offsetsIn appends the offsets of the rows of a result file.
func offsetsIn(name string, file []byte, to []int64) ([]int64, error) {
	for rec, err := range engine.Records(name, file, []string{"_offset"}, nil) {
		if err != nil {
			return nil, err
		}
		values, ok := rec.Column(0).(*array.Int64)
		if !ok {
			return nil, &thalweg.Error{Op: "read rows", Kind: thalweg.Corrupt, Subject: name, Hint: "_offset is no int64"}
		}
		to = append(to, values.Int64Values()...)
	}
	return to, nil
}
