// Package pipeline is the user's document and what it means: Spec is the YAML
// as decoded, Render writes every default out, Compile binds it to a schema
// and yields a Plan, and Op is the form of one cleaning step. The children
// carry the plan out: pipeline/clean, pipeline/split, pipeline/feature,
// pipeline/event, pipeline/model, pipeline/optim and pipeline/artifact.
package pipeline

// Spec is one pipeline document, apiVersion thalweg/v1. It holds what this
// build can fulfil; fields of the format beyond that are refused by name when
// the text is read, never ignored.
type Spec struct {
	// APIVersion is the version of the form of specs.
	APIVersion string `yaml:"apiVersion" json:"apiVersion" jsonschema:"enum=thalweg/v1"`
	// Kind says what the document is.
	Kind string `yaml:"kind" json:"kind" jsonschema:"enum=Pipeline"`
	// Metadata names the pipeline.
	Metadata Metadata `yaml:"metadata" json:"metadata"`
	// Spec says what is trained, and what is scored with it.
	Spec Body `yaml:"spec" json:"spec"`

	catalog Catalog
	source  *source
}

// Metadata names the pipeline.
type Metadata struct {
	// Name is 1 to 63 lower-case letters, digits and hyphens, as a DNS label.
	Name string `yaml:"name" json:"name" jsonschema:"pattern=^[a-z0-9]([-a-z0-9]{0\\,61}[a-z0-9])?$" means:"a name has lower-case letters, digits, and '-' between them, at most 63"`
	// Labels are for people; nothing depends on them.
	Labels map[string]string `yaml:"labels,omitempty" json:"labels,omitempty"`
}

// Entries returns the entries of a kind in the catalog that the spec was read
// with.
func (s *Spec) Entries(kind Kind) []Entry { return s.catalog[kind] }

// EventSchema says where the schema of events is, as EventFormat.Schema does.
func (s *Spec) EventSchema() (file, registry string) {
	if e := s.Spec.Sources.Events; e != nil {
		if f, ok := e.Format.Options.(EventFormat); ok {
			return f.Schema()
		}
	}
	return "", ""
}

// SchemaFile returns the path of the schema of events, empty if the spec names
// none.
func (s *Spec) SchemaFile() string { file, _ := s.EventSchema(); return file }

// SchemaRegistry returns the connection of the registry that has the schemas of
// events, empty if the spec names none.
func (s *Spec) SchemaRegistry() string { _, registry := s.EventSchema(); return registry }

// Body is the spec proper.
type Body struct {
	// Sources are where rows and events come from.
	Sources Sources `yaml:"sources" json:"sources"`
	// Schema declares columns; without it those of the training files count.
	Schema *SchemaSpec `yaml:"schema,omitempty" json:"schema,omitempty"`
	// Tests are data quality tests of the rows that cleaning leaves.
	Tests []DataTest `yaml:"tests,omitempty" json:"tests,omitempty"`
	// Preprocessing says how rows are cleaned and split.
	Preprocessing Preprocessing `yaml:"preprocessing,omitempty" json:"preprocessing,omitempty"`
	// Defaults are options of all input features of a type.
	Defaults FeatureDefaults `yaml:"defaults,omitempty" json:"defaults,omitempty"`
	// InputFeatures are what the model sees.
	InputFeatures []InputFeature `yaml:"input_features" json:"input_features" jsonschema:"minItems=1"`
	// Crosses combine input features: [[origin, weekday], …] by name, or pairs for every
	// two categories. Each combination of values has a weight, by its hash.
	Crosses Crosses `yaml:"crosses,omitempty" json:"crosses,omitempty"`
	// OutputFeatures are what the model learns: one.
	OutputFeatures []OutputFeature `yaml:"output_features" json:"output_features" jsonschema:"minItems=1"`
	// Model chooses the kind of model.
	Model Choice `yaml:"model,omitempty" json:"model,omitempty" catalog:"models" refused:"fm,mlp" default:"linear"`
	// Trainer says how the model is trained.
	Trainer Trainer `yaml:"trainer,omitempty" json:"trainer,omitempty"`
	// Evaluation says how a version is judged.
	Evaluation Evaluation `yaml:"evaluation,omitempty" json:"evaluation,omitempty"`
	// Registry says where trained models go.
	Registry Registry `yaml:"registry,omitempty" json:"registry,omitempty"`
	// Scoring is the stream half: events scored with the newest champion.
	Scoring *Scoring `yaml:"scoring,omitempty" json:"scoring,omitempty"`
	// Schedule is when runs start by themselves. Default: when somebody asks for one.
	Schedule *Schedule `yaml:"schedule,omitempty" json:"schedule,omitempty"`
}
