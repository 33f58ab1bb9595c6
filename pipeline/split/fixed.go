package split

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/table"
)

// fixed counts the rows of a shard by what a column says of their splits.
type fixed struct {
	cuts *Cuts
	rows [Count]int64
	dst  []uint8
}

// fixedPartial is what a shard's observer hands on.
type fixedPartial struct {
	Rows [Count]int64 `json:"rows"`
}

func observeFixed(c *Cuts, _ Origin) Observer { return &fixed{cuts: c} }

// Observe implements Observer.
func (o *fixed) Observe(batch arrow.Record) error {
	if n := int(batch.NumRows()); cap(o.dst) < n {
		o.dst = make([]uint8, n)
	}
	o.dst = o.dst[:batch.NumRows()]
	if err := assignFixed(o.cuts, batch, Origin{}, o.dst); err != nil {
		return err
	}
	for _, p := range o.dst {
		o.rows[p]++
	}
	return nil
}

// Partial implements Observer.
func (o *fixed) Partial() ([]byte, error) { return json.Marshal(fixedPartial{o.rows}) }

// finishFixed finds the shares of the rows that the splits have.
func finishFixed(c *Cuts, partials [][]byte) error {
	var total [Count]int64
	if err := each(partials, func(p fixedPartial) error {
		for k, n := range p.Rows {
			if n < 0 {
				return fmt.Errorf("%d rows of %s", n, Names[k])
			}
			total[k] += n
		}
		return nil
	}); err != nil {
		return err
	}
	all := total[Train] + total[Validation] + total[Test]
	if total[Train] == 0 {
		return &thalweg.Error{Op: "split rows", Kind: thalweg.Invalid, Subject: "column " + c.Column,
			Err: fmt.Errorf("none of %d rows is for training", all), Hint: "rows to learn from have train, or 0"}
	}
	c.Bounds[0] = float64(total[Train]) / float64(all)
	if c.Bounds[1] = 1; total[Test] > 0 {
		c.Bounds[1] = float64(all-total[Test]) / float64(all)
	}
	return nil
}

// assignFixed takes the splits that the column says.
func assignFixed(c *Cuts, batch arrow.Record, _ Origin, dst []uint8) error {
	parts, err := resolve(batch, c.Column, func(s string) uint8 {
		for k, name := range Names {
			if s == name || s == string(rune('0'+k)) {
				return uint8(k) + 1
			}
		}
		return 0
	}, func(v int64) uint8 {
		if v < 0 || v >= Count {
			return 0
		}
		return uint8(v) + 1
	})
	if err != nil {
		return err
	}
	for i, p := range parts {
		if p == 0 {
			return c.saysNone(batch, i)
		}
		dst[i] = p - 1
	}
	return nil
}

// saysNone reports row i of a batch, whose column names no split.
func (c *Cuts) saysNone(batch arrow.Record, i int) error {
	why := errors.New("it is null")
	if column, err := columnOf[arrow.Array](batch, c.Column, ""); err == nil && column.IsValid(i) {
		why = fmt.Errorf("%.100q is no split", column.ValueStr(i))
	}
	return &thalweg.Error{Op: "split rows", Kind: thalweg.Invalid,
		Err:  &table.RowError{What: "column " + c.Column, Row: table.RowNumber(batch, i), Err: why},
		Hint: "a fixed split has train, validation or test in each row, or 0, 1 or 2: filter the other rows out"}
}
