// Package onnx writes a trained artifact as an ONNX model: what features make of cleaned
// rows, and what the model makes of that. DESIGN.md says what holds.
package onnx

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/feature"
)

// The versions that models are written for.
const (
	irVersion      = 10
	opset          = 21
	mlOpset        = 5
	microsoftOpset = 1
)

// MaxBytes bounds a model: protobuf messages have fewer than 2 GiB.
const MaxBytes = math.MaxInt32 - 1<<20

const op = "export ONNX"

// Model is an exported model.
type Model struct {
	// Inputs are the tensors that it reads, in the order of the features that read them
	// first, and Outputs the names of those that it gives.
	Inputs  []Input
	Outputs []string
	// Bytes is the ModelProto.
	Bytes []byte
}

// SHA256 names the bytes.
func (m *Model) SHA256() string {
	sum := sha256.Sum256(m.Bytes)
	return hex.EncodeToString(sum[:])
}

// exporter is an export under way.
type exporter struct {
	*graph
	Model
	artifact *artifact.Artifact
	plan     *pipeline.Plan
	operands map[string]operand // by name of an input
	// blank is where nothing is known of a row so far, dropped where scoring has no row;
	// empty: nowhere.
	blank, dropped value
	slots          slots
	// members make the hashes of the values of features, for the crosses that these are in.
	members map[int]func() value
	used    map[string]bool
}

// slots are those of a block, in the order of the model's shape.
type slots struct {
	numbers    []value // float32s
	categories []category
	lists      []value // float32s, of each row as many as its elements
}

// category is a category slot: ids, and for the bins of a number that itself, as float64
// with NaN for what has id 0, and where it is cut.
type category struct {
	ids    value
	number value
	cuts   []float64
	// fit makes ids, which trees seldom want, when they are first asked for.
	fit func() value
}

func (c *category) id() value {
	if c.ids == "" {
		c.ids = c.fit()
	}
	return c.ids
}

// refused is the error of what has no form in ONNX.
func refused(subject string, err error) error {
	return &thalweg.Error{Op: op, Kind: thalweg.Unsupported, Subject: subject, Err: err}
}

// Export returns the model of an artifact. It fails with Unsupported naming the feature or
// the model that has no form in ONNX, and with Exhausted where that is larger than MaxBytes.
// Equal artifacts give equal bytes.
func Export(a *artifact.Artifact) (m *Model, err error) {
	defer func() {
		thrown := recover()
		if name, ok := thrown.(absent); ok {
			m, err = nil, refused("model "+a.Model.Type(), fmt.Errorf("it has no parameters %s, and no form in ONNX", string(name)))
		} else if thrown != nil {
			panic(thrown)
		}
	}()
	x := &exporter{graph: newGraph(), artifact: a, plan: a.Plan(), operands: map[string]operand{}, members: map[int]func() value{}, used: map[string]bool{}}
	x.counts[rawOutput]++
	for _, name := range answers()[a.Answer().Type].outputs {
		x.counts[name]++
	}
	if err := x.features(); err != nil {
		return nil, err
	}
	raw, err := x.model()
	if err != nil {
		return nil, err
	}
	for _, v := range a.Model.Views() {
		if !x.used[v.Name] {
			return nil, refused("model "+a.Model.Type(), fmt.Errorf("its parameters %s have no form in ONNX", v.Name))
		}
	}
	x.scope = "answer"
	if a.Model.Outputs() == 1 {
		raw = x.column(raw)
	}
	if err := x.answer(raw); err != nil {
		return nil, err
	}
	return x.finish()
}

// Check reports what of a spec is known to have no form in ONNX, before anything is trained.
func Check(spec *pipeline.Spec) error {
	body := &spec.Spec
	if _, ok := Models()[body.Model.Name]; !ok {
		return refused("spec.model", fmt.Errorf("a model of type %s has no form in ONNX", body.Model.Name))
	}
	taken := []string{rawOutput}
	for _, o := range body.OutputFeatures {
		for _, answer := range map[string][]string{"binary": {"binary", "margin"}, "number": {"number", "quantiles"}, "count": {"count"}, "category": {"category"}}[o.Type] {
			taken = append(taken, answers()[answer].outputs...)
		}
	}
	for i, f := range body.InputFeatures {
		if f.Expression == "" && slices.Contains(taken, f.Name) {
			return refused(fmt.Sprintf("spec.input_features[%d].name", i), fmt.Errorf("an output of the graph is called %s: derive a column of another name", f.Name))
		}
		if _, ok := Encoders()[f.Encoder.Name]; !ok {
			return refused(fmt.Sprintf("spec.input_features[%d].encoder", i), fmt.Errorf("encoder %s of a %s has no form in ONNX", f.Encoder.Name, f.Type))
		}
	}
	return nil
}

// features makes the slots.
func (x *exporter) features() error {
	encoders := Encoders()
	for i, f := range x.plan.Features {
		data := &x.artifact.Transform.Features()[i]
		encode, ok := encoders[f.Options.Encoder.Name]
		if !ok {
			return refused("feature "+f.Name, fmt.Errorf("encoder %s of a %s has no form in ONNX", f.Options.Encoder.Name, f.Type))
		}
		x.scope = f.Name
		width := 1
		if data.List != nil {
			width = data.List.Length
		}
		from, err := x.source(f, width)
		if err != nil {
			return err
		}
		if err := encode(x, encoding{Feature: f, data: data, from: from, index: i}); err != nil {
			return err
		}
	}
	return x.crosses()
}

// encoding is a feature to encode: its data, and what it reads.
type encoding struct {
	pipeline.Feature
	data  *feature.Feature
	from  operand
	index int
}

// model returns what the model says of the slots: float32s, of one output [rows], else
// [rows, outputs].
func (x *exporter) model() (value, error) {
	m := x.artifact.Model
	shape := m.Shape()
	if s := &x.slots; len(s.numbers) != shape.Numbers || len(s.categories) != len(shape.Cardinalities) || len(s.lists) != len(shape.Lists) || len(shape.Terms) > 0 {
		panic("onnx: the encoders made other slots than those of the model")
	}
	build, ok := Models()[m.Type()]
	if !ok {
		return "", refused("model "+m.Type(), fmt.Errorf("it has no form in ONNX"))
	}
	x.scope = m.Type()
	return build(x, shape)
}

// parameters returns a part of the parameters, which counts as exported.
func (x *exporter) parameters(name string) []float32 {
	for _, v := range x.artifact.Model.Views() {
		if v.Name == name {
			x.used[name] = true
			return v.Of(x.artifact.Params)
		}
	}
	panic(absent(name))
}

// absent is the panic of parameters that a model has not: it is another one than its builder
// knows.
type absent string

// unknown takes what says where nothing is known of a feature into account, and where a
// feature that drops rows is missing.
func (x *exporter) unknown(e encoding, missing, ids value) {
	if e.data.Missing == "drop_row" {
		x.dropped = x.either("Or", x.dropped, missing)
	}
	nothing := missing
	if fill := e.Options.FillValue; fill != nil && fill != NullText || e.Options.MissingIndicator {
		nothing = ""
	}
	if ids != "" {
		nothing = x.either("Or", nothing, x.op("Equal", ids, x.int(0)))
	}
	if nothing == "" {
		nothing = x.op("And", missing, x.bool(false))
	}
	x.blank = x.either("And", x.blank, nothing)
}

// either joins two values by an operator, the first of which may be none yet.
func (x *exporter) either(op string, a, b value) value {
	if a == "" {
		return b
	}
	return x.op(op, a, b)
}

// finish returns the model.
func (x *exporter) finish() (*Model, error) {
	if x.bytes > MaxBytes {
		return nil, &thalweg.Error{Op: op, Kind: thalweg.Exhausted, Subject: "model " + x.plan.Spec.Spec.Registry.Model,
			Err: fmt.Errorf("it takes %d bytes, an ONNX file has at most %d", x.bytes, MaxBytes), Hint: "lower the buckets of hashed features and crosses, most_common, or model.hidden"}
	}
	p := x.artifact.Provenance
	m := message(nil).number(modelIRVersion, irVersion).text(modelProducer, "thalweg").text(modelDomain, "thalweg").text(modelDoc, x.doc())
	m = slices.Grow(m, x.bytes+x.bytes/8)
	m = m.bytes(modelGraph, x.encode(x.plan.Spec.Metadata.Name, ""))
	opsets := []struct {
		domain  string
		version int64
	}{{"", opset}, {mlDomain, mlOpset}, {microsoftDomain, microsoftOpset}}
	for _, o := range opsets {
		if o.domain == "" || x.domains[o.domain] {
			m = m.bytes(modelOpset, message(nil).text(opsetDomain, o.domain).number(opsetVersion, o.version))
		}
	}
	for _, e := range [][2]string{{"thalweg.model", x.plan.Spec.Spec.Registry.Model}, {"thalweg.model_sha256", x.artifact.ModelSHA256()},
		{"thalweg.transform_sha256", p.Transform}, {"thalweg.spec_sha256", p.Spec}, {"thalweg.dataset_sha256", p.Dataset}} {
		m = m.bytes(modelMetadata, message(nil).text(entryKey, e[0]).text(entryValue, e[1]))
	}
	x.Bytes = m
	return &x.Model, nil
}

// doc is for people who open the model.
func (x *exporter) doc() string {
	var out strings.Builder
	fmt.Fprintf(&out, "Features and model of pipeline %s, which read cleaned rows: each input has a value of each row. ", x.plan.Spec.Metadata.Name)
	fmt.Fprintf(&out, "Null is NaN in float64, %d in int64, %q in string. A text that training never met is an unknown category.", int64(NullInt), NullText)
	if x.dropped != "" {
		out.WriteString(" A row that scoring drops, since a feature with missing_value_strategy drop_row is missing, has NaN.")
	}
	return out.String()
}
