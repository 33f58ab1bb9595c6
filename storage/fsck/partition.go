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

// chain is where the log of a partition stands while it is walked.
type chain struct {
	started  bool
	next     int64  // offset
	previous string // sha256 of the last done record
	total    counts
}

// partition judges one topic partition.
func (j *judge) partition(ctx context.Context, name string, o *objects) error {
	topic, number, _ := strings.Cut(name, "/")
	dir := j.prefix + "_log/" + name + "/"
	result := Partition{Topic: topic, Partition: number}
	var c chain
	seen := make(map[string]bool) // keys of the log that were accounted for
	for slot := 0; ; slot++ {
		intentKey := fmt.Sprintf("%s%012d.intent.json", dir, slot)
		doneKey := fmt.Sprintf("%s%012d.done.json", dir, slot)
		_, hasIntent := o.log[intentKey]
		_, hasDone := o.log[doneKey]
		if !hasIntent {
			if hasDone {
				j.verdict.violate(1, doneKey, "done record without an intent")
			}
			break
		}
		if next := fmt.Sprintf("%s%012d.intent.json", dir, slot+1); !hasDone && o.log[next] > 0 {
			// Finished and followed while the listing went by.
			_, err := j.bucket.Head(ctx, doneKey)
			if err != nil && !thalweg.Is(err, thalweg.NotFound) {
				return err
			}
			hasDone = err == nil
		}
		seen[intentKey], seen[doneKey] = true, hasDone
		result.Slots++
		if result.Pending {
			j.verdict.violate(1, intentKey, "claimed although slot %d is not finished", slot-1)
		}
		in, sum, ok, err := j.intent(ctx, intentKey, topic, number, uint64(slot))
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		j.checkIntent(intentKey, in, &c)
		if slot == 0 {
			result.From = in.From
		}
		if !hasDone {
			result.Pending = true
			j.verdict.PendingSlots++
			j.claimPending(o, in)
			continue
		}
		d, doneSum, ok, err := j.done(ctx, doneKey, in, sum)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		found, err := j.rows(ctx, o, in, d)
		if err != nil {
			return err
		}
		j.checkDone(doneKey, in, d, found, &c)
		c.next, c.previous = in.To, doneSum
		result.To = in.To
		result.Scored += found.scored
		result.Dead += found.dead
	}
	for _, key := range slices.Sorted(maps.Keys(o.log)) {
		if !seen[key] {
			j.verdict.violate(1, key, "beyond the end of the log, or no record of it")
		}
	}
	for _, left := range []map[string]int64{o.data, o.dead} {
		for _, key := range slices.Sorted(maps.Keys(left)) {
			j.verdict.violate(4, key, "no done record names it")
		}
	}
	j.verdict.Partitions = append(j.verdict.Partitions, result)
	j.verdict.Scored += result.Scored
	j.verdict.Dead += result.Dead
	return nil
}

// checkIntent judges an intent against what came before it.
func (j *judge) checkIntent(key string, in intentRecord, c *chain) {
	if c.started && in.From != c.next {
		j.verdict.violate(3, key, "begins at offset %d, the slot before it ended at %d", in.From, c.next)
	}
	if in.Previous != c.previous {
		j.verdict.violate(2, key, "names %.12s… as the done record before it, which has %.12s…", in.Previous, c.previous)
	}
	if in.To <= in.From {
		j.verdict.violate(3, key, "covers no offset: [%d, %d)", in.From, in.To)
	}
	c.started = true
	m, ok := j.models[modelVersion{in.Model, in.ModelVersion}]
	switch {
	case !ok:
		j.verdict.violate(7, key, "model %s version %d was never registered", in.Model, in.ModelVersion)
	case m.Checkpoint != (thalweg.ObjectRef{Key: in.Checkpoint.Key, SHA256: in.Checkpoint.SHA256}):
		j.verdict.violate(7, key, "model %s version %d is checkpoint %s, the intent says %s", in.Model, in.ModelVersion, m.Checkpoint.SHA256, in.Checkpoint.SHA256)
	case m.RegisteredAtUS > in.ScoredAtUS:
		j.verdict.violate(7, key, "model %s version %d was registered %d µs after the intent's scored_at", in.Model, in.ModelVersion, m.RegisteredAtUS-in.ScoredAtUS)
	}
}

// checkDone judges a done record against the rows that are there.
func (j *judge) checkDone(key string, in intentRecord, d doneRecord, found rowCounts, c *chain) {
	if d.Scored != found.scored || d.Dead != found.dead {
		j.verdict.violate(5, key, "says %d scored and %d dead, its objects hold %d and %d", d.Scored, d.Dead, found.scored, found.dead)
	}
	if left := in.To - in.From - found.offsets - d.Dropped; left != 0 || d.Dropped < 0 {
		j.verdict.violate(5, key, "of the %d offsets in [%d, %d), rows and gaps account for %d and dropped events for %d", in.To-in.From, in.From, in.To, found.offsets, d.Dropped)
	}
	j.verdict.Absent += found.absent
	j.verdict.Dropped += d.Dropped
	c.total.Scored += d.Scored
	c.total.Dead += d.Dead
	c.total.Dropped += d.Dropped
	if d.Total != c.total {
		j.verdict.violate(8, key, "total is %+v, the sum of the records is %+v", d.Total, c.total)
		c.total = d.Total
	}
	j.verdict.RowsByModel[in.Model+" "+strconv.FormatUint(in.ModelVersion, 10)] += found.scored
}

// claimPending accounts for the objects that the unfinished slot may have left
// already.
func (j *judge) claimPending(o *objects, in intentRecord) {
	for _, left := range []map[string]int64{o.data, o.dead} {
		for key := range left {
			if strings.Contains(key, objectStem(in)) {
				delete(left, key)
			}
		}
	}
}

// objectStem is what the names of an intent's objects begin with.
func objectStem(in intentRecord) string {
	return fmt.Sprintf("/%012d-%019d-%019d-%s-", in.Seq, in.From, in.To, in.ID)
}
