package worker

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/connectors"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/dataset"
	storagememory "github.com/thalweg/thalweg/storage/memory"
	"github.com/thalweg/thalweg/worker/stream/tablewriter"
)

// pairs is a format of datasets that this file adds: a line "x;y" a row.
type pairs struct {
	Separator string `yaml:"separator,omitempty" json:"separator,omitempty" jsonschema:"minLength=1"`
}

func (p *pairs) Defaults(at pipeline.Place) { pipeline.Default(at, "separator", &p.Separator, ";") }
func (p *pairs) Check(at pipeline.Place) {
	if p.Separator == "1" {
		at.Problem("separator", "", "digits separate nothing")
	}
}

// pairsReader reads pairs.
type pairsReader struct {
	rows arrow.Record
	done bool
}

func (*pairsReader) read(ctx context.Context, options any, b storage.Bucket, key string) (arrow.Record, error) {
	data, _, err := b.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	var rows [][]any
	for line := range strings.Lines(string(data)) {
		var x float64
		var y bool
		if _, err := fmt.Sscan(strings.ReplaceAll(line, options.(*pairs).Separator, " "), &x, &y); err != nil {
			return nil, err
		}
		rows = append(rows, []any{x, y})
	}
	rec := tabletest.Batch(memory.DefaultAllocator, table.Schema{Columns: []table.Column{{Name: "x", Type: table.Float64}, {Name: "y", Type: table.Bool}}}, 0, rows...)
	return array.NewRecord(arrow.NewSchema(rec.Schema().Fields()[:2], nil), rec.Columns()[:2], rec.NumRows()), nil
}

func (r *pairsReader) Discover(ctx context.Context, from DatasetSource) (*dataset.Manifest, table.Schema, error) {
	m, b, options := &dataset.Manifest{Path: from.Pattern}, from.Bucket, from.Options
	var schema table.Schema
	for info, err := range b.List(ctx, strings.TrimSuffix(from.Pattern, "*.pairs"), "") {
		if err != nil {
			return nil, schema, err
		}
		rec, err := r.read(ctx, options, b, info.Key)
		if err != nil {
			return nil, schema, err
		}
		schema = table.FromArrow(rec.Schema())
		m.Shards = append(m.Shards, dataset.Shard{Object: len(m.Objects), EndRowGroup: 1, Rows: rec.NumRows(), FirstRow: m.Rows})
		m.Objects = append(m.Objects, dataset.Object{Key: info.Key, SizeBytes: info.SizeBytes, Rows: rec.NumRows(), RowGroups: 1})
		m.Rows, m.SizeBytes = m.Rows+rec.NumRows(), m.SizeBytes+info.SizeBytes
	}
	return m, schema, m.Validate()
}

func (r *pairsReader) Open(ctx context.Context, from DatasetSource, m *dataset.Manifest, shard int, _ table.Schema, _ dataset.ReaderConfig) (DatasetReader, error) {
	rec, err := r.read(ctx, from.Options, from.Bucket, m.Objects[m.Shards[shard].Object].Key)
	return &pairsReader{rows: rec}, err
}

func (r *pairsReader) Next() (arrow.Record, error) {
	if r.done {
		return nil, io.EOF
	}
	r.done = true
	return r.rows, nil
}
func (*pairsReader) Place() table.Place { return table.Place{Object: "pairs"} }
func (*pairsReader) Close() error       { return nil }

// ticks is a kind of stream that this file adds.
type ticks struct {
	pipeline.StreamOptions `yaml:",inline" json:",inline"`
	Every                  int `yaml:"every,omitempty" json:"every,omitempty" jsonschema:"minimum=1"`
}

func (k *ticks) Defaults(at pipeline.Place) { pipeline.Default(at, "every", &k.Every, 7) }
func (k *ticks) Check(at pipeline.Place) {
	if k.Every == 13 {
		at.Problem("every", "", "it is unlucky")
	}
}

// tickSource is a topic that says when it is read.
type tickSource struct {
	connectors.Source
	read chan struct{}
}

func (s *tickSource) Topic(ctx context.Context) (connectors.Topic, error) {
	select {
	case s.read <- struct{}{}:
	default:
	}
	return connectors.Topic{ID: strings.Repeat("a", 32), Partitions: 1}, nil
}
func (*tickSource) Bounds(context.Context, int) (first, next int64, err error) { return 0, 0, nil }
func (*tickSource) Fetch(ctx context.Context, _ int, offset int64, _ time.Duration, _ int, dst *connectors.Records) error {
	dst.Next = offset
	<-ctx.Done()
	return ctx.Err()
}
func (*tickSource) Commit(context.Context, int, int64) error { return nil }
func (*tickSource) Close() error                             { return nil }

// tickConnections opens ticks.
type tickConnections struct {
	stores
	opened chan string
	source *tickSource
}

func (c tickConnections) Source(_ string, stream pipeline.Choice, what connectors.Reading) (connectors.Source, error) {
	c.opened <- fmt.Sprintln(stream.Name, stream.Options.(*ticks).Every, what.Topic, what.Group)
	return c.source, nil
}

// listing is a format of tables that this file adds.
type listing struct {
	Title string `yaml:"title,omitempty" json:"title,omitempty"`
}

func (l *listing) Defaults(at pipeline.Place) { pipeline.Default(at, "title", &l.Title, "untitled") }
func (l *listing) Check(at pipeline.Place) {
	if l.Title == "rude" {
		at.Problem("title", "", "it is rude")
	}
}

// listingWriter says which sources were added.
type listingWriter struct {
	title string
	added chan string
}

func (*listingWriter) Run(ctx context.Context) { <-ctx.Done() }
func (w *listingWriter) Add(s tablewriter.Source) {
	w.added <- fmt.Sprintln(w.title, s.Topic, s.Replay)
}
func (*listingWriter) Remove(tablewriter.Source)                        {}
func (*listingWriter) Status() (s tablewriter.Status)                   { return s }
func (*listingWriter) Finished(tablewriter.Source, uint64)              {}
func (*listingWriter) Settle(context.Context, tablewriter.Source) error { return nil }

const endpointSpec = `
apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: ends}
spec:
  sources:
    train: {s3: {path: "s3://thalweg/data/*.pairs"}, format: {type: pairs}}
    events: {ticks: {topic: tocks}, format: {type: json}}
  input_features: [{name: x, type: number}]
  output_features: [{name: y, type: binary}]
  scoring: {source: events, sink: {s3: {path: "s3://thalweg/out/"}, format: {type: parquet}, table: {format: listing}}}
`

// Formats of datasets, streams and formats of tables of a test do what those of
// the build do, from the text of a spec to the rows of shards and a stream.
func TestEndpointsOfATestWorkLikeThoseOfTheBuild(t *testing.T) {
	all := catalog.All()
	for kind, e := range map[pipeline.Kind]pipeline.Entry{pipeline.DatasetFormats: {Name: "pairs", Options: new(pairs)},
		pipeline.Streams: {Name: "ticks", Options: new(ticks)}, pipeline.TableFormats: {Name: "listing", Options: new(listing)}} {
		all[kind] = append(all[kind], e)
	}
	for edit, want := range map[[2]string]string{
		{"type: pairs", "type: pair"}:                         "did you mean pairs?",
		{"type: pairs", "type: avro"}:                         "not supported (one of parquet, csv, jsonl, arrow, delta, pairs)",
		{"type: pairs", "type: pairs, separator: '1'"}:        "digits separate nothing",
		{"type: pairs", "type: parquet, separator: '1'"}:      "the field belongs to pairs",
		{"{ticks", "{tick"}:                                   "did you mean ticks?",
		{"{ticks: {topic: tocks}, ", "{"}:                     "one of s3 and kafka and ticks is missing",
		{"topic: tocks}", "topic: tocks}, kafka: {topic: k}"}: "only one of ticks and kafka can be there",
		{"topic: tocks", "topic: tocks, every: 0"}:            "ticks.every: 0 is out of range",
		{"topic: tocks", "topic: tocks, every: 13"}:           "it is unlucky",
		{"format: listing", "format: lsting"}:                 "did you mean listing?",
		{"format: listing", "format: listing, title: rude"}:   "it is rude",
		{"format: listing", "format: delta, title: t"}:        "the field belongs to listing",
	} {
		if _, err := pipeline.Parse(all, "ends.yaml", []byte(strings.Replace(endpointSpec, edit[0], edit[1], 1))); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", edit[1], err, want)
		}
	}
	schema, err := pipeline.JSONSchema(all)
	for _, name := range []string{"pairs", "separator", "ticks", "every", "listing", "title"} {
		if !bytes.Contains(schema, []byte(`"`+name+`"`)) {
			t.Errorf("the JSON schema does not know %s: %v", name, err)
		}
	}

	at := tickConnections{stores{storagememory.NewOpener("thalweg")}, make(chan string, 1), &tickSource{read: make(chan struct{}, 1)}}
	bucket, err := at.Opener.Bucket(t.Context(), "thalweg")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		if _, err := bucket.Put(t.Context(), fmt.Sprintf("data/%d.pairs", i), []byte(strings.Repeat("1;true\n2;false\n", 20))); err != nil {
			t.Fatal(err)
		}
	}
	added := make(chan string, 2)
	cfg := Config{SpecCatalog: all, ID: "w", Dir: t.TempDir(), Datasets: map[string]DatasetFormat{"pairs": &pairsReader{}},
		Tables: map[string]TableFormat{"listing": func(options any, _ storage.Bucket, _ *slog.Logger, _ tablewriter.Config) TableWriter {
			return &listingWriter{options.(*listing).Title, added}
		}}}
	run, rows := prepare(t, cfg, at, endpointSpec)
	rendered, err := pipeline.Render(rows.plan.Spec)
	for _, want := range []string{"separator: \";\"", "every: 7", "title: untitled", "consumer_group: thalweg-ends"} {
		if err != nil || !bytes.Contains(rendered, []byte(want)) {
			t.Errorf("rendered, without %s: %v\n%s", want, err, rendered)
		}
	}
	read := 0
	for shard := range run.shards {
		for batch, err := range rows.Read(t.Context(), shard) {
			if err != nil {
				t.Fatal(err)
			}
			read += len(batch.Row)
		}
	}
	if run.shards != 2 || read != 80 {
		t.Errorf("%d rows of %d shards, want 80 of 2", read, run.shards)
	}

	task, err := newScoreTask(run.w, &apiv1.Lease{Pipeline: "ends", Spec: endpointSpec, Generation: 1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); task.run(ctx) }()
	if got := <-at.opened; got != "ticks 7 tocks thalweg-ends\n" {
		t.Errorf("opened %q", got)
	}
	if got := <-added + <-added; got != "untitled tocks false\nuntitled tocks true\n" {
		t.Errorf("added %q", got)
	}
	<-at.source.read
	cancel()
	<-done
}

// All that the catalog lists, the worker has code for.
func TestTheWorkerHasTheFormatsOfTheCatalog(t *testing.T) {
	all := catalog.All()
	for _, e := range all[pipeline.DatasetFormats] {
		if DatasetFormats()[e.Name] == nil {
			t.Errorf("nothing reads datasets of the format %s", e.Name)
		}
	}
	for _, e := range all[pipeline.TableFormats] {
		if _, ok := TableFormats()[e.Name]; !ok {
			t.Errorf("nothing writes tables of the format %s", e.Name)
		}
	}
}
