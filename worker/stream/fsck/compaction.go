package fsck

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sort"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
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
		for _, b := range m.walk.back[s.in.Seq] {
			m.scoredRows(ctx, b.obj.Key, b.body, s.in, func(offset int64) string {
				if ticks != nil && ticks.has(offset) || offset >= s.lost[0] && offset < s.lost[1] {
					return ""
				}
				return fmt.Sprintf("offset %d is none of the slot, nor of what it has lost", offset)
			})
		}
		delete(m.walk.back, s.in.Seq)
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
	table, err := readParquet(ctx, body)
	if err != nil {
		m.verdict.violate(4, obj.Key, "cannot be read as Parquet: %v", err)
		return nil
	}
	defer table.Release()
	if table.NumRows() != obj.Rows {
		m.verdict.violate(4, obj.Key, "has %d rows, its record says %d", table.NumRows(), obj.Rows)
	}
	at, why := offsetsOf(table)
	if why != "" {
		m.verdict.violate(6, obj.Key, "%s", why)
		return nil
	}
	m.day(table, obj.Key, m.in)
	m.tick(obj.Key, at)
	m.provenance(table, obj.Key, at)
	for _, input := range inputs {
		if input >= m.in.Seq || m.walk.kept[input] == 0 {
			continue
		}
		for _, old := range m.walk.slots[input].objects {
			if slices.Contains(m.walk.absent[input], old) {
				continue
			}
			if err := m.compare(ctx, obj.Key, table, at, old); err != nil {
				return err
			}
		}
	}
	return nil
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

// provenance checks that each row of a merged object says of itself what the
// intent of its slot does. Rows of a slot follow each other, so each slot is
// one slice of the table.
func (m *merge) provenance(table arrow.Table, key string, at []int64) {
	for i := 0; i < len(at); {
		s := m.slotOf(at[i])
		end := i + 1
		for end < len(at) && s != nil && at[end] >= s.in.From && at[end] < s.in.To {
			end++
		}
		if s != nil {
			part := sliceOf(table, int64(i), int64(end))
			m.judge.provenance(part, key, s.in)
			part.Release()
		}
		i = end
	}
}

// compare checks that the rows of a replaced object are in the merged one as
// they were, in every column.
func (m *merge) compare(ctx context.Context, key string, merged arrow.Table, at []int64, old objectRecord) error {
	body, ok, err := m.judge.object(ctx, old)
	if err != nil || !ok {
		return err // it is being deleted, or was named where its slot was judged
	}
	table, err := readParquet(ctx, body)
	if err != nil {
		return nil // likewise
	}
	defer table.Release()
	rows, why := offsetsOf(table)
	if why != "" {
		return nil
	}
	if !slices.EqualFunc(table.Schema().Fields(), merged.Schema().Fields(), func(a, b arrow.Field) bool {
		return a.Name == b.Name && arrow.TypeEqual(a.Type, b.Type)
	}) {
		m.verdict.violate(9, key, "has other columns than %s, which it replaces", old.Key)
		return nil
	}
	for i := 0; i < len(rows); {
		to, found := slices.BinarySearch(at, rows[i])
		if !found {
			i++ // in another object of the compaction, or nowhere, which is counted
			continue
		}
		n := 1
		for i+n < len(rows) && to+n < len(at) && rows[i+n] == at[to+n] {
			n++
		}
		ours, theirs := sliceOf(merged, int64(to), int64(to+n)), sliceOf(table, int64(i), int64(i+n))
		for c := range int(merged.NumCols()) {
			if !sameCells(ours.Column(c).Data().Chunks(), theirs.Column(c).Data().Chunks()) {
				m.verdict.violate(9, key, "column %s of offsets [%d, %d] differs from %s, which it replaces", merged.Schema().Field(c).Name, rows[i], rows[i+n-1], old.Key)
			}
		}
		ours.Release()
		theirs.Release()
		i += n
	}
	return nil
}

// sameCells reports whether two columns of one type and length hold the same
// values, however they are cut into chunks.
func sameCells(a, b []arrow.Array) bool {
	i, j := 0, 0 // within a[0] and b[0]
	for len(a) > 0 && len(b) > 0 {
		n := min(a[0].Len()-i, b[0].Len()-j)
		if !array.SliceApproxEqual(a[0], int64(i), int64(i+n), b[0], int64(j), int64(j+n), array.WithNaNsEqual(true), array.WithAbsTolerance(0)) {
			for k := range n { // dictionaries may differ and their values not
				if a[0].ValueStr(i+k) != b[0].ValueStr(j+k) {
					return false
				}
			}
		}
		if i += n; i == a[0].Len() {
			a, i = a[1:], 0
		}
		if j += n; j == b[0].Len() {
			b, j = b[1:], 0
		}
	}
	return true
}

// sliceOf returns some rows of a table; the caller releases it.
func sliceOf(table arrow.Table, from, to int64) arrow.Table {
	columns := make([]arrow.Column, table.NumCols())
	for i := range columns {
		part := array.NewChunkedSlice(table.Column(i).Data(), from, to)
		columns[i] = *arrow.NewColumn(table.Schema().Field(i), part)
		part.Release()
	}
	part := array.NewTable(table.Schema(), columns, to-from)
	for i := range columns {
		columns[i].Release()
	}
	return part
}

// offsetsOf returns the offsets of a table's rows, or why there are none.
func offsetsOf(table arrow.Table) (at []int64, why string) {
	chunks, why := columnOf(table, "_offset")
	if why != "" {
		return nil, why
	}
	at = make([]int64, 0, table.NumRows())
	for _, chunk := range chunks {
		values, ok := chunk.(*array.Int64)
		if !ok || values.NullN() > 0 {
			return nil, "_offset is no int64, or null"
		}
		at = append(at, values.Int64Values()...)
	}
	return at, ""
}
