package pipeline

import (
	"cmp"
	"iter"
	"reflect"
	"slices"
	"strings"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/spelling"
	"github.com/thalweg/thalweg/pipeline/table"
)

// Kind is a kind of things that a spec chooses by name. The catalog tag of a
// field says which kind the field chooses from.
type Kind string

// The kinds.
const (
	Steps  Kind = "steps"
	Models Kind = "models"
	// Networks are the models that have hidden layers which another model can read.
	Networks       Kind = "networks"
	Losses         Kind = "losses"
	Optimizers     Kind = "optimizers"
	Schedulers     Kind = "schedulers"
	Encoders       Kind = "encoders"
	Normalizations Kind = "normalizations"
	Metrics        Kind = "metrics"
	EventFormats   Kind = "event_formats"
	DatasetFormats Kind = "dataset_formats"
	Streams        Kind = "streams"
	TableFormats   Kind = "table_formats"
	SinkFormats    Kind = "sink_formats"
	Splits         Kind = "splits"
	// MissingValues are the strategies for missing values: an entry for each type of
	// feature that has it.
	MissingValues Kind = "missing_values"
	// Tests are what data tests ask of rows.
	Tests            Kind = "tests"
	DeadLetterTopics Kind = "dead_letter_topics"
	// Uncertainties are the ways in which models say how far answers may be off.
	Uncertainties Kind = "uncertainties"
	// SearchAlgorithms say which values of fields are tried.
	SearchAlgorithms Kind = "search_algorithms"
)

// Catalog is all that a spec can choose by name, by kind. It is handed to Parse,
// and the Spec that Parse returns keeps it: allowed values, hints, defaults,
// checks and the JSON schema all come from its entries.
type Catalog map[Kind][]Entry

// Entry is one thing that a spec can choose.
type Entry struct {
	// Name is what specs call it.
	Name string
	// Options is a pointer to an empty struct: the fields that the thing has in a
	// spec. Its tags are those of the structs of this package. It may implement
	// Defaulter and Checker; what else it must implement, its kind says.
	Options any
}

// Defaulter is options with default values that default tags cannot state.
type Defaulter interface {
	// Defaults fills in what the text has not set.
	Defaults(at Place)
}

// Conditional is options whose default tags do not hold in some cases.
type Conditional interface{ HasDefaults() bool }

// Checker is a value of a spec with rules that tags cannot state.
type Checker interface {
	// Check notes what is wrong. Defaults are filled in.
	Check(at Place)
}

// Typed is options that go with features or outputs of one type. The first entry
// of a kind for a type is its default.
type Typed interface{ For() string }

// TypedMany is Typed options that go with other types too.
type TypedMany interface {
	Typed
	AlsoFor() []string
}

// typesOf lists the types that options go with.
func typesOf(options any) (types []string) {
	if t, ok := options.(Typed); ok {
		types = append(types, t.For())
	}
	if t, ok := options.(TypedMany); ok {
		types = append(types, t.AlsoFor()...)
	}
	return types
}

// Choice is an entry that a spec has chosen, and its options. A field of this
// type has a catalog tag. With yaml:",inline" the entry's name is a field of the
// struct around it ("trim: {…}"); else the field's value is a mapping with the
// name as its type, or what the key tag says, and the options beside it
// ("{type: adam, …}").
type Choice struct {
	Name string
	// Options is a pointer to the entry's struct, or nil where no entry has the
	// name.
	Options any
	// Key is the field that has the name; empty: type.
	Key string
}

func (c *Choice) key() string { return cmp.Or(c.Key, "type") }

// Ordered is options of a metric, of which more or less is better.
type Ordered interface{ Rises() bool }

// FeatureDefaulter is options of a model whose features enter otherwise than by the
// first encoder of their type.
type FeatureDefaulter interface {
	// FeatureDefaults returns the encoder of a type of feature, and how many values
	// of a category have an id; "" and 0 are what they are otherwise.
	FeatureDefaults(feature string) (encoder string, mostCommon int)
}

// Averaging is options of a model that may be the mean of others, and reports whether it is:
// losses of it are OfMeans and do not weigh.
type Averaging interface {
	Averages() bool
	// Mean is what the mean is called, and Instead what is a model of any loss.
	Mean() string
	Instead() string
}

// OfMeans is options of a loss whose best outputs for some rows follow from the mean of
// their labels, or of classes from their shares.
type OfMeans interface {
	// FromMeans overwrites means by the outputs that predict them.
	FromMeans(means []float32)
}

// Directed is options of a model whose prediction only rises (1), or only falls (-1), with
// numbers.
type Directed interface{ Directions() map[string]int }

// Trained is options of a model that one algorithm trains, whatever the optimizer.
type Trained interface{ TrainedBy() string }

// Penalized is options of a model that wants a trainer.regularization.l2 of its own by
// default, for a type of output.
type Penalized interface{ L2(output string) float64 }

// Patient is options of a model that wants a trainer.early_stop of its own by default.
type Patient interface{ EarlyStop() int }

// Annealed is options of a model whose learning rate falls to zero over the epochs by default, by
// a scheduler of this name. Training then has no early stop by default.
type Annealed interface{ Scheduler() string }

// Reader is options of a model that does not read every type of feature: it returns those
// that it reads.
type Reader interface{ Reads() []string }

// ListReader is options of a model that reads one list: ReadsList says what is wrong with one
// of a shape.
type ListReader interface{ ReadsList(shape []int) error }

// Batched is options of a model that learns from so many rows of a batch at least, and why.
type Batched interface {
	LeastBatch() (rows int, why, instead string)
}

// Fronted is options of a model that may read the hidden layer of a network, which a version
// has, in place of the features.
type Fronted interface {
	// Front returns the network; one without a name where there is none.
	Front() Choice
}

// Front returns what of a model reads the features: the network before it, or itself.
func Front(model Choice) Choice {
	if f, ok := model.Options.(Fronted); ok && f.Front().Name != "" {
		return f.Front()
	}
	return model
}

// WarmStarter is options of a model whose training can start from a version's weights.
type WarmStarter interface{ StartsWarm() bool }

// Selective is options of a model that cannot give every type of answer.
type Selective interface{ AnswersWith() []string }

// Restricted is options of an optimizer with which some fields of the trainer have no
// meaning: it returns what to do instead, by path ("regularization.l1").
type Restricted interface{ Without() map[string]string }

// Demanding is options of an optimizer that does not train every model: it returns why it
// does not train one of the given options, or "".
type Demanding interface{ Refuses(model any) string }

// Embedder is options of an encoder whose values a model learns.
type Embedder interface{ Embeds() }

// Embedding is options of a model that learns them.
type Embedding interface{ LearnsEmbeddings() }

// Decayer is options of an optimizer that decays weights by a share of them, times
// the rate, before each step. regularization.l2 then does so too by default.
type Decayer interface{ Decay() float64 }

// Staller is options of a schedule that waits for evaluations without improvement.
type Staller interface{ Stalls() int }

// Binner is options of an encoder that tells numbers apart by their order: no scale
// matters to it, and a missing value is a bin of its own.
type Binner interface{ Bins() int }

// Cyclic is options of an encoder of numbers that begin anew after a period, as hours do:
// no scale matters to it.
type Cyclic interface{ Cycle() float64 }

// Valued is options of an encoder that makes values of a category numbers.
type Valued interface{ Values() }

// Supervised is options of an encoder that is fitted to labels, of so many folds.
type Supervised interface{ LabelFolds() int }

// Hasher is options of an encoder that gives each value of a category the id that its
// hash says, so that none is left out.
type Hasher interface{ HashBuckets() int }

// SplitMethod is the Options of an entry of the kind Splits.
type SplitMethod interface {
	// SplitBy returns the types that the column may have that rows are split by, and what
	// a spec is told that lacks one; none where there is no column.
	SplitBy() (types []table.Type, what string)
	// NotOfEvents says what the split goes by that events do not have; "" where they can
	// be told theirs.
	NotOfEvents() string
	// Given reports whether the data, and not probabilities, say how large the splits are.
	Given() bool
	// Folded reports whether it cuts rows into folds too.
	Folded() bool
}

// splitMethod returns the way of splitting of a name.
func (c Catalog) splitMethod(name string) (SplitMethod, bool) {
	entry, _ := c.find(Splits, name)
	m, ok := entry.Options.(SplitMethod)
	return m, ok
}

// splitting names the ways of splitting that are as asked for.
func (c Catalog) splitting(as func(SplitMethod) bool) string {
	var names []string
	for _, name := range c.names(Splits) {
		if m, ok := c.splitMethod(name); ok && as(m) {
			names = append(names, name)
		}
	}
	if last := len(names) - 1; last > 0 {
		return strings.Join(names[:last], ", ") + " or " + names[last]
	}
	return strings.Join(names, "")
}

// byColumn reports whether a way of splitting has a column.
func byColumn(m SplitMethod) bool {
	types, _ := m.SplitBy()
	return types != nil
}

// ofEvents reports whether events can be told their split.
func ofEvents(m SplitMethod) bool { return m.NotOfEvents() == "" }

// folded reports whether a way of splitting has folds.
func folded(m SplitMethod) bool { return m.Folded() }

var choiceType = reflect.TypeFor[Choice]()

// optionsOf returns a pointer to a struct, or the options where it is a choice.
func optionsOf(v reflect.Value) any {
	if c, ok := v.Addr().Interface().(*Choice); ok {
		return c.Options
	}
	return v.Addr().Interface()
}

// choose sets a choice to an entry with nothing set. Where there is no entry of
// that name, the options are those of the entry that was likely meant, or of the
// default, so that they can be judged; and nil where there is none.
func (c Catalog) choose(kind Kind, name, standard string, choice *Choice) {
	choice.Name, choice.Options = name, nil
	entry, ok := c.find(kind, name)
	if !ok {
		entry, ok = c.find(kind, cmp.Or(spelling.Nearest(name, slices.Values(c.names(kind))), standard))
	}
	if ok {
		choice.Options = entry.new()
	}
}

// Choose returns the choice of an entry with options that are JSON.
func (c Catalog) Choose(kind Kind, name string, options []byte) (Choice, error) {
	entry, ok := c.find(kind, name)
	if !ok {
		return Choice{}, &thalweg.Error{Op: "choose from " + string(kind), Kind: thalweg.Unsupported, Subject: name, Hint: oneOf(c.names(kind))}
	}
	choice := Choice{Name: name, Options: entry.new()}
	return choice, thalweg.DecodeStrict(options, choice.Options)
}

// having lists the names of the entries that have an option.
func (c Catalog) having(kind Kind, option string) []string {
	var names []string
	for _, e := range c[kind] {
		if slices.ContainsFunc(fields(reflect.ValueOf(e.Options).Elem()), func(f field) bool { return f.name == option }) {
			names = append(names, e.Name)
		}
	}
	return names
}

// namesFor lists the names of the entries that go with a type of feature or
// output.
func (c Catalog) namesFor(kind Kind, what string) []string {
	var names []string
	for _, e := range c[kind] {
		if slices.Contains(typesOf(e.Options), what) {
			names = append(names, e.Name)
		}
	}
	return names
}

// defaultFor returns the first of namesFor; "" where there is none.
func (c Catalog) defaultFor(kind Kind, what string) string {
	names := append(c.namesFor(kind, what), "")
	return names[0]
}

// find returns the entry of that name.
func (c Catalog) find(kind Kind, name string) (Entry, bool) {
	for _, e := range c[kind] {
		if e.Name == name {
			return e, true
		}
	}
	return Entry{}, false
}

// names lists the names of a kind in the order of the catalog, each once.
func (c Catalog) names(kind Kind) []string {
	var names []string
	for _, e := range c[kind] {
		if !slices.Contains(names, e.Name) {
			names = append(names, e.Name)
		}
	}
	return names
}

// new returns the entry's options with nothing set.
func (e Entry) new() any { return reflect.New(reflect.TypeOf(e.Options).Elem()).Interface() }

// choices lists the inline choices of a struct, with their kinds.
func choices(of reflect.Type) iter.Seq2[Kind, int] {
	return func(yield func(Kind, int) bool) {
		for i := range of.NumField() {
			f := of.Field(i)
			if f.Type == choiceType && f.Tag.Get("yaml") == ",inline" && !yield(Kind(f.Tag.Get("catalog")), i) {
				return
			}
		}
	}
}
