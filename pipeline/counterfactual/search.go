package counterfactual

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/table"
)

// The size of a search: 20,000 predictions, a fraction of a second of most models.
const (
	population  = 256
	generations = 60
	elite       = 32
	// alone is how many values of a number are tried while all else stays, and halvings how
	// often a change of a number is halved in the end.
	alone    = 64
	halvings = 24
)

// search looks for changes of a row.
type search struct {
	ctx       context.Context
	scorer    *artifact.Scorer
	answer    pipeline.Answer
	outputs   int
	cfg       Config
	variables []variable
	wanted    int // the class, 1 of true; -1: any but had
	had       int
	tried     int
}

// candidate is a row: a value of each variable.
type candidate struct {
	values   []value
	distance float64
	// gap is how far the prediction is from being turned, 0 where it is.
	gap        float64
	prediction []float32
}

// better puts rows that turn the prediction first, the nearest of them first.
func better(a, b candidate) int {
	if c := cmp.Compare(a.gap, b.gap); c != 0 {
		return c
	}
	return cmp.Compare(a.distance, b.distance)
}

// aim checks what is wanted.
func (s *search) aim() error {
	invalid := func(what, hint string) error {
		return &thalweg.Error{Op: op, Kind: thalweg.Invalid, Subject: "wanted prediction", Err: fmt.Errorf("%s", what), Hint: hint}
	}
	s.wanted = -1
	for _, bound := range []*float64{s.cfg.Above, s.cfg.Below} {
		if bound != nil && math.IsNaN(*bound) {
			return invalid("NaN is no bound", "say what the prediction is to be: above or below a number")
		}
	}
	numeric := !slices.Contains([]string{model.Binary, model.Margin, model.Category}, s.answer.Type)
	bounds := s.cfg.Above != nil || s.cfg.Below != nil
	switch {
	case numeric && (s.cfg.To != "" || (s.cfg.Above != nil) == (s.cfg.Below != nil)):
		return invalid("the model predicts a "+s.answer.Type, "say what it is to be: above or below a value")
	case !numeric && bounds:
		return invalid("the model predicts no number", "leave above and below out")
	case numeric || s.cfg.To == "":
		return nil
	case s.answer.Type == model.Category:
		if s.wanted = slices.Index(s.answer.Classes, s.cfg.To); s.wanted < 0 {
			return invalid(fmt.Sprintf("%q is no class", s.cfg.To), "the classes are "+strings.Join(s.answer.Classes[:min(20, len(s.answer.Classes))], ", "))
		}
	default:
		yes, err := strconv.ParseBool(s.cfg.To)
		if err != nil {
			return invalid(fmt.Sprintf("%q is neither true nor false", s.cfg.To), "")
		}
		if s.wanted = 0; yes {
			s.wanted = 1
		}
	}
	return nil
}

// class is what a prediction says: its class, 1 of true.
func (s *search) class(p []float32) int {
	if s.answer.Type == model.Category {
		return metric.Likeliest(p)
	}
	if s.scorer.Decide(p[0]) {
		return 1
	}
	return 0
}

// gap is how far a prediction is from being what is wanted.
func (s *search) gap(p []float32) float64 {
	x := float64(p[0])
	if s.answer.Type == model.Quantiles {
		x = float64(p[s.answer.Middle()])
	}
	switch {
	case s.cfg.Above != nil:
		return max(0, overshoot(*s.cfg.Above-x))
	case s.cfg.Below != nil:
		return max(0, overshoot(x-*s.cfg.Below))
	}
	if class := s.class(p); s.wanted >= 0 && class == s.wanted || s.wanted < 0 && class != s.had {
		return 0
	}
	if s.answer.Type != model.Category {
		return math.Abs(x-s.answer.Threshold) + math.SmallestNonzeroFloat64
	}
	// By how much what is wanted is less likely than what is said.
	best := 0.0
	for k, q := range p {
		if k == s.wanted || s.wanted < 0 && k != s.had {
			best = max(best, float64(q))
		}
	}
	return float64(p[s.class(p)]) - best + math.SmallestNonzeroFloat64
}

// overshoot makes a bound that is met exactly one that is missed.
func overshoot(d float64) float64 {
	if d == 0 {
		return math.SmallestNonzeroFloat64
	}
	return d
}

// said is a prediction for people.
func (s *search) said(p []float32) Prediction {
	switch s.answer.Type {
	case model.Category:
		k := metric.Likeliest(p)
		return Prediction{s.answer.Classes[k], float64(p[k])}
	case model.Binary, model.Margin:
		return Prediction{s.scorer.Decide(p[0]), float64(p[0])}
	case model.Quantiles:
		x := float64(p[s.answer.Middle()])
		return Prediction{x, x}
	}
	return Prediction{float64(p[0]), float64(p[0])}
}

// run searches.
func (s *search) run(kept map[string]string) (*Result, error) {
	start := candidate{values: make([]value, len(s.variables))}
	for i, v := range s.variables {
		start.values[i] = v.from
	}
	first := []candidate{start}
	s.had = -1
	if err := s.predict(first); err != nil {
		return nil, err
	}
	if first[0].prediction == nil {
		return nil, &thalweg.Error{Op: op, Kind: thalweg.Invalid, Subject: "row", Err: fmt.Errorf("its prediction is not finite, or it lacks a feature")}
	}
	s.had = s.class(first[0].prediction)
	out := &Result{Seed: s.cfg.Seed, Before: s.said(first[0].prediction), Changes: []Change{}, Kept: kept}
	first[0].gap = s.gap(first[0].prediction)
	if first[0].gap == 0 {
		return nil, &thalweg.Error{Op: op, Kind: thalweg.Invalid, Subject: "row", Err: fmt.Errorf("its prediction is what is wanted already: %v", out.Before.Prediction)}
	}
	best, err := s.evolve(first[0])
	if err != nil {
		return nil, err
	}
	out.Tried = s.tried
	if best.gap > 0 {
		return out, nil
	}
	after := s.said(best.prediction)
	out.After, out.Distance = &after, best.distance
	for i := range s.variables {
		v := &s.variables[i]
		if d := v.distance(best.values[i]); d > 0 {
			c := Change{Feature: v.Name, From: v.shown(v.from), To: v.shown(best.values[i]), Distance: d}
			if v.Number {
				c.Range = &[2]float64{v.Min, v.Max}
			}
			out.Changes = append(out.Changes, c)
		}
	}
	slices.SortStableFunc(out.Changes, func(a, b Change) int { return cmp.Compare(b.Distance, a.Distance) })
	return out, nil
}

// evolve returns the best row that is found.
func (s *search) evolve(start candidate) (candidate, error) {
	all := s.singles(start)
	random := rand.New(rand.NewPCG(s.cfg.Seed, 0x7068616c))
	for len(all) < population {
		all = append(all, s.mutated(random, start, start))
	}
	if err := s.predict(all); err != nil {
		return start, err
	}
	slices.SortStableFunc(all, better)
	all = all[:min(len(all), population)]
	for range generations {
		next := slices.Clone(all[:min(elite, len(all))])
		for len(next) < population {
			a, b := all[s.parent(random, len(all))], all[s.parent(random, len(all))]
			child := candidate{values: slices.Clone(a.values)}
			for i := range child.values {
				if random.IntN(2) == 0 {
					child.values[i] = b.values[i]
				}
			}
			next = append(next, s.mutated(random, child, start))
		}
		if err := s.predict(next[min(elite, len(all)):]); err != nil {
			return start, err
		}
		slices.SortStableFunc(next, better)
		all = next
	}
	if all[0].gap > 0 {
		return all[0], nil
	}
	return s.reduced(all[0])
}

// parent draws one of n rows, the best most often: the better of two.
func (s *search) parent(random *rand.Rand, n int) int { return min(random.IntN(n), random.IntN(n)) }

// singles are the rows in which one feature differs: by every value of a category, and so
// many of a number.
func (s *search) singles(start candidate) (all []candidate) {
	for i := range s.variables {
		v := &s.variables[i]
		if v.Fixed != "" {
			continue
		}
		with := func(x value) {
			if x != v.from {
				values := slices.Clone(start.values)
				values[i] = x
				all = append(all, candidate{values: values})
			}
		}
		if !v.Number {
			for _, text := range v.Values {
				with(value{text: text, some: true})
			}
			continue
		}
		for k := range alone {
			with(v.number(v.Min + float64((v.Max-v.Min)*(float64(k)/(alone-1)))))
		}
	}
	return all
}

// number is a number within the range.
func (v *variable) number(x float64) value {
	if v.whole {
		x = math.Round(x)
	}
	return value{number: min(max(x, v.Min), v.Max), some: true}
}

// mutated changes one or two values of a row: to one that training saw, or back.
func (s *search) mutated(random *rand.Rand, of, start candidate) candidate {
	out := candidate{values: slices.Clone(of.values)}
	for range 1 + random.IntN(2) {
		i := random.IntN(len(s.variables))
		v := &s.variables[i]
		switch kind := random.IntN(4); {
		case v.Fixed != "":
		case kind == 0:
			out.values[i] = start.values[i]
		case !v.Number:
			out.values[i] = value{text: v.Values[random.IntN(len(v.Values))], some: true}
		case kind == 1 || !out.values[i].some:
			out.values[i] = v.number(v.Min + float64(random.Float64()*(v.Max-v.Min)))
		default:
			out.values[i] = v.number(out.values[i].number + float64(random.NormFloat64()*((v.Max-v.Min)/20)))
		}
	}
	return out
}

// reduced takes back what is not needed: whole changes first, then parts of those of
// numbers.
func (s *search) reduced(best candidate) (candidate, error) {
	try := func(i int, x value) (bool, error) {
		next := []candidate{{values: slices.Clone(best.values)}}
		next[0].values[i] = x
		err := s.predict(next)
		if turned := err == nil && next[0].gap == 0 && next[0].distance < best.distance; turned {
			best = next[0]
			return true, nil
		}
		return false, err
	}
	for i := range s.variables {
		if best.values[i] != s.variables[i].from {
			if _, err := try(i, s.variables[i].from); err != nil {
				return best, err
			}
		}
	}
	for i := range s.variables {
		v := &s.variables[i]
		if !v.Number || best.values[i] == v.from || !v.from.some {
			continue
		}
		near := v.from.number
		for range halvings {
			x := v.number(near + float64((best.values[i].number-near)/2))
			if x == best.values[i] || x.number == near {
				break
			}
			turned, err := try(i, x)
			if err != nil {
				return best, err
			}
			if !turned {
				near = x.number
			}
		}
	}
	return best, nil
}

// predict predicts rows.
func (s *search) predict(rows []candidate) error {
	if err := s.ctx.Err(); err != nil {
		return &thalweg.Error{Op: op, Kind: thalweg.Canceled, Err: err}
	}
	s.tried += len(rows)
	batch, err := s.batch(rows)
	if err != nil {
		return err
	}
	defer batch.Release()
	kept, predictions, err := s.scorer.ScoreCleaned(batch, new(pipeline.Report))
	if err != nil {
		return err
	}
	defer kept.Release()
	for i := range rows {
		rows[i].gap, rows[i].prediction = math.Inf(1), nil
		rows[i].distance = 0
		for k := range s.variables {
			rows[i].distance += s.variables[k].distance(rows[i].values[k])
		}
	}
	for k, i := range table.Rows(kept) {
		p := slices.Clone(predictions[k*s.outputs : (k+1)*s.outputs])
		rows[i].prediction, rows[i].gap = p, s.gap(p)
	}
	return nil
}

// batch is rows as prepared ones.
func (s *search) batch(rows []candidate) (arrow.Record, error) {
	mem := memory.DefaultAllocator
	var schema table.Schema
	var columns []arrow.Array
	for k, v := range s.variables {
		schema.Columns = append(schema.Columns, table.Column{Name: v.Column, Type: v.Type, Nullable: true})
		if v.row != nil {
			all, err := array.Concatenate(slices.Repeat([]arrow.Array{v.row}, len(rows)), mem)
			if err != nil {
				return nil, err
			}
			columns = append(columns, all)
			continue
		}
		b := array.NewBuilder(mem, v.Type.ArrowType())
		for i := range rows {
			x := rows[i].values[k]
			if !x.some {
				b.AppendNull()
				continue
			}
			appendValue(b, &v, x)
		}
		columns = append(columns, b.NewArray())
		b.Release()
	}
	numbers := array.NewInt64Builder(mem)
	for i := range rows {
		numbers.Append(int64(i))
	}
	columns = append(columns, numbers.NewArray())
	numbers.Release()
	out := array.NewRecord(schema.Arrow(), columns, int64(len(rows)))
	for _, c := range columns {
		c.Release()
	}
	return out, nil
}

// appendValue appends a value to a column of a variable's type.
func appendValue(b array.Builder, v *variable, x value) {
	switch b := b.(type) {
	case *array.Int64Builder:
		n := int64(x.number)
		if !v.Number {
			n, _ = strconv.ParseInt(x.text, 10, 64)
		}
		b.Append(n)
	case *array.Float64Builder:
		b.Append(x.number)
	case *array.BooleanBuilder:
		b.Append(v.Number && x.number != 0 || !v.Number && x.text == "true")
	case *array.BinaryDictionaryBuilder:
		if err := b.AppendString(x.text); err != nil {
			b.AppendNull()
		}
	default:
		b.AppendNull()
	}
}
