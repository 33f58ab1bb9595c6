package monitor

import (
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

// Chosen reports whether the row of an offset is counted.
func (c *Config) Chosen(offset int64) bool {
	return kernel.Mix(uint64(offset)+kernel.Golden)%uint64(c.OneIn) == 0
}

// key returns what a row at a time is counted in.
func (c *Config) key(us int64, version thalweg.ModelVersion) Key {
	return Key{FromUS: begin(us, c.Window), WidthUS: c.Window.Microseconds(), Version: version, OneIn: c.OneIn}
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
	scores []float64
	err    error
}

// NewCounter returns a counter of rows that a version scores, with its reference.
func NewCounter(plan *pipeline.Plan, t *feature.Transform, answer pipeline.Answer, reference *Reference) *Counter {
	c := &Counter{transform: t, features: plan.Features, answer: answer, reference: reference, applier: t.NewApplier(), bins: make([][]int32, len(plan.Features))}
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
	windows := c.windowsOf(cfg, version, rows, us)
	for _, k := range windows {
		into.at(k).Rows++
	}
	if c.reference == nil {
		return nil
	}
	// Rows of one window are counted at once.
	masks := make(map[Key]table.Mask, 1)
	for i, k := range windows {
		m, ok := masks[k]
		if !ok {
			m = table.NewMask(len(windows))
			masks[k] = m
		}
		m.Set(i)
	}
	for k, m := range masks {
		if err := c.window(rows, m, prediction, into.at(k)); err != nil {
			return err
		}
	}
	return nil
}

// windowsOf returns where each row is counted.
func (c *Counter) windowsOf(cfg *Config, version thalweg.ModelVersion, rows arrow.Record, us []int64) []Key {
	var column *array.Timestamp
	if cfg.EventTime != "" {
		if at := rows.Schema().FieldIndices(cfg.EventTime); len(at) == 1 {
			column, _ = rows.Column(at[0]).(*array.Timestamp)
		}
	}
	keys := make([]Key, len(us))
	for i, t := range us {
		if column != nil && column.IsValid(i) {
			t = int64(column.Value(i))
		}
		keys[i] = cfg.key(t, version)
	}
	return keys
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
	if c.bins[i], err = binsOf(c.features[i], c.reference.Features[i].Values, values, c.bins[i][:0]); err != nil {
		c.err = err
	}
}

// binsOf appends the bin of each value.
func binsOf(f pipeline.Feature, r *drift.Reference, values arrow.Array, bins []int32) ([]int32, error) {
	var of func(row int) int
	if kindOf(f) == numbers {
		number, err := numberOf(f, values)
		if err != nil {
			return nil, err
		}
		of = func(row int) int { return r.Number(number(row)) }
	} else {
		var err error
		if of, err = textOf(f, values, r.Text); err != nil {
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
