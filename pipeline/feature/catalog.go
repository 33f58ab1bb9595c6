package feature

import (
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

// normalizer is one line of the catalog: how a number is brought to a common
// scale. A value x becomes (warp(x) - shift) * scale.
type normalizer struct {
	name string
	// warp is applied first, to training statistics as to values; nil is the
	// identity.
	warp func(x float64) float64
	// fit returns shift and scale from the moments of the warped training
	// values, of which there is at least one.
	fit func(m Moments) (shift, scale float64)
}

// normalizers lists the normalisations. To add one is a file and a line here.
var normalizers = []normalizer{
	{"none", nil, fitNone},
	{"zscore", nil, fitZScore},
	{"minmax", nil, fitMinMax},
	{"log1p", signedLog1p, fitNone},
}

// encoder is one line of the catalog: how features of a type enter a model.
type encoder struct {
	featureType, name string
	// fit turns the statistics of the training rows into the feature's data.
	fit func(f pipeline.Feature, s *statistics, out *Feature) error
	// load makes what encodes values from the data, which it checks.
	load func(f pipeline.Feature, data *Feature) (encoding, error)
}

// encoders lists the encoders. To add one is a file and a line here.
var encoders = []encoder{
	{numberType, "none", fitScaled, loadScaled},
	{categoryType, "onehot", fitOneHot, loadOneHot},
}

// encoding encodes the values of one fitted feature. It is immutable and may
// be used from several goroutines, each with a memo of its own.
type encoding interface {
	// addTo adds the feature's slots to a shape.
	addTo(s *kernel.Shape)
	// encode writes the values of a into the feature's slots, each as long as a.
	encode(a arrow.Array, out slots, m *memo, n *tally) error
}

// slots is the part of a block that belongs to one feature.
type slots struct {
	numbers    [][]float32
	categories [][]uint32
}

// memo is what one goroutine remembers of the last batch of one feature.
type memo struct {
	// dictionary is the last one seen, and ids the id of each entry, unresolved
	// where no row has used it yet.
	dictionary arrow.ArrayData
	ids        []uint32
}

// tally counts what one batch of one feature met.
type tally struct{ filled, clipped, unknown int64 }

func normalizerOf(name string) (normalizer, error) {
	i := slices.IndexFunc(normalizers, func(n normalizer) bool { return n.name == name })
	if i < 0 {
		return normalizer{}, unsupported("normalization", name, normalizers, func(n normalizer) string { return n.name })
	}
	return normalizers[i], nil
}

func encoderOf(f pipeline.Feature) (encoder, error) {
	name := encoderName(f)
	for _, e := range encoders {
		if e.featureType == f.Type && e.name == name {
			return e, nil
		}
	}
	return encoder{}, unsupported("encoder of a "+f.Type, name, encoders, func(e encoder) string { return e.featureType + " " + e.name })
}

func unsupported[T any](what, name string, have []T, nameOf func(T) string) error {
	names := make([]string, len(have))
	for i, h := range have {
		names[i] = nameOf(h)
	}
	return &thalweg.Error{Op: what, Kind: thalweg.Unsupported, Subject: fmt.Sprintf("%q", name),
		Hint: "there are " + strings.Join(names, ", ")}
}
