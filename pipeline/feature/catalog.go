package feature

import (
	"math"
	"strconv"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/text"
)

// Normalizations lists how numbers are brought to a common scale. To add one is
// a file and a line here.
func Normalizations() []pipeline.Entry {
	return []pipeline.Entry{
		{Name: "zscore", Options: &Normalization{Fit: fitZScore}},
		{Name: "minmax", Options: &Normalization{Fit: fitMinMax}},
		{Name: "robust", Options: &Normalization{Sampled: fitRobust}},
		{Name: "log1p", Options: &Normalization{Warp: signedLog1p, Fit: fitNone}},
		{Name: "power", Options: &Normalization{Sampled: fitPower, Curve: powerCurve, Deviation: 1}},
		{Name: "quantile", Options: &Normalization{Sampled: fitQuantiles, Curve: quantileCurve, Deviation: 0.5 / math.Sqrt(3)}},
		{Name: "none", Options: &Normalization{Fit: fitNone}},
	}
}

// Encoders lists how features enter a model; the first of a type is its default.
// To add one is a file and a line here.
func Encoders() []pipeline.Entry {
	return []pipeline.Entry{
		encoder("onehot", new(OneHot)),
		encoder("embedding", new(Embedding)),
		encoder("none", new(Scaled)),
		encoder("elements", new(Elements)),
		encoder("bins", new(Bins)),
		encoder("periodic", new(Periodic)),
		encoder("hash", new(Hash)),
		encoder("ordinal", new(Ordinal)),
		encoder("frequency", new(Frequency)),
		encoder("target", new(Target)),
		encoder("tfidf", new(TFIDF)),
		encoder("hashing", new(Hashing)),
		encoder("bag", new(Bag)),
		encoder("multihot", new(MultiHot)),
	}
}

// MissingValues lists what can become of missing values, by type of feature; the
// first of a type is its default.
func MissingValues() []pipeline.Entry {
	return []pipeline.Entry{
		{Name: fillWithMean, Options: &missingValue{numberType}},
		{Name: fillWithMedian, Options: &missingValue{numberType}},
		{Name: fillWithConst, Options: &missingValue{numberType}},
		{Name: dropRow, Options: &missingValue{numberType}},
		{Name: ownBin, Options: &missingValue{numberType}},
		{Name: fillWithConst, Options: &missingValue{categoryType}},
		{Name: fillWithMode, Options: &missingValue{categoryType}},
		{Name: dropRow, Options: &missingValue{categoryType}},
		{Name: fillWithMean, Options: &missingValue{listType}},
		{Name: fillWithConst, Options: &missingValue{listType}},
		{Name: dropRow, Options: &missingValue{listType}},
		{Name: fillWithConst, Options: &missingValue{textType}},
		{Name: dropRow, Options: &missingValue{textType}},
		{Name: fillWithConst, Options: &missingValue{setType}},
		{Name: dropRow, Options: &missingValue{setType}},
	}
}

// missingValue is a strategy for the features of a type.
type missingValue struct{ feature string }

// For implements pipeline.Typed.
func (m *missingValue) For() string { return m.feature }

func encoder(name string, options Encoder) pipeline.Entry {
	return pipeline.Entry{Name: name, Options: options}
}

// Normalization brings numbers to a common scale. A value x becomes
// (Warp(x) - shift) * scale.
type Normalization struct {
	// Warp is applied first, to training statistics as to values; nil is the
	// identity.
	Warp func(x float64) float64
	// Fit returns shift and scale from the moments of the warped training values,
	// of which there is at least one.
	Fit func(m Moments) (shift, scale float64)
	// Sampled, instead of Fit, learns from a sample of the training values in order, of
	// which there is at least one, and from their moments. The curve is what Curve
	// needs, if it is set.
	Sampled func(values []float64, m Moments) (curve []float64, shift, scale float64)
	// Curve returns the warp that a curve is, or what is wrong with it.
	Curve func(curve []float64) (func(x float64) float64, error)
	// Deviation is the standard deviation of what a curve makes of the training values,
	// which their own does not tell.
	Deviation float64
}

// For implements pipeline.Typed.
func (*Normalization) For() string { return numberType }

// AlsoFor implements pipeline.TypedMany: elements of lists have no samples.
func (n *Normalization) AlsoFor() []string {
	if n.Sampled != nil {
		return nil
	}
	return []string{listType}
}

// Encoder is the options of an encoder: how features of a type enter a model.
type Encoder interface {
	pipeline.Typed
	// Fit turns the statistics of the training rows into the feature's data.
	Fit(f pipeline.Feature, s *Statistics, out *Feature) error
	// Load makes what encodes values from the data, which it checks.
	Load(f pipeline.Feature, data *Feature) (Encoding, error)
}

// Encoding encodes the values of one fitted feature. It is immutable and may
// be used from several goroutines, each with a memo of its own.
type Encoding interface {
	// AddTo adds the feature's slots to a shape.
	AddTo(s *kernel.Shape)
	// Encode writes the values of a into the feature's slots, each with a value, an
	// id or an array for every element of a.
	Encode(a arrow.Array, out Slots, m *Memo, n *Tally) error
}

// Slots is the part of a block that belongs to one feature.
type Slots struct {
	Numbers    [][]float32
	Categories [][]uint32
	Lists      [][]float32
	Terms      [][][]kernel.Term
}

// Memo is what one goroutine remembers of the last batch of one feature.
type Memo struct {
	// dictionary is the last one seen, and ids the id of each entry, unresolved
	// where no row has used it yet.
	dictionary arrow.ArrayData
	ids        []uint32
	// scratch has the ids of a batch's values where they enter as numbers, or of a text's
	// terms, which cutter finds; and held what
	// says the fold of each row that is learned from, 0 of any other; nil of no such row.
	scratch []uint32
	held    []uint64
	cutter  *text.Cutter
}

// Tally counts what one batch of one feature met.
type Tally struct{ Filled, Clipped, Unknown int64 }

func normalization(f pipeline.Feature) (*Normalization, error) {
	n, ok := f.Normalization.(*Normalization)
	if !ok {
		return nil, &thalweg.Error{Op: "normalization", Kind: thalweg.Unsupported, Subject: strconv.Quote(f.Options.Normalization)}
	}
	return n, nil
}

func encoderOf(f pipeline.Feature) (Encoder, error) {
	e, ok := f.Options.Encoder.Options.(Encoder)
	if !ok || e.For() != f.Type {
		return nil, &thalweg.Error{Op: "encoder of a " + f.Type, Kind: thalweg.Unsupported, Subject: strconv.Quote(f.Options.Encoder.Name)}
	}
	return e, nil
}
