package split

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/table"
)

// times observes one shard's times.
type times struct {
	column  string
	sketch  sketch
	missing int64
}

// timesPartial is what a shard's observer hands on: rank points in order, and
// the rows without a time.
type timesPartial struct {
	// First is the time of the first point, and Unit divides how far any other is from the
	// one before.
	First int64  `json:"first"`
	Unit  uint64 `json:"unit"`
	// Points are how many units each point is from the one before, and its count, as
	// unsigned varints.
	Points  []byte `json:"times"`
	Missing int64  `json:"missing"`
}

func observeTimes(c *Cuts, _ Origin) Observer { return &times{column: c.Column} }

// Observe implements Observer.
func (o *times) Observe(batch arrow.Record) error {
	a, err := columnOf[*array.Timestamp](batch, o.column, "timestamps")
	if err != nil {
		return err
	}
	values := timesOf(a)
	if a.NullN() == 0 {
		o.sketch.add(values)
		return nil
	}
	o.missing += int64(a.NullN())
	valid := table.Valid(a)
	for i := range values {
		if valid.Has(i) {
			o.sketch.add(values[i : i+1])
		}
	}
	return nil
}

// Partial implements Observer.
func (o *times) Partial() ([]byte, error) {
	o.sketch.close()
	p := timesPartial{Missing: o.missing}
	points := o.sketch.points
	if len(points) > 0 {
		p.First = points[0].time
	}
	// Times in order are less than 2^64 apart.
	steps := func(yield func(step uint64, count int64)) {
		last := p.First
		for _, x := range points {
			yield(uint64(x.time)-uint64(last), x.count)
			last = x.time
		}
	}
	steps(func(step uint64, _ int64) {
		for step != 0 { // Euclid
			p.Unit, step = step, p.Unit%step
		}
	})
	p.Unit = max(p.Unit, 1)
	steps(func(step uint64, count int64) {
		p.Points = binary.AppendUvarint(binary.AppendUvarint(p.Points, step/p.Unit), uint64(count))
	})
	return json.Marshal(p)
}

// points returns the partial's points, or what is wrong with them.
func (p timesPartial) points() (out []point, err error) {
	if p.Missing < 0 || p.Unit == 0 {
		return nil, fmt.Errorf("%d rows without a time, and units of %d", p.Missing, p.Unit)
	}
	last := p.First
	for data := p.Points; len(data) > 0; {
		step, n := binary.Uvarint(data)
		count, m := binary.Uvarint(data[max(n, 0):])
		next := int64(uint64(last) + step*p.Unit)
		if n <= 0 || m <= 0 || count == 0 || count > math.MaxInt64 || len(out) == maxPoints || (len(out) > 0) != (next > last) || step > math.MaxUint64/p.Unit {
			return nil, errors.New("the points are not in order")
		}
		out, data = append(out, point{next, int64(count)}), data[n+m:]
		last = next
	}
	return out, nil
}

// finishTimes finds the times before which the probabilities' shares of rows
// lie.
func finishTimes(c *Cuts, partials [][]byte) error {
	var merged sketch
	if err := each(partials, func(p timesPartial) error {
		points, err := p.points()
		if err != nil {
			return err
		}
		merged.merge(points)
		if len(merged.points) > 2*maxMerged {
			merged.points = thin(merged.points, maxMerged)
		}
		c.Missing += p.Missing
		return nil
	}); err != nil {
		return err
	}
	if len(merged.points) == 0 {
		return &thalweg.Error{Op: "split rows", Kind: thalweg.Invalid, Subject: "column " + c.Column,
			Hint: "no row has a time; split at random instead"}
	}
	for k, share := range c.Bounds {
		c.Times[k] = merged.before(share)
	}
	return nil
}

func assignTimes(c *Cuts, batch arrow.Record, _ Origin, dst []uint8) error {
	a, err := columnOf[*array.Timestamp](batch, c.Column, "timestamps")
	if err != nil {
		return err
	}
	validation, test := c.Times[0], c.Times[1]
	for i, t := range timesOf(a) {
		dst[i] = part(t, validation, test)
	}
	if a.NullN() > 0 {
		valid := table.Valid(a)
		for i := range dst {
			if !valid.Has(i) {
				dst[i] = Train
			}
		}
	}
	return nil
}

// timesOf returns the microseconds of a column, those of nulls too.
func timesOf(a *array.Timestamp) []int64 {
	if a.Len() == 0 {
		return nil
	}
	return arrow.GetValues[int64](a.Data(), 1)
}
