package feature

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
)

// trainSplit is the split whose rows are learnt from, pipeline/split's Train.
const trainSplit = 0

// Statistics is what encoders are fitted from: of a number its moments, as it
// is and as its normalisation warps it, and a sample where it is cut into bins; of
// a category its counts, of a list the moments of its elements, of a text or a set its
// terms.
type Statistics struct {
	Number, Warped Moments
	Sample         Sample
	Category       Counts
	List           ListMoments
	Terms          TermCounts
	// Target has the labels by value where the encoder wants them.
	Target *targeter
}

// Fitter gathers the statistics of one shard's training rows. It is for one
// goroutine.
type Fitter struct {
	plan     *pipeline.Plan
	features []fitting
	label    gatherer
	classes  *counter // of a category label
	sample   *sampler // of the label, where the loss wants one
	labelled int64    // rows
	err      error
}

// fitting is one feature as it is observed; which fields are set depends on
// its type and normalisation.
type fitting struct {
	feature  pipeline.Feature
	source   source
	number   *gatherer
	warped   *gatherer
	sample   *sampler
	category *counter
	target   *targeter
	list     *lister
	terms    *termCounter
}

// supervision returns how many folds of the labels a feature's encoder wants, 0 for none.
func supervision(f pipeline.Feature) int {
	if s, ok := f.Options.Encoder.Options.(pipeline.Supervised); ok {
		return s.LabelFolds()
	}
	return 0
}

// seedOf returns what decides the folds of a plan.
func seedOf(plan *pipeline.Plan) uint64 {
	if plan.Spec == nil {
		return 0
	}
	return plan.Spec.Spec.Trainer.Seed
}

// NewFitter returns a Fitter for one shard. An option that this build does not
// know is reported by the first Observe and by Partial.
func NewFitter(plan *pipeline.Plan) *Fitter {
	f := &Fitter{plan: plan}
	if plan.Label.Type == categoryLabel {
		f.classes = newCounter(sourceOfLabel(plan.Label).what, classBounds)
	}
	if _, ok := plan.Label.Loss.Options.(pipeline.Sampled); ok {
		f.sample = newSampler()
	}
	for _, feature := range plan.Features {
		one := fitting{feature: feature, source: sourceOf(feature)}
		if _, err := encoderOf(feature); err != nil {
			f.err = inFeature(feature.Name, err)
			return f
		}
		norm, err := normalization(feature)
		switch {
		case feature.Type == categoryType:
			one.category = newCounter(one.source.what, boundsOf(feature))
			if folds := supervision(feature); folds > 0 {
				one.target = newTargeter(one.source.what, folds, seedOf(plan))
			}
		case cutOf(feature) != nil:
			one.terms = newTermCounter(one.source.what, cutOf(feature))
		case err != nil:
			f.err = inFeature(feature.Name, err)
			return f
		case feature.Type == listType:
			one.list = newLister(feature, norm.Warp)
		default:
			one.number = new(gatherer)
			if norm.Warp != nil {
				one.warped = &gatherer{warp: norm.Warp}
			}
			if sampled(feature) {
				one.sample = newSampler()
			}
		}
		f.features = append(f.features, one)
	}
	return f
}

// sampled reports whether a number's encoder, normalisation or filling is fitted to a sample.
func sampled(f pipeline.Feature) bool {
	_, bins := f.Options.Encoder.Options.(pipeline.Binner)
	n, ok := f.Normalization.(*Normalization)
	return bins || ok && n.Sampled != nil || strategy(f) == fillWithMedian
}

func inFeature(name string, err error) error {
	return &thalweg.Error{Op: "fit", Kind: thalweg.KindOf(err), Subject: "feature " + name, Err: err}
}

// Observe adds those rows of a cleaned batch that are used in training:
// split[i] is 0, the label has a value, and so has every feature whose missing
// values drop the row. Batch boundaries have no influence on the result.
func (f *Fitter) Observe(batch arrow.Record, split []uint8) error {
	if f.err != nil {
		return f.err
	}
	if len(split) != int(batch.NumRows()) {
		return &thalweg.Error{Op: "fit", Kind: thalweg.Invalid,
			Err: fmt.Errorf("%d splits for %d rows", len(split), batch.NumRows())}
	}
	use := trainingRows(split)
	columns := make([]arrow.Array, 0, len(f.features))
	defer func() {
		for _, a := range columns {
			a.Release()
		}
	}()
	for _, one := range f.features {
		a, err := one.source.read(batch)
		if err != nil {
			return err
		}
		columns = append(columns, a)
	}
	if err := f.learnLengths(columns, use); err != nil {
		f.err = err
		return err
	}
	for i, one := range f.features {
		length := 0
		if one.list != nil {
			length = one.list.done.Length
		}
		if strategy(one.feature) == dropRow {
			use.And(missingIn(one.feature.Type, length, columns[i]).Not())
		}
	}
	if err := f.observeLabel(batch, use); err != nil {
		return err
	}
	for i, one := range f.features {
		if err := one.observe(batch, columns[i], use); err != nil {
			f.err = err
			return err
		}
	}
	return f.observeTargets(batch, columns, use)
}

// Labelled returns how many training rows with a label there were so far.
func (f *Fitter) Labelled() int64 { return f.labelled }

// TooLarge reports the first number so far of which moments may overflow, beside others if
// not by itself.
func (f *Fitter) TooLarge() error {
	for _, one := range f.features {
		of := new(large)
		if one.number != nil {
			of = &one.number.large
		} else if one.list != nil {
			of = &one.list.large
		}
		if err := of.err(one.source.what); err != nil {
			return err
		}
	}
	return nil
}

// observeTargets shows the labels to the features that are fitted to them.
func (f *Fitter) observeTargets(batch arrow.Record, columns []arrow.Array, use table.Mask) error {
	var labels []float32
	for i, one := range f.features {
		if one.target == nil {
			continue
		}
		if labels == nil {
			source := sourceOfLabel(f.plan.Label)
			values, err := source.read(batch)
			if err != nil {
				return err
			}
			defer values.Release()
			labels = make([]float32, values.Len())
			if err := readLabels(source.what, values, labels, make([]bool, values.Len())); err != nil {
				return err
			}
		}
		if err := one.target.observe(columns[i], labels, table.Rows(batch), use); err != nil {
			f.err = err
			return err
		}
	}
	return nil
}

// learnLengths takes the lengths of lists from the rows that use marks.
func (f *Fitter) learnLengths(columns []arrow.Array, use table.Mask) error {
	elements := 0
	for i, one := range f.features {
		if one.list == nil {
			continue
		}
		if err := one.list.learn(columns[i], use); err != nil {
			return inFeature(one.feature.Name, err)
		}
		if elements += one.list.done.Length; elements > MaxElements {
			return inFeature(one.feature.Name, &thalweg.Error{Op: "gather statistics", Kind: thalweg.Exhausted,
				Err: fmt.Errorf("the list features have more than %d elements", MaxElements), Hint: "leave one of them out"})
		}
	}
	return nil
}

// Check reports what of a cleaned batch cannot be learned from: the first row whose
// label is none, and lists that differ in length where none is declared. It adds
// nothing to the statistics.
func (f *Fitter) Check(batch arrow.Record) error {
	if f.err != nil {
		return f.err
	}
	if _, _, err := (&Transform{plan: f.plan}).Labels(batch, nil); err != nil {
		return err
	}
	columns := make([]arrow.Array, len(f.features))
	for i, one := range f.features {
		if one.list == nil {
			continue
		}
		a, err := one.source.read(batch)
		if err != nil {
			return err
		}
		defer a.Release()
		columns[i] = a
	}
	return f.learnLengths(columns, table.NewMask(int(batch.NumRows())).Not())
}

// trainingRows marks the rows of the training split.
func trainingRows(split []uint8) table.Mask {
	m := table.NewMask(len(split))
	for w := range m.Words {
		var word uint64
		for i, s := range split[w*64 : min(w*64+64, len(split))] {
			if s == trainSplit {
				word |= 1 << i
			}
		}
		m.Words[w] = word
	}
	return m
}

// observeLabel counts the labels of the rows in use, and takes those without
// one out of use.
func (f *Fitter) observeLabel(batch arrow.Record, use table.Mask) error {
	what := sourceOfLabel(f.plan.Label).what
	labels, err := sourceOfLabel(f.plan.Label).read(batch)
	if err != nil {
		return err
	}
	defer labels.Release()
	rows := use.Count()
	use.And(labelled(labels))
	f.labelled += int64(use.Count())
	f.label.done.Missing += int64(rows - use.Count())
	if f.classes != nil {
		return f.classes.observe(labels, use)
	}
	if f.sample != nil {
		if err := f.sample.observe(what, labels, table.Rows(batch), use); err != nil {
			return err
		}
	}
	return f.label.observe(what, batch, labels, use)
}

func (one *fitting) observe(batch arrow.Record, a arrow.Array, use table.Mask) error {
	if one.category != nil {
		return one.category.observe(a, use)
	}
	if one.list != nil {
		return one.list.observe(one.source.what, batch, a, use)
	}
	if one.terms != nil {
		return one.terms.observe(a, use)
	}
	if one.warped != nil {
		if err := one.warped.observe(one.source.what, batch, a, use); err != nil {
			return err
		}
	}
	if one.sample != nil {
		if err := one.sample.observe(one.source.what, a, table.Rows(batch), use); err != nil {
			return err
		}
	}
	return one.number.observe(one.source.what, batch, a, use)
}

// Partial returns the statistics of the rows observed so far as JSON: the same
// rows in the same order give the same bytes. It fails with thalweg.Exhausted
// where a category has more than MaxDistinct values.
func (f *Fitter) Partial() ([]byte, error) {
	if f.err != nil {
		return nil, f.err
	}
	out := partialData{Version: dataVersion, Label: f.label.moments(), Features: make([]partialFeature, len(f.features))}
	if err := out.Label.check(); err != nil {
		return nil, inFeature(f.plan.Label.Name, err)
	}
	if f.classes != nil {
		c := f.classes.counts()
		out.Classes = &c
	}
	if f.sample != nil {
		out.Labels = f.sample.sample()
	}
	for i, one := range f.features {
		p := partialFeature{Name: one.feature.Name}
		for _, g := range []struct {
			from *gatherer
			to   **Moments
		}{{one.number, &p.Number}, {one.warped, &p.Warped}} {
			if g.from == nil {
				continue
			}
			m := g.from.moments()
			if err := m.check(); err != nil {
				return nil, inFeature(p.Name, err)
			}
			*g.to = &m
		}
		if one.sample != nil {
			p.Sample = one.sample.sample()
		}
		if one.category != nil {
			c := one.category.counts()
			p.Category = &c
		}
		if one.target != nil {
			p.Target = one.target.partial()
		}
		if one.list != nil {
			m := one.list.moments()
			if err := m.check(one.list.warp != nil); err != nil {
				return nil, inFeature(p.Name, err)
			}
			p.List = &m
		}
		if one.terms != nil {
			p.Terms = &one.terms.TermCounts
		}
		out.Features[i] = p
	}
	return json.Marshal(out)
}

// Finish merges the partials of all shards, which must come in shard order,
// into the fitted transform. The same partials give the same bytes.
func Finish(plan *pipeline.Plan, partials [][]byte) (*Transform, error) {
	merged := make([]Statistics, len(plan.Features))
	counts := make([][]Counts, len(plan.Features))
	data := transformData{Version: dataVersion, Label: describeLabel(plan.Label), Crosses: describeCrosses(plan)}
	for i, f := range plan.Features {
		if folds := supervision(f); folds > 0 {
			merged[i].Target = newTargeter("feature "+f.Name, folds, 0)
		}
		if c := cutOf(f); c != nil {
			merged[i].Terms = newTermCounts(c.Buckets)
		}
	}
	var classes []Counts
	var sample Sample
	farthest := make([]int, len(plan.Features)) // the shard with the largest number so far
	for shard, bytes := range partials {
		p, err := decodePartial(plan, shard, bytes)
		if err != nil {
			return nil, err
		}
		data.Label.Statistics.merge(p.Label)
		if p.Classes != nil {
			classes = append(classes, *p.Classes)
		}
		if p.Labels != nil {
			sample.merge(p.Labels)
		}
		for i, f := range p.Features {
			if f.Category != nil {
				counts[i] = append(counts[i], *f.Category)
				if t := merged[i].Target; t != nil {
					if err := t.merge(f.Target); err != nil {
						return nil, err
					}
				}
				continue
			}
			if f.Terms != nil {
				merged[i].Terms.merge(f.Terms)
				continue
			}
			if f.List != nil {
				if err := merged[i].List.merge(*f.List); err != nil {
					return nil, inFeature(f.Name, err)
				}
				continue
			}
			if f.Number.reach() > merged[i].Number.reach() {
				farthest[i] = shard
			}
			merged[i].Number.merge(*f.Number)
			if m := merged[i].Number; m.check() != nil {
				return nil, apart(f.Name, farthest[i], m)
			}
			if f.Warped == nil {
				f.Warped = f.Number
			}
			merged[i].Warped.merge(*f.Warped)
			if f.Sample != nil {
				merged[i].Sample.merge(f.Sample)
			}
		}
	}
	if plan.Label.Type == categoryLabel {
		all, err := mergeCounts("label "+plan.Label.Name, classes, classBounds)
		if err != nil {
			return nil, err
		}
		data.Label.Classes, data.Label.Counts = all.Values, all.Counts
		for _, n := range all.Counts {
			data.Label.Statistics.Count += n
		}
	}
	if loss, ok := plan.Label.Loss.Options.(pipeline.Sampled); ok {
		data.Label.Constants = loss.Constants(slices.Sorted(slices.Values(sample.Values)))
	}
	for i, f := range plan.Features {
		d, err := finishFeature(f, &merged[i], counts[i])
		if err != nil {
			return nil, inFeature(f.Name, err)
		}
		data.Features = append(data.Features, d)
	}
	return build(plan, data)
}

// ShardError is what is wrong with one of the partials that Finish merges.
type ShardError struct {
	Shard int
	Err   error
}

func (e *ShardError) Error() string { return fmt.Sprintf("shard %d: %v", e.Shard, e.Err) }

// Unwrap returns the cause.
func (e *ShardError) Unwrap() error { return e.Err }

// apart is the error of a shard with a number so far from those of others that the moments of
// all overflow.
func apart(feature string, shard int, all Moments) error {
	return &ShardError{shard, inFeature(feature, &thalweg.Error{Op: "mean and variance overflow", Kind: thalweg.Invalid,
		Err:  fmt.Errorf("the values of the shards up to it are from %v to %v, and it has the one that is farthest from 0", all.Min, all.Max),
		Hint: "filter out values near the end of the float64 range, or have such shards left out: sources.train.on_bad_shard"})}
}

func finishFeature(f pipeline.Feature, s *Statistics, counts []Counts) (Feature, error) {
	d := describe(f)
	var err error
	if s.Category, err = mergeCounts("feature "+f.Name, counts, boundsOf(f)); err != nil {
		return d, err
	}
	for _, m := range slices.Concat([]Moments{s.Number, s.Warped}, s.List.Elements, s.List.Warped) {
		if err := m.check(); err != nil {
			return d, err
		}
	}
	e, err := encoderOf(f)
	if err != nil {
		return d, err
	}
	return d, e.Fit(f, s, &d)
}

// decodePartial reads one shard's partial and checks that it fits the plan.
func decodePartial(plan *pipeline.Plan, shard int, data []byte) (*partialData, error) {
	what := fmt.Sprintf("fit partial of shard %d", shard)
	var p partialData
	if err := decode(what, data, &p); err != nil {
		return nil, err
	}
	if p.Version != dataVersion || len(p.Features) != len(plan.Features) {
		return nil, corrupt(what, fmt.Errorf("version %d with %d features, not %d with %d", p.Version, len(p.Features), dataVersion, len(plan.Features)))
	}
	if err := p.Label.check(); err != nil {
		return nil, corrupt(what, err)
	}
	if of := p.Classes; (of != nil) != (plan.Label.Type == categoryLabel) || of != nil && of.check() != nil {
		return nil, corrupt(what, fmt.Errorf("no classes of a %s label", plan.Label.Type))
	}
	if _, sampled := plan.Label.Loss.Options.(pipeline.Sampled); sampled != (p.Labels != nil) || sampled && p.Labels.check() != nil {
		return nil, corrupt(what, fmt.Errorf("no sample of the labels"))
	}
	for i, f := range p.Features {
		want := plan.Features[i]
		if err := f.check(want); err != nil {
			return nil, corrupt(what, fmt.Errorf("feature %s: %w", want.Name, err))
		}
	}
	return &p, nil
}

func (p partialFeature) check(want pipeline.Feature) error {
	if p.Name != want.Name {
		return fmt.Errorf("found %q in its place", p.Name)
	}
	if want.Type == categoryType {
		if p.Terms != nil || p.Category == nil || p.Number != nil || p.Warped != nil || p.List != nil {
			return fmt.Errorf("no statistics of a category")
		}
		if folds := supervision(want); folds > 0 {
			if err := p.Target.check(folds); err != nil {
				return err
			}
		} else if p.Target != nil {
			return fmt.Errorf("sums of labels that nobody wants")
		}
		return p.Category.check()
	}
	if c := cutOf(want); c != nil {
		if p.Number != nil || p.Warped != nil || p.List != nil || p.Category != nil {
			return fmt.Errorf("other statistics than a text's")
		}
		return p.Terms.check(c.Buckets)
	}
	norm, err := normalization(want)
	if err != nil {
		return err
	}
	if p.Terms != nil {
		return fmt.Errorf("terms of a %s", want.Type)
	}
	if want.Type == listType {
		if p.List == nil || p.Number != nil || p.Category != nil || p.Warped != nil {
			return fmt.Errorf("no statistics of a list")
		}
		if n := want.Options.Length; n != nil && *n != p.List.Length {
			return fmt.Errorf("lists of %d elements, the spec says %d", p.List.Length, *n)
		}
		return p.List.check(norm.Warp != nil)
	}
	if p.Number == nil || p.Category != nil || p.List != nil || (p.Warped != nil) != (norm.Warp != nil) {
		return fmt.Errorf("no statistics of a number")
	}
	if p.Warped != nil {
		if err := p.Warped.check(); err != nil {
			return err
		}
	}
	if sampled(want) {
		if err := p.Sample.check(); err != nil {
			return err
		}
	}
	return p.Number.check()
}
