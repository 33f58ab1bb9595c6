package shuffle

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
)

// Reduce finds among the records of a sorter the rows that are not the first of their key
// or, where the shuffle has a column of values, those without one and the last value before
// them in their key. It hands them to put shard by shard, in order. Its own sorting takes so
// much memory.
func Reduce(ctx context.Context, records *Sorter, of pipeline.Shuffle, memory int64, put func(shard int, found *pipeline.Settled) error) error {
	out := NewSorter(records.dir, memory)
	defer out.Close()
	last, begun := Record{}, false // the one that the rows of the key go by
	for r, err := range records.Sorted(ctx) {
		if err != nil {
			return err
		}
		first := !begun || r.Key != last.Key
		begun = true
		switch {
		case first, of.Value != "" && r.At&valued != 0:
			last = r
			continue
		case of.Value != "" && last.At&valued == 0:
			continue // no row before has a value
		}
		shard, row := r.Place(of)
		at, err := place(shard, row)
		if err == nil {
			err = out.Add(Record{Key: [2]uint64{at}, Value: last.Value})
		}
		if err != nil {
			return err
		}
	}
	found, shard := new(pipeline.Settled), -1
	for r, err := range out.Sorted(ctx) {
		if err != nil {
			return err
		}
		in, row := int(r.Key[0]>>rowBits), int64(r.Key[0]&(1<<rowBits-1))
		if in != shard && len(found.Rows) > 0 {
			if err := put(shard, found); err != nil {
				return err
			}
			found.Rows, found.Values = found.Rows[:0], found.Values[:0]
		}
		shard, found.Rows = in, append(found.Rows, row)
		switch {
		case len(records.texts.all) > 0:
			found.Values = append(found.Values, records.texts.all[r.Value])
		case of.Value != "":
			found.Values = append(found.Values, string(binary.LittleEndian.AppendUint64(nil, r.Value)))
		}
	}
	if len(found.Rows) == 0 {
		return nil
	}
	return put(shard, found)
}

// Outcome writes what a reducer found into objects of shards that follow one another.
type Outcome struct {
	write func(first int, body []byte) (reference string, err error)
	body  []byte
	texts map[string]uint64 // the numbers of values of a shard
	Index Index
}

// Index is what a reducer found: objects in the order of their shards. Shards in which it
// found nothing are in none.
type Index struct {
	Objects []Object `json:"objects"`
	// Joined is what joining rows to labels found beside.
	Joined *Joined `json:"joined,omitempty"`
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
	return &Outcome{write: write, texts: make(map[string]uint64)}
}

// Put takes what was found of the next shard in which something was. Of a value that the
// shard had before, only its number is written.
func (o *Outcome) Put(shard int, found *pipeline.Settled) error {
	if len(o.body) >= objectBytes {
		if err := o.Finish(); err != nil {
			return err
		}
	}
	if len(o.body) == 0 {
		o.Index.Objects = append(o.Index.Objects, Object{First: shard})
	}
	o.Index.Objects[len(o.Index.Objects)-1].Last = shard
	o.body = binary.AppendUvarint(binary.AppendUvarint(o.body, uint64(shard)), uint64(len(found.Rows)))
	before := int64(0)
	clear(o.texts)
	for i, row := range found.Rows {
		o.body = binary.AppendUvarint(o.body, uint64(row-before))
		before = row
		if len(found.Values) == 0 {
			continue
		}
		value := found.Values[i]
		id, known := o.texts[value]
		if !known {
			id = uint64(len(o.texts))
			o.texts[value] = id
		}
		if o.body = binary.AppendUvarint(o.body, id); !known {
			o.body = append(binary.AppendUvarint(o.body, uint64(len(value))), value...)
		}
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

// Read adds what an object has of a shard; valued: rows have values.
func Read(into *pipeline.Settled, body []byte, shard int, valued bool) error {
	failed := false
	next := func() uint64 {
		v, n := binary.Uvarint(body)
		if n <= 0 {
			failed, body = true, nil
			return 0
		}
		body = body[n:]
		return v
	}
	for len(body) > 0 && !failed {
		of, n := next(), next()
		row := int64(0)
		var texts []string
		for ; n > 0 && !failed; n-- {
			row += int64(next())
			value := ""
			if valued {
				id := next()
				if id == uint64(len(texts)) && !failed {
					size := next()
					if failed = failed || size > uint64(len(body)); failed {
						break
					}
					texts, body = append(texts, string(body[:size])), body[size:]
				}
				if failed = failed || id >= uint64(len(texts)); failed {
					break
				}
				value = texts[id]
			}
			if failed = failed || row < 0; failed || of != uint64(shard) {
				continue
			}
			into.Rows = append(into.Rows, row)
			if valued {
				into.Values = append(into.Values, value)
			}
		}
	}
	if failed {
		return &thalweg.Error{Op: opShuffle, Kind: thalweg.Corrupt, Err: errors.New("the outcome is no list of rows")}
	}
	return nil
}
