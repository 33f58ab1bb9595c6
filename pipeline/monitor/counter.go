package monitor

import (
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/drift"
	"github.com/thalweg/thalweg/pipeline/feature"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/table"
)

// Config says how rows are counted.
type Config struct {
	// Window is how long a window is.
	Window time.Duration
	// OneIn: one in so many rows is counted.
	OneIn int64
	// EventTime is the column of cleaned rows that windows go by; "": the time of an event in
	// the topic, as also where the column is null.
	EventTime string
	// By is the column some of whose values a rollout gives to the version; "": rows are chosen
	// otherwise, or are all of the stream.
	By string
}

// ConfigOf returns how a spec wants the rows of its stream counted; nil: not at all.
func ConfigOf(spec *pipeline.Spec) *Config {
	d := spec.Drift()
	if !d.On() {
		return nil
	}
	c := &Config{Window: time.Duration(d.Window), OneIn: int64(d.OneIn)}
	if s := spec.Spec.Schema; s != nil {
		c.EventTime = s.EventTime
	}
	return c
}

// Chosen reports whether the row of an offset is counted: of each OneIn offsets that follow each
// other one is, which the hash of their number says.
func (c *Config) Chosen(offset int64) bool { return offset == c.of(offset/c.OneIn) }

// of returns the chosen one of the so-manieth OneIn offsets.
func (c *Config) of(block int64) int64 {
	return block*c.OneIn + int64(kernel.Mix(uint64(block)+kernel.Golden)%uint64(c.OneIn))
}

// Choose yields the places of the chosen ones among offsets that rise. It looks at few of them.
func (c *Config) Choose(offsets []int64) iter.Seq[int] {
	// from returns the first place at or after i whose offset is not below a bound: where none
	// is missing, the obvious one.
	from := func(i int, bound int64) int {
		if d := bound - offsets[i]; d <= 0 {
			return i
		} else if d < int64(len(offsets)-i) && offsets[i+int(d)] == bound {
			return i + int(d)
		}
		at, _ := slices.BinarySearch(offsets[i:], bound)
		return i + at
	}
	return func(yield func(int) bool) {
		for i := 0; i < len(offsets); {
			block := offsets[i] / c.OneIn
			want := c.of(block)
			if at := from(i, want); at < len(offsets) && offsets[at] == want && !yield(at) {
				return
			}
			i = from(i, (block+1)*c.OneIn)
		}
	}
}

// key returns what a row at a time is counted in.
func (c *Config) key(us int64, version thalweg.ModelVersion) Key {
	return Key{FromUS: begin(us, c.Window), WidthUS: c.Window.Microseconds(), Version: version, OneIn: c.OneIn, By: c.By}
}

// Die counts an event that is no row, by its time in the topic.
func (c *Config) Die(into *Sketch, version thalweg.ModelVersion, us int64, reason string) {
	into.at(c.key(us, version)).die(reason, 1)
}

// Counter counts scored rows. It is for one goroutine.
type Counter struct {
	transform *feature.Transform
	features  []pipeline.Feature
	answer    pipeline.Answer
	reference *Reference // nil: rows are counted, and their values are not
	ways      []pipeline.SliceSpec
	slices    map[string]*drift.Reference
	applier   *feature.Applier
	block     kernel.Block
	// bins are those of the rows of a batch, by feature.
	bins   [][]int32
	texts  []func(string) int // what tells the bins of texts, likewise
	scores []float64
	err    error
}

// NewCounter returns a counter of rows that a version scores, with its reference.
func NewCounter(plan *pipeline.Plan, t *feature.Transform, answer pipeline.Answer, reference *Reference) *Counter {
	c := &Counter{transform: t, features: plan.Features, answer: answer, reference: reference, applier: t.NewApplier(), bins: make([][]int32, len(plan.Features)), texts: make([]func(string) int, len(plan.Features))}
	c.applier.See(c.see)
	if reference != nil && len(reference.Slices) > 0 {
		c.ways, c.slices = waysOf(plan), make(map[string]*drift.Reference, len(reference.Slices))
		for _, of := range reference.Slices {
			c.slices[of.Name] = of.Score
		}
	}
	return c
}

// Count adds cleaned rows that are all chosen, with the time of each in the topic, and what
// was predicted of each.
func (c *Counter) Count(cfg *Config, version thalweg.ModelVersion, rows arrow.Record, us []int64, prediction func(row int) []float32, into *Sketch) error {
	// Rows of one window are counted at once, and mostly there is one.
	masks := make(map[int64]table.Mask, 1)
	last, m := int64(0), table.Mask{}
	for i, from := range c.begins(cfg, rows, us) {
		if from != last || m.Words == nil {
			var ok bool
			if m, ok = masks[from]; !ok {
				m = table.NewMask(len(us))
				masks[from] = m
			}
			last = from
		}
		m.Set(i)
	}
	for _, from := range slices.Sorted(maps.Keys(masks)) {
		w := into.at(cfg.key(from, version))
		w.Rows += int64(masks[from].Count())
		if c.reference == nil {
			continue
		}
		if err := c.window(rows, masks[from], prediction, w); err != nil {
			return err
		}
	}
	return nil
}

// begins returns when the window of each row begins.
func (c *Counter) begins(cfg *Config, rows arrow.Record, us []int64) []int64 {
	var column *array.Timestamp
	if cfg.EventTime != "" {
		if at := rows.Schema().FieldIndices(cfg.EventTime); len(at) == 1 {
			column, _ = rows.Column(at[0]).(*array.Timestamp)
		}
	}
	out := make([]int64, len(us))
	for i, t := range us {
		if column != nil && column.IsValid(i) {
			t = int64(column.Value(i))
		}
		out[i] = begin(t, cfg.Window)
	}
	return out
}

// window counts the rows of one window.
func (c *Counter) window(rows arrow.Record, which table.Mask, prediction func(row int) []float32, into *Window) error {
	some, err := table.Select(memory.DefaultAllocator, rows, which)
	if err != nil {
		return err
	}
	defer some.Release()
	var rep pipeline.Report
	c.err = nil
	if err := c.applier.Apply(some, &c.block, &rep); err != nil {
		return err
	}
	if c.err != nil {
		return c.err
	}
	for i, f := range c.features {
		of, bins := into.feature(f.Name), c.reference.Features[i].Values.Bins()
		for _, bin := range c.bins[i] {
			of.Counts.Add(bins, int(bin), 1)
		}
		of.Unknown += rep.Unknown[f.Name]
		of.Clipped += rep.Clipped[f.Name]
	}
	of := c.reference.Score
	scores := c.scores[:0]
	for row := range which.Marked() {
		scores = append(scores, Score(&c.answer, prediction(row)))
	}
	for _, score := range scores {
		into.Score.Add(of.Bins(), of.Number(score), 1)
	}
	c.scores = scores
	return c.countSlices(some, scores, into)
}

// countSlices counts the scores of rows in the slices that the reference has. Columns that are
// there in training only cut no events.
func (c *Counter) countSlices(rows arrow.Record, scores []float64, into *Window) error {
	for _, way := range c.ways {
		slice, err := namer(way, rows)
		if err != nil {
			continue
		}
		found := make(map[string]drift.Counts)
		for row, score := range scores {
			name := slice(row)
			if of := c.slices[name]; of != nil {
				counts := found[name]
				counts.Add(of.Bins(), of.Number(score), 1)
				found[name] = counts
			}
		}
		for name, counts := range found {
			if err := into.slice(name, counts); err != nil {
				return err
			}
		}
	}
	return nil
}

// see notes the bins of a feature's values.
func (c *Counter) see(i int, values arrow.Array) {
	var err error
	if c.texts[i] == nil {
		c.texts[i] = c.reference.Features[i].Values.Text()
	}
	if c.bins[i], err = binsOf(c.features[i], c.reference.Features[i].Values, c.texts[i], values, c.bins[i][:0]); err != nil {
		c.err = err
	}
}

// binsOf appends the bin of each value.
func binsOf(f pipeline.Feature, r *drift.Reference, bin func(string) int, values arrow.Array, bins []int32) ([]int32, error) {
	var of func(row int) int
	if kindOf(f) == numbers {
		number, err := numberOf(f, values)
		if err != nil {
			return nil, err
		}
		of = func(row int) int { return r.Number(number(row)) }
	} else {
		var err error
		if of, err = textOf(f, values, bin); err != nil {
			return nil, err
		}
	}
	for row := range values.Len() {
		if values.IsNull(row) {
			bins = append(bins, int32(r.MissingBin()))
		} else {
			bins = append(bins, int32(of(row)))
		}
	}
	return bins, nil
}
