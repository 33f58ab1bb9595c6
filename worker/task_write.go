package worker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/dustin/go-humanize"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/clean"
	"github.com/thalweg/thalweg/pipeline/endpoint"
	"github.com/thalweg/thalweg/pipeline/split"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/dataset"
	"github.com/thalweg/thalweg/worker/product"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// writtenFormat changes whenever the same spec would make other bytes of the same rows.
const writtenFormat = 1

// writes reports whether a run of a spec writes a table of cleaned rows.
func writes(spec *pipeline.Spec) bool { return spec.Spec.Output != nil }

// needsCuts reports whether a run has to know the splits of the rows.
func needsCuts(spec *pipeline.Spec) bool {
	return spec.Trains() || spec.Learns() || spec.Spec.Output.Columns.Split
}

// outputTable opens the table that a run of a spec writes.
func (t *Task) outputTable(ctx context.Context, spec *pipeline.Spec) (*product.Table, error) {
	o := spec.Spec.Output
	at, err := t.worker.place(ctx, o.Connection, o.S3.Path)
	return &product.Table{Place: at, Owner: thalweg.PipelineName(t.Lease.Pipeline), Use: product.CleanedRows, Run: thalweg.RunID(t.Lease.RunId)}, err
}

// rowsMade lists what the rows of any shard follow from beside its object, as far as it is
// known before they are read. Whether a column has nulls is no part of it: that another
// object has some changes no row.
func rowsMade(plan *pipeline.Plan, m *dataset.Manifest, key string) []any {
	spec := plan.Spec
	columns := slices.Clone(plan.Input.Columns)
	for i := range columns {
		columns[i].Nullable = true
	}
	var tables []string
	for _, l := range plan.Input.Lookups {
		tables = append(tables, l.Name, l.SHA256())
	}
	var labels []table.Column // what rows get of them is in what the shuffle found
	if plan.Input.Labels != nil {
		labels = plan.Input.Labels.Columns
	}
	o := *spec.Spec.Output
	return []any{writtenFormat, keptFormat, pipeline.CleaningHash(spec), columns, labels, plan.Input.Timezone, tables, key, m.Partitions,
		o.Format, o.Columns, o.PartitionBy}
}

// claimOutput takes a run's table for its own, once the run knows its dataset, and ends
// the run if the table is what it would write.
func (t *Task) claimOutput(ctx context.Context, plan *pipeline.Plan, m *dataset.Manifest, key string) error {
	spec := plan.Spec
	out, err := t.outputTable(ctx, spec)
	if err == nil && len(m.Shards) == 0 {
		err = &thalweg.Error{Op: "write table", Kind: thalweg.Invalid, Subject: m.Path, Err: errors.New("its objects have no rows"), Hint: "the table stays as it was: bring a dataset with rows"}
	}
	if err == nil {
		err = out.Claim(ctx)
	}
	if err != nil || spec.Spec.Sources.Train.Freshness != nil { // rows that do not change grow old
		return err
	}
	made, err := madeOf(plan, m, key)
	if err != nil || made == "" {
		return err
	}
	known, err := out.Current(ctx)
	if err != nil || known == nil || known.Made != made {
		return err
	}
	maps.Copy(t.Report.Counts, known.Counts)
	t.Report.Outputs["table"] = fmt.Sprintf("%s version %d, which has these rows already", out, known.Version)
	t.Report.Outputs[stages.EndOutput] = fmt.Sprintf("nothing new: %s version %d was written from the same objects, %s in all", out, known.Version, humanize.Comma(int64(len(m.Objects))))
	return out.Collect(ctx, product.Contents{Parts: known.Parts(), Now: time.Now(), Retention: time.Duration(spec.Spec.Output.Retention)})
}

// madeOf names all that a table follows from, "" where that cannot be told.
func madeOf(plan *pipeline.Plan, m *dataset.Manifest, key string) (string, error) {
	if slices.ContainsFunc(m.Objects, func(o dataset.Object) bool { return o.ETag == "" && o.Version == "" }) {
		return "", nil
	}
	text, err := json.Marshal(append(rowsMade(plan, m, key), pipeline.ProductHash(plan.Spec), m.Objects, m.Shards, plan.Input.Labels))
	return storage.SHA256(text), err
}

// writing is how cleaned rows become those of a table.
type writing struct {
	*data
	table       *product.Table
	schema      *arrow.Schema
	columns     []int // of cleaned rows
	partitionBy string
	split       bool
	parts       []uint8
}

// writing opens the table of a task, and the data that it is written from.
func (t *Task) writing(ctx context.Context) (*writing, error) {
	d, err := t.worker.openData(ctx, t.Lease)
	if err != nil {
		return nil, err
	}
	d.progress = &t.rowsDone
	o := d.plan.Spec.Spec.Output
	w := &writing{data: d, split: o.Columns.Split, partitionBy: append(slices.Clone(o.PartitionBy), "")[0]}
	var fields []arrow.Field
	for i, f := range d.plan.Cleaned.Arrow().Fields()[:len(d.plan.Cleaned.Columns)] {
		if d.plan.Carried[f.Name] {
			f.Nullable = true // as in the table
			fields, w.columns = append(fields, f), append(w.columns, i)
		}
	}
	if w.split {
		fields = append(fields, arrow.Field{Name: split.ColumnName, Type: arrow.BinaryTypes.String, Nullable: true})
	}
	w.schema = arrow.NewSchema(fields, nil)
	w.table, err = t.outputTable(ctx, d.plan.Spec)
	return w, err
}

// made lists what the rows of any shard follow from, and what is looked for in them.
func (w *writing) made(inputs map[string]string) (of []any, look string) {
	content := func(input string) string { return inputs[input][strings.IndexByte(inputs[input], '#')+1:] }
	spec := w.plan.Spec
	steps, tests := spec.Shuffles()
	of = append(rowsMade(w.plan, w.manifest, w.source.Key.ID()), content("learnt"))
	if steps > 0 {
		of = append(of, w.passesHash(min(steps, len(w.passes))))
	}
	if w.split {
		of = append(of, spec.Spec.Preprocessing.Split, content("split"))
	}
	look = pipeline.TestsHash(spec)
	if tests > 0 { // of all shards, by their numbers
		look += w.passesHash(len(w.passes)) + string(w.manifest.JSON())
	}
	return of, storage.SHA256([]byte(look))[:32]
}

// mapWrite cleans shards, and writes their rows.
func mapWrite(ctx context.Context, t *Task) error {
	w, err := t.writing(ctx)
	if err != nil {
		return err
	}
	format, _ := w.plan.Spec.Spec.Output.Format.Options.(*endpoint.ParquetSink)
	of, look := w.made(t.Lease.Inputs)
	steps, _ := w.plan.Spec.Shuffles()
	name := func(shard int) (string, error) {
		made := of
		if steps > 0 { // what shuffles found is by the shard's number
			made = append(slices.Clone(of), fmt.Sprint("shard ", shard))
		}
		return t.partName(w.manifest, shard, made)
	}
	parts, err := t.mapParts(ctx, parts{table: w.table, m: w.manifest, name: name, look: look, partitionBy: w.partitionBy,
		compression: dataset.Compression(format.Compression),
		write: func(shard int, out *product.Writer, rep *pipeline.Report) error {
			return w.located(w.shard(ctx, shard, out, rep))
		}})
	if err != nil {
		return err
	}
	results := make([]written, len(parts))
	for i, p := range parts {
		results[i].Part = p
		if results[i].Failing, err = t.setAside(ctx, int(t.Lease.ShardFrom)+i, &p.Report); err != nil {
			return err
		}
	}
	return t.SavePartial(ctx, results)
}

// written is what the write stage knows of a shard.
type written struct {
	Part *product.Part `json:"part"`
	// Failing refers to the rows that fail data tests.
	Failing string `json:"failing,omitempty"`
}

// shard writes the cleaned rows of a shard.
func (w *writing) shard(ctx context.Context, shard int, out *product.Writer, rep *pipeline.Report) error {
	tests, err := w.tests(ctx, shard, w.plan.Spec.Learns())
	if err != nil {
		return err
	}
	var failed error
	w.newest = nil
	w.reject = func(row pipeline.BadRow) {
		failed = cmp.Or(failed, out.Reject(ctx, product.Reject{Object: row.Object, Row: row.Number, Line: row.Line, Offset: row.Offset, Stage: "read", Reason: row.Reason, Text: row.Row, Masked: row.Shapes}))
	}
	for cleaned, err := range w.cleaned(ctx, clean.New(w.plan, pipeline.InTraining), shard, rep) {
		if err == nil && tests != nil {
			err = tests.Observe(cleaned, w.at, w.first, rep)
		}
		if err == nil {
			err = w.rows(ctx, cleaned, shard, out)
		}
		if err = cmp.Or(err, failed); err != nil {
			return err
		}
	}
	out.Newest(w.newest)
	rep.RowsIn += rep.Rejected // as a part counts them
	return failed
}

// rows writes the rows of a batch.
func (w *writing) rows(ctx context.Context, cleaned arrow.Record, shard int, out *product.Writer) error {
	if cleaned.NumRows() == 0 {
		return nil
	}
	if w.partitionBy == "" {
		return w.row(ctx, "", cleaned, shard, out)
	}
	return engine.EachDay(cleaned, w.partitionBy, func(day string, rows arrow.Record) error { return w.row(ctx, day, rows, shard, out) })
}

// row writes rows of a day.
func (w *writing) row(ctx context.Context, day string, cleaned arrow.Record, shard int, out *product.Writer) (err error) {
	columns := make([]arrow.Array, 0, w.schema.NumFields())
	for _, i := range w.columns {
		columns = append(columns, cleaned.Column(i))
	}
	if w.split {
		if w.parts, err = w.cuts.Assign(w.plan, cleaned, w.origin(shard), w.parts); err != nil {
			return err
		}
		names := array.NewStringBuilder(memory.DefaultAllocator)
		defer names.Release()
		for _, part := range w.parts {
			names.Append(split.Names[part])
		}
		column := names.NewArray()
		defer column.Release()
		columns = append(columns, column)
	}
	rec := array.NewRecord(w.schema, columns, cleaned.NumRows())
	defer rec.Release()
	return out.Write(ctx, day, rec)
}

// reduceWrite judges the rows, and makes those of all shards the contents of the table.
func reduceWrite(ctx context.Context, t *Task) error {
	w, err := t.writing(ctx)
	if err != nil {
		return err
	}
	lists, err := Partials[[]written](ctx, t)
	if err != nil {
		return err
	}
	all := slices.Concat(lists...)
	parts, failing := make([]*product.Part, len(all)), make([]string, len(all))
	var newest *int64
	for i, of := range all {
		parts[i], failing[i] = of.Part, of.Failing
		newest = later(newest, of.Part.Newest)
	}
	total := product.Sum(parts)
	if total.Rejected == 0 { // of text that is damaged the lines are counted
		if err := total.Balance(w.manifest.Rows - w.manifest.SkippedRows()); err != nil {
			return err
		}
	}
	total.RowsIn -= total.Rejected
	if err := t.judgeFreshness(w.data, newest); err != nil {
		return err
	}
	if err := t.count(ctx, w.data, &total.Report); err != nil {
		return err
	}
	counts := t.Report.Counts
	delete(counts, "rows_clean")
	counts["rows_out"], counts["files"], counts["bytes"] = total.RowsOut, total.Files, total.SizeBytes
	if total.Rejects != "" {
		t.Report.Outputs["bad_rows"] = strings.Replace(t.Report.Outputs["bad_rows"], "with place and reason", fmt.Sprintf("all of them in %s%s*.jsonl, with place and reason", w.table, product.RejectsDir), 1)
	}
	if err := t.judge(ctx, w.data, w.plan.Spec.Learns(), &total.Report, failing); err != nil {
		return err
	}
	version, err := t.replace(ctx, w.table, product.Contents{Schema: w.schema, PartitionBy: w.partitionBy, Parts: parts, Retention: time.Duration(w.plan.Spec.Spec.Output.Retention)})
	if err != nil {
		return err
	}
	if err := t.describe(ctx, w, version, parts); err != nil {
		return err
	}
	return cmp.Or(w.collect(ctx), w.dropPieces(ctx, t.Lease.RunId))
}

// describe writes the manifest of a table.
func (t *Task) describe(ctx context.Context, w *writing, version int64, parts []*product.Part) (err error) {
	m := &product.Manifest{Version: version, Pipeline: w.table.Owner, Generation: thalweg.Generation(t.Lease.Generation), Run: w.table.Run, Source: w.plan.Spec.Spec.Sources.Train.S3.Path,
		Objects: make([]product.Source, len(w.manifest.Objects)), Counts: maps.Clone(t.Report.Counts)}
	if m.Made, err = madeOf(w.plan, w.manifest, w.source.Key.ID()); err != nil {
		return err
	}
	for i, o := range w.manifest.Objects {
		o.Header = 0
		m.Objects[i].Object = o
	}
	m.Skipped = w.manifest.Skipped()
	for i, p := range parts {
		of := &m.Objects[w.manifest.Shards[i].Object]
		of.Parts = append(of.Parts, p.Name)
		m.Files = append(m.Files, p.Files...)
	}
	for _, l := range w.plan.Input.Lookups {
		m.Tables = append(m.Tables, product.Joined{Name: l.Name, Rows: l.Rows, SHA256: l.SHA256()})
	}
	if l := w.plan.Input.Labels; l != nil {
		m.Tables = append(m.Tables, product.Joined{Name: "label_file", Rows: int(l.Rows), SHA256: l.Manifest})
	}
	return w.table.Describe(ctx, m)
}
