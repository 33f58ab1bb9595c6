package artifact

import (
	"fmt"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/table"
)

// Origin is where a batch of scored rows came from and what scored it. The
// offset of each row is its table.RowColumn.
type Origin struct {
	Topic     string
	Partition int
	Version   thalweg.ModelVersion
	// Generation is of the spec that scored, not of the one that trained.
	Generation thalweg.Generation
	// ScoredAt counts microseconds since 1970 UTC. It is the time in the intent,
	// so that a batch scored again has the same bytes.
	ScoredAt int64
}

// answerColumns are the columns that a model of a label type adds, and
// originColumns those that say where a row came from.
var (
	answerColumns = map[string][]table.Column{
		string(model.Binary): {{Name: "prediction", Type: table.Bool}, {Name: "probability", Type: table.Float64}},
		string(model.Number): {{Name: "prediction", Type: table.Float64}, {Name: "score", Type: table.Float64}},
	}
	originColumns = []table.Column{
		{Name: "_topic", Type: table.String},
		{Name: "_partition", Type: table.Int64},
		{Name: "_offset", Type: table.Int64},
		{Name: "_model_version", Type: table.Int64},
		{Name: "_transform_hash", Type: table.String},
		{Name: "_spec_generation", Type: table.Int64},
		{Name: "_scored_at", Type: table.Timestamp},
	}
)

// OutputColumns returns the columns that scoring adds after the user's, for a
// label of the given type, "binary" or "number".
func OutputColumns(label string) []table.Column {
	return append(append([]table.Column{}, answerColumns[label]...), originColumns...)
}

// CheckColumns reports a cleaned column whose name a column of the output has:
// scored rows could not carry both.
func CheckColumns(cleaned table.Schema, label string) error {
	for _, c := range OutputColumns(label) {
		if _, _, taken := cleaned.Lookup(c.Name); taken {
			return &thalweg.Error{Op: "lay out scored rows", Kind: thalweg.Invalid, Subject: "column " + c.Name,
				Err:  fmt.Errorf("scoring writes a column of that name"),
				Hint: "give the source's column another name"}
		}
	}
	return nil
}

// OutputSchema returns the columns of a scored row: the cleaned ones, then
// those that scoring adds.
func (s *Scorer) OutputSchema() table.Schema {
	return table.Schema{Columns: append(append([]table.Column{}, s.Cleaned().Columns...), OutputColumns(s.artifact.plan.Label.Type)...)}
}

// Output returns a batch of OutputSchema: what Score returned, and where it
// came from. Cleaned columns are shared, not copied. The caller releases it.
func (s *Scorer) Output(cleaned arrow.Record, predictions []float32, from Origin) (arrow.Record, error) {
	n := len(predictions)
	if int(cleaned.NumRows()) != n {
		return nil, &thalweg.Error{Op: "lay out scored rows", Kind: thalweg.Invalid,
			Err: fmt.Errorf("%d predictions for %d rows", n, cleaned.NumRows())}
	}
	last := int(cleaned.NumCols()) - 1
	columns := make([]arrow.Array, 0, last+9)
	defer func() {
		for _, c := range columns {
			c.Release()
		}
	}()
	for _, c := range cleaned.Columns()[:last] {
		c.Retain()
		columns = append(columns, c)
	}
	if s.artifact.plan.Label.Type == string(model.Binary) {
		columns = append(columns, s.decisions(predictions))
	} else {
		columns = append(columns, s.widened(predictions))
	}
	columns = append(columns, s.widened(predictions),
		s.text(from.Topic, n),
		s.integer(table.Int64, int64(from.Partition), n))
	offsets := cleaned.Column(last)
	offsets.Retain()
	columns = append(columns, offsets,
		s.integer(table.Int64, int64(from.Version), n),
		s.text(s.artifact.Transform.Hash(), n),
		s.integer(table.Int64, int64(from.Generation), n),
		s.integer(table.Timestamp, from.ScoredAt, n))

	// The fields of the cleaned columns as they are, the others as declared.
	fields := append([]arrow.Field{}, cleaned.Schema().Fields()[:last]...)
	for _, c := range OutputColumns(s.artifact.plan.Label.Type) {
		fields = append(fields, arrow.Field{Name: c.Name, Type: c.Type.ArrowType()})
	}
	return array.NewRecord(arrow.NewSchema(fields, nil), columns, int64(n)), nil
}

// decisions returns the answer for each probability.
func (s *Scorer) decisions(predictions []float32) arrow.Array {
	b := array.NewBooleanBuilder(s.mem)
	defer b.Release()
	b.Reserve(len(predictions))
	for _, p := range predictions {
		b.UnsafeAppend(s.Decide(p))
	}
	return b.NewArray()
}

// widened returns the predictions as float64, which holds each exactly.
func (s *Scorer) widened(predictions []float32) arrow.Array {
	b := array.NewFloat64Builder(s.mem)
	defer b.Release()
	b.Reserve(len(predictions))
	for _, p := range predictions {
		b.UnsafeAppend(float64(p))
	}
	return b.NewArray()
}

// integer returns n times v in a column of type t, int64 or timestamp.
func (s *Scorer) integer(t table.Type, v int64, n int) arrow.Array {
	if t == table.Timestamp {
		b := array.NewTimestampBuilder(s.mem, t.ArrowType().(*arrow.TimestampType))
		defer b.Release()
		b.Reserve(n)
		for range n {
			b.UnsafeAppend(arrow.Timestamp(v))
		}
		return b.NewArray()
	}
	b := array.NewInt64Builder(s.mem)
	defer b.Release()
	b.Reserve(n)
	for range n {
		b.UnsafeAppend(v)
	}
	return b.NewArray()
}

// text returns n times v in a column whose dictionary is that one string.
func (s *Scorer) text(v string, n int) arrow.Array {
	d := array.NewStringBuilder(s.mem)
	defer d.Release()
	d.Append(v)
	entries := d.NewArray()
	defer entries.Release()
	i := array.NewInt32Builder(s.mem)
	defer i.Release()
	i.Reserve(n)
	for range n {
		i.UnsafeAppend(0)
	}
	indices := i.NewArray()
	defer indices.Release()
	return array.NewDictionaryArray(table.String.ArrowType(), indices, entries)
}
