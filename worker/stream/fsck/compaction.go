package fsck

import (
	"cmp"
	"context"
	"fmt"
	"hash/maphash"
	"slices"
	"sort"

	"github.com/thalweg/thalweg/storage/parquet/guard"
)

// compaction judges a compaction: what it replaces, and every row that it moved.
func (j *judge) compaction(ctx context.Context, key string, o objects, s *facts, w *walk) error {
	in, d := s.in, s.record
	j.verdict.Compactions++
	if in.Slots[0] >= in.Slots[1] || in.Slots[1] > in.Seq {
		j.verdict.violate(9, key, "slots [%d, %d) are not slots before it", in.Slots[0], in.Slots[1])
		return nil
	}
	m := merge{judge: j, walk: w, in: in, slots: w.slots[in.Slots[0]:in.Slots[1]], ticks: make(map[uint64]*offsets)}
	scored := m.checkReplaced(key, d)
	j.check(d.Scored == scored && d.Dead == 0 && d.Dropped == 0 && len(d.Gaps) == 0,
		9, key, "holds %d rows, %d dead letters, %d dropped events and %d gaps, the slots that it moves have %d rows", d.Scored, d.Dead, d.Dropped, len(d.Gaps), scored)
	whole := true // every object is there
	for _, obj := range d.Objects {
		body, ok, err := j.named(ctx, o, s, obj)
		if err != nil {
			return err
		}
		if obj.Kind != "scored" {
			j.verdict.violate(9, obj.Key, "a compaction has an object of kind %q", obj.Kind)
			continue
		}
		if !ok {
			whole = false
			continue
		}
		if err := m.object(ctx, obj, body, d.Inputs); err != nil {
			return err
		}
	}
	if whole {
		for _, moved := range m.slots {
			have := int64(0)
			if ticks := m.ticks[moved.in.Seq]; ticks != nil {
				have = ticks.distinct
			}
			j.check(moved.in.Action == actionCompact || have == moved.record.Scored,
				9, key, "holds %d rows of slot %d, which has %d", have, moved.in.Seq, moved.record.Scored)
		}
		m.checkLost(key)
	}
	for _, input := range d.Inputs {
		if input < in.Seq {
			n := len(w.slots[input].objects)
			w.Live -= n
			j.verdict.Replaced += int64(n)
			j.verdict.Kept += int64(w.slots[input].kept)
		}
	}
	w.replaced(d.Inputs)
	for i := range m.slots {
		m.slots[i].carrier = in.Seq
	}
	m.checkRuns(key, d)
	return nil
}

// merge is one compaction that is judged.
type merge struct {
	*judge
	walk  *walk
	in    intentRecord
	slots []facts // whose rows moved
	ticks map[uint64]*offsets
}

// checkLost judges what could not be judged of slots whose rows were moved: that
// what the topic had not lost of one is there, and that objects which are back
// under the names of replaced ones have nothing but its events.
func (m *merge) checkLost(key string) {
	for i := range m.slots {
		s := &m.slots[i]
		ticks := m.ticks[s.in.Seq]
		if s.seen != nil && ticks != nil {
			for at := s.in.From; at < s.in.To; at++ {
				if ticks.has(at) && !s.seen.has(at) {
					s.seen.add(at)
				}
			}
			if kept := s.in.To - s.record.Lost[1]; s.seen.seenFrom(s.record.Lost[1]) != kept {
				m.verdict.violate(9, key, "of the %d offsets of slot %d that the topic had not lost, %d are there", kept, s.in.Seq, s.seen.seenFrom(s.record.Lost[1]))
			}
		}
		for i := range s.absent {
			if s.absent[i].late == nil {
				continue
			}
			m.scoredRows(s.absent[i].Key, s.absent[i].late, s.in, func(offset int64) string {
				if ticks != nil && ticks.has(offset) || offset >= s.record.Lost[0] && offset < s.record.Lost[1] {
					return ""
				}
				return fmt.Sprintf("offset %d is none of the slot, nor of what it has lost", offset)
			})
		}
	}
}

// checkReplaced holds what a compaction says that it replaces against the log,
// and returns how many rows that are.
func (m *merge) checkReplaced(key string, d doneRecord) (scored int64) {
	var want []uint64
	var topic string
	var span [2]int64
	first := true
	for _, s := range m.slots {
		if s.in.Action == actionCompact {
			continue
		}
		if topic = cmp.Or(topic, s.in.TopicID); s.in.TopicID != "" && s.in.TopicID != topic {
			m.verdict.violate(9, key, "moves rows of topic %s and of topic %s, of slot %d", topic, s.in.TopicID, s.in.Seq)
		}
		if first {
			span[0], first = s.in.From, false
		}
		span[1] = s.in.To
		if s.record.Scored == 0 {
			continue
		}
		scored += s.record.Scored
		m.check(s.in.Generation == m.in.Generation,
			9, key, "is of generation %d, slot %d of %d", m.in.Generation, s.in.Seq, s.in.Generation)
		if n := len(want); n == 0 || want[n-1] != s.carrier {
			want = append(want, s.carrier)
		}
		if c := m.walk.slots[s.carrier].in; c.Action == actionCompact && (c.Slots[0] < m.in.Slots[0] || c.Slots[1] > m.in.Slots[1]) {
			m.verdict.violate(9, key, "replaces slot %d, which holds the rows of slots [%d, %d), not only of [%d, %d)", s.carrier, c.Slots[0], c.Slots[1], m.in.Slots[0], m.in.Slots[1])
		}
	}
	m.check(slices.Equal(d.Inputs, want), 9, key, "replaces slots %v, the rows are in %v", d.Inputs, want)
	m.check(d.Offsets == span,
		9, key, "says offsets [%d, %d), its slots have [%d, %d)", d.Offsets[0], d.Offsets[1], span[0], span[1])
	return scored
}

// checkRuns checks the hint for compactors: each run is a compaction whose
// objects are live, and from the first run or row on none is left out.
func (m *merge) checkRuns(key string, d doneRecord) {
	listed := make(map[uint64]bool)
	first := m.in.Slots[0]
	for _, r := range d.Runs {
		listed[r[2]], first = true, min(first, r[0])
		ok := r[2] < m.in.Seq
		if ok {
			s := m.walk.slots[r[2]].in
			ok = s.Action == actionCompact && s.Slots == [2]uint64{r[0], r[1]} && m.walk.slots[r[0]].carrier == r[2]
		}
		m.check(ok, 9, key, "lists slots [%d, %d) as merged in slot %d, which they are not", r[0], r[1], r[2])
	}
	for _, s := range m.walk.slots[first:m.in.Seq] {
		if by := s.carrier; s.in.Action != actionCompact && s.record.Scored > 0 && by != s.in.Seq && by != m.in.Seq && !listed[by] {
			m.verdict.violate(9, key, "does not list slot %d, where slot %d is merged", by, s.in.Seq)
			break
		}
	}
}

// slotOf returns the slot that an event was scored in, nil if it is none of
// those that were moved.
func (m *merge) slotOf(offset int64) *facts {
	at := sort.Search(len(m.slots), func(i int) bool { return m.slots[i].in.From > offset })
	for at--; at >= 0; at-- { // back over slots that cover no offsets
		if s := &m.slots[at]; s.in.Action == actionScore {
			if offset < s.in.To {
				return s
			}
			return nil
		}
	}
	return nil
}

// object judges the rows of a merged object, one by one, and against those of
// the objects that it replaces as far as they are there.
func (m *merge) object(ctx context.Context, obj objectRecord, body []byte, inputs []uint64) error {
	f, err := readParquet(body)
	if err != nil {
		m.verdict.violate(4, obj.Key, "cannot be read as Parquet: %v", err)
		return nil
	}
	m.check(f.rows == obj.Rows, 4, obj.Key, "has %d rows, its record says %d", f.rows, obj.Rows)
	at, why := f.offsets()
	if why != "" {
		m.verdict.violate(6, obj.Key, "%s", why)
		return nil
	}
	m.day(f, obj.Key, m.in)
	m.provenance(f, obj.Key, m.tick(obj.Key, at))
	return m.compare(ctx, obj.Key, f, at, inputs)
}

// tick ticks off the events that a merged object has rows of, and returns which
// of its rows are of which slot.
func (m *merge) tick(key string, at []int64) (all []stretch) {
	for i, offset := range at {
		if i > 0 && offset <= at[i-1] {
			m.verdict.violate(9, key, "row %d has offset %d, after %d", i, offset, at[i-1])
		}
		s := m.slotOf(offset)
		if s == nil {
			m.verdict.violate(9, key, "row %d has offset %d, which no slot of [%d, %d) scored", i, offset, m.in.Slots[0], m.in.Slots[1])
			continue
		}
		if n := len(all); n > 0 && all[n-1].to == int64(i) && all[n-1].in.Seq == s.in.Seq {
			all[n-1].to++
		} else {
			all = append(all, stretch{int64(i), int64(i) + 1, s.in})
		}
		if s.in.To-s.in.From > maxObjectBytes {
			continue // was named where the slot was judged
		}
		if m.ticks[s.in.Seq] == nil {
			m.ticks[s.in.Seq] = newOffsets(s.in)
		}
		if why := m.ticks[s.in.Seq].add(offset); why != "" {
			m.verdict.violate(5, key, "%s", why)
		}
		if _, dead := slices.BinarySearch(s.dead, offset); dead {
			m.verdict.violate(5, key, "offset %d is a row and a dead letter", offset)
		}
		for _, g := range s.record.Gaps {
			if offset >= g[0] && offset < g[1] {
				m.verdict.violate(5, key, "offset %d is a row and in a gap", offset)
			}
		}
	}
	return all
}

// compare checks that the rows of replaced objects are in the merged one as they
// were, in every column. Rows that are not in it are in another object of the
// compaction, or nowhere, which is counted.
func (m *merge) compare(ctx context.Context, key string, merged *parquetFile, at []int64, inputs []uint64) error {
	type replaced struct {
		key  string
		file *parquetFile
		at   []int64 // offsets of its rows
	}
	var all []replaced
	for _, input := range inputs {
		if input >= m.in.Seq {
			continue
		}
		s := &m.walk.slots[input]
		for _, old := range s.objects {
			if s.lacks(old) {
				continue
			}
			body, ok, err := m.judge.object(ctx, old)
			if err != nil {
				return err
			}
			if !ok {
				continue // it is being deleted, or was named where its slot was judged
			}
			file, err := readParquet(body)
			if err != nil {
				continue // likewise
			}
			offsets, why := file.offsets()
			switch {
			case why != "":
			case sameColumns(file, merged):
				all = append(all, replaced{old.Key, file, offsets})
			default:
				m.verdict.violate(9, key, "has other columns than %s, which it replaces", old.Key)
			}
		}
	}
	seed := maphash.MakeSeed()
	for i, leaf := range merged.leaves {
		ours := merged.rowSums(leaf, seed)
		for _, r := range all {
			for row, sum := range r.file.rowSums(r.file.leaves[i], seed) {
				to, found := slices.BinarySearch(at, r.at[row])
				if found && ours[to] != sum {
					m.verdict.violate(9, key, "column %s of offset %d differs from %s, which it replaces", guard.NameOf(leaf), r.at[row], r.key)
					break
				}
			}
		}
	}
	return nil
}
