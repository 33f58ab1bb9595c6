// Package imported reads trees that other libraries have grown: LightGBM's text
// files and XGBoost's JSON. Both become an Ensemble, which has no numbers to compare
// any more, only ids: a number counts as how many of the model's thresholds are below
// it, so that what remains of a split is the set of ids that go left, missing ones
// included, whatever rule the library has for them.
package imported

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/thalweg/thalweg"
)

// Bounds of what is read, far above what the libraries make by themselves.
const (
	MaxFileBytes = 256 << 20
	maxTrees     = 20_000
	maxLeaves    = 1 << 16 // of a tree
	maxSplits    = 8 << 20 // of all trees
	maxInputs    = 10_000
	maxValues    = 1 << 16 // of a category
)

// Ensemble is trees, the inputs that they read, and what their sum means.
type Ensemble struct {
	// Library and File say what it was read from: "lightgbm", and the sha256 of the
	// file in hex.
	Library string `json:"library"`
	File    string `json:"file"`
	// Link turns the sum into a prediction.
	Link Link `json:"link"`
	// Single: the library adds float32s up, not float64s.
	Single bool `json:"single,omitempty"`
	// Base is what the sum begins with, and Slope what it is multiplied by before the
	// link.
	Base  float64 `json:"base"`
	Slope float64 `json:"slope"`
	// Inputs are those that some tree reads.
	Inputs []Input `json:"inputs"`
	Trees  []Tree  `json:"trees"`
}

// Link is the function from the sum to a prediction.
type Link string

// The links.
const (
	Identity Link = "identity"
	Logistic Link = "logistic"
	Exp      Link = "exp"
)

// Input is a feature of the model. It is a number if it has cuts and a category if it
// has values. Id 0 is a value that is missing, or is none of a category's.
type Input struct {
	Name string `json:"name"`
	// Cuts ascend; a number's id is 1 and how many of them are below it.
	Cuts []float64 `json:"cuts,omitempty"`
	// Values[i] has id i+1.
	Values []string `json:"values,omitempty"`
}

// Category reports whether the input is one.
func (in *Input) Category() bool { return in.Values != nil }

// IDs returns how many ids there are.
func (in *Input) IDs() int {
	if in.Category() {
		return len(in.Values) + 1
	}
	return len(in.Cuts) + 2
}

// Tree is a tree, its splits in pre-order and its leaves from left to right.
type Tree struct {
	Splits []Split   `json:"splits,omitempty"`
	Values []float64 `json:"values"`
	// Cover is how many training rows the splits and then the leaves had, or what the
	// library has instead: of XGBoost the sum of their second derivatives. None where the
	// file does not say.
	Cover []float64 `json:"cover,omitempty"`
}

// Split sends ids of an input to the left.
type Split struct {
	Input int `json:"input"`
	// Left is the ids that go left, as ascending borders: from the first up to and
	// without the second, from the third, and so on.
	Left []int `json:"left"`
	// Yes and No are the nodes on the left and on the right: splits, or leaves as
	// their complements.
	Yes int `json:"yes"`
	No  int `json:"no"`
}

// Has reports whether an id goes left.
func (s *Split) Has(id int) bool {
	n, on := slices.BinarySearch(s.Left, id)
	if on {
		n++
	}
	return n%2 == 1
}

// Parse reads a model's file. It fails with thalweg.Invalid naming the line or the
// field that is damaged or not supported, and what to do.
func Parse(name string, data []byte) (*Ensemble, error) {
	fail := func(err error) error {
		return &thalweg.Error{Op: "read model", Kind: thalweg.Invalid, Subject: name, Err: err}
	}
	if len(data) > MaxFileBytes {
		return nil, fail(fmt.Errorf("%d bytes, the bound is %d", len(data), MaxFileBytes))
	}
	var b *builder
	var err error
	switch start := bytes.TrimLeft(data, " \t\r\n\ufeff"); {
	case bytes.HasPrefix(start, []byte("tree\n")), bytes.HasPrefix(start, []byte("tree\r\n")):
		b, err = parseLightGBM(start)
	case bytes.HasPrefix(start, []byte("{")) && len(start) > 1 && bytes.ContainsRune([]byte("\" \t\r\n"), rune(start[1])):
		b, err = parseXGBoost(start)
	case bytes.HasPrefix(start, []byte("{")), bytes.HasPrefix(start, []byte("binf")):
		err = fmt.Errorf("is XGBoost's binary form: write it with Booster.save_model(\"model.json\")")
	default:
		err = fmt.Errorf("is neither LightGBM's text (Booster.save_model) nor XGBoost's JSON (Booster.save_model(\"model.json\"))")
	}
	if err == nil && !utf8.Valid(data) { // JSON would write another name
		text := bytes.ToValidUTF8(data, nil)
		at := 0
		for at < len(text) && data[at] == text[at] {
			at++
		}
		err = fmt.Errorf("line %d is not valid UTF-8: save the model again, with names that are", 1+bytes.Count(data[:at], []byte{'\n'}))
	}
	if err != nil {
		return nil, fail(err)
	}
	e, err := b.build()
	if err != nil {
		return nil, fail(err)
	}
	sum := sha256.Sum256(data)
	e.File = hex.EncodeToString(sum[:])
	return e, nil
}

// Encode returns the ensemble in its one form.
func (e *Ensemble) Encode() []byte {
	data, err := json.Marshal(e)
	if err != nil {
		panic(err) // it has no values that JSON lacks
	}
	return data
}

// Decode is the inverse of Encode.
func Decode(data []byte) (*Ensemble, error) {
	e := new(Ensemble)
	err := thalweg.DecodeStrict(data, e)
	if err == nil {
		err = e.check()
	}
	if err == nil && !bytes.Equal(data, e.Encode()) {
		err = fmt.Errorf("is not in the one form")
	}
	if err != nil {
		return nil, &thalweg.Error{Op: "decode", Kind: thalweg.Corrupt, Subject: "imported model", Err: err}
	}
	return e, nil
}

// Hash returns the sha256 of the one form in hex, "" of nil.
func (e *Ensemble) Hash() string {
	if e == nil {
		return ""
	}
	sum := sha256.Sum256(e.Encode())
	return hex.EncodeToString(sum[:])
}

// Reference returns what a spec calls an ensemble that was imported under a name.
func Reference(name string, e *Ensemble) string { return name + "@" + e.Hash()[:16] }

// Names reports whether a reference is of an ensemble.
func Names(reference string, e *Ensemble) bool {
	name, _, _ := strings.Cut(reference, "@")
	return reference == Reference(name, e)
}

// Key returns where a state bucket has what a reference names.
func Key(reference string) string { return "imports/" + reference + ".json" }

// check returns what keeps the ensemble from being used.
func (e *Ensemble) check() error {
	if e.Link != Identity && e.Link != Logistic && e.Link != Exp {
		return fmt.Errorf("link %q", e.Link)
	}
	if !finite(e.Base) || !finite(e.Slope) || e.Slope <= 0 {
		return fmt.Errorf("base %v, slope %v", e.Base, e.Slope)
	}
	if len(e.Inputs) == 0 || len(e.Inputs) > maxInputs || len(e.Trees) == 0 || len(e.Trees) > maxTrees {
		return fmt.Errorf("%d trees of %d inputs: there may be %d of %d", len(e.Trees), len(e.Inputs), maxTrees, maxInputs)
	}
	names := map[string]bool{}
	for i := range e.Inputs {
		in := &e.Inputs[i]
		if names[in.Name] || in.Name == "" {
			return fmt.Errorf("input %d is called %q, as another is or none", i, in.Name)
		}
		names[in.Name] = true
		if err := in.check(); err != nil {
			return fmt.Errorf("input %q: %w", in.Name, err)
		}
	}
	for t := range e.Trees {
		if err := e.Trees[t].check(e.Inputs); err != nil {
			return fmt.Errorf("tree %d: %w", t, err)
		}
	}
	return nil
}

func (in *Input) check() error {
	if in.Cuts != nil && in.Values != nil || len(in.Values) > maxValues || len(in.Cuts) > maxSplits {
		return fmt.Errorf("%d cuts and %d values", len(in.Cuts), len(in.Values))
	}
	for i, c := range in.Cuts {
		if !finite(c) || i > 0 && c <= in.Cuts[i-1] {
			return fmt.Errorf("cut %d is %v", i, c)
		}
	}
	seen := map[string]bool{}
	for _, v := range in.Values {
		if seen[v] {
			return fmt.Errorf("has the value %q twice", v)
		}
		seen[v] = true
	}
	return nil
}

func (t *Tree) check(inputs []Input) error {
	if len(t.Values) != len(t.Splits)+1 || len(t.Values) > maxLeaves {
		return fmt.Errorf("%d leaves and %d splits", len(t.Values), len(t.Splits))
	}
	for _, v := range t.Values {
		if !finite(v) {
			return fmt.Errorf("a leaf has the value %v", v)
		}
	}
	if n := len(t.Cover); n > 0 && n != len(t.Splits)+len(t.Values) {
		return fmt.Errorf("%d leaves and %d splits with the cover of %d", len(t.Values), len(t.Splits), n)
	}
	for _, c := range t.Cover {
		if !finite(c) || c < 0 {
			return fmt.Errorf("a node has the cover %v", c)
		}
	}
	for i := range t.Splits {
		s := &t.Splits[i]
		if s.Input < 0 || s.Input >= len(inputs) {
			return fmt.Errorf("split %d reads input %d", i, s.Input)
		}
		if len(s.Left)%2 != 0 {
			return fmt.Errorf("split %d has %d borders", i, len(s.Left))
		}
		for k, at := range s.Left {
			if at < 0 || at > inputs[s.Input].IDs() || k > 0 && at <= s.Left[k-1] {
				return fmt.Errorf("split %d has the border %d", i, at)
			}
		}
	}
	split, leaf := 0, 0
	var visit func(node int) bool
	visit = func(node int) bool {
		if node < 0 {
			leaf++
			return node == ^(leaf - 1)
		}
		if node != split || node >= len(t.Splits) {
			return false
		}
		split++
		return visit(t.Splits[node].Yes) && visit(t.Splits[node].No)
	}
	root := 0
	if len(t.Splits) == 0 {
		root = ^0
	}
	if !visit(root) || split != len(t.Splits) || leaf != len(t.Values) {
		return fmt.Errorf("is no tree in pre-order")
	}
	return nil
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
