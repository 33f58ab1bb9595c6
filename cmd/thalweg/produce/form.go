package produce

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/connections"
	"github.com/thalweg/thalweg/cmd/thalweg/localdata"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/connectors/kafka"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/event"
	"github.com/thalweg/thalweg/pipeline/table"
)

// encoder appends a row as an event's value.
type encoder func(dst []byte, batch arrow.Record, row int) ([]byte, error)

func encodeJSON(dst []byte, batch arrow.Record, row int) ([]byte, error) {
	return event.AppendJSON(dst, batch, row), nil
}

// Form is what rows become as messages.
type Form struct {
	encode encoder
	values []table.Column // go into the value
	around []table.Column // go into the record around it
}

// JSON is the form of rows as JSON objects.
func JSON(src *localdata.Dataset) *Form {
	return &Form{encodeJSON, src.Schema.Columns, nil}
}

// NewForm returns the form that a spec reads, or else that of a format.
func NewForm(ctx context.Context, conns *connections.Set, src *localdata.Dataset, topic, specFile, format string) (f *Form, err error) {
	f = JSON(src)
	if specFile == "" {
		chosen, err := catalog.All().Choose(pipeline.EventFormats, cmp.Or(format, event.JSON), []byte("{}"))
		if err != nil {
			return nil, err
		}
		if avro, ok := chosen.Options.(*event.AvroFormat); ok {
			avro.SchemaRegistry = connections.Default
		}
		f.encode, err = f.encoder(ctx, conns, chosen, topic, nil)
		return f, err
	}
	spec, _, err := verb.ParseSpec(specFile)
	if err != nil {
		return nil, err
	}
	if _, err := src.Join(ctx, conns, spec, nil); err != nil {
		return nil, err
	}
	plan, err := pipeline.Compile(spec, src.Schema)
	if err != nil {
		return nil, err
	}
	if spec.Spec.Sources.Events == nil {
		return nil, &thalweg.Error{Op: "produce", Kind: thalweg.Invalid, Subject: specFile, Hint: "it has no sources.events"}
	}
	src.Schema.Timezone = plan.Input.Timezone // so that the rows are those of training
	f.values = nil
	for _, c := range plan.EventColumns().Columns {
		c = c.AtSource()
		if _, _, known := src.Schema.Lookup(c.Name); !known && c.PII == table.PIIDrop {
			csv, ok := spec.Spec.Sources.Events.Format.Options.(*event.CSVFormat)
			if ok && len(csv.Columns) == 0 && c.From == "" {
				return nil, &thalweg.Error{Op: "produce", Kind: thalweg.Invalid, Subject: "column " + c.Name, Err: errors.New("events of CSV have a place for it, and the data lack it"),
					Hint: "list the columns of events without it: sources.events.format.columns"}
			}
			continue
		}
		if c.From != "" {
			f.around = append(f.around, c)
		} else {
			f.values = append(f.values, c)
		}
	}
	f.encode, err = f.encoder(ctx, conns, spec.Spec.Sources.Events.Format, topic, plan)
	return f, err
}

// encoder returns what writes events in a format. plan is that of the spec, if
// there is one.
func (f *Form) encoder(ctx context.Context, conns *connections.Set, format pipeline.Choice, topic string, plan *pipeline.Plan) (encoder, error) {
	switch o := format.Options.(type) {
	case *event.JSONFormat:
		return encodeJSON, nil
	case *event.CSVFormat:
		for _, c := range f.values {
			if c.Type.Element() != "" && (len(o.Columns) == 0 || slices.Contains(o.Columns, c.Name)) {
				return nil, &thalweg.Error{Op: "produce", Kind: thalweg.Unsupported, Subject: "column " + c.Name,
					Err: fmt.Errorf("it is a %s, and CSV has no lists", c.Type), Hint: "produce JSON or Avro, or leave it out by format.columns of a spec"}
			}
		}
		return func(dst []byte, batch arrow.Record, row int) ([]byte, error) {
			return event.AppendCSV(dst, batch, row, *o), nil
		}, nil
	case *event.AvroFormat:
		if o.SchemaRegistry != "" {
			return f.registered(ctx, conns, o.SchemaRegistry, topic)
		}
		encode, err := f.filed(ctx, conns, plan)
		if err != nil {
			return nil, &thalweg.Error{Op: "read schema_file", Kind: thalweg.KindOf(err), Subject: o.SchemaFile, Err: err}
		}
		return encode, nil
	}
	return nil, &thalweg.Error{Op: "produce", Kind: thalweg.Unsupported, Subject: "format " + format.Name, Hint: "this build cannot write it"}
}

// filed encodes by the schema of the file that the spec names.
func (f *Form) filed(ctx context.Context, conns *connections.Set, plan *pipeline.Plan) (encoder, error) {
	name, key, err := pipeline.SplitS3Path(plan.Spec.SchemaFile())
	if err != nil {
		return nil, err
	}
	bucket, err := conns.Bucket(ctx, plan.Spec.Spec.Sources.Train.Connection, name)
	if err != nil {
		return nil, err
	}
	schema, _, err := bucket.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	if err := artifact.CheckEvents(plan, string(schema)); err != nil {
		return nil, err
	}
	return f.avro(nil, string(schema))
}

// registered encodes by a schema made from the columns, which is registered as
// the topic's.
func (f *Form) registered(ctx context.Context, conns *connections.Set, connection, topic string) (encoder, error) {
	client, err := conns.Schemas(connection)
	if err != nil {
		return nil, err
	}
	schema, err := event.AvroSchemaOf("Event", table.Schema{Columns: f.values})
	if err != nil {
		return nil, err
	}
	id, err := client.Register(ctx, topic+"-value", schema)
	if err != nil {
		return nil, err
	}
	return f.avro(binary.BigEndian.AppendUint32([]byte{0}, id), schema)
}

// avro encodes by a schema, behind a header.
func (f *Form) avro(header []byte, schema string) (encoder, error) {
	e, err := event.NewAvroEncoder(schema, table.Schema{Columns: f.values}.Arrow())
	if err != nil {
		return nil, err
	}
	return func(dst []byte, batch arrow.Record, row int) ([]byte, error) {
		return e.Append(append(dst, header...), batch, row)
	}, nil
}

// Messages yields the rows of a batch from one on as messages.
func (f *Form) Messages(batch arrow.Record, from int) iter.Seq2[kafka.Message, error] {
	return func(yield func(kafka.Message, error) bool) {
		values, err := project(batch, f.values)
		if err != nil {
			yield(kafka.Message{}, err)
			return
		}
		defer values.Release()
		for row := from; row < int(batch.NumRows()); row++ {
			var m kafka.Message
			if m.Value, err = f.encode(nil, values, row); err == nil {
				f.surround(&m, batch, row)
			}
			if !yield(m, err) || err != nil {
				return
			}
		}
	}
}

// surround sets what a row has around the value.
func (f *Form) surround(m *kafka.Message, batch arrow.Record, row int) {
	for _, c := range f.around {
		column := batch.Column(batch.Schema().FieldIndices(c.Name)[0])
		text, ok := event.AppendText([]byte{}, column, row)
		switch name, header := strings.CutPrefix(c.From, event.FromHeader); {
		case !ok: // no key, no header, no time
		case header:
			m.Headers = append(m.Headers, connectors.Header{Name: name, Value: text})
		case c.From == event.FromKey:
			m.Key = text
		case c.From == event.FromTimestamp:
			m.Time = time.UnixMicro(int64(column.(*array.Timestamp).Value(row)))
		}
	}
}

// project returns the columns of a batch in an order, without their row
// numbers.
func project(batch arrow.Record, columns []table.Column) (arrow.Record, error) {
	fields, values := make([]arrow.Field, len(columns)), make([]arrow.Array, len(columns))
	for i, c := range columns {
		at := batch.Schema().FieldIndices(c.Name)
		if len(at) != 1 {
			return nil, fmt.Errorf("the file has no column %s", c.Name)
		}
		fields[i], values[i] = batch.Schema().Field(at[0]), batch.Column(at[0])
	}
	return array.NewRecord(arrow.NewSchema(fields, nil), values, batch.NumRows()), nil
}
