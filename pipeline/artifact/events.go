package artifact

import (
	"fmt"
	"slices"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/event"
	"github.com/thalweg/thalweg/pipeline/table"
)

// Protects refuses a version that leaves values as they are which columns of a spec have
// pii for.
func (a *Artifact) Protects(by *pipeline.SchemaSpec) error {
	if !by.Private() {
		return nil
	}
	for _, c := range by.Columns {
		_, had, known := a.Schema.Lookup(c.Name)
		if c.PII != "" && (!a.Spec.Spec.Schema.Private() || known && had.PII == "") {
			return &thalweg.Error{Op: "protect events", Kind: thalweg.Unsupported, Subject: "column " + c.Name, Err: fmt.Errorf("the version was trained without its pii: %s", c.PII),
				Hint: "name a version that this spec trained; a stream waits until one is promoted"}
		}
	}
	return nil
}

// HashedBy returns the key, of those of a worker, that columns were hashed with when the
// version was trained; none where none was.
func (a *Artifact) HashedBy(keys func(name string) (table.Key, error)) (key table.Key, err error) {
	name := a.Spec.Spec.Schema.KeyName()
	if name == "" {
		return key, nil
	}
	if key, err = keys(name); err == nil {
		err = key.Check(name, a.Provenance.Key)
	}
	return key, err
}

// NewDecoder returns a decoder of the events that the artifact scores. The
// format, and all that it takes to read it, is that of the spec that the model
// was trained by: it is part of what the version means, so that an old version
// reads events as it always did. The other fields of cfg are the caller's.
func (a *Artifact) NewDecoder(cfg event.Config) (*event.Decoder, error) {
	cfg, err := a.eventFormat(cfg)
	if err != nil {
		return nil, err
	}
	return a.newDecoder(a.plan.EventColumns(), cfg)
}

// eventFormat completes what is the same for all decoders of events.
func (a *Artifact) eventFormat(cfg event.Config) (event.Config, error) {
	if source := a.Spec.Spec.Sources.Events; source != nil {
		cfg.Format = source.Format.Options.(event.Format)
		cfg.Schema = a.EventSchema
		if name := a.Spec.SchemaRegistry(); name != "" {
			if a.Schemas == nil {
				return cfg, &thalweg.Error{Op: "read events", Kind: thalweg.Invalid, Subject: "schema registry " + name, Hint: "there is no connection to it"}
			}
			cfg.Schemas = a.Schemas
		}
	}
	return cfg, nil
}

// NewColumnDecoder returns a decoder of one column of the events, which leaves the others
// alone; an event without a value of it is null there.
func (a *Artifact) NewColumnDecoder(column string, cfg event.Config) (*event.Decoder, error) {
	cfg, err := a.eventFormat(cfg)
	if err != nil {
		return nil, err
	}
	return a.columnDecoder(column, a.plan.EventColumns(), cfg)
}

// NewRequestColumnDecoder does the same for rows that somebody asks about.
func (a *Artifact) NewRequestColumnDecoder(column string, cfg event.Config) (*event.Decoder, error) {
	return a.columnDecoder(column, a.RequestColumns(), a.requestFormat(cfg))
}

func (a *Artifact) columnDecoder(name string, schema table.Schema, cfg event.Config) (*event.Decoder, error) {
	_, c, known := schema.Lookup(name)
	if !known {
		return nil, &thalweg.Error{Op: "read events", Kind: thalweg.Invalid, Subject: "column " + name, Err: fmt.Errorf("events have no such column"), Hint: "rollout.by names one of spec.schema.columns"}
	}
	c.Nullable = true
	schema.Columns = []table.Column{c}
	cfg.Sparse = true
	switch of := cfg.Format.(type) { // the others are unknown fields here
	case *event.JSONFormat:
		one := *of
		one.OnUnknownField = event.Ignore
		cfg.Format = &one
	case *event.AvroFormat:
		one := *of
		one.OnUnknownField = event.Ignore
		cfg.Format = &one
	}
	return a.newDecoder(schema, cfg)
}

// RequestColumns are those of the rows that somebody asks about: those of events. What fills
// a column from the record around an event is a field, which may be missing.
func (a *Artifact) RequestColumns() table.Schema {
	schema := a.plan.EventColumns()
	for i := range schema.Columns {
		c := &schema.Columns[i]
		c.From, c.Nullable = "", c.Nullable || c.From != ""
	}
	return schema
}

// NewRequestDecoder returns a decoder of the rows that somebody asks about, as JSON objects.
// It reads values as that of events does where those are JSON, texts of timestamps as that of
// events in any format.
func (a *Artifact) NewRequestDecoder(cfg event.Config) (*event.Decoder, error) {
	return a.newDecoder(a.RequestColumns(), a.requestFormat(cfg))
}

// requestFormat completes what is the same for all decoders of requests.
func (a *Artifact) requestFormat(cfg event.Config) event.Config {
	options := new(event.JSONFormat)
	if source := a.Spec.Spec.Sources.Events; source != nil {
		switch of := source.Format.Options.(type) {
		case *event.JSONFormat:
			options = of
		case event.Format:
			options.TimestampFormats = of.TimeFormats()
		}
	}
	cfg.Format = options
	return cfg
}

// newDecoder completes what is the same for all that the artifact scores.
func (a *Artifact) newDecoder(schema table.Schema, cfg event.Config) (*event.Decoder, error) {
	cfg.Unread = a.plan.Unread
	if of := a.Spec.Spec.Schema; of != nil && of.Timezone != "" {
		zone, err := time.LoadLocation(of.Timezone)
		if err != nil {
			return nil, &thalweg.Error{Op: "load time zone", Kind: thalweg.Invalid, Subject: of.Timezone, Err: err}
		}
		cfg.Zone = zone
	}
	schema.Key, cfg.Private = a.Key, a.Spec.Spec.Schema.Private()
	return event.NewDecoder(schema, cfg)
}

// NewRowDecoder returns a decoder of rows that somebody wrote down as JSON, with the
// columns that scored rows have: what fills a column of an event is a field, and values
// that are hashed are so already.
func (a *Artifact) NewRowDecoder() (*event.Decoder, error) {
	schema := table.Schema{Timezone: a.plan.ScoringInput.Timezone, Columns: slices.Clone(a.plan.ScoringInput.Columns)}
	for i := range schema.Columns {
		c := &schema.Columns[i]
		c.From, c.PII, c.Raw = "", "", ""
		c.Nullable = true
	}
	zone, err := time.LoadLocation(schema.Timezone)
	if err != nil {
		return nil, &thalweg.Error{Op: "load time zone", Kind: thalweg.Invalid, Subject: schema.Timezone, Err: err}
	}
	return event.NewDecoder(schema, event.Config{Format: &event.JSONFormat{TimestampFormats: table.TimeFormats()}, Zone: zone})
}
