package shuffle

import (
	"context"
	"math"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
)

// Among the records of a key, those of the label file come first: one for each column, whose
// number is its rank. Those of the training data have rowRank.
const rowRank = math.MaxUint64

// rank makes records of training rows stand behind labels, and leaves out those without a
// key.
func (p *Pieces) rank(batch arrow.Record) error {
	present, err := p.keyed(batch)
	if err != nil {
		return err
	}
	n := 0
	for i, r := range p.rows {
		if present.Has(i) {
			r.Rank = rowRank
			p.rows[n] = r
			n++
		}
	}
	p.rows = p.rows[:n]
	return nil
}

// keyed marks the rows that have a key.
func (p *Pieces) keyed(batch arrow.Record) (table.Mask, error) {
	a, err := column(batch, p.keys.of.Keys[0])
	if err != nil {
		return table.Mask{}, err
	}
	return table.Valid(a), nil
}

// AddLabels takes rows of a shard of the label file, and returns how many have no key, to
// which nothing is joined.
func (p *Pieces) AddLabels(batch arrow.Record, shard int) (keyless int64, err error) {
	of := p.keys.of
	if p.rows, err = p.keys.Records(p.rows[:0], batch, shard); err != nil {
		return 0, err
	}
	present, err := p.keyed(batch)
	if err != nil {
		return 0, err
	}
	values := make([]Record, len(p.rows))
	for k, c := range of.Labels {
		a, err := column(batch, c.Name)
		if err != nil {
			return 0, err
		}
		copy(values, p.rows)
		if err := value(c.Name, values, a); err != nil {
			return 0, err
		}
		var entries *array.String
		if a, ok := a.(*array.Dictionary); ok {
			entries = a.Dictionary().(*array.String)
		}
		for i, r := range values {
			if !present.Has(i) {
				continue
			}
			r.Rank = uint64(k)
			if err := p.add(r, entries); err != nil {
				return 0, err
			}
		}
	}
	return int64(present.Rows - present.Count()), nil
}

// isText reports whether the value of a record is the number of a text: of labels, where
// their column has texts.
func (e *tail) isText(r Record) bool {
	return r.At&valued != 0 && (e.Labels == nil || r.Rank < uint64(len(e.Labels)) && e.Labels[r.Rank])
}

// Joined is what joining rows to labels found, beside the rows that have one.
type Joined struct {
	// Labels are the rows of the label file that have a key, Unmatched those of which no
	// row has it.
	Labels    int64 `json:"labels"`
	Unmatched int64 `json:"unmatched"`
	// Double are the keys that more than one of them have; the second of the rows with such
	// a key that comes first in the files is row Row of shard Shard.
	Double int64 `json:"double,omitempty"`
	Shard  int   `json:"shard,omitempty"`
	Row    int64 `json:"row,omitempty"`
}

// Add adds what another reducer found.
func (j *Joined) Add(o Joined) {
	if o.Double > 0 && (j.Double == 0 || o.Shard < j.Shard || o.Shard == j.Shard && o.Row < j.Row) {
		j.Shard, j.Row = o.Shard, o.Row
	}
	j.Labels, j.Unmatched, j.Double = j.Labels+o.Labels, j.Unmatched+o.Unmatched, j.Double+o.Double
}

// Join finds among the records of a sorter the rows that have the key of a label, and hands
// them to put with its cells, as Reduce does.
func Join(ctx context.Context, records *Sorter, of pipeline.Shuffle, memory int64, put func(shard int, found *pipeline.Settled) error) (joined Joined, err error) {
	out := NewSorter(records.dir, memory)
	defer out.Close()
	var key [2]uint64
	label := make([]Record, len(of.Labels))
	labels, rows := int64(0), int64(0) // of the key
	finish := func() {
		if joined.Labels += labels; rows == 0 {
			joined.Unmatched += labels
		}
		labels, rows = 0, 0
	}
	for r, err := range records.Sorted(ctx) {
		if err != nil {
			return joined, err
		}
		if r.Key != key {
			finish()
			key = r.Key
		}
		if r.Rank != rowRank {
			if r.Rank == 0 {
				if labels++; labels == 2 {
					double := Joined{Double: 1}
					double.Shard, double.Row = r.Place(of)
					joined.Add(double)
				}
			}
			if labels == 1 {
				label[r.Rank] = r
			}
			continue
		}
		rows++
		if labels == 0 {
			continue
		}
		shard, row := r.Place(of)
		at, err := place(shard, row)
		if err != nil {
			return joined, err
		}
		for k, l := range label {
			if err := out.Add(Record{Key: [2]uint64{at, uint64(k)}, At: l.At & valued, Value: l.Value}); err != nil {
				return joined, err
			}
		}
	}
	finish()
	return joined, records.joined(ctx, out, of.Labels, put)
}

// joined hands rows and their cells to put, shard by shard.
func (s *Sorter) joined(ctx context.Context, out *Sorter, columns []table.Column, put func(shard int, found *pipeline.Settled) error) error {
	found, shard := new(pipeline.Settled), -1
	var cells []byte
	for r, err := range out.Sorted(ctx) {
		if err != nil {
			return err
		}
		in, row, k := int(r.Key[0]>>rowBits), int64(r.Key[0]&(1<<rowBits-1)), int(r.Key[1])
		switch {
		case r.At&valued == 0:
			cells = table.AppendNullCell(cells)
		case columns[k].Type == table.String:
			cells = table.AppendTextCell(cells, s.texts.all[r.Value])
		default:
			cells = table.AppendNumberCell(cells, r.Value)
		}
		if k < len(columns)-1 {
			continue
		}
		if in != shard && len(found.Rows) > 0 {
			if err := put(shard, found); err != nil {
				return err
			}
			found.Rows, found.Values = found.Rows[:0], found.Values[:0]
		}
		shard, found.Rows, found.Values = in, append(found.Rows, row), append(found.Values, string(cells))
		cells = cells[:0]
	}
	if len(found.Rows) == 0 {
		return nil
	}
	return put(shard, found)
}
