package imported

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/imported/importedtest"
)

// sum walks the trees split by split.
func (e *Ensemble) sum(row map[string]any) float64 {
	ids := make([]int, len(e.Inputs))
	for i := range e.Inputs {
		in := &e.Inputs[i]
		switch v := row[in.Name].(type) {
		case float64:
			if in.Category() {
				ids[i] = 1 + slices.Index(in.Values, strings.TrimSuffix(string(must(json.Marshal(v))), ".0"))
			} else {
				ids[i] = (&input{Input: *in}).id(v)
			}
		case string:
			ids[i] = 1 + slices.Index(in.Values, v)
		}
	}
	total := e.Base
	for k := range e.Trees {
		t := &e.Trees[k]
		node := 0
		if len(t.Splits) == 0 {
			node = ^0
		}
		for node >= 0 {
			if s := &t.Splits[node]; s.Has(ids[s.Input]) {
				node = s.Yes
			} else {
				node = s.No
			}
		}
		total += t.Values[^node]
		if e.Single {
			total = float64(float32(total))
		}
	}
	return total
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// LightGBM's sums are met to 1e-9, XGBoost's, which are of float32s, to the bit; and
// the one form of a model keeps them.
func TestImportedModelsScoreAsTheirLibraryDoes(t *testing.T) {
	for _, name := range importedtest.Models(t) {
		e, err := Parse(name, importedtest.Model(t, name))
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		again, err := Decode(e.Encode())
		if err != nil || !bytes.Equal(again.Encode(), e.Encode()) {
			t.Fatalf("%s: %v", name, err)
		}
		columns, raw := importedtest.Sample(t, name)
		wrong, worst := 0, 0.0
		for i := range raw {
			row := map[string]any{}
			for c, values := range columns {
				row[c] = values[i]
			}
			d := math.Abs(again.sum(row) - raw[i])
			worst = max(worst, d)
			if d > 1e-9*max(1, math.Abs(raw[i])) || e.Single && d != 0 {
				wrong++
			}
		}
		t.Logf("%s: %d trees, %d inputs, worst %g", name, len(e.Trees), len(e.Inputs), worst)
		if wrong > 0 {
			t.Errorf("%s: %d of %d rows score otherwise, by %v", name, wrong, len(raw), worst)
		}
	}
}

// Damage is named by what is damaged.
func TestDamagedModelsAreRefusedByName(t *testing.T) {
	lgb, xgb := string(importedtest.Model(t, "lightgbm-binary.txt")), string(importedtest.Model(t, "xgboost-hist.json"))
	replace := func(s, old, new string) string {
		t.Helper()
		if !strings.Contains(s, old) {
			t.Fatalf("no %q", old)
		}
		return strings.Replace(s, old, new, 1)
	}
	for name, c := range map[string]struct{ text, want string }{
		"nothing":            {"", "neither LightGBM's text"},
		"a pickle":           {"\x80\x04\x95", "neither LightGBM's text"},
		"ubjson":             {"{L\x00\x00", "binary form"},
		"cut off":            {lgb[:len(lgb)/2], "line "},
		"no end":             {lgb[:strings.Index(lgb, "end of trees")], "cut off"},
		"classes":            {replace(lgb, "num_class=1", "num_class=3"), "num_class=3"},
		"objective":          {replace(lgb, "objective=binary", "objective=lambdarank"), "lambdarank"},
		"linear leaves":      {replace(lgb, "is_linear=0", "is_linear=1"), "is_linear=1"},
		"another version":    {replace(lgb, "version=v4", "version=v9"), "version=v9"},
		"a child twice":      {replace(lgb, "left_child=1 ", "left_child=0 "), "reached twice"},
		"too few values":     {replace(lgb, "leaf_value=", "leaf_value=1 "), "leaf_value has"},
		"a feature too far":  {replace(lgb, "split_feature=", "split_feature=77 #"), "split_feature"},
		"twice the key":      {replace(lgb, "num_cat=", "Tree=0\nnum_cat="), "a second time"},
		"trees missing":      {replace(lgb, "Tree=1\n", "Tree=2\n"), "tree 1 is due"},
		"a name of no text":  {replace(lgb, "feature_names=", "feature_names=\xff"), "not valid UTF-8"},
		"xgb name, no text":  {replace(xgb, `"feature_names":["`, "\"feature_names\":[\"\xff"), "line 1 is not valid UTF-8"},
		"not a number":       {replace(lgb, "leaf_value=", "leaf_value=nan #"), "leaf_value"},
		"no json":            {xgb[:len(xgb)/2], "XGBoost's JSON"},
		"other json":         {`{"a":1}`, "no model of XGBoost"},
		"linear booster":     {replace(xgb, `"name":"gbtree"`, `"name":"gblinear"`), "gblinear"},
		"xgb classes":        {replace(xgb, `"num_class":"0"`, `"num_class":"4"`), "4 classes"},
		"ranking":            {replace(xgb, `"binary:logistic"`, `"rank:ndcg"`), "rank:ndcg"},
		"a base of no odds":  {replace(xgb, `"base_score":"[`, `"base_score":"[7`), "base_score"},
		"names missing":      {replace(xgb, `"feature_names":["signed",`, `"feature_names":[`), "5 feature_names"},
		"a child out of":     {replace(xgb, `"left_children":[1,`, `"left_children":[999,`), "node 0"},
		"a loop":             {replace(xgb, `"right_children":[2,`, `"right_children":[0,`), "tree 0"},
		"sizes that overrun": {replace(xgb, `"categories_sizes":[`, `"categories_sizes":[99999,`), "categories_sizes"},
	} {
		_, err := Parse("m", []byte(c.text))
		if !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// FuzzParse: whatever a file has, it is read whole or refused, and what is read can
// be written and used.
func FuzzParse(f *testing.F) {
	for _, name := range importedtest.Models(f) {
		f.Add(importedtest.Model(f, name))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := Parse("m", data)
		if err != nil {
			if !thalweg.Is(err, thalweg.Invalid) {
				t.Fatalf("%v is not Invalid", err)
			}
			return
		}
		again, err := Decode(e.Encode())
		if err != nil {
			t.Fatal(err)
		}
		again.sum(map[string]any{})
	})
}

// FuzzDecode: an ensemble of a bucket is sound or refused.
func FuzzDecode(f *testing.F) {
	e, err := Parse("m", importedtest.Model(f, "lightgbm-binary.txt"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(e.Encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := Decode(data)
		if err != nil {
			return
		}
		e.sum(map[string]any{})
		e.sum(map[string]any{"signed": 1.5, "letter": "x"})
	})
}
