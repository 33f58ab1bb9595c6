package serve

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg/pipeline/event"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// Answer is what became of some rows, in their order.
type Answer struct {
	records []arrow.Record // of the version's answer columns; shared with others of a batch
	rejects []engine.Reject
	at      []place
}

// place is where the answer to a row is: a row of a record, or, where record is -1, a reject.
type place struct{ record, row int32 }

// Len returns the number of rows.
func (a *Answer) Len() int { return len(a.at) }

// Reject returns why row i was not scored; nil if it was.
func (a *Answer) Reject(i int) *engine.Reject {
	if p := a.at[i]; p.record < 0 {
		return &a.rejects[p.row]
	}
	return nil
}

// rejected counts the rows that were not scored.
func (a *Answer) rejected() (n int) {
	for _, p := range a.at {
		if p.record < 0 {
			n++
		}
	}
	return n
}

// add adds the rows of another answer behind.
func (a *Answer) add(b *Answer) {
	records, rejects := int32(len(a.records)), int32(len(a.rejects))
	a.records, a.rejects = append(a.records, b.records...), append(a.rejects, b.rejects...)
	a.at = slices.Grow(a.at, len(b.at))
	for _, p := range b.at {
		if p.record < 0 {
			p.row += rejects
		} else {
			p.record += records
		}
		a.at = append(a.at, p)
	}
}

// failure is the answer to a row that was not scored: what its dead letter would say.
type failure struct {
	Stage  string `json:"stage"`
	Reason string `json:"reason"`
}

func failureOf(r *engine.Reject) failure { return failure{r.Stage, r.Reason} }

// appendJSON appends the answer to row i as a JSON object: the answer's columns, or
// {"error": {"stage": …, "reason": …}}.
func (a *Answer) appendJSON(to []byte, i int) []byte {
	if r := a.Reject(i); r != nil {
		text, err := json.Marshal(map[string]failure{"error": failureOf(r)})
		if err != nil {
			panic(fmt.Sprintf("serve: two texts are no JSON: %v", err))
		}
		return append(to, text...)
	}
	p := a.at[i]
	return event.AppendJSON(to, a.records[p.record], int(p.row))
}

// column returns the array that has a column of row i, and where; nil where the row was
// rejected.
func (a *Answer) column(column, i int) (arrow.Array, int) {
	p := a.at[i]
	if p.record < 0 {
		return nil, 0
	}
	return a.records[p.record].Column(column), int(p.row)
}

// answerColumns are those of a scored row that answer for it: what the model says, and which
// version does. The others say where an event came from.
type answerColumns struct {
	columns []table.Column
	at      []int // in what a scorer yields
	offset  int   // where the row's number is
	schema  *arrow.Schema
	sent    *arrow.Schema // of answers as streams of records
}

// of events, which a row that somebody asks about is not.
var originColumns = []string{"_topic", "_partition", "_offset", "_transform_hash", "_spec_generation", "_scored_at", "_replay"}

func answerColumnsOf(s *engine.RequestScorer) *answerColumns {
	added, first := s.Added()
	out := &answerColumns{}
	var fields []arrow.Field
	for i, c := range added {
		if c.Name == "_offset" {
			out.offset = first + i
		}
		if slices.Contains(originColumns, c.Name) {
			continue
		}
		out.columns, out.at = append(out.columns, c), append(out.at, first+i)
		fields = append(fields, arrow.Field{Name: c.Name, Type: c.Type.ArrowType(), Nullable: c.Nullable})
	}
	out.schema, out.sent = arrow.NewSchema(fields, nil), sentSchema(out.columns)
	return out
}

// take returns the answers of a batch of scored rows, and their numbers.
func (c *answerColumns) take(rec arrow.Record) (answers arrow.Record, rows []int64) {
	columns := make([]arrow.Array, len(c.at))
	for i, at := range c.at {
		columns[i] = rec.Column(at)
		makeWords(columns[i])
	}
	return array.NewRecord(c.schema, columns, rec.NumRows()), rec.Column(c.offset).(*array.Int64).Int64Values()
}

// makeWords makes the words of a column of strings or of lists of them, which Arrow does when
// it is first asked for them: several requests read the answers of a batch at once.
func makeWords(column arrow.Array) {
	switch c := column.(type) {
	case *array.Dictionary:
		c.Dictionary()
	case *array.List:
		makeWords(c.ListValues())
	}
}
