package pipeline

// Report counts what the operators did. The zero Report is ready to use.
type Report struct {
	// RowsIn and RowsOut count the rows that entered the first operator and left
	// the last.
	RowsIn, RowsOut int64
	// Changed counts values changed, by step ("1 trim origin").
	Changed map[string]int64
	// Dropped counts rows removed, by reason ("3 filter: delay != null").
	Dropped map[string]int64
	// Filled, Clipped and Unknown count values by feature: missing ones that got
	// the fill, numbers cut to the finite range of a slot, and category values
	// that training gave no id.
	Filled, Clipped, Unknown map[string]int64
	// Removed names the rows removed, kept only where KeepRemoved is set (the
	// scoring phase, where each becomes a dead letter).
	Removed     []Removal
	KeepRemoved bool
}

// Removal is one row that an operator removed.
type Removal struct {
	Row    int64 // its value in RowColumn
	Stage  string
	Reason string
}

// Change counts n changed values of a step.
func (r *Report) Change(step string, n int64) { count(&r.Changed, step, n) }

// Fill counts n missing values of a feature that got its fill.
func (r *Report) Fill(feature string, n int64) { count(&r.Filled, feature, n) }

// Clip counts n values of a feature that were cut to the range of a slot.
func (r *Report) Clip(feature string, n int64) { count(&r.Clipped, feature, n) }

// NotKnown counts n values of a category feature that have no id of their own.
func (r *Report) NotKnown(feature string, n int64) { count(&r.Unknown, feature, n) }

func count(counts *map[string]int64, key string, n int64) {
	if n == 0 {
		return
	}
	if *counts == nil {
		*counts = make(map[string]int64)
	}
	(*counts)[key] += n
}

// DropRows counts removed rows, given by their values in RowColumn, all for
// one reason, and names them where asked to.
func (r *Report) DropRows(rows []int64, stage, reason string) {
	count(&r.Dropped, reason, int64(len(rows)))
	if r.KeepRemoved {
		for _, row := range rows {
			r.Removed = append(r.Removed, Removal{Row: row, Stage: stage, Reason: reason})
		}
	}
}

// Merge adds other to r.
func (r *Report) Merge(other *Report) {
	r.RowsIn += other.RowsIn
	r.RowsOut += other.RowsOut
	for _, m := range []struct {
		into *map[string]int64
		from map[string]int64
	}{
		{&r.Changed, other.Changed}, {&r.Dropped, other.Dropped}, {&r.Filled, other.Filled},
		{&r.Clipped, other.Clipped}, {&r.Unknown, other.Unknown},
	} {
		for k, n := range m.from {
			count(m.into, k, n)
		}
	}
	r.Removed = append(r.Removed, other.Removed...)
}
