// Package pipeline is the user's document and what it means: Spec is the YAML
// as decoded, Render writes every default out, Compile binds it to a schema
// and yields a Plan, and Op is the form of one cleaning step. The children
// carry the plan out: pipeline/clean, pipeline/split, pipeline/feature,
// pipeline/event, pipeline/model, pipeline/optim and pipeline/artifact.
package pipeline

// Spec is one pipeline document, apiVersion thalweg/v1. Fields that this build
// cannot fulfil are kept, so that they are refused by name and never ignored.
type Spec struct {
	APIVersion string   `yaml:"apiVersion" json:"apiVersion"`
	Kind       string   `yaml:"kind" json:"kind"`
	Metadata   Metadata `yaml:"metadata" json:"metadata"`
	Spec       Body     `yaml:"spec" json:"spec"`
}

// Metadata names the pipeline.
type Metadata struct {
	Name   string            `yaml:"name" json:"name"`
	Labels map[string]string `yaml:"labels,omitempty" json:"labels,omitempty"`
}

// Body is the spec proper.
type Body struct {
	Sources        Sources         `yaml:"sources" json:"sources"`
	Schema         *SchemaSpec     `yaml:"schema,omitempty" json:"schema,omitempty"`
	Preprocessing  Preprocessing   `yaml:"preprocessing,omitempty" json:"preprocessing,omitempty"`
	Defaults       FeatureDefaults `yaml:"defaults,omitempty" json:"defaults,omitempty"`
	InputFeatures  []InputFeature  `yaml:"input_features" json:"input_features"`
	OutputFeatures []OutputFeature `yaml:"output_features" json:"output_features"`
	Model          ModelSpec       `yaml:"model,omitempty" json:"model,omitempty"`
	Trainer        Trainer         `yaml:"trainer,omitempty" json:"trainer,omitempty"`
	Registry       Registry        `yaml:"registry,omitempty" json:"registry,omitempty"`
	Scoring        *Scoring        `yaml:"scoring,omitempty" json:"scoring,omitempty"`
}
