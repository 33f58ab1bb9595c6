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
	name     string // topic/partition
	started  bool
	next     int64  // offset
	topicID  string // of the newest intent
	previous string // sha256 of the last done record
	total    counts
	pending  bool

	slots    []facts                   // by number; of a damaged log not all
	absent   map[uint64][]objectRecord // objects that are not there, by slot: a compaction must have replaced them
	kept     map[uint64]int            // scored objects that are there, by slot
	late     map[uint64][]lateObject   // of the absent ones, those that have other bytes under their names
	replayed map[deadEvent]bool        // dead letters that a replay scored
}

// facts are what is remembered of a slot.
type facts struct {
	in      intentRecord
	scored  int64
	objects []objectRecord // scored ones
	inputs  []uint64       // slots whose objects a compaction replaces
	done    bool           // finished
	dead    []int64        // offsets of dead letters
	gaps    [][2]int64
	lost    [2]int64 // what the topic had lost of it
	seen    *offsets // nil: nothing was lost
	// open are the dead letters that a replay was to read from the topic and left as
	// they are, as where the topic had lost them; nil of any other slot.
	open    map[int64]bool
	carrier uint64 // the slot whose objects hold its rows now
}

// lateObject is an object under the name of one that a compaction replaced.
type lateObject struct {
	obj  objectRecord
	body []byte
}

// partition judges one topic partition; main is the walk of the main log if
// name is that of its replay log.
func (j *judge) partition(ctx context.Context, name string, o *objects, main *walk) (*walk, error) {
	topic, number, _ := strings.Cut(name, "/")
	plain, replay := strings.CutSuffix(number, replaySuffix)
	partition, err := strconv.Atoi(plain)
	if err != nil {
		j.verdict.violate(1, j.prefix+name, "%q is no partition%s", number, j.ofWhom(ctx, j.prefix+"data/"+name+"/"))
		return nil, nil
	}
	if replay && (main == nil || main.name != topic+"/"+plain) {
		main = &walk{}
		j.verdict.violate(10, j.prefix+name, "a replay log without a main log")
	}
	dir := j.prefix + "_log/" + name + "/"
	result := Partition{Topic: topic, Partition: number}
	w := &walk{name: name, absent: map[uint64][]objectRecord{}, kept: map[uint64]int{}, late: map[uint64][]lateObject{}, replayed: map[deadEvent]bool{}}
	seen := make(map[string]bool) // keys of the log that were accounted for
	for slot := uint64(0); ; slot++ {
		intentKey := fmt.Sprintf("%s%012d.intent.json", dir, slot)
		doneKey := fmt.Sprintf("%s%012d.done.json", dir, slot)
		_, hasIntent := o.log[intentKey]
		_, hasDone := o.log[doneKey]
		// A listing that goes by while records are written may have a later one and not
		// an earlier one.
		var err error
		if !hasIntent && hasDone {
			hasIntent, err = j.exists(ctx, intentKey)
		} else if next := fmt.Sprintf("%s%012d.intent.json", dir, slot+1); hasIntent && !hasDone && o.log[next] > 0 {
			hasDone, err = j.exists(ctx, doneKey)
		}
		if err != nil {
			return nil, err
		}
		if !hasIntent {
			if hasDone {
				j.verdict.violate(1, doneKey, "done record without an intent")
			}
			break
		}
		seen[intentKey], seen[doneKey] = true, hasDone
		result.Slots++
		if w.pending {
			j.verdict.violate(1, intentKey, "claimed although slot %d is not finished", slot-1)
		}
		in, sum, ok, err := j.intent(ctx, intentKey, topic, partition, replay, slot)
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		j.checkIntent(intentKey, in, w)
		if slot == 0 {
			result.From = in.From
		}
		if !hasDone {
			w.pending = true
			j.verdict.PendingSlots++
			j.claimPending(o, in)
			w.slots = append(w.slots, facts{in: in, carrier: slot})
			continue
		}
		d, doneSum, ok, err := j.done(ctx, doneKey, in, sum)
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		if err := j.slot(ctx, doneKey, o, in, d, w, main, &result); err != nil {
			return nil, err
		}
		w.next, w.previous, w.topicID = in.To, doneSum, in.TopicID
		result.To = in.To
	}
	for _, key := range slices.Sorted(maps.Keys(o.log)) {
		if !seen[key] {
			j.verdict.violate(1, key, "beyond the end of the log, or no record of it")
		}
	}
	if err := j.unnamed(ctx, o, w); err != nil {
		return nil, err
	}
	if err := j.missingObjects(ctx, dir, w); err != nil {
		return nil, err
	}
	result.Pending, result.Live = w.pending, w.live()
	j.verdict.Partitions = append(j.verdict.Partitions, result)
	if !replay { // what a replay scored is a dead letter already
		j.verdict.Scored += result.Scored
		j.verdict.Dead += result.Dead
	}
	j.verdict.Missing += result.Missing
	return w, nil
}

// slot judges a finished slot.
func (j *judge) slot(ctx context.Context, doneKey string, o *objects, in intentRecord, d doneRecord, w, main *walk, result *Partition) error {
	w.slots = append(w.slots, facts{in: in, scored: d.Scored, gaps: d.Gaps, carrier: in.Seq, inputs: d.Inputs, done: true})
	var found rowCounts
	var err error
	switch in.Action {
	case actionCompact:
		if err = j.compaction(ctx, doneKey, o, in, d, w); err != nil {
			return err
		}
	case actionSkip:
		if len(d.Objects) > 0 || len(d.Gaps) > 0 || d.Scored != 0 || d.Dead != 0 || d.Dropped != 0 {
			j.verdict.violate(5, doneKey, "a skip has rows")
		}
		result.Missing += in.Missing[1] - in.Missing[0]
	case actionReplay:
		if found, err = j.replay(ctx, doneKey, o, in, d, w, main); err != nil {
			return err
		}
	default:
		if found, err = j.rows(ctx, o, in, d, w); err != nil {
			return err
		}
		j.checkDone(doneKey, in, d, found)
	}
	if in.Action != actionScore && d.Lost != [2]int64{} {
		j.verdict.violate(5, doneKey, "has lost events of the topic although it does not score it")
	}
	if in.Action != actionCompact && (len(d.Inputs) > 0 || len(d.Runs) > 0 || d.Offsets != [2]int64{}) {
		j.verdict.violate(9, doneKey, "replaces objects although it is no compaction")
	}
	j.checkTotal(doneKey, in, d, found.lost, w)
	result.Scored += found.scored
	result.Dead += found.dead
	result.Missing += found.lost
	return nil
}

// checkIntent judges an intent against what came before it.
func (j *judge) checkIntent(key string, in intentRecord, w *walk) {
	if w.started && in.From != w.next && in.Action != actionReplay {
		j.verdict.violate(3, key, "begins at offset %d, the slot before it ended at %d", in.From, w.next)
	}
	if in.Previous != w.previous {
		j.verdict.violate(2, key, "names %.12s… as the done record before it, which has %.12s…", in.Previous, w.previous)
	}
	anew := w.started && in.TopicID != w.topicID
	switch in.Action {
	case actionCompact:
		if in.To != in.From {
			j.verdict.violate(3, key, "a compaction covers offsets of its own: [%d, %d)", in.From, in.To)
		}
	case actionSkip:
		if !w.started || in.Missing[0] != in.From || in.Missing[1] < in.From || in.To < 0 {
			j.verdict.violate(3, key, "skips [%d, %d) at offset %d and goes on at %d", in.Missing[0], in.Missing[1], in.From, in.To)
		}
		if !anew && (in.To != in.Missing[1] || in.To == in.From) {
			j.verdict.violate(3, key, "goes on at offset %d, what is missing ends at %d", in.To, in.Missing[1])
		}
	default:
		if in.To <= in.From {
			j.verdict.violate(3, key, "covers no offset: [%d, %d)", in.From, in.To)
		}
	}
	if anew && (in.TopicID == "" || w.topicID != "" && in.Action != actionSkip && in.Action != actionReplay) {
		j.verdict.violate(3, key, "is of topic %q, the slot before it of %q", in.TopicID, w.topicID)
	}
	w.started = true
	if in.Action == actionCompact || in.Action == actionSkip {
		if in.Model != "" || in.ModelVersion != 0 || in.Checkpoint != (checkpointRef{}) {
			j.verdict.violate(7, key, "names a model although it scores nothing")
		}
		return
	}
	j.checkVersion(key, in, in.ModelVersion, in.Checkpoint)
	if r := in.Rollout; r != (rolloutRecord{}) {
		j.checkVersion(key, in, r.Candidate, r.Checkpoint)
		if in.Action != actionScore || r.Candidate == in.ModelVersion || r.Percent < 1 || r.Percent > 100 || r.Salt == "" {
			j.verdict.violate(7, key, "its candidate %d of %d %% beside version %d is none", r.Candidate, r.Percent, in.ModelVersion)
		}
	}
}

// checkVersion judges a version that an intent pins.
func (j *judge) checkVersion(key string, in intentRecord, version uint64, checkpoint checkpointRef) {
	m, ok := j.models[modelVersion{in.Model, version}]
	switch {
	case !ok:
		j.verdict.violate(7, key, "model %s version %d was never registered", in.Model, version)
	case m.Checkpoint != (thalweg.ObjectRef{Key: checkpoint.Key, SHA256: checkpoint.SHA256}):
		j.verdict.violate(7, key, "model %s version %d is checkpoint %s, the intent says %s", in.Model, version, m.Checkpoint.SHA256, checkpoint.SHA256)
	case m.RegisteredAtUS > in.ScoredAtUS:
		j.verdict.violate(7, key, "model %s version %d was registered %d µs after the intent's scored_at", in.Model, version, m.RegisteredAtUS-in.ScoredAtUS)
	}
}

// checkDone judges the done record of scored events against the rows that are
// there; rows of objects that are not are checked where they moved to.
func (j *judge) checkDone(key string, in intentRecord, d doneRecord, found rowCounts) {
	if d.Scored != found.scored || d.Dead != found.dead {
		j.verdict.violate(5, key, "says %d scored and %d dead, its objects hold %d and %d", d.Scored, d.Dead, found.scored, found.dead)
	}
	if left := in.To - in.From - found.offsets - d.Dropped - found.lost; left != 0 || d.Dropped < 0 {
		j.verdict.violate(5, key, "of the %d offsets in [%d, %d), rows and gaps account for %d and dropped events for %d", in.To-in.From, in.From, in.To, found.offsets, d.Dropped)
	}
	j.verdict.Absent += found.absent
	j.verdict.Dropped += d.Dropped
	j.verdict.RowsByModel[in.Model+" "+strconv.FormatUint(in.ModelVersion, 10)] += found.scored
}

// checkTotal judges the totals of a done record.
func (j *judge) checkTotal(key string, in intentRecord, d doneRecord, lost int64, w *walk) {
	switch in.Action {
	case actionCompact:
	case actionSkip:
		w.total.Missing += in.Missing[1] - in.Missing[0]
	default:
		w.total.Scored += d.Scored
		w.total.Dead += d.Dead
		w.total.Dropped += d.Dropped
		w.total.Missing += lost
	}
	if d.Total != w.total {
		j.verdict.violate(8, key, "total is %+v, the sum of the records is %+v", d.Total, w.total)
		w.total = d.Total
	}
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

// live returns how many scored objects no compaction replaced.
func (w *walk) live() int {
	carriers := make(map[uint64]bool)
	for _, s := range w.slots {
		if s.in.Action != actionCompact && s.scored > 0 {
			carriers[s.carrier] = true
		}
	}
	n := 0
	for slot := range carriers {
		n += len(w.slots[slot].objects)
	}
	return n
}

// missingObjects names the objects that are neither there nor replaced. A
// compaction may have been finished, and its inputs deleted, since the log was
// listed: then its record is there by now.
func (j *judge) missingObjects(ctx context.Context, dir string, w *walk) error {
	for slot := len(w.slots); len(w.absent) > 0; slot++ {
		first := slot
		if w.pending && slot == len(w.slots) {
			first-- // the pending slot itself may be the compaction
		}
		finished := false
		for ; first <= slot; first++ {
			body, _, err := j.bucket.Get(ctx, fmt.Sprintf("%s%012d.done.json", dir, first))
			if err != nil && !thalweg.Is(err, thalweg.NotFound) {
				return err
			}
			var d doneRecord
			if err == nil && parseRecord(body, &d) == "" {
				finished = true
				for _, input := range d.Inputs {
					delete(w.absent, input)
				}
			}
		}
		if !finished {
			break
		}
	}
	for _, slot := range slices.Sorted(maps.Keys(w.absent)) {
		for _, obj := range w.absent[slot] {
			why := "is named by a done record but not there"
			if slices.ContainsFunc(w.late[slot], func(b lateObject) bool { return b.obj == obj }) {
				why = "its bytes are not those of its record"
			}
			j.verdict.violate(4, obj.Key, "%s", why)
		}
	}
	return nil
}

// objectStem is what the names of an intent's objects begin with.
func objectStem(in intentRecord) string {
	return fmt.Sprintf("/%012d-%019d-%019d-%s-", in.Seq, in.From, in.To, in.ID)
}
