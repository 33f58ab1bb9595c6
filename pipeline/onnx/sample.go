package onnx

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/expression"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/table"
)

// CheckScript is the Python program that runs a model on a sample, which stand beside it as
// model.onnx and sample.json, and says how far its outputs are from those of scoring. It
// needs onnxruntime and nothing else.
//
//go:embed check.py
var CheckScript string

// Sample is rows as a model reads them, and what scoring makes of them.
type Sample struct {
	Rows   int                     `json:"rows"`
	Inputs map[string]*SampleInput `json:"inputs"`
	// Predictions and Raw are float32s, little endian, of each row Outputs.
	Outputs     int    `json:"outputs"`
	Predictions []byte `json:"predictions"`
	Raw         []byte `json:"raw_score"`
	// Answers are those of rows that have classes, or are true or false.
	Answers []string `json:"answers,omitempty"`
}

// SampleInput is the values of an input: texts, or the bytes of int64s or float64s, little
// endian.
type SampleInput struct {
	Type  string   `json:"type"` // float64, int64 or string
	Width int      `json:"width"`
	Texts []string `json:"texts,omitempty"`
	Bytes []byte   `json:"bytes,omitempty"`
}

// Sample returns cleaned rows as the model reads them, with what a scorer of the artifact
// makes of them: rows that it drops are not there.
func (m *Model) Sample(a *artifact.Artifact, scorer *artifact.Scorer, cleaned arrow.Record) (*Sample, error) {
	rows, predictions, err := scorer.ScoreCleaned(cleaned, new(pipeline.Report))
	if err != nil {
		return nil, err
	}
	defer rows.Release()
	predictions = first(predictions, int(rows.NumRows()), a.Model.Outputs())
	bits := func(v []float32) []byte { return kernel.AppendFloats(nil, v) }
	s := &Sample{Rows: int(rows.NumRows()), Inputs: map[string]*SampleInput{}, Outputs: a.Model.Outputs(),
		Predictions: bits(predictions), Raw: bits(scorer.Raw())}
	switch answer := a.Answer(); answer.Type {
	case model.Binary, model.Margin:
		for _, p := range predictions {
			s.Answers = append(s.Answers, strconv.FormatBool(scorer.Decide(p)))
		}
	case model.Category:
		for i := range s.Rows {
			s.Answers = append(s.Answers, answer.Classes[metric.Likeliest(predictions[i*s.Outputs:(i+1)*s.Outputs])])
		}
	}
	programs := map[string]*expression.Program{}
	for _, f := range a.Plan().Features {
		if f.Expression != nil {
			programs[f.Expression.Source()] = f.Expression
		}
	}
	for _, in := range m.Inputs {
		values, err := in.read(rows, programs)
		if err != nil {
			return nil, err
		}
		if s.Inputs[in.Name], err = in.sample(values); err != nil {
			return nil, err
		}
		values.Release()
	}
	return s, nil
}

// first returns the first of so many predictions of each row: those besides are of samples of
// the model.
func first(predictions []float32, rows, outputs int) []float32 {
	if len(predictions) == rows*outputs {
		return predictions
	}
	width := len(predictions) / max(rows, 1)
	out := make([]float32, 0, rows*outputs)
	for i := range rows {
		out = append(out, predictions[i*width:i*width+outputs]...)
	}
	return out
}

// Append adds the rows of another sample of the model.
func (s *Sample) Append(o *Sample) {
	s.Rows += o.Rows
	s.Predictions, s.Raw, s.Answers = append(s.Predictions, o.Predictions...), append(s.Raw, o.Raw...), append(s.Answers, o.Answers...)
	for name, in := range s.Inputs {
		in.Texts, in.Bytes = append(in.Texts, o.Inputs[name].Texts...), append(in.Bytes, o.Inputs[name].Bytes...)
	}
}

// JSON returns the sample's one form, which has bytes in base64.
func (s *Sample) JSON() []byte {
	data, err := json.Marshal(s)
	if err != nil {
		panic(err) // it has no values that JSON lacks
	}
	return data
}

// read returns the values of an input; the caller releases them.
func (in Input) read(rows arrow.Record, programs map[string]*expression.Program) (arrow.Array, error) {
	if in.Expression {
		return programs[in.Name].Eval(rows)
	}
	at := rows.Schema().FieldIndices(in.Name)
	if len(at) == 0 {
		return nil, &thalweg.Error{Op: "sample", Kind: thalweg.Invalid, Subject: "column " + in.Name, Err: fmt.Errorf("the rows have none")}
	}
	rows.Column(at[0]).Retain()
	return rows.Column(at[0]), nil
}

// sample returns values as the tensor has them.
func (in Input) sample(a arrow.Array) (*SampleInput, error) {
	out := &SampleInput{Type: "float64", Width: in.Width}
	var ints []int64
	var floats []float64
	switch a := a.(type) {
	case *array.Dictionary:
		out.Type, out.Texts = "string", make([]string, a.Len())
		for i := range out.Texts {
			if out.Texts[i] = NullText; a.IsValid(i) {
				out.Texts[i] = a.Dictionary().(*array.String).Value(a.GetValueIndex(i))
			}
		}
		return out, nil
	case *array.Float64:
		floats = append(floats, a.Float64Values()...)
		for i := range floats {
			if a.IsNull(i) {
				floats[i] = math.NaN()
			}
		}
	case *array.List:
		floats = in.elements(a)
	default:
		ints = integers(a)
		for i := range ints {
			if a.IsNull(i) {
				ints[i] = NullInt
			}
		}
		if ints == nil && a.Len() > 0 {
			return nil, refused("input "+in.Name, fmt.Errorf("%s is no type of it", a.DataType()))
		}
		out.Type, out.Bytes = "int64", rawInts(ints)
		return out, nil
	}
	out.Bytes = rawDoubles(floats)
	return out, nil
}

// integers returns the values of an array of integers, times or bools.
func integers(a arrow.Array) []int64 {
	switch a := a.(type) {
	case *array.Int64:
		return append([]int64(nil), a.Int64Values()...)
	case *array.Timestamp:
		out := make([]int64, a.Len())
		for i, v := range a.TimestampValues() {
			out[i] = int64(v)
		}
		return out
	case *array.Boolean:
		return append([]int64(nil), table.Indicators(a)...)
	}
	return nil
}

// elements returns the elements of lists of the input's width, NaN of others.
func (in Input) elements(a *array.List) []float64 {
	out := make([]float64, 0, a.Len()*in.Width)
	values := a.ListValues()
	var floats []float64
	if f, ok := values.(*array.Float64); ok {
		floats = f.Float64Values()
	} else {
		for _, v := range integers(values) {
			floats = append(floats, float64(v))
		}
	}
	for i := range a.Len() {
		from, to := a.ValueOffsets(i)
		for k := range in.Width {
			at := int(from) + k
			if a.IsNull(i) || int(to-from) != in.Width || values.IsNull(at) {
				out = append(out, math.NaN())
			} else {
				out = append(out, floats[at])
			}
		}
	}
	return out
}
