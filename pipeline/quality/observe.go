package quality

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
)

const (
	// maxStoredBytes bounds the failing rows that are kept of one shard, and
	// of a run, all tests together.
	maxStoredBytes = 32 << 20
	// maxTextBytes bounds one text of them.
	maxTextBytes = 1 << 10
)

// stored gathers the failing rows of one test, the first of those it is shown, within its
// bounds: what it keeps of one shard is all that can be kept of it in a run.
type stored struct {
	rows, bytes int // that there is room for
	line        int // bytes of a row beside its object and values
}

// take returns as many of rows as there is room for.
func (s *stored) take(rows []pipeline.FailedRow) []pipeline.FailedRow {
	for i := range rows {
		if s.bytes -= s.line + len(rows[i].Object) + len(rows[i].Values); s.rows == 0 || s.bytes < 0 {
			s.rows = 0
			return rows[:i]
		}
		s.rows--
	}
	return rows
}

// Observer tests the cleaned training rows of one shard. It is for one goroutine.
type Observer struct {
	*Tests
	stored  []stored
	settled map[string]*pipeline.Settled
}

// NewObserver returns one that has seen nothing; nil where there are no tests.
func (t *Tests) NewObserver() *Observer {
	if t == nil {
		return nil
	}
	o := &Observer{Tests: t, stored: make([]stored, len(t.tests))}
	for i := range o.stored {
		o.stored[i] = t.room(i)
	}
	return o
}

// With makes the rows to come those of a shard of which shuffles found so much.
func (o *Observer) With(settled map[string]*pipeline.Settled) { o.settled = settled }

// failing marks the rows of a batch that fail the i-th test.
func (o *Observer) failing(i int, batch arrow.Record) (table.Mask, error) {
	of := &o.tests[i]
	if of.Key == nil {
		return of.failing(batch)
	}
	found := o.settled[of.PassName()]
	if found == nil {
		return table.Mask{}, &thalweg.Error{Op: "test rows", Kind: thalweg.Invalid, Subject: of.PassName(), Err: pipeline.ErrUnsettled}
	}
	return found.Mark(batch), nil
}

func (t *Tests) room(i int) stored {
	const others = 128
	return stored{t.tests[i].Spec.Stored(), t.bytes, others + len(t.tests[i].Name) + len(t.tests[i].rule())}
}

// Observe counts in rep the rows of a cleaned batch that fail, and keeps the first. Row r
// of it, by table.RowColumn, is row at.Row + r - first of the object.
func (o *Observer) Observe(batch arrow.Record, at table.Place, first int64, rep *pipeline.Report) error {
	rep.Tested += batch.NumRows()
	for i := range o.tests {
		of := &o.tests[i]
		if of.Count() != nil {
			continue
		}
		if of.Whole() {
			// Several tests may look at one column.
			if !slices.ContainsFunc(o.tests[:i], func(t test) bool { return t.Whole() && t.Spec.Column == of.Spec.Column }) {
				if err := see(rep, of.Spec.Column, batch); err != nil {
					return err
				}
			}
			continue
		}
		failing, err := o.failing(i, batch)
		if err != nil {
			return err
		}
		var rows []pipeline.FailedRow
		numbers := table.Rows(batch)
		for k := range failing.Marked() {
			if o.stored[i].rows == 0 {
				break
			}
			// The row for which there is no room any more is kept too, so that Lines ends there.
			rows = append(rows, pipeline.FailedRow{Object: at.Object, RowGroup: at.RowGroup, Row: at.Row + numbers[k] - first, Values: values(batch, k)})
			o.stored[i].take(rows[len(rows)-1:])
		}
		rep.Fail(of.Name, int64(failing.Count()), rows...)
	}
	return nil
}

// values is a row as a JSON object.
func values(batch arrow.Record, row int) json.RawMessage {
	var out bytes.Buffer
	out.WriteByte('{')
	last := int(batch.NumCols()) - 1 // table.RowColumn
	for i, c := range batch.Columns()[:last] {
		if i > 0 {
			out.WriteByte(',')
		}
		name, _ := json.Marshal(batch.ColumnName(i)) // texts can always be written
		out.Write(name)
		out.WriteByte(':')
		out.Write(value(c, row))
	}
	out.WriteByte('}')
	return out.Bytes()
}

// value is a cell as JSON: what JSON has no number for is a text, and what is long is cut.
func value(a arrow.Array, row int) []byte {
	if list, ok := a.(*array.List); ok && !a.IsNull(row) {
		from, to := list.ValueOffsets(row)
		out := []byte{'['}
		for i := from; i < to; i++ {
			if i > from {
				out = append(out, ',')
			}
			if len(out) > maxTextBytes {
				out = append(out, `"…"`...)
				break
			}
			out = append(out, value(list.ListValues(), int(i))...)
		}
		return append(out, ']')
	}
	v := a.GetOneForMarshal(row)
	if times, ok := a.(*array.Timestamp); ok && !a.IsNull(row) {
		v = time.UnixMicro(int64(times.Value(row))).UTC().Format(time.RFC3339Nano) // as events and scored rows have it
	}
	if f, ok := v.(float64); ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
		v = strconv.FormatFloat(f, 'g', -1, 64)
	}
	if s, ok := v.(string); ok && len(s) > maxTextBytes {
		v = strings.ToValidUTF8(s[:maxTextBytes], "") + "…"
	}
	text, _ := json.Marshal(v) // of numbers, bools and texts
	return text
}
