package artifact

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/event"
	"github.com/thalweg/thalweg/pipeline/spelling"
)

// CheckEvents reports why events by an Avro schema cannot be scored by a plan
// whose spec names a file of it. It is stricter than what loads a version: a
// column that events should have and the schema has no field for would be null
// in every event.
func CheckEvents(plan *pipeline.Plan, schema string) error {
	if fields, err := event.AvroFields(schema); err == nil {
		if lacking := lackingFields(plan, fields); lacking != "" {
			return &thalweg.Error{Op: "check schema of events", Kind: thalweg.Invalid, Err: errors.New(lacking),
				Hint: "rename or add the field, or declare under schema.columns what events have: available_in: [training] is for columns that they lack"}
		}
	}
	a := &Artifact{Spec: plan.Spec, EventSchema: schema, plan: plan}
	return a.checkEvents()
}

// LackingFields says which columns are null in every event because the schema
// that is part of the artifact has no field for them, "" if none. Versions have
// such a schema only from builds that did not refuse it.
func (a *Artifact) LackingFields() string {
	fields, err := event.AvroFields(a.EventSchema)
	if a.EventSchema == "" || err != nil {
		return ""
	}
	return lackingFields(a.plan, fields)
}

// lackingFields says which columns no field fills that should be filled: those
// that the plan expects, and others that a field is nearly called like. It
// returns "" where there are none.
func lackingFields(plan *pipeline.Plan, fields []string) string {
	free := slices.DeleteFunc(slices.Clone(fields), func(name string) bool { _, _, known := plan.EventColumns().Lookup(name); return known })
	var lacking []string
	for _, c := range plan.ScoringInput.Columns {
		if c.From != "" || slices.Contains(fields, c.Name) {
			continue
		}
		near := spelling.Nearest(c.Name, slices.Values(free))
		switch {
		case near != "":
			lacking = append(lacking, fmt.Sprintf("there is no field for column %s, the nearest is %s", c.Name, near))
		case slices.Contains(plan.Expected, c.Name):
			lacking = append(lacking, fmt.Sprintf("there is no field for column %s, nor one of a similar name", c.Name))
		}
	}
	return strings.Join(lacking, "; ")
}

// maxTold bounds the schemas that a watch remembers. A topic has a handful.
const maxTold = 256

// Watch lets tell know, once of each schema of the registry that the artifact's
// events turn out to have, which columns it has no field for and so are null. It
// is called before the artifact is used, and tell by any goroutine.
func (a *Artifact) Watch(tell func(id uint32, lacking string)) {
	if a.Schemas != nil {
		a.Schemas = &watch{Schemas: a.Schemas, plan: a.plan, tell: tell, told: make(map[uint32]bool)}
	}
}

// watch is a schema registry whose schemas are held against a plan.
type watch struct {
	event.Schemas
	plan *pipeline.Plan
	tell func(id uint32, lacking string)
	mu   sync.Mutex
	told map[uint32]bool // guarded by mu
}

// Schema implements event.Schemas.
func (w *watch) Schema(ctx context.Context, id uint32) ([]string, error) {
	texts, err := w.Schemas.Schema(ctx, id)
	if err != nil || !w.first(id) {
		return texts, err
	}
	if fields, err := event.AvroFields(texts...); err == nil { // else its events are dead letters that say so
		if lacking := lackingFields(w.plan, fields); lacking != "" {
			w.tell(id, lacking)
		}
	}
	return texts, nil
}

// first reports whether a schema has not been held against the plan yet.
func (w *watch) first(id uint32) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.told[id] {
		return false
	}
	if len(w.told) >= maxTold {
		clear(w.told)
	}
	w.told[id] = true
	return true
}
