package artifact

import (
	"fmt"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/split"
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
	// Replay is the ID of the intent that had dead letters scored again; empty:
	// the rows are the stream's own, and their _replay is null.
	Replay string
	// Object is that of a dataset that the rows lie in, and FirstRow the one of it that
	// table.RowColumn counts from. Topic, Partition, Generation and ScoredAt mean nothing
	// then.
	Object   string
	FirstRow int64
}

// checkColumns reports a cleaned column whose name a column of the output has:
// scored rows could not carry both.
func checkColumns(cleaned table.Schema, added []table.Column) error {
	for _, c := range added {
		if _, _, taken := cleaned.Lookup(c.Name); taken {
			return &thalweg.Error{Op: "lay out scored rows", Kind: thalweg.Invalid, Subject: "column " + c.Name,
				Err:  fmt.Errorf("scoring writes a column of that name"),
				Hint: "give the source's column another name, or leave it out in scoring.output_columns"}
		}
	}
	return nil
}

// carries reports whether scored rows have a cleaned column: all where the spec scores no
// stream.
func (a *Artifact) carries(column string) bool {
	return a.plan.Carried == nil || a.plan.Carried[column]
}

// carried returns those of cleaned columns that scored rows have.
func (a *Artifact) carried(cleaned table.Schema) table.Schema {
	return table.Schema{Columns: slices.DeleteFunc(slices.Clone(cleaned.Columns), func(c table.Column) bool { return !a.carries(c.Name) })}
}

// OutputSchema returns the columns of a scored row: the cleaned ones that the spec
// wants there, then those that scoring adds.
func (s *Scorer) OutputSchema() table.Schema {
	return table.Schema{Columns: slices.Concat(s.artifact.carried(s.Cleaned()).Columns, s.AddedColumns())}
}

// OutputArrow is OutputSchema as Output has it.
func (s *Scorer) OutputArrow() *arrow.Schema { return s.output }

// AddedColumns are the last columns of OutputSchema, those that scoring adds.
func (s *Scorer) AddedColumns() []table.Column {
	return pipeline.OutputColumns(s.answer.Type, s.artifact.Cuts != nil, s.says()...)
}

// DatasetSchema returns the columns of a scored row of a dataset.
func (s *Scorer) DatasetSchema() table.Schema {
	return table.Schema{Columns: slices.Concat(s.artifact.carried(s.Cleaned()).Columns, pipeline.DatasetColumns(s.answer.Type, s.artifact.Cuts != nil, s.says()...))}
}

// DatasetArrow is DatasetSchema as Output has it.
func (s *Scorer) DatasetArrow() *arrow.Schema { return s.dataset }

// Output returns a batch of OutputSchema, or of DatasetSchema where from has an object: what
// Score returned, and where it came from. Cleaned columns are shared, not copied. The caller
// releases it. Output may run beside Score and beside itself.
func (s *Scorer) Output(cleaned arrow.Record, predictions []float32, from Origin) (arrow.Record, error) {
	stride := s.width + s.explains.width()
	n := len(predictions) / stride
	if int(cleaned.NumRows()) != n || n*stride != len(predictions) || !cleaned.Schema().Equal(s.cleaned) {
		return nil, &thalweg.Error{Op: "lay out scored rows", Kind: thalweg.Invalid,
			Err: fmt.Errorf("%d predictions for %d rows of %v are not what Score returned", n, cleaned.NumRows(), cleaned.Schema().Fields())}
	}
	predictions, said := s.split(predictions)
	predictions, sampled := s.parted(predictions, n)
	last := int(cleaned.NumCols()) - 1
	columns := make([]arrow.Array, 0, s.output.NumFields())
	defer func() {
		for _, c := range columns {
			c.Release()
		}
	}()
	for i, c := range cleaned.Columns()[:last] {
		if s.artifact.carries(cleaned.ColumnName(i)) {
			c.Retain()
			columns = append(columns, c)
		}
	}
	switch s.answer.Type {
	case model.Binary:
		columns = append(columns, s.decisions(predictions), s.widened(predictions))
	case model.Margin:
		columns = append(columns, s.decisions(predictions), s.widened(predictions))
	case model.Category:
		columns = s.classes(columns, predictions)
	case model.Quantiles:
		middle := make([]float32, n)
		for i := range middle {
			middle[i] = predictions[i*s.outputs+s.answer.Middle()]
		}
		columns = append(columns, s.widened(middle), s.widened(middle), s.lists(predictions, s.outputs))
	default:
		columns = append(columns, s.widened(predictions), s.widened(predictions))
	}
	columns = s.explanations(s.besides(columns, predictions, sampled), said)
	schema, rows := s.output, cleaned.Column(last)
	if from.Object == "" {
		rows.Retain()
		columns = append(columns, s.text(from.Topic, n), s.integer(table.Int64, int64(from.Partition), n), rows)
	} else {
		schema = s.dataset
		columns = append(columns, s.text(from.Object, n), s.counted(table.Rows(cleaned), from.FirstRow))
	}
	columns = append(columns, s.integer(table.Int64, int64(from.Version), n), s.text(s.artifact.Transform.Hash(), n))
	if from.Object == "" {
		columns = append(columns, s.integer(table.Int64, int64(from.Generation), n), s.integer(table.Timestamp, from.ScoredAt, n), s.text(from.Replay, n))
	}
	if s.artifact.Cuts != nil {
		splits, err := s.splits(cleaned)
		if err != nil {
			return nil, err
		}
		columns = append(columns, splits)
	}
	return array.NewRecord(schema, columns, int64(n)), nil
}

// splits returns the split that each row would be in.
func (s *Scorer) splits(cleaned arrow.Record) (arrow.Array, error) {
	parts, err := s.artifact.Cuts.Assign(s.artifact.plan, cleaned, split.Origin{}, nil)
	if err != nil {
		return nil, err
	}
	return split.Column(s.mem, parts, table.Mask{}), nil
}

// decisions returns the answer for each probability.
func (s *Scorer) decisions(predictions []float32) arrow.Array {
	yes := table.NewMask(len(predictions))
	for i, p := range predictions {
		if s.Decide(p) {
			yes.Set(i)
		}
	}
	return table.NewColumn(s.mem, table.Bool, len(predictions), yes.Buffer(s.mem), table.Mask{})
}

// classes adds the likeliest class of each row, its probability, and those of all.
func (s *Scorer) classes(columns []arrow.Array, predictions []float32) []arrow.Array {
	n := len(predictions) / s.outputs
	buf, likeliest := table.Alloc(s.mem, n, arrow.Int32Traits)
	top := make([]float32, n)
	for i := range n {
		row := predictions[i*s.outputs : (i+1)*s.outputs]
		k := metric.Likeliest(row)
		likeliest[i], top[i] = int32(k), row[k]
	}
	b := array.NewStringBuilder(s.mem)
	defer b.Release()
	b.AppendValues(s.answer.Classes, nil)
	names := b.NewArray()
	defer names.Release()
	return append(columns, table.NewText(s.mem, n, buf, table.Mask{}, names), s.widened(top), s.lists(predictions, s.outputs))
}

// lists returns the predictions of each row, so many, as a list.
func (s *Scorer) lists(predictions []float32, width int) arrow.Array {
	n := len(predictions) / width
	buf, offsets := table.Alloc(s.mem, n+1, arrow.Int32Traits)
	for i := range offsets {
		offsets[i] = int32(i * width)
	}
	elements := s.widened(predictions)
	defer elements.Release()
	return table.NewList(s.mem, table.Float64List, n, buf, table.Mask{}, elements)
}

// widened returns the predictions as float64, which holds each exactly.
func (s *Scorer) widened(predictions []float32) arrow.Array {
	buf, out := table.Alloc(s.mem, len(predictions), arrow.Float64Traits)
	for i, p := range predictions {
		out[i] = float64(p)
	}
	return table.NewColumn(s.mem, table.Float64, len(out), buf, table.Mask{})
}

// integer returns n times v in a column of type t, int64 or timestamp.
func (s *Scorer) integer(t table.Type, v int64, n int) arrow.Array {
	buf, out := table.Alloc(s.mem, n, arrow.Int64Traits)
	for i := range out {
		out[i] = v
	}
	return table.NewColumn(s.mem, t, n, buf, table.Mask{})
}

// counted returns the numbers of rows of an object.
func (s *Scorer) counted(rows []int64, first int64) arrow.Array {
	buf, out := table.Alloc(s.mem, len(rows), arrow.Int64Traits)
	for i, row := range rows {
		out[i] = first + row
	}
	return table.NewColumn(s.mem, table.Int64, len(out), buf, table.Mask{})
}

// text returns n times v in a column whose dictionary is that one string; n nulls
// if it is empty.
func (s *Scorer) text(v string, n int) arrow.Array {
	var valid table.Mask
	if v == "" {
		valid = table.NewMask(n)
	}
	b := array.NewStringBuilder(s.mem)
	defer b.Release()
	b.Append(v)
	entries := b.NewArray()
	defer entries.Release()
	buf, indices := table.Alloc(s.mem, n, arrow.Int32Traits)
	clear(indices)
	return table.NewText(s.mem, n, buf, valid, entries)
}
