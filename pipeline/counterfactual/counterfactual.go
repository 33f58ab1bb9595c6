// Package counterfactual finds the smallest change of a row, within what training saw,
// that turns a model's prediction.
//
// Rows are compared by Gower's distance: a category that differs counts 1, a number the
// share of its training range that it moved, and all is summed. First every feature is
// tried alone; then a genetic search tries changes of several, and last what is not needed
// is taken back. All that is random follows from the seed.
package counterfactual

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/event"
	"github.com/thalweg/thalweg/pipeline/feature"
	"github.com/thalweg/thalweg/pipeline/spelling"
)

// Config says what is looked for.
type Config struct {
	// Seed decides all that is random.
	Seed uint64
	// Keep names the features that may not change.
	Keep []string
	// To is the prediction that is wanted, true, false or a class; "": any other.
	To string
	// Above and Below are what the prediction of a number or a count is to exceed, or to
	// stay below; nil: not given. One of them is.
	Above, Below *float64
}

// Prediction is what a model says of a row.
type Prediction struct {
	// Prediction is true or false, a class or a value, Score the probability of true or of
	// the class, the margin, or the value.
	Prediction any     `json:"prediction"`
	Score      float64 `json:"score"`
}

// Change is of a feature's value. Nil is a value that is missing.
type Change struct {
	Feature string `json:"feature"`
	From    any    `json:"from"`
	To      any    `json:"to"`
	// Distance is its part of the distance.
	Distance float64 `json:"distance"`
	// Range is what training saw of a number.
	Range *[2]float64 `json:"range,omitempty"`
}

// Result is what was found.
type Result struct {
	Seed   uint64     `json:"seed"`
	Before Prediction `json:"before"`
	// After is nil where no change was found that turns the prediction.
	After    *Prediction `json:"after"`
	Changes  []Change    `json:"changes"`
	Distance float64     `json:"distance"`
	// Tried is how many rows were predicted, Kept why features could not change.
	Tried int               `json:"tried"`
	Kept  map[string]string `json:"kept,omitempty"`
}

const op = "find counterfactual"

// Find returns the smallest change that it finds of a row, which is a JSON object with the
// fields of an event.
func Find(ctx context.Context, a *artifact.Artifact, row []byte, cfg Config) (*Result, error) {
	rows, err := clean(ctx, a, row)
	if err != nil {
		return nil, err
	}
	defer rows.Release()
	variables, values, err := a.Transform.Variables(rows)
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, v := range values {
			v.Release()
		}
	}()
	s := &search{ctx: ctx, answer: a.Answer(), cfg: cfg, outputs: a.Model.Outputs()}
	if s.scorer, err = a.NewScorer(pipeline.InTraining); err != nil {
		return nil, err
	}
	kept := make(map[string]string)
	for i, v := range variables {
		s.variables = append(s.variables, variableOf(v, values[i]))
		if why := s.variables[i].Fixed; why != "" {
			kept[v.Name] = why
		}
	}
	if err := s.keep(kept); err != nil {
		return nil, err
	}
	if err := s.aim(); err != nil {
		return nil, err
	}
	return s.run(kept)
}

// clean decodes a row and cleans it as one of the stream.
func clean(ctx context.Context, a *artifact.Artifact, row []byte) (arrow.Record, error) {
	decoder, err := a.NewRowDecoder()
	if err != nil {
		return nil, err
	}
	rec, rejects, err := decoder.Decode(ctx, event.Events{Values: row, Ends: []int{len(row)}, Offsets: []int64{0}})
	if err != nil {
		return nil, err
	}
	defer rec.Release()
	refused := func(why string) error {
		return &thalweg.Error{Op: op, Kind: thalweg.Invalid, Subject: "row", Err: fmt.Errorf("%s", why), Hint: "give a JSON object with the fields of an event"}
	}
	if len(rejects) > 0 {
		return nil, refused(rejects[0].Reason)
	}
	scorer, err := a.NewScorer(pipeline.InScoring)
	if err != nil {
		return nil, err
	}
	rep := pipeline.Report{KeepRemoved: true}
	cleaned, _, err := scorer.Score(ctx, rec, &rep)
	if err != nil {
		return nil, err
	}
	if cleaned.NumRows() != 1 {
		cleaned.Release()
		return nil, refused("it is not scored: " + rep.Removed[0].Reason)
	}
	return cleaned, nil
}

// keep marks the features that may not change.
func (s *search) keep(kept map[string]string) error {
	var names []string
	for _, v := range s.variables {
		names = append(names, v.Name)
	}
	for _, name := range s.cfg.Keep {
		i := slices.Index(names, name)
		if i < 0 {
			err := &thalweg.Error{Op: op, Kind: thalweg.NotFound, Subject: "feature " + name, Hint: "the model's are " + strings.Join(names, ", ")}
			if near := spelling.Nearest(name, slices.Values(names)); near != "" {
				err.Hint = "did you mean " + near + "?"
			}
			return err
		}
		s.variables[i].Fixed = "it was to be kept"
		kept[name] = s.variables[i].Fixed
	}
	if !slices.ContainsFunc(s.variables, func(v variable) bool { return v.Fixed == "" }) {
		return &thalweg.Error{Op: op, Kind: thalweg.Invalid, Subject: "features", Err: fmt.Errorf("none may change"), Hint: "keep fewer"}
	}
	return nil
}

// variable is one with what the row has of it.
type variable struct {
	feature.Variable
	from value
	// whole numbers stay whole.
	whole bool
	// row is the row's own where values are none that change; else nil.
	row arrow.Array
}

// value is a number or a category; missing if it is neither.
type value struct {
	number float64
	text   string
	some   bool
}

func variableOf(v feature.Variable, a arrow.Array) variable {
	out := variable{Variable: v}
	switch a := a.(type) {
	case *array.Int64:
		out.whole = true
		out.from = value{float64(a.Value(0)), fmt.Sprint(a.Value(0)), a.IsValid(0)}
	case *array.Float64:
		x := a.Value(0)
		out.from = value{x, "", a.IsValid(0) && !math.IsNaN(x) && !math.IsInf(x, 0)}
	case *array.Boolean:
		out.whole = true
		out.from = value{0, fmt.Sprint(a.Value(0)), a.IsValid(0)}
		if a.Value(0) {
			out.from.number = 1
		}
	case *array.Dictionary:
		if a.IsValid(0) {
			out.from = value{0, a.Dictionary().(*array.String).Value(a.GetValueIndex(0)), true}
		}
	default:
		out.Fixed, out.row = "it is a list or a time", a
	}
	return out
}

// distance is how far a value is from the row's.
func (v *variable) distance(to value) float64 {
	switch {
	case to == v.from:
		return 0
	case !v.Number, !to.some, !v.from.some, v.Max == v.Min:
		return 1
	}
	return math.Abs(to.number-v.from.number) / (v.Max - v.Min)
}

// shown is a value for people and JSON.
func (v *variable) shown(x value) any {
	switch {
	case !x.some:
		return nil
	case !v.Number:
		return x.text
	case v.whole:
		return int64(x.number)
	}
	return x.number
}
