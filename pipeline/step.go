package pipeline

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/pipeline/table"
)

// Phase tells an operator which half of the pipeline it runs in.
type Phase string

// The phases, as apply_to and available_in spell them.
const (
	InTraining Phase = "training"
	InScoring  Phase = "scoring"
)

// Preprocessing is cleaning and splitting.
type Preprocessing struct {
	// Clean are the steps in order, the same for files and events.
	Clean []CleanStep `yaml:"clean,omitempty" json:"clean,omitempty" jsonschema:"maxItems=600"`
	// SampleRatio is the share of the rows of the training data that a run uses, of all
	// splits. Before they are cleaned they are drawn by the hash of the trainer's seed, an
	// object's key without its extension and the row in it, so that a row is drawn
	// whatever other objects come and go. Default: all.
	SampleRatio float64 `yaml:"sample_ratio,omitempty" json:"sample_ratio,omitempty" jsonschema:"exclusiveMinimum=0,maximum=1"`
	// Split says which rows are for training, validation and test.
	Split Split `yaml:"split,omitempty" json:"split,omitempty"`
}

// CleanStep is one cleaning step: one operator of the catalog.
type CleanStep struct {
	Choice `yaml:",inline" json:"-" catalog:"steps"`
}

// StepSpec is what a step of one operator says: the Options of an entry of the
// kind Steps. Its struct embeds StepPhases, inlined, as its last field.
type StepSpec interface {
	// Bind notes what the step does to the columns of a phase, and what is wrong
	// with it, and returns the operator; nil where something is wrong. The step is
	// valid and has its defaults.
	Bind(at *Columns) Op
	// Phases returns the step's StepPhases.
	Phases() *StepPhases
}

// StepPhases is the field that all steps have.
type StepPhases struct {
	// ApplyTo names the phases in which the step runs, or the data test. Default both, but
	// [training] for a step that removes rows, and for a test of their number.
	ApplyTo []Phase `yaml:"apply_to,omitempty" json:"apply_to,omitempty" default:"[training, scoring]"`
}

// TrainingOnly refuses a step or a test that looks at other rows where events come one by
// one; what names it.
func (p *StepPhases) TrainingOnly(at Place, what string) {
	if slices.Contains(p.ApplyTo, InScoring) {
		at.Unsupported("apply_to", "write apply_to: [training]", what+" of events, which come one by one")
	}
}

// Phases implements StepSpec.
func (p *StepPhases) Phases() *StepPhases { return p }

// Step returns the entry of a cleaning operator.
func Step(name string, options StepSpec) Entry { return Entry{name, options} }

// Op is one cleaning operator bound to its columns: an Arrow batch in, an Arrow
// batch out.
//
// Apply never releases its input and the caller owns the result, which may be
// the input retained. The batch's last column is RowColumn, and stays so. An Op
// holds no state that a batch changes: applying it to rows one by one or all at
// once gives the same rows. Apply may be called from several goroutines.
type Op interface {
	// Apply transforms a batch; new columns are made in mem. Rows that it removes
	// or cannot treat are named in rep; nothing vanishes silently.
	Apply(ctx context.Context, mem memory.Allocator, batch arrow.Record, rep *Report) (arrow.Record, error)
}

// BalancingSpec is a StepSpec that balances the training rows, by the method that it names.
type BalancingSpec interface{ Balances() (method string) }

// Balancing is the operator of such a step, which is the last. Its Apply leaves rows as they
// are: they are balanced once their splits are known.
type Balancing interface {
	Op
	Balance() Balance
}

// Balance says by which column training rows are balanced, and how.
type Balance struct{ Step, By, Method string }

// The methods of balancing.
const (
	Downsample = "downsample"
	Upsample   = "upsample"
	Weights    = "weights" // rows are neither left out nor repeated, but weigh more or less
)

// Balances reports whether the training rows of a spec are balanced.
func (s *Spec) Balances() bool {
	_, balances := s.balancing()
	return balances
}

// balancing returns the step that balances the training rows of a spec.
func (s *Spec) balancing() (step BalancingSpec, ok bool) {
	for _, c := range s.Spec.Preprocessing.Clean {
		if step, ok = c.Options.(BalancingSpec); ok {
			return step, true
		}
	}
	return nil, false
}

// Balance returns how the training rows are balanced; ok: they are.
func (p *Plan) Balance() (b Balance, ok bool) {
	for _, s := range p.Steps {
		if op, balances := s.Training.(Balancing); balances {
			return op.Balance(), true
		}
	}
	return b, false
}

// MaxShuffles bounds the passes over the whole dataset that a spec may ask for.
const MaxShuffles = 8

// Shuffle says which rows of a dataset belong together, and which of them comes first.
type Shuffle struct {
	// Keys are the columns that rows of one key have equal values in. Null is equal to
	// null, and NaN to NaN, as SELECT DISTINCT has them.
	Keys []string
	// By is the column that orders the rows of a key; those without a value come last.
	// Rows with equal values, and all where it is empty, are in the order of the dataset:
	// that of its objects' keys and of the rows in them.
	By string
	// Descending turns the order around, but for the rows without a value.
	Descending bool
	// Value is the column of which rows without a value get the last before them in their
	// key; empty: what is found are the rows that are not the first of their key.
	Value string
	// Labels, where there are any, are columns of a label file of which rows get the values
	// in the row that has their only key, cells of table.JoinCells. Null is equal to nothing.
	Labels []table.Column
}

// Settled is what a shuffle found of the rows of one shard.
type Settled struct {
	// Rows are the numbers of the rows found, in order.
	Rows []int64
	// Values are what they get, where the shuffle has a column of values: texts, or eight
	// bytes, the lowest first, of a number, a time, or a bool as 0 or 1. Where it has
	// labels, they are cells.
	Values []string
}

// Sort puts the rows in order.
func (s *Settled) Sort() {
	if len(s.Values) == 0 {
		slices.Sort(s.Rows)
		return
	}
	order := make([]int, len(s.Rows))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(s.Rows[a], s.Rows[b]) })
	was := *s
	s.Rows, s.Values = make([]int64, len(order)), make([]string, len(order))
	for i, k := range order {
		s.Rows[i], s.Values[i] = was.Rows[k], was.Values[k]
	}
}

// In yields the rows of a batch that are among those found, each with its place there.
func (s *Settled) In(batch arrow.Record) iter.Seq2[int, int] {
	return func(yield func(row, at int) bool) {
		at := -1
		for i, row := range table.Rows(batch) {
			if at < 0 {
				at, _ = slices.BinarySearch(s.Rows, row)
			}
			for at < len(s.Rows) && s.Rows[at] < row {
				at++
			}
			if at == len(s.Rows) || s.Rows[at] == row && !yield(i, at) {
				return
			}
		}
	}
}

// Mark marks the rows of a batch that are among those found.
func (s *Settled) Mark(batch arrow.Record) table.Mask {
	found := table.NewMask(int(batch.NumRows()))
	for i := range s.In(batch) {
		found.Set(i)
	}
	return found
}

// ErrUnsettled is why rows cannot be treated of which no shuffle has found anything yet.
var ErrUnsettled = errors.New("the rows of each key have not been brought together yet")

// ShufflingSpec is a StepSpec, or a TestSpec, that may have to see all rows of a key
// together, wherever in the dataset they are. It applies in training only.
type ShufflingSpec interface {
	// Shuffles reports whether what is specified does.
	Shuffles() bool
}

// Shuffler is the operator of a step that shuffles. Its Apply fails.
type Shuffler interface {
	Op
	// Shuffle says what is brought together.
	Shuffle() Shuffle
	// With returns the operator of the rows of a shard, of which the shuffle found so much.
	With(found *Settled) Op
}

// Pass is one shuffle of a plan.
type Pass struct {
	Name string // of the step or test
	Shuffle
	// Step is the first step that the rows have not been through; all of a test's have.
	Step int
}

// shuffles reports whether options of a step or test do.
func shuffles(options any) bool {
	s, ok := options.(ShufflingSpec)
	return ok && s.Shuffles()
}

// Valued reports whether the rows that are found get values.
func (s Shuffle) Valued() bool { return s.Value != "" || len(s.Labels) > 0 }

// Shuffles returns how many steps, the join with a label file among them, and how many tests
// of a spec need a pass of their own.
func (s *Spec) Shuffles() (steps, tests int) {
	if s.Spec.Sources.Train.LabelFile != nil {
		steps++
	}
	for _, c := range s.Spec.Preprocessing.Clean {
		if shuffles(c.Options) {
			steps++
		}
	}
	for _, t := range s.Spec.Tests {
		if shuffles(t.Test.Options) {
			tests++
		}
	}
	return steps, tests
}

// Passes returns the shuffles of a plan in their order: those of steps, then those of
// tests.
func (p *Plan) Passes() (passes []Pass) {
	for i, s := range p.Steps {
		if op, ok := s.Training.(Shuffler); ok {
			passes = append(passes, Pass{s.Name, op.Shuffle(), i})
		}
	}
	for i := range p.Tests {
		if t := &p.Tests[i]; t.Key != nil {
			passes = append(passes, Pass{t.PassName(), *t.Key, len(p.Steps)})
		}
	}
	return passes
}

// passes checks how many a spec asks for; path is of one that does.
func (c *compiler) passes(path string) {
	if steps, tests := c.spec.Shuffles(); steps+tests > MaxShuffles {
		c.found.add(path, "join steps of the same keys, or prepare the files before", "the spec asks for %d passes over the whole dataset, at most %d are made", steps+tests, MaxShuffles)
	}
}

// shuffled checks the place of a step that shuffles.
func (c *compiler) shuffled(path string) {
	c.passes(path)
	for _, before := range c.plan.Steps {
		if _, ok := before.Training.(Learner); ok {
			c.found.add(path, "put it before that step", "step %q learns from the training rows, and which these are has to be settled first", before.Name)
			return
		}
	}
}

// keyTypes are the types of columns that rows have in a key, and orderTypes those of
// columns that order them.
var (
	keyTypes   = []table.Type{table.String, table.Int64, table.Float64, table.Bool, table.Timestamp}
	orderTypes = []table.Type{table.Int64, table.Float64, table.Bool, table.Timestamp}
)

// Key notes that the step brings rows together by the column of a field.
func (c *Columns) Key(field, name string) {
	if column, ok := c.Lookup(field, name); ok && !slices.Contains(keyTypes, column.Type) {
		c.Problem(field, "", "column %s is %s: rows are not brought together by lists", name, column.Type)
	}
}

// Order notes that the step orders rows by the column of a field.
func (c *Columns) Order(field, name string) {
	if column, ok := c.Lookup(field, name); ok && !slices.Contains(orderTypes, column.Type) {
		c.Problem(field, "cast it first", "column %s is %s: rows are ordered by %s", name, column.Type, anyOf(orderTypes))
	}
}
