package artifact

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
)

// says returns the columns of what the model says besides its answer.
func (s *Scorer) says() []table.Column {
	all, explained := s.artifact.plan.Label.Besides, pipeline.ExplanationColumns(s.top())
	if s.answer.Conformal == nil && s.sampling == nil {
		return explained
	}
	return slices.Concat(all[:len(all)-len(pipeline.ExplanationColumns(s.artifact.top()))], explained)
}

// besides adds these columns.
func (s *Scorer) besides(columns []arrow.Array, predictions, sampled []float32) []arrow.Array {
	c, n := s.answer.Conformal, len(predictions)/s.outputs
	switch {
	case s.sampling != nil:
		return s.sampling.columns(s, columns, sampled)
	case c == nil:
		return columns
	case !c.Numbers():
		return append(columns, s.sets(predictions))
	}
	lowBuf, low := table.Alloc(s.mem, n, arrow.Float64Traits)
	highBuf, high := table.Alloc(s.mem, n, arrow.Float64Traits)
	for i := range n {
		low[i], high[i] = c.Interval(predictions[i*s.outputs : (i+1)*s.outputs])
	}
	return append(columns, table.NewColumn(s.mem, table.Float64, n, lowBuf, table.Mask{}), table.NewColumn(s.mem, table.Float64, n, highBuf, table.Mask{}))
}

// sets returns the set of labels of each row as JSON. Few different ones are in a batch.
func (s *Scorer) sets(predictions []float32) arrow.Array {
	names := []string{"false", "true"}
	if len(s.answer.Classes) > 0 {
		names = names[:0]
		for _, name := range s.answer.Classes {
			names = append(names, quoted(name))
		}
	}
	n := len(predictions) / s.outputs
	buf, which := table.Alloc(s.mem, n, arrow.Int32Traits)
	in, key, known := make([]bool, len(names)), make([]byte, 0, len(names)), make(map[string]int32)
	b := array.NewStringBuilder(s.mem)
	defer b.Release()
	for i := range n {
		s.answer.Conformal.Set(predictions[i*s.outputs:(i+1)*s.outputs], in)
		key = key[:0]
		for _, yes := range in {
			if yes {
				key = append(key, 1)
			} else {
				key = append(key, 0)
			}
		}
		at, ok := known[string(key)]
		if !ok {
			at = int32(len(known))
			known[string(key)] = at
			var of []string
			for k, yes := range in {
				if yes {
					of = append(of, names[k])
				}
			}
			b.Append("[" + strings.Join(of, ",") + "]")
		}
		which[i] = at
	}
	texts := b.NewArray()
	defer texts.Release()
	return table.NewText(s.mem, n, buf, table.Mask{}, texts)
}

// quoted is a text as JSON.
func quoted(text string) string {
	var w bytes.Buffer
	e := json.NewEncoder(&w)
	e.SetEscapeHTML(false)
	if err := e.Encode(text); err != nil {
		return `""` // a string can always be written
	}
	return strings.TrimSpace(w.String())
}
