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

// replaySuffix ends the name of a partition's replay log.
const replaySuffix = "-replay"

// walk is where the log of a partition stands while it is walked, and what is
// remembered of the slots passed.
type walk struct {
	Partition        // what is reported of it
	name      string // topic/partition
	app       string // what the log's txn actions in the table are called
	next      int64  // offset
	topicID   string // of the newest intent
	previous  string // sha256 of the last done record
	total     counts

	slots    []facts            // by number; of a damaged log not all
	replayed map[deadEvent]bool // dead letters that a replay scored
}

// facts are what is remembered of a slot.
type facts struct {
	in       intentRecord
	record   doneRecord
	finished bool           // record is its own
	objects  []objectRecord // scored ones
	kept     int            // of those, the ones that are there
	absent   []absentObject // of those, the ones that are not: a compaction must have replaced them
	dead     []int64        // offsets of dead letters
	seen     *offsets       // nil: nothing was lost
	carrier  uint64         // the slot whose objects hold its rows now
}

// absentObject is a scored object that is not there.
type absentObject struct {
	objectRecord
	late []byte // other bytes that are under its name
}

func (s *facts) lacks(obj objectRecord) bool {
	return slices.ContainsFunc(s.absent, func(a absentObject) bool { return a.objectRecord == obj })
}

// partition judges one topic partition; main is the walk of the main log if
// name is that of its replay log.
func (j *judge) partition(ctx context.Context, name string, o objects, main *walk) (*walk, error) {
	topic, number, _ := strings.Cut(name, "/")
	plain, replay := strings.CutSuffix(number, replaySuffix)
	partition, err := strconv.Atoi(plain)
	if err != nil {
		j.verdict.violate(1, j.prefix+name, "%q is no partition", number)
		return nil, nil
	}
	if replay && (main == nil || main.name != topic+"/"+plain) {
		main = &walk{}
		j.verdict.violate(10, j.prefix+name, "a replay log without a main log")
	}
	dir := j.prefix + logDir + name + "/"
	app := fmt.Sprintf("thalweg/%s/%d", topic, partition)
	if replay {
		app += "/replay"
	}
	w := &walk{name: name, app: app, Partition: Partition{Topic: topic, Partition: number}, replayed: map[deadEvent]bool{}}
	for slot := uint64(0); ; slot++ {
		intentKey := fmt.Sprintf("%s%012d.intent.json", dir, slot)
		doneKey := fmt.Sprintf("%s%012d.done.json", dir, slot)
		_, hasIntent := o[logDir][intentKey]
		_, hasDone := o[logDir][doneKey]
		// A listing that goes by while records are written may have a later one and not
		// an earlier one.
		var err error
		if !hasIntent && hasDone {
			hasIntent, err = j.exists(ctx, intentKey)
		} else if next := fmt.Sprintf("%s%012d.intent.json", dir, slot+1); hasIntent && !hasDone && o[logDir][next] > 0 {
			hasDone, err = j.exists(ctx, doneKey)
		}
		if err != nil {
			return nil, err
		}
		if !hasIntent {
			j.check(!hasDone, 1, doneKey, "done record without an intent")
			break
		}
		delete(o[logDir], intentKey)
		delete(o[logDir], doneKey)
		w.Slots++
		j.check(!w.Pending, 1, intentKey, "claimed although slot %d is not finished", slot-1)
		in, sum, err := j.intent(ctx, intentKey, topic, partition, replay, slot)
		if err == errUnjudged {
			break
		}
		if err != nil {
			return nil, err
		}
		j.checkIntent(intentKey, in, w)
		if slot == 0 {
			w.From = in.From
		}
		if !hasDone {
			w.Pending = true
			j.verdict.PendingSlots++
			j.claimPending(o, in)
			w.slots = append(w.slots, facts{in: in, carrier: slot})
			continue
		}
		d, doneSum, err := j.done(ctx, doneKey, in, sum)
		if err == errUnjudged {
			break
		}
		if err != nil {
			return nil, err
		}
		w.slots = append(w.slots, facts{in: in, record: d, finished: true, carrier: slot})
		if err := j.slot(ctx, doneKey, o, w, main); err != nil {
			return nil, err
		}
		w.next, w.previous, w.topicID = in.To, doneSum, in.TopicID
		w.To = in.To
	}
	for _, key := range slices.Sorted(maps.Keys(o[logDir])) {
		j.verdict.violate(1, key, "beyond the end of the log, or no record of it")
	}
	if err := j.unnamed(ctx, o, w); err != nil {
		return nil, err
	}
	if err := j.missingObjects(ctx, dir, w); err != nil {
		return nil, err
	}
	j.verdict.Partitions = append(j.verdict.Partitions, w.Partition)
	if !replay { // what a replay scored is a dead letter already
		j.verdict.Scored += w.Scored
		j.verdict.Dead += w.Dead
	}
	j.verdict.Missing += w.Missing
	return w, nil
}

// slot judges the newest slot, which is finished.
func (j *judge) slot(ctx context.Context, key string, o objects, w, main *walk) (err error) {
	s := &w.slots[len(w.slots)-1]
	var found rowCounts
	switch s.in.Action {
	case actionCompact:
		err = j.compaction(ctx, key, o, s, w)
	case actionReplay:
		found, err = j.replay(ctx, key, o, s, w, main)
	case actionSkip:
		found.lost = s.in.Missing[1] - s.in.Missing[0]
	case actionScore:
		found, err = j.rows(ctx, o, s)
	}
	if err != nil {
		return err
	}
	j.checkDone(key, s, found, w)
	w.Scored += found.scored
	w.Dead += found.dead
	w.Missing += found.lost
	w.Live += len(s.objects)
	return nil
}

// checkIntent judges an intent against what came before it.
func (j *judge) checkIntent(key string, in intentRecord, w *walk) {
	j.check(len(w.slots) == 0 || in.From == w.next || in.Action == actionReplay,
		3, key, "begins at offset %d, the slot before it ended at %d", in.From, w.next)
	j.check(in.Previous == w.previous,
		2, key, "names %.12s… as the done record before it, which has %.12s…", in.Previous, w.previous)
	anew := len(w.slots) > 0 && in.TopicID != w.topicID
	switch in.Action {
	case actionCompact:
		j.check(in.To == in.From, 3, key, "a compaction covers offsets of its own: [%d, %d)", in.From, in.To)
	case actionSkip:
		j.check(len(w.slots) > 0 && in.Missing[0] == in.From && in.Missing[1] >= in.From && in.To >= 0,
			3, key, "skips [%d, %d) at offset %d and goes on at %d", in.Missing[0], in.Missing[1], in.From, in.To)
		j.check(anew || in.To == in.Missing[1] && in.To != in.From,
			3, key, "goes on at offset %d, what is missing ends at %d", in.To, in.Missing[1])
	default:
		j.check(in.To > in.From, 3, key, "covers no offset: [%d, %d)", in.From, in.To)
	}
	j.check(!anew || in.TopicID != "" && (w.topicID == "" || in.Action == actionSkip || in.Action == actionReplay),
		3, key, "is of topic %q, the slot before it of %q", in.TopicID, w.topicID)
	if in.Action == actionCompact || in.Action == actionSkip {
		j.check(in.Model == "" && in.ModelVersion == 0 && in.Checkpoint == checkpointRef{},
			7, key, "names a model although it scores nothing")
		return
	}
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

// checkDone judges the counts of a done record against the rows that are there,
// and its totals; rows of objects that are not there are checked where they moved
// to.
func (j *judge) checkDone(key string, s *facts, found rowCounts, w *walk) {
	in, d := s.in, s.record
	j.check(in.Action == actionScore || d.Lost == [2]int64{},
		5, key, "has lost events of the topic although it does not score it")
	j.check(in.Action == actionCompact || len(d.Inputs) == 0 && len(d.Runs) == 0 && d.Offsets == [2]int64{},
		9, key, "replaces objects although it is no compaction")
	switch in.Action {
	case actionCompact:
	case actionSkip:
		j.check(len(d.Objects) == 0 && len(d.Gaps) == 0 && d.Scored == 0 && d.Dead == 0 && d.Dropped == 0,
			5, key, "a skip has rows")
	default:
		j.check(d.Scored == found.scored && d.Dead == found.dead,
			5, key, "says %d scored and %d dead, its objects hold %d and %d", d.Scored, d.Dead, found.scored, found.dead)
		j.verdict.RowsByModel[fmt.Sprintf("%s %d", in.Model, in.ModelVersion)] += found.scored
		w.total.Scored += d.Scored
		w.total.Dead += d.Dead
		w.total.Dropped += d.Dropped
	}
	w.total.Missing += found.lost
	if in.Action == actionScore {
		if left := in.To - in.From - found.offsets - d.Dropped - found.lost; left != 0 || d.Dropped < 0 {
			j.verdict.violate(5, key, "of the %d offsets in [%d, %d), rows and gaps account for %d and dropped events for %d", in.To-in.From, in.From, in.To, found.offsets, d.Dropped)
		}
		j.verdict.Absent += found.absent
		j.verdict.Dropped += d.Dropped
	}
	if d.Total != w.total {
		j.verdict.violate(8, key, "total is %+v, the sum of the records is %+v", d.Total, w.total)
		w.total = d.Total
	}
}

// claimPending accounts for the objects that the unfinished slot may have left
// already.
func (j *judge) claimPending(o objects, in intentRecord) {
	for _, left := range []map[string]int64{o[dataDir], o[deadDir]} {
		for key := range left {
			if strings.Contains(key, objectStem(in)) {
				delete(left, key)
			}
		}
	}
}

// missingObjects names the objects that are neither there nor replaced. A
// compaction may have been finished, and its inputs deleted, since the log was
// listed: then its record is there by now.
func (j *judge) missingObjects(ctx context.Context, dir string, w *walk) error {
	slot := len(w.slots)
	if w.Pending {
		slot-- // the pending slot itself may be the compaction
	}
	for ; slices.ContainsFunc(w.slots, func(s facts) bool { return len(s.absent) > 0 }); slot++ {
		body, _, err := j.bucket.Get(ctx, fmt.Sprintf("%s%012d.done.json", dir, slot))
		if err != nil && !thalweg.Is(err, thalweg.NotFound) {
			return err
		}
		var d doneRecord
		if err != nil || parseRecord(body, &d) != "" {
			break
		}
		w.replaced(d.Inputs)
	}
	for _, s := range w.slots {
		for _, obj := range s.absent {
			why := "is named by a done record but not there"
			if obj.late != nil {
				why = "its bytes are not those of its record"
			}
			j.verdict.violate(4, obj.Key, "%s", why)
		}
	}
	return nil
}

// replaced takes it that the objects of slots need not be there.
func (w *walk) replaced(slots []uint64) {
	for _, slot := range slots {
		if slot < uint64(len(w.slots)) {
			w.slots[slot].absent = nil
		}
	}
}

// objectStem is what the names of an intent's objects begin with.
func objectStem(in intentRecord) string {
	return fmt.Sprintf("/%012d-%019d-%019d-%s-", in.Seq, in.From, in.To, in.ID)
}
