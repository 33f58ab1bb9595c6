package split

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg"
)

// maxPoints bounds what one shard remembers of its times. A cut point is off
// by at most one point's weight a shard, 1/65536 of the shard's rows.
const maxPoints = 1 << 16

// times observes one shard's times. Each distinct time is kept with its count
// until there are too many; then neighbours are merged.
type times struct {
	column string
	counts map[int64]int64
	points []point // sorted; what compaction has left
}

// point is a time that stands for Count rows at or before it.
type point struct {
	Time  int64 `json:"t"`
	Count int64 `json:"n"`
}

type timesPartial struct {
	Points []point `json:"points"`
}

func observeTimes(column string) Observer {
	return &times{column: column, counts: make(map[int64]int64)}
}

// Observe counts each time; runs of equal times, as sorted data has them, cost
// one map access.
func (o *times) Observe(batch arrow.Record) error {
	col, err := timeColumn(batch, o.column)
	if err != nil {
		return err
	}
	values := col.TimestampValues()
	for i := 0; i < len(values); {
		if col.IsNull(i) {
			i++
			continue
		}
		j := i + 1
		for j < len(values) && values[j] == values[i] && col.IsValid(j) {
			j++
		}
		o.counts[int64(values[i])] += int64(j - i)
		i = j
		if len(o.counts) >= 2*maxPoints {
			o.compact()
		}
	}
	return nil
}

// compact moves the counted times into points, at most maxPoints of them.
func (o *times) compact() {
	for t, n := range o.counts {
		o.points = append(o.points, point{t, n})
	}
	clear(o.counts)
	o.points = thin(merge(o.points), maxPoints)
}

// merge sorts points and adds up equal times.
func merge(points []point) []point {
	slices.SortFunc(points, func(a, b point) int { return cmp.Compare(a.Time, b.Time) })
	out := points[:0]
	for _, p := range points {
		if n := len(out); n > 0 && out[n-1].Time == p.Time {
			out[n-1].Count += p.Count
			continue
		}
		out = append(out, p)
	}
	return out
}

// thin merges neighbours until at most limit points are left, each of about
// the same weight; a merged point has the last of its times.
func thin(points []point, limit int) []point {
	if len(points) <= limit {
		return points
	}
	var total int64
	for _, p := range points {
		total += p.Count
	}
	out := make([]point, 0, limit)
	var seen, open int64
	for i, p := range points {
		seen += p.Count
		open += p.Count
		// Emit where the running count passes the next of limit equal steps.
		if seen*int64(limit)/total > (seen-open)*int64(limit)/total || i == len(points)-1 {
			out = append(out, point{p.Time, open})
			open = 0
		}
	}
	return out
}

// Partial implements Observer.
func (o *times) Partial() ([]byte, error) {
	o.compact()
	return json.Marshal(timesPartial{Points: o.points})
}

// finishTimes finds the times before which the probabilities' shares of rows
// lie.
func finishTimes(c *Cuts, partials [][]byte) error {
	var all []point
	for i, data := range partials {
		var p timesPartial
		if err := json.Unmarshal(data, &p); err != nil {
			return &thalweg.Error{Op: "merge split", Kind: thalweg.Corrupt, Subject: fmt.Sprintf("shard %d", i), Err: err}
		}
		all = append(all, p.Points...)
	}
	all = merge(all)
	var total int64
	for _, p := range all {
		total += p.Count
	}
	if total == 0 {
		return &thalweg.Error{Op: "split rows", Kind: thalweg.Invalid, Subject: "column " + c.Column, Hint: "no row has a time; split at random instead"}
	}
	for k, share := range c.Bounds {
		var seen int64
		want := int64(share*float64(total) + 0.5)
		c.Times[k] = all[len(all)-1].Time + 1
		for _, p := range all {
			if seen += p.Count; seen > want {
				c.Times[k] = p.Time
				break
			}
		}
	}
	return nil
}

func assignTimes(c *Cuts, batch arrow.Record, _ int, dst []uint8) error {
	col, err := timeColumn(batch, c.Column)
	if err != nil {
		return err
	}
	validation, test := arrow.Timestamp(c.Times[0]), arrow.Timestamp(c.Times[1])
	for i, t := range col.TimestampValues() {
		var part uint8
		if t >= validation {
			part = Validation
		}
		if t >= test {
			part = Test
		}
		dst[i] = part
	}
	if col.NullN() > 0 {
		for i := range dst {
			if col.IsNull(i) {
				dst[i] = Train
			}
		}
	}
	return nil
}

func timeColumn(batch arrow.Record, name string) (*array.Timestamp, error) {
	for _, i := range batch.Schema().FieldIndices(name) {
		if col, ok := batch.Column(i).(*array.Timestamp); ok {
			return col, nil
		}
	}
	return nil, &thalweg.Error{Op: "split rows", Kind: thalweg.Invalid, Subject: "column " + name, Hint: "split by a timestamp column"}
}
