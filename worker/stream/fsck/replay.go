package fsck

import (
	"context"
	"fmt"
)

// deadEvent is an event by the slot of the main log that it is a dead letter of.
type deadEvent struct {
	slot   uint64
	offset int64
}

// replay judges a slot of a replay log: what it scored were dead letters of the
// slots of the main log that it names, and none was scored before.
func (j *judge) replay(ctx context.Context, key string, o *objects, in intentRecord, d doneRecord, w, main *walk) (rowCounts, error) {
	var found rowCounts
	if len(d.Gaps) > 0 {
		j.verdict.violate(10, key, "a replay has gaps")
	}
	end := min(in.Slots[1], uint64(len(main.slots)))
	if in.Slots[0] >= in.Slots[1] || in.Slots[1] > end {
		j.verdict.violate(10, key, "replays slots [%d, %d) of a main log of %d", in.Slots[0], in.Slots[1], len(main.slots))
	}
	candidates := make(map[int64]uint64) // offset → slot of the main log
	for slot := in.Slots[0]; slot < end; slot++ {
		s := &main.slots[slot]
		if in.TopicID != "" && s.in.TopicID != "" && s.in.TopicID != in.TopicID {
			continue // an offset of another topic of that name
		}
		for _, offset := range s.dead {
			candidates[offset] = slot
		}
	}
	seen := make(map[int64]bool)
	tick := func(scored bool) func(int64) string {
		return func(offset int64) string {
			slot, ok := candidates[offset]
			at := deadEvent{slot, offset}
			switch {
			case offset < in.From || offset >= in.To:
				return fmt.Sprintf("offset %d is outside of [%d, %d)", offset, in.From, in.To)
			case seen[offset]:
				return fmt.Sprintf("offset %d appears twice", offset)
			}
			seen[offset] = true
			switch {
			case !ok:
				j.verdict.violate(10, key, "offset %d is no dead letter of slots [%d, %d) of the main log", offset, in.Slots[0], in.Slots[1])
			case w.replayed[at]:
				j.verdict.violate(10, key, "offset %d was scored by an earlier replay", offset)
			case scored:
				w.replayed[at] = true
			}
			return ""
		}
	}
	if _, err := j.objects(ctx, o, in, d, w, &found, tick(true), tick(false)); err != nil {
		return found, err
	}
	if in.Reread {
		open := make(map[int64]bool)
		for offset := range candidates {
			if offset >= in.From && offset < in.To && !seen[offset] {
				open[offset] = true
			}
		}
		w.slots[len(w.slots)-1].open = open
	}
	if d.Scored != found.scored || d.Dead != found.dead {
		j.verdict.violate(5, key, "says %d scored and %d dead, its objects hold %d and %d", d.Scored, d.Dead, found.scored, found.dead)
	}
	j.verdict.Replayed += found.scored
	j.verdict.RowsByModel[fmt.Sprintf("%s %d", in.Model, in.ModelVersion)] += found.scored
	return found, nil
}
