package fsck

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/thalweg/thalweg"
)

// unnamed judges the objects that no done record names. An owner of a claim that
// was slow may have put one there late, after another had given up what the
// topic had lost of the claim: then all that it has is given up.
func (j *judge) unnamed(ctx context.Context, o *objects, w *walk) error {
	for _, key := range slices.Sorted(maps.Keys(o.dead)) {
		s := w.slotOf(key)
		if s == nil || o.dead[key] > 0 || len(s.dead) > 0 {
			j.verdict.violate(4, key, "no done record names it")
		}
	}
	for _, key := range slices.Sorted(maps.Keys(o.data)) {
		s := w.slotOf(key)
		if s == nil || s.seen == nil && s.open == nil {
			j.verdict.violate(4, key, "no done record names it")
			continue
		}
		body, _, err := j.bucket.Get(ctx, key)
		if thalweg.Is(err, thalweg.NotFound) {
			continue // deleted along with what a compaction replaced around it
		}
		if err != nil {
			return err
		}
		j.verdict.Late++
		var late *offsets
		if s.open == nil {
			late = newOffsets(s.in)
		}
		j.verdict.LateRows += j.scoredRows(key, body, s.in, func(offset int64) string {
			given := s.open[offset]
			if delete(s.open, offset); s.open == nil {
				given = offset >= s.lost[0] && offset < s.lost[1] && !s.seen.has(offset)
			}
			if !given {
				return fmt.Sprintf("no done record names the object, and offset %d is not given up", offset)
			}
			if s.open != nil {
				return ""
			}
			return late.add(offset)
		})
	}
	return nil
}

// slotOf returns the finished slot that scored and that an object is named after,
// nil if there is none.
func (w *walk) slotOf(key string) *facts {
	for part := range strings.SplitSeq(key, "/") {
		digits, _, _ := strings.Cut(part, "-")
		seq, err := strconv.ParseUint(digits, 10, 64)
		if err != nil || seq >= uint64(len(w.slots)) {
			continue
		}
		if s := &w.slots[seq]; s.done && (s.in.Action == actionScore || s.in.Reread) && strings.Contains(key, objectStem(s.in)) {
			return s
		}
	}
	return nil
}
