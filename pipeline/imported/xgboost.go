package imported

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// xgbModel is what is read of XGBoost's JSON, of versions 1.6 to 3
// (doc/model.schema). What else it has does not bear on scores.
type xgbModel struct {
	Learner struct {
		Names   []string `json:"feature_names"`
		Types   []string `json:"feature_types"`
		Booster struct {
			Name  string   `json:"name"`
			Model xgbTrees `json:"model"`
			// Of dart: what is the model otherwise, and by what trees are multiplied.
			Trees struct {
				Model xgbTrees `json:"model"`
			} `json:"gbtree"`
			Weights []float32 `json:"weight_drop"`
		} `json:"gradient_booster"`
		Param struct {
			Base     string `json:"base_score"`
			Classes  string `json:"num_class"`
			Features string `json:"num_feature"`
			Targets  string `json:"num_target"`
		} `json:"learner_model_param"`
		Objective struct {
			Name string `json:"name"`
		} `json:"objective"`
	} `json:"learner"`
	Version []int `json:"version"`
}

type xgbTrees struct {
	Trees []xgbTree `json:"trees"`
	Cats  struct {
		Enc []struct {
			Offsets []int           `json:"offsets"`
			Values  json.RawMessage `json:"values"`
		} `json:"enc"`
	} `json:"cats"`
}

type xgbTree struct {
	Left       []int     `json:"left_children"`
	Right      []int     `json:"right_children"`
	Feature    []int     `json:"split_indices"`
	Condition  []float32 `json:"split_conditions"`
	Cover      []float64 `json:"sum_hessian"`
	Default    []xgbBool `json:"default_left"`
	Type       []int     `json:"split_type"`
	Categories []int     `json:"categories"`
	Nodes      []int     `json:"categories_nodes"`
	Segments   []int     `json:"categories_segments"`
	Sizes      []int     `json:"categories_sizes"`
	Param      struct {
		Vector string `json:"size_leaf_vector"`
	} `json:"tree_param"`
}

// xgbBool is 0, 1, false or true.
type xgbBool bool

// UnmarshalJSON implements json.Unmarshaler.
func (b *xgbBool) UnmarshalJSON(data []byte) error {
	switch string(data) {
	case "0", "false":
		*b = false
	case "1", "true":
		*b = true
	default:
		return fmt.Errorf("%s is neither 0 nor 1", data)
	}
	return nil
}

// parseXGBoost reads a model that Booster.save_model has written as JSON.
func parseXGBoost(data []byte) (*builder, error) {
	var m xgbModel
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("XGBoost's JSON: %w", err)
	}
	l := &m.Learner
	trees := &l.Booster.Model
	if l.Booster.Name == "dart" {
		trees = &l.Booster.Trees.Model
	}
	switch {
	case l.Booster.Name == "":
		return nil, fmt.Errorf("has no learner.gradient_booster: it is no model of XGBoost")
	case l.Booster.Name != "gbtree" && l.Booster.Name != "dart":
		return nil, fmt.Errorf("learner.gradient_booster.name is %q: gbtree and dart are read", l.Booster.Name)
	case l.Booster.Name == "dart" && len(l.Booster.Weights) != len(trees.Trees):
		return nil, fmt.Errorf("has %d weights of %d trees", len(l.Booster.Weights), len(trees.Trees))
	case l.Param.Classes != "" && l.Param.Classes != "0" && l.Param.Classes != "1" || l.Param.Targets != "" && l.Param.Targets != "1":
		return nil, fmt.Errorf("has %s classes and %s targets: models of one output are read", l.Param.Classes, l.Param.Targets)
	}
	b := &builder{Ensemble: Ensemble{Library: "xgboost", Slope: 1, Single: true}}
	if err := b.xgbFeatures(&m, trees); err != nil {
		return nil, err
	}
	if err := b.xgbObjective(l.Objective.Name, l.Param.Base); err != nil {
		return nil, err
	}
	for t := range trees.Trees {
		if len(b.trees) >= maxTrees {
			return nil, fmt.Errorf("more than %d trees", maxTrees)
		}
		out, err := b.xgbTree(&trees.Trees[t])
		if err != nil {
			return nil, fmt.Errorf("tree %d: %w", t, err)
		}
		if l.Booster.Name == "dart" {
			for i, v := range out.values {
				out.values[i] = float64(float32(v) * l.Booster.Weights[t])
			}
		}
		b.trees = append(b.trees, out)
	}
	return b, nil
}

// xgbObjective sets the link, and the base as the sum has it.
func (b *builder) xgbObjective(name, base string) error {
	x, err := strconv.ParseFloat(strings.Trim(base, "[]"), 32)
	if err != nil || !finite(x) {
		return fmt.Errorf("learner.learner_model_param.base_score is %q", base)
	}
	switch name {
	case "binary:logistic", "reg:logistic", "binary:logitraw":
		b.Link = Logistic
		if name != "binary:logitraw" {
			if x <= 0 || x >= 1 {
				return fmt.Errorf("base_score is %v, no probability", x)
			}
			x = float64(float32(-math.Log(float64(float32(1/float32(x)) - 1))))
		}
	case "count:poisson", "reg:gamma", "reg:tweedie":
		b.Link = Exp
		if x <= 0 {
			return fmt.Errorf("base_score is %v, not positive", x)
		}
		x = float64(float32(math.Log(x)))
	case "reg:squarederror", "reg:linear", "reg:absoluteerror", "reg:pseudohubererror", "reg:quantileerror", "reg:squaredlogerror":
		b.Link = Identity
	default:
		return fmt.Errorf("objective %q is not read", name)
	}
	b.Base = x
	return nil
}

// xgbFeatures reads names, kinds and categories of the features.
func (b *builder) xgbFeatures(m *xgbModel, trees *xgbTrees) error {
	l := &m.Learner
	n, err := strconv.Atoi(l.Param.Features)
	if err != nil || n < 1 || n > maxInputs {
		return fmt.Errorf("learner.learner_model_param.num_feature is %q: 1 to %d are read", l.Param.Features, maxInputs)
	}
	if len(l.Names) != n {
		return fmt.Errorf("has %d feature_names for %d features: train on a table that names its columns, or set Booster.feature_names", len(l.Names), n)
	}
	if len(l.Types) > 0 && len(l.Types) != n {
		return fmt.Errorf("has %d feature_types for %d features", len(l.Types), n)
	}
	enc := trees.Cats.Enc
	for i, name := range l.Names {
		in := input{Input: Input{Name: name}, category: len(l.Types) > 0 && l.Types[i] == "c"}
		if in.category && i < len(enc) && len(enc[i].Values) > 0 {
			if in.Values, err = xgbValues(enc[i].Offsets, enc[i].Values); err != nil {
				return fmt.Errorf("cats of %q: %w", name, err)
			}
		}
		b.inputs = append(b.inputs, in)
	}
	return nil
}

// xgbValues reads the values of a category: strings as bytes behind each other, or
// numbers.
func xgbValues(offsets []int, values json.RawMessage) (out []string, err error) {
	var numbers []json.Number
	if err := json.Unmarshal(values, &numbers); err != nil {
		return nil, err
	}
	if len(offsets) == 0 {
		for _, n := range numbers {
			out = append(out, categoryText(n))
		}
	} else {
		text := make([]byte, len(numbers))
		for i, n := range numbers {
			c, err := strconv.ParseInt(string(n), 10, 16)
			if err != nil || c < 0 || c > 127 {
				return nil, fmt.Errorf("byte %d is %s: XGBoost cuts values that are not ASCII, so that they cannot be told apart", i, n)
			}
			text[i] = byte(c)
		}
		for i := 1; i < len(offsets); i++ {
			from, to := offsets[i-1], offsets[i]
			if from < 0 || to < from || to > len(text) {
				return nil, fmt.Errorf("value %d lies from %d to %d of %d", i-1, from, to, len(text))
			}
			out = append(out, string(text[from:to]))
		}
	}
	if len(out) > maxValues {
		return nil, fmt.Errorf("%d values, the bound is %d", len(out), maxValues)
	}
	return out, nil
}

// xgbTree reads a tree, whose leaves have their value where splits have a threshold.
func (b *builder) xgbTree(x *xgbTree) (t tree, err error) {
	n := len(x.Left)
	if x.Param.Vector != "" && x.Param.Vector != "0" && x.Param.Vector != "1" {
		return t, fmt.Errorf("leaves have %s values: models of one output are read", x.Param.Vector)
	}
	if n == 0 || len(x.Right) != n || len(x.Feature) != n || len(x.Condition) != n || len(x.Default) != n || len(x.Type) != 0 && len(x.Type) != n {
		return t, fmt.Errorf("has %d left_children, %d right_children, %d split_indices, %d split_conditions, %d default_left, %d split_type",
			n, len(x.Right), len(x.Feature), len(x.Condition), len(x.Default), len(x.Type))
	}
	if len(x.Cover) != 0 && len(x.Cover) != n {
		return t, fmt.Errorf("has %d sum_hessian of %d nodes", len(x.Cover), n)
	}
	sets, err := x.sets()
	if err != nil {
		return t, err
	}
	places := make([]int, n) // of nodes: among the splits, or the leaves as complements
	splits := 0
	for i := range n {
		if x.Left[i] < 0 {
			places[i] = ^len(t.values)
			t.values = append(t.values, float64(x.Condition[i]))
		} else {
			places[i] = splits
			splits++
		}
	}
	for i, c := range x.Cover {
		if x.Left[i] < 0 {
			t.leafCovers = append(t.leafCovers, c)
		} else {
			t.covers = append(t.covers, c)
		}
	}
	t.root = places[0]
	for i := range n {
		if x.Left[i] < 0 {
			continue
		}
		if x.Left[i] >= n || x.Right[i] < 0 || x.Right[i] >= n {
			return t, fmt.Errorf("node %d has the children %d and %d of %d", i, x.Left[i], x.Right[i], n)
		}
		s := split{input: x.Feature[i], left: places[x.Left[i]], right: places[x.Right[i]], missing: bool(x.Default[i])}
		if s.input < 0 || s.input >= len(b.inputs) {
			return t, fmt.Errorf("node %d reads feature %d of %d", i, s.input, len(b.inputs))
		}
		if len(x.Type) > 0 && x.Type[i] == 1 {
			in := &b.inputs[s.input]
			s.set, s.inverted = map[int]bool{}, true
			for code := range sets[i] {
				s.set[code+1] = true
				for len(in.Values) <= code {
					in.Values = append(in.Values, strconv.Itoa(len(in.Values)))
				}
			}
		} else {
			s.cut = xgbCut(x.Condition[i])
		}
		t.splits = append(t.splits, s)
	}
	return t, nil
}

// sets reads the categories of nodes that go right.
func (x *xgbTree) sets() (map[int]map[int]bool, error) {
	if len(x.Nodes) != len(x.Segments) || len(x.Nodes) != len(x.Sizes) {
		return nil, fmt.Errorf("has %d categories_nodes, %d categories_segments, %d categories_sizes", len(x.Nodes), len(x.Segments), len(x.Sizes))
	}
	sets := map[int]map[int]bool{}
	for k, node := range x.Nodes {
		from, size := x.Segments[k], x.Sizes[k]
		if from < 0 || size < 0 || from > len(x.Categories) || size > len(x.Categories)-from {
			return nil, fmt.Errorf("node %d has %d categories from %d of %d", node, size, from, len(x.Categories))
		}
		set := map[int]bool{}
		for _, code := range x.Categories[from : from+size] {
			if code < 0 || code >= maxValues {
				return nil, fmt.Errorf("node %d has the category %d", node, code)
			}
			set[code] = true
		}
		sets[node] = set
	}
	return sets, nil
}

// xgbCut returns the largest float64 that counts as below a threshold: XGBoost rounds
// what it is given to float32 and asks whether it is less.
func xgbCut(threshold float32) float64 {
	before := math.Nextafter32(threshold, float32(math.Inf(-1)))
	middle := (float64(before) + float64(threshold)) / 2
	if math.Float32bits(threshold)&1 == 0 { // a tie is rounded to the threshold
		return below(middle)
	}
	return middle
}
