package event

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
)

// AvroFormat is Avro records, one an event.
type AvroFormat struct {
	// OnUnknownField is what becomes of an event with a field that is no column: the
	// field is passed over, or the event is kept as a dead letter.
	OnUnknownField string `yaml:"on_unknown_field,omitempty" json:"on_unknown_field,omitempty" jsonschema:"enum=ignore,enum=dead_letter" default:"ignore"`
	// TimestampFormats of texts in events are tried in order: rfc3339, epoch_ms (of
	// numbers too), or a layout of Go's time package.
	TimestampFormats []string `yaml:"timestamp_formats,omitempty" json:"timestamp_formats,omitempty"`
	// SchemaRegistry names the connection of the registry that has the schemas of
	// events, which are in Confluent's wire format: a zero, the schema's id in four
	// bytes, the event.
	SchemaRegistry string `yaml:"schema_registry,omitempty" json:"schema_registry,omitempty"`
	// SchemaFile is the schema of events that are nothing but the event. It is read
	// over the connection of the training data when a run begins, and is part of the
	// model that the run makes.
	SchemaFile string `yaml:"schema_file,omitempty" json:"schema_file,omitempty" jsonschema:"pattern=^s3://[a-z0-9]" means:"write s3://BUCKET/PATH; thalweg put copies files of this machine there"`
}

// Defaults implements pipeline.Defaulter.
func (f *AvroFormat) Defaults(at pipeline.Place) { defaultTimestamps(at, &f.TimestampFormats) }

// Check implements pipeline.Checker.
func (f *AvroFormat) Check(at pipeline.Place) {
	switch {
	case f.SchemaRegistry == "" && f.SchemaFile == "":
		at.Problem("", "", "avro needs schema_registry, or schema_file")
	case f.SchemaRegistry != "" && f.SchemaFile != "":
		at.Problem("schema_file", "", "only one of schema_registry and schema_file can be there")
	}
	if strings.Contains(f.SchemaRegistry, "://") {
		at.Problem("schema_registry", "name a connection that an operator registered", "an address has no place in a spec")
	}
	if f.SchemaFile != "" {
		at.S3Path("schema_file", f.SchemaFile)
	}
	checkTimestamps(at, f.TimestampFormats)
}

// FieldNames implements pipeline.EventFormat.
func (*AvroFormat) FieldNames() []string { return nil }

// Schema implements pipeline.EventFormat.
func (f *AvroFormat) Schema() (file, registry string) { return f.SchemaFile, f.SchemaRegistry }

// TimeFormats implements Format.
func (f *AvroFormat) TimeFormats() []string { return f.TimestampFormats }

// Open implements Format.
func (f *AvroFormat) Open(c *Cells) (Reader, error) { return newAvro(c, f) }

// Schemas is a schema registry.
type Schemas interface {
	// Schema returns the texts of the schema with an id: those of the schemas that
	// it refers to, in an order in which each knows the ones it needs, and its own
	// last. An id means the same schema for ever. An error of kind NotFound says
	// that there is none, Invalid, Corrupt or Unsupported that it is none of Avro
	// or beyond bounds: its events are rejected. Others may pass.
	Schema(ctx context.Context, id uint32) (texts []string, err error)
}

const (
	// maxSchemas bounds the schemas that are kept from run to run. A topic has a
	// handful.
	maxSchemas = 256
	// schemaRequests bounds the schemas that are asked for at the same time.
	schemaRequests = 8
	// wireHeader is the bytes before a value in Confluent's wire format.
	wireHeader = 5
)

// avroFormat reads one Avro record an event, by its writer's schema. Fields find
// their columns by name, a union the branch that was written. An int64 column
// takes int, long and times of day (as microseconds), a float64 column numbers
// that are finite, a string column string and enum, a timestamp column
// timestamps, dates, and what timestamp_formats say of strings and numbers.
// Nothing takes bytes and fixed that are no decimals. Fields that are no columns are checked
// for their syntax only.
type avroFormat struct {
	Cells
	options  *AvroFormat
	schemas  Schemas                 // nil: all events have one schema
	programs map[uint32]*avroProgram // by schema id
	zone     *table.Offsets          // nil: UTC

	// The state of one run and one event.
	lastID uint32
	last   *avroProgram // of lastID; nil: none yet
	steps  int          // values that may still be skipped
}

// avroProgram is how events of one schema are read.
type avroProgram struct {
	fields []avroField
	names  []string // of the first maxNames
	// unknown names a field that is no column, "" if there is none.
	unknown string
	// lacks says of a column, by its position, that the schema has no field for it.
	lacks map[int]string
	// flaw and cause say why no event of the schema can be read, if so.
	flaw, cause string
	missing     bool // the registry does not know the schema (yet)
}

// FieldNames implements Reader.
func (f *avroFormat) FieldNames([]byte) []string { return f.last.names }

// avroField is a field of the record in the order of the schema.
type avroField struct {
	typ    *avroType
	column int    // -1: it is skipped
	fills  bool   // the column takes the type
	union  []bool // the same of a union's branches
}

func newAvro(c *Cells, options *AvroFormat) (Reader, error) {
	f := &avroFormat{Cells: *c, options: options, schemas: c.cfg.Schemas, programs: make(map[uint32]*avroProgram)}
	if c.cfg.Zone != time.UTC {
		f.zone = table.NewOffsets(c.cfg.Zone)
	}
	switch {
	case f.schemas != nil && c.cfg.Schema != "", f.schemas == nil && c.cfg.Schema == "":
		return nil, invalid("avro", "one of a schema and a schema registry is needed")
	case f.schemas == nil:
		t, err := parseAvro(c.cfg.Schema)
		if err != nil {
			return nil, &thalweg.Error{Op: "configure event decoder", Kind: thalweg.Invalid, Subject: "avro schema", Err: err}
		}
		f.last = f.compile(t, "")
		if err := f.check(f.last); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// compile finds the columns of the fields of a schema, which a reject calls name.
func (f *avroFormat) compile(t *avroType, schema string) *avroProgram {
	if t.kind != avroRecord {
		return &avroProgram{flaw: "the schema is one of " + t.name + ", not of a record", cause: "schema of no record"}
	}
	p := &avroProgram{lacks: f.lacking(schema, t.fields), names: t.fields[:min(len(t.fields), maxNames)]}
	for i, name := range t.fields {
		field := avroField{typ: t.parts[i], column: -1}
		at, known := f.byName[name]
		switch {
		case !known:
			if p.unknown == "" {
				p.unknown = name
			}
		case !f.cols[at].skip:
			column := f.cols[at].typ
			field.column, field.fills = at, field.typ.fills(column, f.times.epoch)
			if field.typ.kind == avroUnion {
				for _, branch := range field.typ.parts {
					field.union = append(field.union, branch.fills(column, f.times.epoch))
				}
			}
		}
		p.fields = append(p.fields, field)
	}
	return p
}

// check reports why no event of the one schema could become a row.
func (f *avroFormat) check(p *avroProgram) error {
	if p.flaw != "" {
		return invalid("avro schema", p.flaw)
	}
	for _, field := range p.fields {
		if field.column >= 0 && !field.fills {
			c := &f.cols[field.column]
			return invalid(fmt.Sprintf("avro schema, field %q", c.name), fmt.Sprintf("the column wants %s, the schema has %s", c.want(f.times), field.typ.name))
		}
	}
	for i := range f.cols {
		if _, lacks := p.lacks[i]; lacks {
			return invalid("avro schema", fmt.Sprintf("it has no field %q, and the column is not nullable", f.cols[i].name))
		}
	}
	if p.unknown != "" && f.options.OnUnknownField == DeadLetter {
		return invalid("avro schema", fmt.Sprintf("field %q is no column, and on_unknown_field is %s", p.unknown, DeadLetter))
	}
	return nil
}

// Prepare asks the registry for the schemas of a run that are not known yet.
func (f *avroFormat) Prepare(ctx context.Context, e *Events) error {
	if f.schemas == nil {
		return nil
	}
	f.last = nil
	used := make(map[uint32]bool)
	var wanted []uint32
	start := 0
	for i, end := range e.Ends {
		b := e.Values[start:end]
		start = end
		if len(b) < wireHeader || b[0] != 0 || e.Nulls != nil && e.Nulls[i] || len(b) > f.cfg.MaxEventBytes {
			continue
		}
		id := binary.BigEndian.Uint32(b[1:])
		if id == f.lastID && len(used) > 0 || used[id] {
			continue
		}
		f.lastID, used[id] = id, true
		if p := f.programs[id]; p == nil || p.missing {
			wanted = append(wanted, id)
		}
	}
	if len(f.programs)+len(wanted) > maxSchemas {
		maps.DeleteFunc(f.programs, func(id uint32, _ *avroProgram) bool { return !used[id] })
	}
	return f.fetch(ctx, wanted)
}

// fetch gets the schemas of ids and compiles them.
func (f *avroFormat) fetch(ctx context.Context, ids []uint32) error {
	if len(ids) == 0 {
		return nil
	}
	texts, errs := make([][]string, len(ids)), make([]error, len(ids))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(schemaRequests)
	for i, id := range ids {
		group.Go(func() error {
			texts[i], errs[i] = f.schemas.Schema(ctx, id)
			switch thalweg.KindOf(errs[i]) {
			case thalweg.NotFound, thalweg.Invalid, thalweg.Corrupt, thalweg.Unsupported:
				return nil
			}
			return errs[i]
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i, id := range ids {
		p, err := new(avroProgram), errs[i]
		if err == nil {
			var t *avroType
			if t, err = parseAvro(texts[i]...); err == nil {
				p = f.compile(t, fmt.Sprintf("schema %d", id))
			}
		}
		switch {
		case err != nil && f.cfg.Private: // what is taken for an id may be a value
			p.flaw, p.cause, p.missing = "its schema cannot be had from the registry, or is unusable", "unknown schema", thalweg.Is(err, thalweg.NotFound)
		case thalweg.Is(err, thalweg.NotFound):
			p.flaw, p.cause, p.missing = fmt.Sprintf("the registry has no schema %d", id), "unknown schema", true
		case err != nil:
			p.flaw, p.cause = fmt.Sprintf("schema %d: %v", id, err), "unusable schema"
		case p.flaw != "":
			p.flaw = fmt.Sprintf("schema %d: %s", id, p.flaw)
		}
		f.programs[id] = p
	}
	return nil
}

func (f *avroFormat) Read(b []byte) bool {
	p := 0
	if f.schemas != nil {
		if len(b) < wireHeader || b[0] != 0 {
			reason := "not in Confluent's wire format: it begins with a zero and four bytes of the schema's id"
			if what := f.disguise(b); what != "" {
				reason = "not in Confluent's wire format: " + what
			} else if len(b) > 0 && b[0] == '{' {
				reason += ", and this with a brace, as JSON does"
			}
			return f.Refuse(reason, "not in Confluent's wire format")
		}
		if id := binary.BigEndian.Uint32(b[1:]); f.last == nil || id != f.lastID {
			f.lastID, f.last = id, f.programs[id]
		}
		p = wireHeader
	}
	program := f.last
	f.lacks = program.lacks
	if program.flaw != "" {
		return f.Refuse(program.flaw, program.cause)
	}
	f.steps = maxSteps(len(b))
	for i := range program.fields {
		field := &program.fields[i]
		if field.column < 0 {
			if p = f.skip(field.typ, b, p, 1); p < 0 {
				return false
			}
			continue
		}
		t, fills := field.typ, field.fills
		if field.union != nil {
			var branch int
			if branch, p = f.index(b, p, len(field.union), noBranch); p < 0 {
				return false
			}
			t, fills = t.parts[branch], field.union[branch]
		}
		if p = f.value(&f.cols[field.column], t, fills, b, p); p < 0 {
			return false
		}
	}
	if p != len(b) {
		return f.fail("bytes behind the record", p) >= 0
	}
	if program.unknown != "" && f.options.OnUnknownField == DeadLetter && !f.foreign() {
		return f.Refuse(fmt.Sprintf("field %q is no column", program.unknown), "unknown field")
	}
	return true
}
