package evaluation

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/metric"
)

// maxSlices bounds the different values that one way of slicing may have; beyond it
// none of its slices are measured, whoever saw which rows.
const maxSlices = 500

// Slices measures slices of rows. It is not safe for concurrent use.
type Slices struct {
	empty func() (*metric.Sample, error)
	ways  []pipeline.SliceSpec
	// found are the slices of each way by their key; nil: there are too many.
	found []map[string]*slice
	key   []byte
}

// slice is a sample and the rows of a batch that belong to it.
type slice struct {
	sample              *metric.Sample
	predictions, labels []float32
	parts               []uint8
}

// NewSlices returns empty slices by some ways of a spec; empty makes a sample for each.
func NewSlices(ways []pipeline.SliceSpec, empty func() (*metric.Sample, error)) *Slices {
	s := &Slices{empty: empty, ways: ways}
	for range s.ways {
		s.found = append(s.found, map[string]*slice{})
	}
	return s
}

// Observe adds those rows of a cleaned batch that are named, each with so many
// predictions as the answer has.
func (s *Slices) Observe(rows arrow.Record, which []int, predictions, labels []float32, parts []uint8) error {
	for i, way := range s.ways {
		if s.found[i] == nil {
			continue
		}
		columns := make([]arrow.Array, len(way.Columns))
		for k, name := range way.Columns {
			at := rows.Schema().FieldIndices(name)
			if len(at) != 1 {
				return &thalweg.Error{Op: "slice rows", Kind: thalweg.Invalid, Subject: "column " + name, Err: fmt.Errorf("the cleaned rows do not have it")}
			}
			columns[k] = rows.Column(at[0])
		}
		var touched []*slice
		width := len(predictions) / max(1, len(which))
		for k, row := range which {
			s.key = s.key[:0]
			for _, c := range columns {
				s.key = appendValue(s.key, c, row)
			}
			of, err := s.slice(i, s.key)
			if err != nil {
				return err
			}
			if of == nil {
				break
			}
			if len(of.parts) == 0 {
				touched = append(touched, of)
			}
			of.predictions, of.labels, of.parts = append(of.predictions, predictions[k*width:(k+1)*width]...), append(of.labels, labels[k]), append(of.parts, parts[k])
		}
		for _, of := range touched {
			of.sample.Observe(of.predictions, of.labels, of.parts)
			of.predictions, of.labels, of.parts = of.predictions[:0], of.labels[:0], of.parts[:0]
		}
	}
	return nil
}

// slice returns the slice of a key, which may be new; nil: there are too many.
func (s *Slices) slice(way int, key []byte) (*slice, error) {
	of := s.found[way][string(key)]
	if of != nil {
		return of, nil
	}
	if len(s.found[way]) >= maxSlices {
		s.found[way] = nil
		return nil, nil
	}
	sample, err := s.empty()
	if err != nil {
		return nil, err
	}
	of = &slice{sample: sample}
	s.found[way][string(key)] = of
	return of, nil
}

// appendValue appends a value of a column to a key: its length and text, or nothing
// but a mark where it is missing.
func appendValue(key []byte, c arrow.Array, row int) []byte {
	if c.IsNull(row) {
		return append(key, '-')
	}
	var text string
	switch c := c.(type) {
	case *array.Dictionary:
		text = strings.ToValidUTF8(c.Dictionary().(*array.String).Value(c.GetValueIndex(row)), "\uFFFD") // as JSON keeps it
	case *array.Int64:
		text = strconv.FormatInt(c.Value(row), 10)
	case *array.Boolean:
		text = strconv.FormatBool(c.Value(row))
	}
	key = strconv.AppendInt(key, int64(len(text)), 10)
	return append(append(key, ':'), text...)
}

// values takes a key apart; ok is false where it is none.
func values(key string, columns int) (out []*string, ok bool) {
	for key != "" {
		if key[0] == '-' {
			out, key = append(out, nil), key[1:]
			continue
		}
		length, after, _ := strings.Cut(key, ":")
		n, err := strconv.Atoi(length)
		if err != nil || n < 0 || n > len(after) {
			return nil, false
		}
		text := after[:n]
		out, key = append(out, &text), after[n:]
	}
	return out, len(out) == columns
}

// MarshalJSON implements json.Marshaler: by way of slicing the samples by key, null
// where there are too many.
func (s *Slices) MarshalJSON() ([]byte, error) {
	out := make([]map[string]*metric.Sample, len(s.found))
	for i, found := range s.found {
		if found == nil {
			continue
		}
		out[i] = make(map[string]*metric.Sample, len(found))
		for key, of := range found {
			out[i][key] = of.sample
		}
	}
	return json.Marshal(out)
}

// Merge adds what MarshalJSON of slices of the same spec wrote, of rows after those
// seen.
func (s *Slices) Merge(data []byte) error {
	fail := func(err error) error {
		return &thalweg.Error{Op: "merge slices", Kind: thalweg.Corrupt, Err: err}
	}
	var in []map[string]json.RawMessage
	if err := json.Unmarshal(data, &in); err != nil {
		return fail(err)
	}
	if len(in) != len(s.ways) {
		return fail(fmt.Errorf("%d ways of slicing, not %d", len(in), len(s.ways)))
	}
	for i, found := range in {
		if found == nil {
			s.found[i] = nil
		}
		for _, key := range slices.Sorted(maps.Keys(found)) {
			if s.found[i] == nil {
				break
			}
			if _, ok := values(key, len(s.ways[i].Columns)); !ok {
				return fail(fmt.Errorf("%q is no key of a slice", key))
			}
			of, err := s.slice(i, []byte(key))
			if err == nil && of != nil {
				err = of.sample.MergeJSON(found[key])
			}
			if err != nil {
				return fail(err)
			}
		}
	}
	return nil
}

// Measure returns what the samples of slices say, as far as the spec asks for it.
func (s *Slices) Measure(spec *pipeline.Spec) (Sliced, error) {
	return s.each(func(_ int, _ string, of *metric.Sample) (map[string]metric.Estimate, error) {
		return estimates(spec, of)
	})
}

// Change returns by how much the metrics of slices are above those of before, which are
// of the same rows.
func (s *Slices) Change(before *Slices) (Sliced, error) {
	return s.each(func(way int, key string, of *metric.Sample) (map[string]metric.Estimate, error) {
		then := before.found[way][key]
		if then == nil || then.sample.Whole().Rows() != of.Whole().Rows() {
			return nil, &thalweg.Error{Op: "compare slices", Kind: thalweg.Corrupt, Err: fmt.Errorf("slice %q has other rows", key)}
		}
		changes, err := of.Change(then.sample)
		if err == nil {
			changes[metric.Rows] = metric.Estimate{Value: float64(of.Whole().Rows())}
		}
		return changes, err
	})
}

// each measures the slices that have enough rows, the largest first, and says what is
// not there.
func (s *Slices) each(measure func(way int, key string, of *metric.Sample) (map[string]metric.Estimate, error)) (d Sliced, err error) {
	for i, way := range s.ways {
		by := strings.Join(way.Columns, ", ")
		if s.found[i] == nil {
			d.Skipped = append(d.Skipped, fmt.Sprintf("rows are not sliced by %s: there are more than %d different values", by, maxSlices))
			continue
		}
		small := 0
		keys := slices.SortedFunc(maps.Keys(s.found[i]), func(a, b string) int {
			return cmp.Or(cmp.Compare(s.found[i][b].sample.Whole().Rows(), s.found[i][a].sample.Whole().Rows()), cmp.Compare(a, b))
		})
		for _, key := range keys {
			sample := s.found[i][key].sample
			if sample.Whole().Rows() < int64(way.MinRows) {
				small++
				continue
			}
			of := Slice{Columns: way.Columns}
			of.Values, _ = values(key, len(way.Columns))
			if of.Metrics, err = measure(i, key, sample); err != nil {
				return d, err
			}
			d.Slices = append(d.Slices, of)
		}
		if small > 0 {
			if d.TooFew == nil {
				d.TooFew = map[string]int{}
			}
			d.TooFew[by] = small
			d.Skipped = append(d.Skipped, fmt.Sprintf("%d of %d slices by %s have fewer than %d rows", small, len(keys), by, way.MinRows))
		}
	}
	return d, nil
}

// Name says which rows a slice has.
func (s *Slice) Name() string {
	parts := make([]string, len(s.Columns))
	for i, column := range s.Columns {
		parts[i] = column + " is missing"
		if v := s.Values[i]; v != nil {
			parts[i] = column + "=" + *v
		}
	}
	return strings.Join(parts, ", ")
}

// Text returns a metric of the slice for people; - where it is undefined.
func (s *Slice) Text(name string) string {
	if e, ok := s.Metrics[name]; ok {
		return e.String()
	}
	return "-"
}
