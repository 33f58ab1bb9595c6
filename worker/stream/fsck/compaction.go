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
func (j *judge) compaction(ctx context.Context, key string, o *objects, in intentRecord, d doneRecord, w *walk) error {
	j.verdict.Compactions++
	if in.Slots[0] >= in.Slots[1] || in.Slots[1] > in.Seq {
		j.verdict.violate(9, key, "slots [%d, %d) are not slots before it", in.Slots[0], in.Slots[1])
		return nil
	}
	m := merge{judge: j, walk: w, in: in, slots: w.slots[in.Slots[0]:in.Slots[1]], ticks: make(map[uint64]*offsets)}
	scored := m.checkReplaced(key, d)
	if d.Scored != scored || d.Dead != 0 || d.Dropped != 0 || len(d.Gaps) > 0 {
		j.verdict.violate(9, key, "holds %d rows, %d dead letters, %d dropped events and %d gaps, the slots that it moves have %d rows", d.Scored, d.Dead, d.Dropped, len(d.Gaps), scored)
	}
	whole := true // every object is there
	for _, obj := range d.Objects {
		body, ok, err := j.named(ctx, o, in, obj, w)
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
		for _, s := range m.slots {
			if n := m.ticks[s.in.Seq]; s.in.Action != actionCompact && (n == nil && s.scored > 0 || n != nil && n.distinct != s.scored) {
				have := int64(0)
				if n != nil {
					have = n.distinct
				}
				j.verdict.violate(9, key, "holds %d rows of slot %d, which has %d", have, s.in.Seq, s.scored)
			}
		}
	}
	if whole {
		m.checkLost(ctx, key)
	}
	for _, input := range d.Inputs {
		if input < in.Seq {
			j.verdict.Replaced += int64(len(w.slots[input].objects))
			j.verdict.Kept += int64(w.kept[input])
			delete(w.absent, input)
		}
	}
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
func (m *merge) checkLost(ctx context.Context, key string) {
	for i := range m.slots {
		s := &m.slots[i]
		ticks := m.ticks[s.in.Seq]
		if s.seen != nil && ticks != nil {
			for at := s.in.From; at < s.in.To; at++ {
				if ticks.has(at) && !s.seen.has(at) {
					s.seen.add(at)
				}
			}
			if kept := s.in.To - s.lost[1]; s.seen.seenFrom(s.lost[1]) != kept {
				m.verdict.violate(9, key, "of the %d offsets of slot %d that the topic had not lost, %d are there", kept, s.in.Seq, s.seen.seenFrom(s.lost[1]))
			}
		}
		for _, b := range m.walk.late[s.in.Seq] {
			m.scoredRows(b.obj.Key, b.body, s.in, func(offset int64) string {
				if ticks != nil && ticks.has(offset) || offset >= s.lost[0] && offset < s.lost[1] {
					return ""
				}
				return fmt.Sprintf("offset %d is none of the slot, nor of what it has lost", offset)
			})
		}
		delete(m.walk.late, s.in.Seq)
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
		if s.scored == 0 {
			continue
		}
		scored += s.scored
		if s.in.Generation != m.in.Generation {
			m.verdict.violate(9, key, "is of generation %d, slot %d of %d", m.in.Generation, s.in.Seq, s.in.Generation)
		}
		if n := len(want); n == 0 || want[n-1] != s.carrier {
			want = append(want, s.carrier)
		}
		if c := m.walk.slots[s.carrier].in; c.Action == actionCompact && (c.Slots[0] < m.in.Slots[0] || c.Slots[1] > m.in.Slots[1]) {
			m.verdict.violate(9, key, "replaces slot %d, which holds the rows of slots [%d, %d), not only of [%d, %d)", s.carrier, c.Slots[0], c.Slots[1], m.in.Slots[0], m.in.Slots[1])
		}
	}
	if !slices.Equal(d.Inputs, want) {
		m.verdict.violate(9, key, "replaces slots %v, the rows are in %v", d.Inputs, want)
	}
	if d.Offsets != span {
		m.verdict.violate(9, key, "says offsets [%d, %d), its slots have [%d, %d)", d.Offsets[0], d.Offsets[1], span[0], span[1])
	}
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
		if !ok {
			m.verdict.violate(9, key, "lists slots [%d, %d) as merged in slot %d, which they are not", r[0], r[1], r[2])
		}
	}
	for _, s := range m.walk.slots[first:m.in.Seq] {
		if by := s.carrier; s.in.Action != actionCompact && s.scored > 0 && by != s.in.Seq && by != m.in.Seq && !listed[by] {
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
	if f.rows != obj.Rows {
		m.verdict.violate(4, obj.Key, "has %d rows, its record says %d", f.rows, obj.Rows)
	}
	at, why := f.offsets()
	if why != "" {
		m.verdict.violate(6, obj.Key, "%s", why)
		return nil
	}
	m.day(f, obj.Key, m.in)
	m.tick(obj.Key, at)
	m.provenance(f, obj.Key, m.stretches(at))
	var olds []objectRecord
	for _, input := range inputs {
		if input >= m.in.Seq || m.walk.kept[input] == 0 {
			continue
		}
		for _, old := range m.walk.slots[input].objects {
			if !slices.Contains(m.walk.absent[input], old) {
				olds = append(olds, old)
			}
		}
	}
	return m.compare(ctx, obj.Key, f, at, olds)
}

// tick ticks off the events that a merged object has rows of.
func (m *merge) tick(key string, at []int64) {
	for i, offset := range at {
		if i > 0 && offset <= at[i-1] {
			m.verdict.violate(9, key, "row %d has offset %d, after %d", i, offset, at[i-1])
		}
		s := m.slotOf(offset)
		if s == nil {
			m.verdict.violate(9, key, "row %d has offset %d, which no slot of [%d, %d) scored", i, offset, m.in.Slots[0], m.in.Slots[1])
			continue
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
		for _, g := range s.gaps {
			if offset >= g[0] && offset < g[1] {
				m.verdict.violate(5, key, "offset %d is a row and in a gap", offset)
			}
		}
	}
}

// stretches returns which rows of a merged object are of which slot. Rows of a
// slot follow each other.
func (m *merge) stretches(at []int64) (all []stretch) {
	for i := 0; i < len(at); {
		s := m.slotOf(at[i])
		end := i + 1
		for end < len(at) && s != nil && at[end] >= s.in.From && at[end] < s.in.To {
			end++
		}
		if s != nil {
			all = append(all, stretch{int64(i), int64(end), s.in})
		}
		i = end
	}
	return all
}

// compare checks that the rows of replaced objects are in the merged one as they
// were, in every column. Rows that are not in it are in another object of the
// compaction, or nowhere, which is counted.
func (m *merge) compare(ctx context.Context, key string, merged *parquetFile, at []int64, olds []objectRecord) error {
	type replaced struct {
		key  string
		file *parquetFile
		at   []int64 // offsets of its rows
	}
	var all []replaced
	for _, old := range olds {
		body, ok, err := m.judge.object(ctx, old)
		if err != nil {
			return err
		}
		if !ok {
			continue // it is being deleted, or was named where its slot was judged
		}
		r := replaced{key: old.Key}
		if r.file, err = readParquet(body); err != nil {
			continue // likewise
		}
		var why string
		if r.at, why = r.file.offsets(); why != "" {
			continue
		}
		if !sameColumns(r.file, merged) {
			m.verdict.violate(9, key, "has other columns than %s, which it replaces", old.Key)
			continue
		}
		all = append(all, r)
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
