package shuffle

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
)

// Reduce finds among the records of a sorter the rows that are not the first of their key,
// and hands them to put shard by shard, in order. Its own sorting takes so much memory.
func Reduce(ctx context.Context, records *Sorter, of pipeline.Shuffle, memory int64, put func(shard int, rows []int64) error) error {
	found := NewSorter(records.dir, memory)
	defer found.Close()
	var key [2]uint64
	begun := false
	for r, err := range records.Sorted(ctx) {
		if err != nil {
			return err
		}
		if begun && r.Key == key {
			shard, row := r.Place(of)
			at, err := place(shard, row)
			if err == nil {
				err = found.Add(Record{Key: [2]uint64{at}})
			}
			if err != nil {
				return err
			}
		}
		begun, key = true, r.Key
	}
	var rows []int64
	shard := -1
	for r, err := range found.Sorted(ctx) {
		if err != nil {
			return err
		}
		of, row := int(r.Key[0]>>rowBits), int64(r.Key[0]&(1<<rowBits-1))
		if of != shard && len(rows) > 0 {
			if err := put(shard, rows); err != nil {
				return err
			}
			rows = rows[:0]
		}
		shard, rows = of, append(rows, row)
	}
	if len(rows) == 0 {
		return nil
	}
	return put(shard, rows)
}

// Outcome writes what a reducer found into objects of shards that follow one another.
type Outcome struct {
	write func(first int, body []byte) (reference string, err error)
	body  []byte
	Index Index
}

// Index is what a reducer found: objects in the order of their shards. Shards in which it
// found nothing are in none.
type Index struct {
	Objects []Object `json:"objects"`
}

// Object has shards from First to Last.
type Object struct {
	First     int    `json:"first"`
	Last      int    `json:"last"`
	Reference string `json:"reference"`
}

// objectBytes is from where on an object takes no further shard: whoever reads one shard
// reads its object.
const objectBytes = 256 << 10

// NewOutcome returns one that writes objects by a function.
func NewOutcome(write func(first int, body []byte) (reference string, err error)) *Outcome {
	return &Outcome{write: write}
}

// Put takes the rows of the next shard that has some.
func (o *Outcome) Put(shard int, rows []int64) error {
	if len(o.body) >= objectBytes {
		if err := o.Finish(); err != nil {
			return err
		}
	}
	if len(o.body) == 0 {
		o.Index.Objects = append(o.Index.Objects, Object{First: shard})
	}
	o.Index.Objects[len(o.Index.Objects)-1].Last = shard
	o.body = binary.AppendUvarint(binary.AppendUvarint(o.body, uint64(shard)), uint64(len(rows)))
	before := int64(0)
	for _, row := range rows {
		o.body = binary.AppendUvarint(o.body, uint64(row-before))
		before = row
	}
	return nil
}

// Finish writes what is left.
func (o *Outcome) Finish() (err error) {
	if len(o.body) > 0 {
		last := &o.Index.Objects[len(o.Index.Objects)-1]
		last.Reference, err = o.write(last.First, o.body)
	}
	o.body = o.body[:0]
	return err
}

// Of returns the object of an index that may have rows of a shard, "" where none has.
func (x *Index) Of(shard int) (reference string) {
	i, _ := slices.BinarySearchFunc(x.Objects, shard, func(o Object, shard int) int { return o.Last - shard })
	if i == len(x.Objects) || x.Objects[i].First > shard {
		return ""
	}
	return x.Objects[i].Reference
}

// Rows appends the rows of a shard that an object has.
func Rows(dst []int64, body []byte, shard int) ([]int64, error) {
	corrupt := func() error {
		return &thalweg.Error{Op: opShuffle, Kind: thalweg.Corrupt, Err: fmt.Errorf("the outcome is no list of rows")}
	}
	next := func() (v uint64, ok bool) {
		v, n := binary.Uvarint(body)
		if n <= 0 {
			return 0, false
		}
		body = body[n:]
		return v, true
	}
	for len(body) > 0 {
		of, ok := next()
		n, there := next()
		if !ok || !there || n > uint64(len(body)) {
			return nil, corrupt()
		}
		row := int64(0)
		for range n {
			delta, ok := next()
			if row += int64(delta); !ok || row < 0 {
				return nil, corrupt()
			}
			if int(of) == shard {
				dst = append(dst, row)
			}
		}
	}
	return dst, nil
}
