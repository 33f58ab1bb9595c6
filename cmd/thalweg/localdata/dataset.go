// Package localdata is training data as the verbs read it that work where they are
// typed: files on this machine, or objects of a store.
package localdata

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/dustin/go-humanize"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/balance"
	"github.com/thalweg/thalweg/pipeline/clean"
	"github.com/thalweg/thalweg/pipeline/draft"
	"github.com/thalweg/thalweg/pipeline/feature"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/dataset"
	"github.com/thalweg/thalweg/storage/memory"
	"github.com/thalweg/thalweg/worker"
	"github.com/thalweg/thalweg/worker/shuffle"
)

// Dataset is data that this process reads: files on this machine, or objects of
// a store.
type Dataset struct {
	From     string // what was opened
	Manifest *dataset.Manifest
	Schema   table.Schema
	source   worker.DatasetSource
	// rejects are the rows that could not be read, where the spec says that they are left
	// out.
	rejects pipeline.Report
	// settled is what the shuffles of a plan found of each shard.
	settled []map[string]*pipeline.Settled
	format  string // as it stands in a spec
	labels  *worker.LabelFile
	// balanced says how often training rows are there; nil: once.
	balanced *balance.Rows
	// Labels is what joining rows to the label file of a spec found.
	Labels struct {
		shuffle.Joined
		Keyless int64 // of its rows
	}
}

// Connections are what specs name and do not hold.
type Connections interface {
	// Bucket opens a bucket over a named store connection.
	Bucket(ctx context.Context, connection, name string) (storage.Bucket, error)
	// Key returns a named key, of columns with pii: hash.
	Key(name string) (table.Key, error)
}

// Open opens what a path names on this machine (see FindFiles) or, as
// s3://bucket/…, in a store: an object, a pattern, or a folder, of which the objects of
// the format are meant. What is empty of connection and from is as the spec has it.
// The format is that of the spec, without one that of the names.
func Open(ctx context.Context, conns Connections, connection, from string, spec *pipeline.Spec) (d *Dataset, err error) {
	if spec != nil {
		train := spec.Spec.Sources.Train
		connection = cmp.Or(connection, train.Connection)
		if from == "" && train.S3 != nil {
			from = train.S3.Path
		}
	}
	if strings.HasPrefix(from, "s3://") {
		d, err = openObjects(ctx, conns, connection, from, spec)
	} else {
		d, err = OpenFiles(ctx, from, spec)
	}
	if err == nil && spec != nil && spec.Spec.Schema.KeyName() != "" {
		d.source.Key, err = conns.Key(spec.Spec.Schema.PIIKey)
	}
	return d, err
}

// openObjects opens objects of a store.
func openObjects(ctx context.Context, conns Connections, connection, from string, spec *pipeline.Spec) (*Dataset, error) {
	name, key, err := pipeline.SplitS3Path(from)
	if err != nil {
		return nil, err
	}
	bucket, err := conns.Bucket(ctx, connection, name)
	if err != nil {
		return nil, err
	}
	folder := key == "" || strings.HasSuffix(key, "/")
	if !folder && !strings.ContainsAny(key, `*?[\`) {
		if _, err := bucket.Head(ctx, key); thalweg.Is(err, thalweg.NotFound) {
			key, folder = key+"/", true
		}
	}
	source := worker.DatasetSource{Bucket: bucket, Pattern: key, Root: "s3://" + name + "/"}
	if spec != nil {
		if _, table := spec.Spec.Sources.Train.Format.Options.(pipeline.TableSource); table {
			source.Pattern = strings.TrimSuffix(key, "/") + "/"
			return discover(ctx, source, from, spec)
		}
	}
	if !folder {
		return discover(ctx, source, from, spec)
	}
	var ext string
	if spec != nil && spec.Spec.Sources.Train.S3 != nil {
		ext = extension(spec.Spec.Sources.Train.S3.Path)
	} else {
		ext, err = dataExtension(func(yield func(string, error) bool) {
			for info, err := range bucket.List(ctx, key, "") {
				if !yield(info.Key, err) {
					return
				}
			}
		})
		if err != nil {
			return nil, &thalweg.Error{Op: "open data", Kind: thalweg.KindOf(err), Subject: from, Err: err}
		}
	}
	source.Pattern = key + "**/*" + ext
	d, err := discover(ctx, source, from, spec)
	if err == nil && !slices.ContainsFunc(d.Manifest.Objects, func(o dataset.Object) bool { return strings.Contains(o.Key[len(key):], "/") }) {
		d.source.Pattern = key + "*" + ext
	}
	return d, err
}

// Join reads the tables of a spec, those that copies names from files on this machine and
// others from their stores, so that its rows can be joined to them; and the columns of its
// label file, which copies has under the name of its step.
func (d *Dataset) Join(ctx context.Context, conns Connections, spec *pipeline.Spec, copies map[string]string) (warnings []string, err error) {
	labels := spec.Spec.Sources.Train.LabelFile
	for name := range copies {
		if name == pipeline.LabelStep && labels != nil {
			continue
		}
		if !slices.ContainsFunc(spec.Spec.Lookups, func(l pipeline.LookupTable) bool { return l.Name == name }) {
			return nil, &thalweg.Error{Op: "read --lookup", Kind: thalweg.Invalid, Subject: name, Hint: "the spec has no table of that name in lookups"}
		}
	}
	locate := func(name, connection, path string) (storage.Bucket, string, error) {
		if from, ok := copies[name]; ok {
			files, pattern, err := FindFiles("read --lookup", from)
			return &fileBucket{memory.New(), files}, pattern, err
		}
		name, key, err := pipeline.SplitS3Path(path)
		if err != nil {
			return nil, "", err
		}
		bucket, err := conns.Bucket(ctx, connection, name)
		return bucket, key, err
	}
	if labels != nil {
		from := worker.DatasetSource{Key: d.source.Key}
		if from.Bucket, from.Pattern, err = locate(pipeline.LabelStep, labels.Connection, labels.S3.Path); err != nil {
			return nil, err
		}
		if d.labels, err = worker.ReadLabelFile(ctx, spec, worker.DatasetFormats(), from, &d.Schema); err != nil {
			return nil, err
		}
	}
	d.Schema.Lookups, warnings, err = worker.ReadLookups(ctx, spec, worker.DatasetFormats(), func(_ context.Context, l *pipeline.LookupTable) (storage.Bucket, string, error) {
		return locate(l.Name, l.Connection, l.S3.Path)
	})
	return warnings, err
}

// LabelWarnings say what is odd about the label file of a plan, if it has one.
func (d *Dataset) LabelWarnings(plan *pipeline.Plan) []string {
	if d.labels == nil {
		return nil
	}
	return d.labels.Warnings(plan)
}

// Labelled says how the rows of the label file and those of the data met, nothing if the spec
// has none.
func (d *Dataset) Labelled() (notes []string) {
	if d.labels == nil {
		return nil
	}
	l := d.Labels
	notes = append(notes, fmt.Sprintf("label file: %s rows, %s of them without a row that has their key", humanize.Comma(l.Joined.Labels+l.Keyless), humanize.Comma(l.Unmatched)))
	if l.Keyless > 0 {
		notes = append(notes, fmt.Sprintf("label file: %s rows without a key", humanize.Comma(l.Keyless)))
	}
	return notes
}

// OpenFiles opens files on this machine.
func OpenFiles(ctx context.Context, from string, spec *pipeline.Spec) (*Dataset, error) {
	files, pattern, err := FindFiles("open data", from)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(files, func(f File) bool { return strings.Contains(f.Key, "/") }) && !strings.Contains(pattern, "/") {
		pattern = "**/" + pattern
	}
	return discover(ctx, worker.DatasetSource{Bucket: &fileBucket{memory.New(), files}, Pattern: pattern}, from, spec)
}

// discover opens what a source names.
func discover(ctx context.Context, source worker.DatasetSource, from string, spec *pipeline.Spec) (*Dataset, error) {
	d := &Dataset{From: from, source: source}
	err := d.read(ctx, spec)
	if err == nil {
		d.Manifest, d.Schema, err = d.source.Discover(ctx)
	}
	if err != nil {
		return nil, &thalweg.Error{Op: "open data", Kind: thalweg.KindOf(err), Subject: from, Err: err}
	}
	d.Schema = d.source.Schema.Protected(d.Schema)
	return d, nil
}

// Source returns what a spec is drafted of.
func (d *Dataset) Source() draft.Source {
	return draft.Source{From: d.From, Pattern: d.source.Pattern, Format: d.format, Extension: extension(d.source.Pattern), Schema: d.Schema, Each: d.Each}
}

// read says how the data are read.
func (d *Dataset) read(ctx context.Context, spec *pipeline.Spec) (err error) {
	if spec == nil {
		if spec, err = d.guessed(ctx); err != nil {
			return err
		}
	}
	as, err := worker.Source(spec, worker.DatasetFormats())
	if err != nil {
		return err
	}
	d.source.Format, d.source.Options, d.source.Schema, d.source.Share, d.source.Seed = as.Format, as.Options, as.Schema, as.Share, as.Seed
	if spec.Spec.Sources.Train.OnBadRow.Rejects() {
		d.source.Reject = d.rejects.Reject
	}
	return nil
}

// Rejected says which rows could not be read and were left out, beside so many that
// were read, and whether a run would take that.
func (d *Dataset) Rejected(read int64, allowed pipeline.OnBadRow) (notes []string) {
	n := d.rejects.Rejected
	if n == 0 {
		return nil
	}
	first := d.rejects.BadRows[0]
	notes = append(notes, fmt.Sprintf("rejected: %s of %s rows cannot be read, the first is %s: %s", humanize.Comma(n), humanize.Comma(n+read), first.Place(), first.Reason))
	if allowed.Exceeded(n, read) {
		notes = append(notes, fmt.Sprintf("warning: a run of these rows fails, as on_bad_row has max_rate %s", allowed.MaxRate))
	}
	return notes
}

// Check reports the first row that the plan cannot learn from, and otherwise
// counts the rows that can be used and those that cannot.
func (d *Dataset) Check(ctx context.Context, plan *pipeline.Plan) (*pipeline.Report, error) {
	rep := new(pipeline.Report)
	d.source.Skipped = rep.NotDrawn
	d.Schema = plan.Input
	chain := clean.BeforeLearning(plan)
	var fitter *feature.Fitter
	if plan.Spec.Trains() {
		fitter = feature.NewFitter(plan)
	}
	steps, _ := plan.Spec.Shuffles()
	if err := d.settle(ctx, plan, plan.Passes()[:steps]); err != nil {
		return nil, err
	}
	return rep, d.eachPlace(ctx, func(batch arrow.Record, shard int, _ table.Place) error {
		cleaned, err := chain.With(d.settled[shard]).Apply(ctx, batch, rep)
		if err != nil {
			return err
		}
		defer cleaned.Release()
		if fitter == nil {
			return nil
		}
		use, err := feature.Usable(plan, cleaned, rep)
		if err == nil {
			rep.RowsOut -= cleaned.NumRows() - int64(use.Count())
			err = fitter.Check(cleaned)
		}
		return err
	})
}

// Each calls fn with every batch of rows in order; the batch is fn's only for
// the call.
func (d *Dataset) Each(ctx context.Context, fn func(batch arrow.Record) error) error {
	return d.eachPlace(ctx, func(batch arrow.Record, _ int, _ table.Place) error { return fn(batch) })
}

// eachPlace is Each, of which fn learns the shard, whose rows the batch counts, and
// where the batch begins.
func (d *Dataset) eachPlace(ctx context.Context, fn func(batch arrow.Record, shard int, at table.Place) error) error {
	for shard := range d.Manifest.Shards {
		r, err := d.source.OpenRows(ctx, d.Manifest, shard, d.Schema, dataset.ReaderConfig{})
		if err != nil {
			return err
		}
		for err == nil {
			err = next(r, func(batch arrow.Record) error {
				if batch.NumRows() == 0 {
					return nil
				}
				at := r.At
				at.Row += table.RowNumber(batch, 0) - r.First // the rows before were rejected, or not drawn
				return fn(batch, shard, at)
			})
		}
		_ = r.Close() // what it cannot read, Next has told
		if err != io.EOF {
			return err
		}
	}
	return nil
}

// next calls fn with the next batch of a shard; io.EOF where there is none.
func next(r *worker.RowReader, fn func(batch arrow.Record) error) error {
	batch, err := r.Next()
	if err == io.EOF {
		return err
	}
	if err != nil {
		return r.At.Of(err, r.First)
	}
	defer batch.Release()
	if err = fn(batch); errors.As(err, new(*table.RowError)) {
		return r.At.Of(err, r.First)
	}
	return err
}
