package imported

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// The bits of LightGBM's decision_type (include/LightGBM/tree.h).
const (
	lgbCategorical = 1
	lgbDefaultLeft = 2
	lgbMissing     = 12 // mask of the rule for missing values
	lgbMissingZero = 4
	lgbMissingNaN  = 8
)

// lgbZero bounds what LightGBM takes for zero (kZeroThreshold, a float).
var lgbZero = float64(float32(1e-35))

// lgbFile reads the lines of the text, `key=value` in blocks that an empty line
// ends.
type lgbFile struct {
	rest []byte
	line int
}

// block returns the next block's fields by key, nil at the end.
func (f *lgbFile) block() (map[string]string, error) {
	fields := map[string]string{}
	for len(f.rest) > 0 {
		text, rest, _ := bytes.Cut(f.rest, []byte("\n"))
		f.rest = rest
		f.line++
		line := strings.TrimSuffix(string(text), "\r")
		if line == "" {
			if len(fields) > 0 {
				return fields, nil
			}
			continue
		}
		key, value, _ := strings.Cut(line, "=")
		if _, twice := fields[key]; twice {
			return nil, fmt.Errorf("line %d: %s a second time", f.line, key)
		}
		fields[key] = value
	}
	if len(fields) == 0 {
		return nil, nil
	}
	return fields, nil
}

// parseLightGBM reads the text of version v3 and v4.
func parseLightGBM(data []byte) (*builder, error) {
	f := &lgbFile{rest: data}
	head, err := f.block()
	if err != nil {
		return nil, err
	}
	b := &builder{Ensemble: Ensemble{Library: "lightgbm", Slope: 1}}
	if v := head["version"]; v != "v3" && v != "v4" {
		return nil, fmt.Errorf("version=%s: v3 and v4 are read", v)
	}
	if n := head["num_class"]; n != "1" || head["num_tree_per_iteration"] != "1" {
		return nil, fmt.Errorf("num_class=%s: models of one output are read", n)
	}
	_, average := head["average_output"]
	if err := b.lgbObjective(head["objective"]); err != nil {
		return nil, err
	}
	if err := b.lgbFeatures(head); err != nil {
		return nil, err
	}
	sizes := len(strings.Fields(head["tree_sizes"]))
	for {
		fields, err := f.block()
		if err != nil {
			return nil, err
		}
		if fields == nil {
			return nil, fmt.Errorf("line %d: the file ends without \"end of trees\": it was cut off", f.line)
		}
		if _, end := fields["end of trees"]; end {
			break
		}
		if fields["Tree"] != strconv.Itoa(len(b.trees)) {
			return nil, fmt.Errorf("line %d: tree %q where tree %d is due", f.line, fields["Tree"], len(b.trees))
		}
		if len(b.trees) >= maxTrees {
			return nil, fmt.Errorf("line %d: more than %d trees", f.line, maxTrees)
		}
		t, err := b.lgbTree(fields)
		if err != nil {
			return nil, fmt.Errorf("the tree that ends at line %d: %w", f.line, err)
		}
		b.trees = append(b.trees, t)
	}
	if sizes != len(b.trees) {
		return nil, fmt.Errorf("line %d: tree_sizes are of %d trees, there are %d", f.line, sizes, len(b.trees))
	}
	if average { // what it calls raw is the sum
		b.Slope /= float64(max(1, len(b.trees)))
	}
	return b, b.lgbCategories(f.rest)
}

// lgbObjective reads "binary sigmoid:1".
func (b *builder) lgbObjective(text string) error {
	words := strings.Fields(text)
	if len(words) == 0 {
		return fmt.Errorf("no objective: what the sum of the trees means is not known; train with one of LightGBM's")
	}
	switch words[0] {
	case "binary", "cross_entropy":
		b.Link = Logistic
	case "poisson", "gamma", "tweedie":
		b.Link = Exp
	case "regression", "regression_l1", "huber", "fair", "quantile", "mape":
		b.Link = Identity
	default:
		return fmt.Errorf("objective=%s: binary, cross_entropy, regression, regression_l1, huber, fair, quantile, mape, poisson, gamma and tweedie are read", words[0])
	}
	for _, w := range words[1:] {
		if w == "sqrt" {
			return fmt.Errorf("objective=%s: reg_sqrt is not read", text)
		}
		if slope, ok := strings.CutPrefix(w, "sigmoid:"); ok {
			x, err := strconv.ParseFloat(slope, 64)
			if err != nil || !(x > 0) || !finite(x) {
				return fmt.Errorf("objective=%s: the slope is no positive number", text)
			}
			b.Slope = x
		}
	}
	return nil
}

// lgbFeatures reads names and kinds of the features. feature_infos has the range of a
// number, [a:b], the values of a category, 0:1:5, or none where nothing was split.
func (b *builder) lgbFeatures(head map[string]string) error {
	names, infos := strings.Fields(head["feature_names"]), strings.Fields(head["feature_infos"])
	if len(names) == 0 || len(names) != len(infos) {
		return fmt.Errorf("%d feature_names and %d feature_infos", len(names), len(infos))
	}
	for i, name := range names {
		in := input{Input: Input{Name: name}}
		if infos[i] != "none" && !strings.HasPrefix(infos[i], "[") {
			in.category = true
			for text := range strings.SplitSeq(infos[i], ":") {
				code, err := strconv.Atoi(text)
				if err != nil || code >= maxValues {
					return fmt.Errorf("feature_infos of %q: %q is no category; there may be %d", name, text, maxValues)
				}
				for len(in.Values) <= code {
					in.Values = append(in.Values, strconv.Itoa(len(in.Values)))
				}
			}
		}
		b.inputs = append(b.inputs, in)
	}
	return nil
}

// lgbCategories reads what pandas called the values of categories: their codes are
// places in these lists.
func (b *builder) lgbCategories(rest []byte) error {
	var text string
	for line := range strings.Lines(string(rest)) {
		if list, ok := strings.CutPrefix(strings.TrimRight(line, "\r\n"), "pandas_categorical:"); ok {
			text = list
		}
	}
	if text == "" || text == "null" {
		return nil
	}
	var lists [][]any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&lists); err != nil {
		return fmt.Errorf("pandas_categorical: %w", err)
	}
	var features []int
	for i := range b.inputs {
		if b.inputs[i].category {
			features = append(features, i)
		}
	}
	if len(lists) == 0 {
		return nil
	}
	if len(lists) != len(features) {
		return fmt.Errorf("pandas_categorical has %d columns and the model %d categories: which is which cannot be told; train without columns that are constant or of an ordered category", len(lists), len(features))
	}
	for k, list := range lists {
		in := &b.inputs[features[k]]
		if len(list) > maxValues || len(list) < len(in.Values) {
			return fmt.Errorf("pandas_categorical of %q has %d values, the model %d", in.Name, len(list), len(in.Values))
		}
		in.Values = nil
		for _, v := range list {
			in.Values = append(in.Values, categoryText(v))
		}
	}
	return nil
}

// categoryText is a value as the text of a category.
func categoryText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		if x, err := v.Float64(); err == nil && x == math.Trunc(x) && math.Abs(x) < 1<<53 {
			return strconv.FormatInt(int64(x), 10)
		}
		return v.String()
	}
	return fmt.Sprint(v)
}

// lgbTree reads a tree.
func (b *builder) lgbTree(fields map[string]string) (t tree, err error) {
	leaves, err := strconv.Atoi(fields["num_leaves"])
	if err != nil || leaves < 1 || leaves > maxLeaves {
		return t, fmt.Errorf("num_leaves=%s: 1 to %d are read", fields["num_leaves"], maxLeaves)
	}
	if linear := fields["is_linear"]; linear != "" && linear != "0" {
		return t, fmt.Errorf("is_linear=%s: leaves that are linear models are not read", linear)
	}
	if t.values, err = numbers(fields, "leaf_value", leaves); err != nil {
		return t, err
	}
	if err := t.lgbCovers(fields, leaves); err != nil {
		return t, err
	}
	if leaves == 1 {
		t.root = ^0
		return t, nil
	}
	columns := map[string][]int{}
	for _, name := range []string{"split_feature", "decision_type", "left_child", "right_child"} {
		if columns[name], err = integers(fields, name, leaves-1); err != nil {
			return t, err
		}
	}
	thresholds, err := numbers(fields, "threshold", leaves-1)
	if err != nil {
		return t, err
	}
	sets, err := lgbSets(fields)
	if err != nil {
		return t, err
	}
	for i := range leaves - 1 {
		kind := columns["decision_type"][i]
		s := split{input: columns["split_feature"][i], left: columns["left_child"][i], right: columns["right_child"][i]}
		switch {
		case kind&lgbCategorical != 0:
			k := int(thresholds[i])
			if k < 0 || k >= len(sets) || float64(k) != thresholds[i] {
				return t, fmt.Errorf("split %d: there is no set %v of categories", i, thresholds[i])
			}
			s.set = sets[k] // missing ones go right
		default:
			s.cut = thresholds[i]
			s.missing = kind&lgbDefaultLeft != 0
			switch kind & lgbMissing {
			case 0: // counts as 0
				s.missing = 0 <= s.cut
			case lgbMissingZero:
				s.zeros = &[2]float64{-lgbZero, lgbZero}
			case lgbMissingNaN:
			default:
				return t, fmt.Errorf("split %d: decision_type %d", i, kind)
			}
		}
		t.splits = append(t.splits, s)
	}
	return t, nil
}

// lgbCovers reads how many training rows nodes had, where the file says. A tree of one
// leaf, and the leaves of a model that was made by hand, may be without.
func (t *tree) lgbCovers(fields map[string]string, leaves int) (err error) {
	if fields["leaf_count"] == "" || leaves > 1 && fields["internal_count"] == "" {
		return nil
	}
	if t.leafCovers, err = numbers(fields, "leaf_count", leaves); err == nil && leaves > 1 {
		t.covers, err = numbers(fields, "internal_count", leaves-1)
	}
	return err
}

// lgbSets reads a tree's sets of categories: words of 32 bits, and where each set
// begins. A category has the id after its code.
func lgbSets(fields map[string]string) ([]map[int]bool, error) {
	n, err := strconv.Atoi(fields["num_cat"])
	if err != nil || n < 0 || n > maxLeaves {
		return nil, fmt.Errorf("num_cat=%s", fields["num_cat"])
	}
	if n == 0 {
		return nil, nil
	}
	borders, err := integers(fields, "cat_boundaries", n+1)
	if err != nil {
		return nil, err
	}
	if !slices.IsSorted(borders) || borders[0] != 0 {
		return nil, fmt.Errorf("cat_boundaries do not ascend from 0")
	}
	words, err := integers(fields, "cat_threshold", borders[n])
	if err != nil {
		return nil, err
	}
	sets := make([]map[int]bool, n)
	for k := range sets {
		sets[k] = map[int]bool{}
		for w, word := range words[borders[k]:borders[k+1]] {
			if word < 0 || word > math.MaxUint32 {
				return nil, fmt.Errorf("cat_threshold has the word %d", word)
			}
			for bit := range 32 {
				if code := w*32 + bit; word>>bit&1 == 1 {
					if code >= maxValues {
						return nil, fmt.Errorf("cat_threshold has the category %d", code)
					}
					sets[k][code+1] = true
				}
			}
		}
	}
	return sets, nil
}

// numbers reads a field of n numbers.
func numbers(fields map[string]string, name string, n int) ([]float64, error) {
	return list(fields, name, n, func(s string) (float64, error) {
		x, err := strconv.ParseFloat(s, 64)
		if err == nil && math.IsNaN(x) {
			err = strconv.ErrRange
		}
		return x, err
	})
}

// integers reads a field of n integers.
func integers(fields map[string]string, name string, n int) ([]int, error) {
	return list(fields, name, n, strconv.Atoi)
}

func list[T any](fields map[string]string, name string, n int, parse func(string) (T, error)) ([]T, error) {
	words := strings.Fields(fields[name])
	if len(words) != n {
		return nil, fmt.Errorf("%s has %d elements, not %d", name, len(words), n)
	}
	out := make([]T, n)
	for i, w := range words {
		var err error
		if out[i], err = parse(w); err != nil {
			return nil, fmt.Errorf("%s[%d]: %w", name, i, err)
		}
	}
	return out, nil
}

// below returns the largest float64 below x.
func below(x float64) float64 { return math.Nextafter(x, math.Inf(-1)) }
