package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/connectors/kafka"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/event"
	"github.com/thalweg/thalweg/pipeline/table"
)

// encoder appends a row as an event's value.
type encoder func(dst []byte, batch arrow.Record, row int) ([]byte, error)

func encodeJSON(dst []byte, batch arrow.Record, row int) ([]byte, error) {
	return event.AppendJSON(dst, batch, row), nil
}

// eventForm is what rows become as messages.
type eventForm struct {
	encode encoder
	// columns go into the value; nil: all.
	columns []string
	// around go into the record around it.
	around []table.Column
}

// newEventForm returns the form that a spec reads, or else that of a format.
func newEventForm(ctx context.Context, conns *connections, src *localDataset, topic, specFile, format string) (*eventForm, error) {
	if specFile == "" {
		switch format {
		case "", event.JSON:
			return &eventForm{encode: encodeJSON}, nil
		case event.CSV:
			return &eventForm{encode: encodeCSV(event.CSVConfig{})}, nil
		case event.Avro:
			encode, err := registered(ctx, conns, defaultConnection, topic, src.schema)
			return &eventForm{encode: encode}, err
		}
		return nil, usageError("--format", format, "one of json, csv, avro")
	}
	spec, _, err := parseSpec(specFile)
	if err != nil {
		return nil, err
	}
	plan, err := pipeline.Compile(spec, src.schema)
	if err != nil {
		return nil, err
	}
	if spec.Spec.Sources.Events == nil {
		return nil, &thalweg.Error{Op: "produce", Kind: thalweg.Invalid, Subject: specFile, Hint: "it has no sources.events"}
	}
	src.schema.Timezone = plan.Input.Timezone // so that the rows are those of training
	f := &eventForm{}
	values := table.Schema{}
	for _, c := range plan.ScoringInput.Columns {
		if c.From != "" {
			f.around = append(f.around, c)
			continue
		}
		f.columns = append(f.columns, c.Name)
		values.Columns = append(values.Columns, c)
	}
	f.encode, err = encoderOf(ctx, conns, plan, topic, values)
	return f, err
}

func encoderOf(ctx context.Context, conns *connections, plan *pipeline.Plan, topic string, values table.Schema) (encoder, error) {
	format := plan.Spec.Spec.Sources.Events.Format
	switch f := format.Options.(type) {
	case *event.CSVFormat:
		var cfg event.Config
		f.Configure(&cfg)
		return encodeCSV(cfg.CSV), nil
	case *event.AvroFormat:
		if f.SchemaRegistry != "" {
			return registered(ctx, conns, f.SchemaRegistry, topic, values)
		}
		encode, err := filed(ctx, conns, plan, values)
		if err != nil {
			return nil, &thalweg.Error{Op: "read schema_file", Kind: thalweg.KindOf(err), Subject: f.SchemaFile, Err: err}
		}
		return encode, nil
	}
	return encodeJSON, nil
}

// filed encodes by the schema of the file that the spec names.
func filed(ctx context.Context, conns *connections, plan *pipeline.Plan, values table.Schema) (encoder, error) {
	bucket, key, err := conns.bucketOf(ctx, plan.Spec.Spec.Sources.Train.Connection, plan.Spec.SchemaFile())
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
	return encodeAvro(nil, string(schema), values)
}

func encodeCSV(cfg event.CSVConfig) encoder {
	return func(dst []byte, batch arrow.Record, row int) ([]byte, error) {
		return event.AppendCSV(dst, batch, row, cfg), nil
	}
}

// encodeAvro encodes by a schema, behind a header.
func encodeAvro(header []byte, schema string, values table.Schema) (encoder, error) {
	e, err := event.NewAvroEncoder(schema, values.Arrow())
	if err != nil {
		return nil, err
	}
	return func(dst []byte, batch arrow.Record, row int) ([]byte, error) {
		return e.Append(append(dst, header...), batch, row)
	}, nil
}

// registered encodes by a schema made from the columns, which is registered as
// the topic's.
func registered(ctx context.Context, conns *connections, connection, topic string, values table.Schema) (encoder, error) {
	client, err := conns.Schemas(connection)
	if err != nil {
		return nil, err
	}
	schema, err := event.AvroSchemaOf("Event", values)
	if err != nil {
		return nil, err
	}
	id, err := client.Register(ctx, topic+"-value", schema)
	if err != nil {
		return nil, err
	}
	return encodeAvro(binary.BigEndian.AppendUint32([]byte{0}, id), schema, values)
}

// message returns a row as a message.
func (f *eventForm) message(batch arrow.Record, row int) (m kafka.Message, err error) {
	values := batch
	if f.columns != nil {
		if values, err = project(batch, f.columns); err != nil {
			return m, err
		}
		defer values.Release()
	}
	if m.Value, err = f.encode(nil, values, row); err != nil {
		return m, err
	}
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
	return m, nil
}

// project returns the columns of a batch in an order, without their row
// numbers.
func project(batch arrow.Record, names []string) (arrow.Record, error) {
	fields, columns := make([]arrow.Field, len(names)), make([]arrow.Array, len(names))
	for i, name := range names {
		at := batch.Schema().FieldIndices(name)
		if len(at) != 1 {
			return nil, fmt.Errorf("the file has no column %s", name)
		}
		fields[i], columns[i] = batch.Schema().Field(at[0]), batch.Column(at[0])
	}
	return array.NewRecord(arrow.NewSchema(fields, nil), columns, batch.NumRows()), nil
}
