package artifact

import (
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/event"
)

// NewDecoder returns a decoder of the events that the artifact scores. The
// format, and all that it takes to read it, is that of the spec that the model
// was trained by: it is part of what the version means, so that an old version
// reads events as it always did. The other fields of cfg are the caller's.
func (a *Artifact) NewDecoder(cfg event.Config) (*event.Decoder, error) {
	if source := a.Spec.Spec.Sources.Events; source != nil {
		cfg.Format = source.Format.Options.(event.Format)
		cfg.Schema = a.EventSchema
		if name := a.Spec.SchemaRegistry(); name != "" {
			if a.Schemas == nil {
				return nil, &thalweg.Error{Op: "read events", Kind: thalweg.Invalid, Subject: "schema registry " + name, Hint: "there is no connection to it"}
			}
			cfg.Schemas = a.Schemas
		}
	}
	cfg.Unread = a.plan.Unread
	if schema := a.Spec.Spec.Schema; schema != nil && schema.Timezone != "" {
		zone, err := time.LoadLocation(schema.Timezone)
		if err != nil {
			return nil, &thalweg.Error{Op: "load time zone", Kind: thalweg.Invalid, Subject: schema.Timezone, Err: err}
		}
		cfg.Zone = zone
	}
	schema := a.plan.EventColumns()
	schema.Key, cfg.Private = a.Key, a.Spec.Spec.Schema.Private()
	return event.NewDecoder(schema, cfg)
}
