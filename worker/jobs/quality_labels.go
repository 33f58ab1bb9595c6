package jobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/event"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage/dataset"
	"github.com/thalweg/thalweg/worker"
)

// Bounds of reading a topic of labels.
const (
	labelBytes = 4 << 20
	labelWait  = time.Second
	labelTries = 5 // without an answer: a transaction may be open
)

// lateLabels reads the labels of a spec.
type lateLabels struct {
	*Job
	spec     *pipeline.Spec
	of       *pipeline.LateLabels
	artifact *artifact.Artifact // of the newest version: it knows the columns
	rejected int64
	first    string
}

// take gets a batch of labels, as shuffle.Late.AddLabels does.
type take func(batch arrow.Record, place int, when []int64) error

// each implements labels.Sources.Labels.
func (l *lateLabels) each(ctx context.Context, columns []table.Column, to func(batch arrow.Record, place int, when []int64) error) error {
	schema := table.Schema{Columns: columns, Timezone: l.artifact.Plan().ScoringInput.Timezone, Key: l.artifact.Key}
	if l.of.S3 != nil {
		return l.files(ctx, schema, to)
	}
	return l.topic(ctx, schema, to)
}

// reject counts a label that cannot be read.
func (l *lateLabels) reject(place, reason string) {
	if l.rejected++; l.first == "" {
		l.first = place + ": " + reason
	}
}

// files reads those below a prefix, in the order of their names.
func (l *lateLabels) files(ctx context.Context, schema table.Schema, to take) error {
	name, key, err := pipeline.SplitS3Path(l.of.S3.Path)
	if err != nil {
		return err
	}
	bucket, err := l.Conns.Bucket(ctx, l.of.Connection, name)
	if err != nil {
		return err
	}
	from := worker.DatasetSource{Format: worker.DatasetFormats()[l.of.Format.Name], Options: l.of.Format.Options, Bucket: bucket, Pattern: key, Key: schema.Key,
		Hides: l.spec.HidesValues(), Reject: func(r pipeline.BadRow) { l.reject(fmt.Sprintf("%s row %d", r.Object, r.Number), r.Reason) }}
	if from.Format == nil {
		return &thalweg.Error{Op: "read labels", Kind: thalweg.Unavailable, Subject: "format " + l.of.Format.Name, Hint: "the spec is of a newer build than this worker"}
	}
	from.Schema.Timezone = schema.Timezone
	for _, c := range schema.Columns {
		from.Schema.Columns = append(from.Schema.Columns, pipeline.ColumnSpec{Name: c.Name, Type: c.AtSource().Type, PII: c.PII})
	}
	m, _, err := from.Discover(ctx)
	if thalweg.Is(err, thalweg.NotFound) {
		return nil // none have come
	}
	if err != nil {
		return err
	}
	for shard := range m.Shards {
		if err := shardOf(ctx, from, m, shard, schema, to); err != nil {
			return err
		}
	}
	return nil
}

// shardOf reads a shard of files.
func shardOf(ctx context.Context, from worker.DatasetSource, m *dataset.Manifest, shard int, schema table.Schema, to take) error {
	r, err := from.OpenRows(ctx, m, shard, schema, dataset.ReaderConfig{})
	if err != nil {
		return err
	}
	defer r.Close() // it is only read
	for {
		batch, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return r.At.Of(err, r.First)
		}
		err = to(batch, shard, nil)
		batch.Release()
		if err != nil {
			return err
		}
	}
}

// topic reads a topic, as far as it goes now.
func (l *lateLabels) topic(ctx context.Context, schema table.Schema, to take) error {
	options := new(event.JSONFormat)
	if e := l.spec.Spec.Sources.Events; e != nil {
		if of, ok := e.Format.Options.(event.Format); ok {
			options.TimestampFormats = of.TimeFormats()
		}
	}
	zone, err := time.LoadLocation(schema.Timezone) // UTC for ""
	if err != nil {
		return err
	}
	decoder, err := event.NewDecoder(schema, event.Config{Format: options, Zone: zone, Private: l.spec.HidesValues()})
	if err != nil {
		return err
	}
	name := l.of.Stream.Options.(pipeline.StreamSpec).Reading().Topic
	source, err := l.Conns.Source(l.of.Connection, l.of.Stream, connectors.Reading{Topic: name})
	if err != nil {
		return err
	}
	defer source.Close()
	topic, err := source.Topic(ctx)
	if err != nil {
		return err
	}
	records := &connectors.Records{TopicID: topic.ID}
	if event.NeedsKeys(schema) {
		records.Want |= connectors.Keys
	}
	if event.NeedsHeaders(schema) {
		records.Want |= connectors.Headers
	}
	for partition := range topic.Partitions {
		first, next, err := source.Bounds(ctx, partition)
		if err != nil {
			return err
		}
		for at, tries := first, 0; at < next && tries < labelTries; {
			err := source.Fetch(ctx, partition, at, labelWait, labelBytes, records)
			if gone := new(connectors.MissingRange); thalweg.Is(err, thalweg.Lost) && errors.As(err, &gone) && gone.Was == gone.Is && gone.First > at {
				at = gone.First // retention has moved on
				continue
			}
			if err != nil {
				return err
			}
			if records.Next == at {
				tries++
				continue
			}
			at, tries = records.Next, 0
			if err := l.records(ctx, decoder, name, partition, records, to); err != nil {
				return err
			}
		}
	}
	return nil
}

// records reads what a fetch brought.
func (l *lateLabels) records(ctx context.Context, decoder *event.Decoder, topic string, partition int, r *connectors.Records, to take) error {
	if r.Len() == 0 {
		return nil
	}
	batch, rejects, err := decoder.Decode(ctx, event.Events{Values: r.Values, Ends: r.Ends, Offsets: r.Offsets, Nulls: r.Null, Unreadable: r.Unreadable, Partition: partition, Around: around{r}})
	if err != nil {
		return err
	}
	defer batch.Release()
	for _, bad := range rejects {
		l.reject(fmt.Sprintf("%s/%d offset %d", topic, partition, bad.Row), bad.Reason)
	}
	when := make([]int64, 0, batch.NumRows())
	for _, offset := range table.Rows(batch) {
		i, _ := slices.BinarySearch(r.Offsets, offset) // each is there
		when = append(when, r.Timestamps[i])
	}
	return to(batch, partition, when)
}

// around is the event.Envelope of records that have the fields asked for.
type around struct{ *connectors.Records }

// Timestamp implements event.Envelope.
func (a around) Timestamp(i int) int64 { return a.Timestamps[i] }

// Key implements event.Envelope.
func (a around) Key(i int) (key []byte, ok bool) { return a.Records.Key(i), !a.NullKeys[i] }

// Header implements event.Envelope.
func (a around) Header(i int, name string) (value []byte, ok bool) {
	value, ok = a.Records.Header(i, name)
	return value, ok && value != nil
}
