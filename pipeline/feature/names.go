package feature

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg/pipeline/table"
)

// maxCombinations bounds those of a cross that are looked at for names: all of three
// hundred airports with three thousand routes.
const maxCombinations = 1 << 20

// namedValue is a value of a feature that a cross is of, by its hash.
type namedValue struct {
	text  string
	hash  uint32
	count float64
}

// HashedNames names those of the given ids of a hashed category of which a value is
// known: the one that training met most often.
func (t *Transform) HashedNames(feature int, ids map[uint32]string) {
	data := t.data.Features[feature].Hashed
	for _, v := range slices.Backward(data.Values) { // by falling count
		if id := bucket(hashOf(v), uint32(data.Buckets)); has(ids, id) {
			ids[id] = v
		}
	}
}

// CrossNames does the same for a cross, of the combinations of known values: the one
// that would be met most often if its values came independently of each other.
func (t *Transform) CrossNames(cross int, ids map[uint32]string) {
	c := t.plan.Crosses[cross]
	of := make([][]namedValue, len(c.Of))
	combinations := 1
	for i, f := range c.Of {
		of[i] = namedValues(&t.data.Features[f])
		combinations *= max(len(of[i]), 1)
	}
	for combinations > maxCombinations { // leave out the rarest of the longest
		longest := slices.MaxFunc(of, func(a, b []namedValue) int { return len(a) - len(b) })
		i := slices.IndexFunc(of, func(v []namedValue) bool { return len(v) == len(longest) })
		combinations /= len(longest)
		of[i] = longest[:max(1, min(len(longest)/2, maxCombinations/combinations))]
		combinations *= len(of[i])
	}
	best := make(map[uint32]float64, len(ids))
	texts := make([]string, len(of))
	var visit func(i int, hash uint32, count float64)
	visit = func(i int, hash uint32, count float64) {
		if i == len(of) {
			if id := bucket(hash, uint32(c.Buckets)); has(ids, id) && count > best[id] {
				ids[id], best[id] = strings.Join(texts, " × "), count
			}
			return
		}
		for _, v := range of[i] {
			texts[i] = v.text
			if i == 0 {
				visit(1, v.hash, v.count)
			} else {
				visit(i+1, jointHash(hash, v.hash), count*v.count)
			}
		}
	}
	visit(0, 0, 1)
}

func has(ids map[uint32]string, id uint32) bool {
	_, ok := ids[id]
	return ok
}

// namedValues returns the known values of a feature, the most common first.
func namedValues(f *Feature) (out []namedValue) {
	c := f.Category
	switch {
	case f.Bins != nil:
		for id := range len(f.Bins.Cuts) + 2 {
			out = append(out, namedValue{f.Bins.name(id), hashOf(strconv.Itoa(id)), 1})
		}
		return out
	case f.Hashed != nil:
		c = &f.Hashed.Category
	case f.Valued != nil:
		c = &f.Valued.Category
	}
	for i, v := range c.Values {
		out = append(out, namedValue{v, hashOf(v), float64(c.Counts[i])})
	}
	return out
}

// name says which numbers have an id.
func (b *Binned) name(id int) string {
	switch n := len(b.Cuts); {
	case id == 0:
		return defaultCategoryFill
	case n == 0:
		return "any"
	case id == 1:
		return fmt.Sprintf("to %g", b.Cuts[0])
	case id == n+1:
		return fmt.Sprintf("above %g", b.Cuts[n-1])
	}
	return fmt.Sprintf("above %g to %g", b.Cuts[id-2], b.Cuts[id-1])
}

// Variable is what a row may have that features read: a column of prepared rows.
type Variable struct {
	// Column is its name there, Name that of the first feature that reads it.
	Column, Name string
	Type         table.Type
	// Number: it is one, that training saw from Min to Max. Values are those of a category
	// that training knows. Fixed says why it is neither.
	Number   bool
	Min, Max float64
	Values   []string
	Fixed    string
}

// Variables returns what the features of rows read, in the order of the spec, and what
// cleaned rows have of it; the caller releases the arrays.
func (t *Transform) Variables(batch arrow.Record) (all []Variable, values []arrow.Array, err error) {
	at := make(map[string]int)
	for i, f := range t.plan.Features {
		s := sourceOf(f)
		k, known := at[s.prepared()]
		if !known {
			a, err := s.read(batch)
			if err != nil {
				for _, v := range values {
					v.Release()
				}
				return nil, nil, err
			}
			k = len(all)
			at[s.prepared()] = k
			all, values = append(all, Variable{Column: s.prepared(), Name: f.Name, Type: table.TypeOf(a.DataType())}), append(values, a)
		}
		all[k].learn(&t.data.Features[i])
	}
	return all, values, nil
}

// learn takes what training knows of a feature's values.
func (v *Variable) learn(f *Feature) {
	var m *Moments
	switch {
	case f.Number != nil:
		m = &f.Number.Statistics
	case f.Bins != nil:
		m = &f.Bins.Statistics
	case f.Periodic != nil:
		m = &f.Periodic.Statistics
	case f.Category != nil:
		v.Values = f.Category.Values
	case f.Hashed != nil:
		v.Values = f.Hashed.Values
	case f.Valued != nil:
		v.Values = f.Valued.Values
	default:
		v.Fixed = "it is a " + f.Type
	}
	if m != nil && m.Count > 0 {
		v.Number, v.Min, v.Max = true, m.Min, m.Max
	} else if len(v.Values) == 0 && v.Fixed == "" {
		v.Fixed = "training knows no value of it"
	}
}
