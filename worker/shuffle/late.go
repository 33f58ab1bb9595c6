package shuffle

import (
	"context"
	"fmt"
	"iter"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
)

// Late joins rows to labels that come one by one, and of which a key may have several: the
// last one counts. Both may be of any number. It is for one goroutine.
type Late struct {
	// Found counts what was met: labels and rows at once, the others once Join has ended.
	Found LateFound

	key            string
	labels, rows   *Keys
	records, found *Sorter
	texts          texts
	batch          []Record
}

// LateFound counts what a join of late labels has met.
type LateFound struct {
	// Labels have a key; Keyless are others.
	Labels  int64 `json:"labels"`
	Keyless int64 `json:"without_key,omitempty"`
	// Repeated are those that a later one of their key replaces, Unmatched those that are
	// the last of their key, which no row has.
	Repeated  int64 `json:"replaced,omitempty"`
	Unmatched int64 `json:"without_row,omitempty"`
	// Joined are rows whose key a label has.
	Joined int64 `json:"joined"`
}

// Labelled is a row that has a label, which may be null.
type Labelled struct {
	File int
	Row  int64
	Null bool
	// Value is the label: the bits of a float64, 1 or 0 of a bool; Text of a string.
	Value uint64
	Text  string
}

// NewLate returns a join by a column that both have, to one that the labels have. It holds
// at most so many bytes and keeps the rest in a directory.
func NewLate(dir string, memory int64, key, column string) *Late {
	return &Late{key: key,
		labels: NewKeys(pipeline.Shuffle{Keys: []string{key}, Value: column}), rows: NewKeys(pipeline.Shuffle{Keys: []string{key}}),
		records: NewSorter(dir, memory*3/4), found: NewSorter(dir, memory/4)}
}

// Close gives disk and memory back.
func (l *Late) Close() {
	l.records.Close()
	l.found.Close()
}

// AddLabels takes labels, which come from one of several places in an order of their own: a
// file, or a partition. when has the time of each; nil: those of later places, and of later
// rows, are later.
func (l *Late) AddLabels(batch arrow.Record, place int, when []int64) (err error) {
	if l.batch, err = l.labels.Records(l.batch[:0], batch, place); err != nil {
		return err
	}
	present, entries, err := l.columns(batch)
	if err != nil {
		return err
	}
	for i, r := range l.batch {
		if !present.Has(i) {
			l.Found.Keyless++
			continue
		}
		l.Found.Labels++
		if when != nil {
			r.Rank = min(uint64(when[i])^1<<63, rowRank-1)
		}
		if entries != nil && r.At&valued != 0 {
			r.Value = l.texts.id(entries.Value(int(r.Value)))
			if l.texts.bytes > MaxTextBytes {
				return &thalweg.Error{Op: opJoinLate, Kind: thalweg.Unsupported, Subject: "column " + l.labels.of.Value,
					Err: fmt.Errorf("its different texts take more than %d MiB", MaxTextBytes>>20), Hint: "a label is one of some classes, or a number"}
			}
		}
		if err := l.records.Add(r); err != nil {
			return err
		}
	}
	return nil
}

const opJoinLate = "join late labels"

// columns returns which rows of a batch have a key, and the texts of its labels, nil where
// they are none.
func (l *Late) columns(batch arrow.Record) (keyed table.Mask, entries *array.String, err error) {
	key, err := column(batch, l.key)
	if err != nil {
		return keyed, nil, err
	}
	value, err := column(batch, l.labels.of.Value)
	if err != nil {
		return keyed, nil, err
	}
	if d, ok := value.(*array.Dictionary); ok {
		entries = d.Dictionary().(*array.String)
	}
	return table.Valid(key), entries, nil
}

// AddRows takes those rows of a file, whose numbers are in table.RowColumn, that keep marks.
// Rows without a key meet nothing.
func (l *Late) AddRows(batch arrow.Record, file int, keep table.Mask) (err error) {
	if l.batch, err = l.rows.Records(l.batch[:0], batch, file); err != nil {
		return err
	}
	key, err := column(batch, l.key)
	if err != nil {
		return err
	}
	present := table.Valid(key)
	for i, r := range l.batch {
		if !present.Has(i) || !keep.Has(i) {
			continue
		}
		r.Rank = rowRank
		if err := l.records.Add(r); err != nil {
			return err
		}
	}
	return nil
}

// Join yields the rows that have a label, file by file in the order of their rows, once.
func (l *Late) Join(ctx context.Context) iter.Seq2[Labelled, error] {
	return func(yield func(Labelled, error) bool) {
		if err := l.match(ctx); err != nil {
			yield(Labelled{}, err)
			return
		}
		for r, err := range l.found.Sorted(ctx) {
			if err != nil {
				yield(Labelled{}, err)
				return
			}
			row := Labelled{File: int(r.Key[0] >> rowBits), Row: int64(r.Key[0] & (1<<rowBits - 1)), Null: r.At&valued == 0, Value: r.Value}
			if len(l.texts.all) > 0 && !row.Null {
				row.Text = l.texts.all[r.Value]
			}
			if !yield(row, nil) {
				return
			}
		}
	}
}

// match gives each row the last label of its key.
func (l *Late) match(ctx context.Context) error {
	var key [2]uint64
	var last Record
	labels, rows := int64(0), int64(0) // of the key
	finish := func() {
		if labels > 0 {
			l.Found.Repeated += labels - 1
			if rows == 0 {
				l.Found.Unmatched++
			}
		}
		labels, rows = 0, 0
	}
	for r, err := range l.records.Sorted(ctx) {
		if err != nil {
			return err
		}
		if r.Key != key {
			finish()
			key = r.Key
		}
		if r.Rank != rowRank {
			labels, last = labels+1, r
			continue
		}
		if rows++; labels == 0 {
			continue
		}
		l.Found.Joined++
		at, err := place(r.Place(l.rows.of))
		if err != nil {
			return err
		}
		if err := l.found.Add(Record{Key: [2]uint64{at, 0}, At: last.At & valued, Value: last.Value}); err != nil {
			return err
		}
	}
	finish()
	return nil
}
