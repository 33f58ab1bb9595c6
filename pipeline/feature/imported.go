package feature

import (
	"fmt"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/imported"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

// Imported encodes the inputs of an imported model.
type Imported struct {
	encodings []Encoding
	memos     []Memo
	names     []string
	shape     kernel.Shape
}

// NewImported returns what encodes columns that are named as the inputs of e.
func NewImported(e *imported.Ensemble) (*Imported, error) {
	m := &Imported{memos: make([]Memo, len(e.Inputs))}
	for i := range e.Inputs {
		in := &e.Inputs[i]
		var encoder Encoder = new(Bins)
		data := &Feature{Bins: &Binned{Cuts: in.Cuts}}
		if in.Category() {
			encoder = new(OneHot)
			data = &Feature{Category: &Category{Values: in.Values, Counts: make([]int64, len(in.Values))}}
		}
		encoding, err := encoder.Load(pipeline.Feature{Name: in.Name}, data)
		if err != nil {
			return nil, inFeature(in.Name, err)
		}
		encoding.AddTo(&m.shape)
		m.encodings, m.names = append(m.encodings, encoding), append(m.names, in.Name)
	}
	return m, nil
}

// Shape returns the slots of the blocks that Block returns.
func (m *Imported) Shape() kernel.Shape { return m.shape }

// Block encodes a batch. It fails with Invalid where a column is missing, or is not
// what the input reads.
func (m *Imported) Block(batch arrow.Record) (*kernel.Block, error) {
	b := &kernel.Block{Rows: int(batch.NumRows())}
	for i, name := range m.names {
		at := batch.Schema().FieldIndices(name)
		if len(at) != 1 {
			return nil, inFeature(name, &thalweg.Error{Op: "encode", Kind: thalweg.Invalid, Err: fmt.Errorf("the sample has %d columns %q", len(at), name)})
		}
		column := batch.Column(at[0])
		ids := make([]uint32, b.Rows)
		b.Categories = append(b.Categories, ids)
		if err := m.encodings[i].Encode(column, Slots{Categories: [][]uint32{ids}}, &m.memos[i], new(Tally)); err != nil {
			return nil, err
		}
	}
	return b, nil
}
