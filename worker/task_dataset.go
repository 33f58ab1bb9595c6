package worker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/dustin/go-humanize"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/dataset"
	"github.com/thalweg/thalweg/worker/product"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// scoredFormat changes whenever the same version would make other bytes of the same rows.
const scoredFormat = 1

// defaultMaxRejected is the share of rows that may be rejected where the job does not say.
const defaultMaxRejected = 0.05

// scoring is a job that scores a dataset.
type scoring struct {
	*modelVersion
	worker      *Worker
	model       engine.Model
	source      DatasetSource
	table       product.Table
	maxRejected float64
	profiled    // from the second stage on
}

// checkScoring refuses arguments that no worker could work with.
func checkScoring(_ *stages.Plan, _ *pipeline.Spec, arguments map[string]string) error {
	fail := func(name, format string, args ...any) error {
		return &thalweg.Error{Op: "score dataset", Kind: thalweg.Invalid, Subject: name, Err: fmt.Errorf(format, args...)}
	}
	known := []string{stages.ModelArgument, stages.VersionArgument, stages.FromArgument, stages.FromConnection, stages.IntoArgument, stages.IntoConnection, stages.FormatArgument, stages.MaxRejectArgument}
	for name := range arguments {
		if !slices.Contains(known, name) {
			return fail("argument "+name, "is none of %v", known)
		}
	}
	for _, name := range []string{stages.ModelArgument, stages.VersionArgument, stages.FromArgument, stages.IntoArgument} {
		if arguments[name] == "" {
			return fail("argument "+name, "is missing")
		}
	}
	for _, name := range []string{stages.FromArgument, stages.IntoArgument} {
		if fault, _ := pipeline.S3PathFault(arguments[name]); fault != "" {
			return fail(name+" "+arguments[name], "%s", fault)
		}
	}
	if _, key, _ := pipeline.SplitS3Path(arguments[stages.IntoArgument]); !strings.HasSuffix(key, "/") {
		return fail(stages.IntoArgument+" "+arguments[stages.IntoArgument], "is no s3://bucket/prefix/")
	}
	_, err := rejectedShare(arguments)
	return err
}

// rejectedShare returns the share of rows that may be rejected.
func rejectedShare(arguments map[string]string) (float64, error) {
	text := arguments[stages.MaxRejectArgument]
	if text == "" {
		return defaultMaxRejected, nil
	}
	percent, isPercent := strings.CutSuffix(text, "%")
	share, err := strconv.ParseFloat(percent, 64)
	if isPercent {
		share /= 100
	}
	if err != nil || !(share >= 0 && share <= 1) {
		return 0, &thalweg.Error{Op: "score dataset", Kind: thalweg.Invalid, Subject: stages.MaxRejectArgument + " " + text, Err: errors.New("want a share, as 5% or 0.05")}
	}
	return share, nil
}

// scoring opens what the job of a task is about, once for its tasks on this worker.
func (t *Task) scoring(ctx context.Context) (*scoring, error) {
	return t.worker.scorings.of(fmt.Sprint(t.Lease.RunId, t.Lease.Inputs["manifest"], t.Lease.Arguments), func() (*scoring, error) { return t.openScoring(ctx) })
}

func (t *Task) openScoring(ctx context.Context) (*scoring, error) {
	w, arguments := t.worker, t.Lease.Arguments
	if err := checkScoring(nil, nil, arguments); err != nil {
		return nil, err
	}
	s := &scoring{worker: w}
	var err error
	if t.Lease.Inputs["manifest"] != "" {
		if err := t.Input(ctx, "manifest", &s.profiled); err != nil {
			return nil, err
		}
	}
	spec, err := w.spec(t.Lease)
	if err != nil {
		return nil, err
	}
	if s.modelVersion, err = w.version(ctx, arguments[stages.VersionArgument]); err != nil {
		return nil, err
	}
	if err := s.Protects(spec.Spec.Schema); err != nil {
		return nil, err
	}
	_, checkpoint, _ := strings.Cut(arguments[stages.VersionArgument], " ")
	s.model = engine.Model{Name: thalweg.ModelName(arguments[stages.ModelArgument]), Version: thalweg.ModelVersion(s.number)}
	if s.model.Checkpoint, err = thalweg.ParseObjectRef(checkpoint); err != nil {
		return nil, err
	}
	// Rows are read as those that the version was trained on.
	s.source.Unread = s.Plan().Unread
	if schema := s.Spec.Spec.Schema; schema != nil {
		s.source.Schema = *schema
	}
	if s.source.Key, err = s.HashedBy(w.connections.Key); err != nil {
		return nil, err
	}
	format := s.Spec.Spec.Sources.Train.Format
	if text := arguments[stages.FormatArgument]; text != "" {
		if format, err = pipeline.ParseDatasetFormat(w.cfg.SpecCatalog, text); err != nil {
			return nil, &thalweg.Error{Op: "score dataset", Kind: thalweg.Invalid, Subject: "format " + text, Err: err}
		}
	}
	var known bool
	if s.source.Format, known = w.cfg.Datasets[format.Name]; !known {
		return nil, unknownFormat("dataset", format)
	}
	s.source.Options = format.Options
	if s.source.Bucket, s.source.Pattern, err = w.location(ctx, arguments[stages.FromConnection], arguments[stages.FromArgument]); err != nil {
		return nil, err
	}
	s.table = product.Table{Owner: thalweg.PipelineName(t.Lease.Pipeline), Use: product.ScoredRows, Run: thalweg.RunID(t.Lease.RunId)}
	if s.table.Place, err = w.place(ctx, arguments[stages.IntoConnection], arguments[stages.IntoArgument]); err != nil {
		return nil, err
	}
	s.maxRejected, err = rejectedShare(arguments)
	return s, err
}

// place opens a prefix of a bucket.
func (w *Worker) place(ctx context.Context, connection, path string) (at storage.Place, err error) {
	if at.Bucket, at.Prefix, err = w.location(ctx, connection, path); err == nil {
		at.Name, _, err = pipeline.SplitS3Path(path)
	}
	return at, err
}

// profileScoring lists the dataset, and makes sure that its rows can be scored and that
// their place is free.
func profileScoring(ctx context.Context, t *Task) error {
	s, err := t.scoring(ctx)
	if err != nil {
		return err
	}
	if err := s.table.Claim(ctx); err != nil {
		return err
	}
	m, have, err := s.source.Discover(ctx)
	if err != nil {
		return err
	}
	columns, err := s.DatasetInput(have)
	if err != nil {
		return err
	}
	if len(m.Shards) == 0 {
		return &thalweg.Error{Op: "score dataset", Kind: thalweg.Invalid, Subject: stages.FromArgument + " " + t.Lease.Arguments[stages.FromArgument],
			Err: errors.New("its objects have no rows"), Hint: "the table stays as it was: give it a dataset with rows"}
	}
	for _, text := range m.Warnings {
		t.warn("%s", text)
	}
	for _, gap := range m.Gaps {
		if _, _, read := columns.Lookup(gap.Column); read && !slices.Contains(s.source.Unread, gap.Column) {
			t.warn("column %s is missing in %d of %d objects: it is null in their %s rows", gap.Column, gap.Objects, len(m.Objects), humanize.Comma(gap.Rows))
		}
	}
	t.Report.Counts["shards"], t.Report.Counts["objects"], t.Report.Counts["rows"] = int64(len(m.Shards)), int64(len(m.Objects)), m.Rows
	return t.Save(ctx, "manifest", profiled{Manifest: m, Schema: columns})
}

// mapScoring scores shards.
func mapScoring(ctx context.Context, t *Task) error {
	s, err := t.scoring(ctx)
	if err != nil {
		return err
	}
	of := []any{scoredFormat, s.model.Checkpoint.SHA256, s.number, s.profiled.Schema, t.Lease.Arguments[stages.FormatArgument], s.Manifest.Partitions}
	parts, err := t.mapParts(ctx, parts{table: &s.table, m: s.Manifest, compression: dataset.Zstd,
		name:  func(shard int) (string, error) { return t.partName(s.Manifest, shard, of) },
		write: func(shard int, w *product.Writer, rep *pipeline.Report) error { return s.shard(ctx, t, shard, w, rep) }})
	if err != nil {
		return err
	}
	return t.SavePartial(ctx, parts)
}

// shard scores the rows of a shard.
func (s *scoring) shard(ctx context.Context, t *Task, shard int, w *product.Writer, rep *pipeline.Report) (err error) {
	source, origin := s.source, s.Manifest.Origin(shard)
	var failed error
	source.Reject = func(row pipeline.BadRow) {
		rep.RowsIn++
		rep.Rejected++
		failed = cmp.Or(failed, w.Reject(ctx, product.Reject{Object: row.Object, Row: row.Number, Line: row.Line, Offset: row.Offset, Stage: "read", Reason: row.Reason, Text: row.Row, Masked: row.Shapes}))
		t.rowsDone.Add(1)
	}
	scorer, err := engine.NewRowScorer(s.model, s.Artifact)
	if err != nil {
		return err
	}
	from := artifact.Origin{Version: s.model.Version, Object: origin.Object, FirstRow: origin.First}
	steps := make(map[string]bool)
	for _, step := range s.Plan().Steps {
		steps[step.Name] = true
	}
	rows, err := source.OpenRows(ctx, s.Manifest, shard, s.profiled.Schema, s.worker.reading())
	if err != nil {
		return err
	}
	defer rows.Close()
	for {
		s.worker.cfg.Memory.Yield(ctx)
		batch, err := rows.Next()
		if err = cmp.Or(err, failed, ctx.Err()); err != nil {
			if batch != nil {
				batch.Release()
			}
			if err == io.EOF {
				return failed
			}
			return rows.At.Of(err, rows.First)
		}
		n := batch.NumRows()
		lost, err := scorer.Score(ctx, batch, from, func(rec arrow.Record) error {
			rep.RowsOut += rec.NumRows()
			return w.Write(ctx, "", rec)
		})
		batch.Release()
		if err != nil {
			return rows.At.Of(err, rows.First)
		}
		for _, r := range lost {
			if steps[r.Stage] {
				rep.DropRows([]int64{r.Offset}, r.Stage, r.Reason)
				continue
			}
			rep.Rejected++
			if err := w.Reject(ctx, product.Reject{Object: origin.Object, Row: origin.First + r.Offset, Stage: r.Stage, Reason: r.Reason}); err != nil {
				return err
			}
		}
		rep.RowsIn += n
		t.rowsDone.Add(n)
		s.worker.metrics.rows.Add(float64(n))
	}
}

// parts is how the parts of a table are made of the shards of a dataset.
type parts struct {
	table *product.Table
	m     *dataset.Manifest
	// name returns the name of the part of a shard: what it is made of. look is what is
	// looked for in its rows besides.
	name        func(shard int) (string, error)
	look        string
	partitionBy string
	compression dataset.Compression
	// write writes the rows of a part, and counts them.
	write func(shard int, w *product.Writer, rep *pipeline.Report) error
}

// mapParts makes the part of a table of each shard of a map task, unless it is there.
func (t *Task) mapParts(ctx context.Context, p parts) (all []*product.Part, err error) {
	for _, s := range p.m.Shards[t.Lease.ShardFrom:t.Lease.ShardTo] {
		t.rowsTotal.Add(s.Rows)
	}
	for i := int(t.Lease.ShardFrom); i < int(t.Lease.ShardTo); i++ {
		name, err := p.name(i)
		if err != nil {
			return nil, err
		}
		part, err := p.table.Find(ctx, name, p.look)
		if err != nil {
			return nil, err
		}
		if part != nil {
			t.rowsDone.Add(p.m.Shards[i].Rows)
			t.Report.Counts["shards.kept"]++
		} else {
			var rep pipeline.Report
			w := p.table.Create(name, p.look, p.partitionBy, dataset.WriterConfig{Compression: p.compression, Pool: t.worker.pool})
			if err := p.write(i, w, &rep); err != nil {
				return nil, err
			}
			if part, err = w.Close(ctx, rep); err != nil {
				return nil, err
			}
		}
		all = append(all, part)
	}
	t.Report.Counts["rows"] = t.rowsDone.Load()
	return all, nil
}

// partName returns the name of what is made of a shard.
func (t *Task) partName(m *dataset.Manifest, shard int, of []any) (string, error) {
	s := m.Shards[shard]
	object := m.Objects[s.Object]
	object.Header = 0 // a number in the manifest, and the header is in what ETag is of
	made := append(slices.Clone(of), object, s.FirstRowGroup, s.EndRowGroup, s.Offset, s.End)
	if s.Skipped != "" {
		made = append(made, "skipped")
	}
	if object.ETag == "" && object.Version == "" {
		made = append(made, t.Lease.RunId) // the store does not tell whether an object is the same one
	}
	text, err := json.Marshal(made)
	return storage.SHA256(text)[:32], err
}

// reduceScoring makes the parts one table.
func reduceScoring(ctx context.Context, t *Task) error {
	s, err := t.scoring(ctx)
	if err != nil {
		return err
	}
	scorer, err := engine.NewRowScorer(s.model, s.Artifact)
	if err != nil {
		return err
	}
	return t.reduceParts(ctx, &s.table, s.Manifest, scorer.Schema(), s.maxRejected)
}

// reduceParts replaces the contents of a table by the parts of its map tasks.
func (t *Task) reduceParts(ctx context.Context, table *product.Table, m *dataset.Manifest, schema *arrow.Schema, maxRejected float64) error {
	lists, err := Partials[[]*product.Part](ctx, t)
	if err != nil {
		return err
	}
	parts := slices.Concat(lists...)
	total := product.Sum(parts)
	if err := total.Balance(m.Rows); err != nil {
		return err
	}
	counts := t.Report.Counts
	counts["rows_in"], counts["rows_out"], counts["rows_rejected"], counts["files"] = total.RowsIn, total.RowsOut, total.Rejected, total.Files
	counts["rows_dropped"] = total.RowsIn - total.RowsOut - total.Rejected
	for reason, n := range total.Dropped {
		counts["dropped: "+reason] = n
	}
	if total.Rejected > 0 {
		text := fmt.Sprintf("%s of %s rows are rejected, %.3g%%, at most %.3g%% may be; they are in %s%s*.jsonl, with place and reason", humanize.Comma(total.Rejected),
			humanize.Comma(total.RowsIn), 100*float64(total.Rejected)/float64(total.RowsIn), 100*maxRejected, table, product.RejectsDir)
		for _, r := range total.First {
			text += fmt.Sprintf("\nobject %s, row %d: %s: %s", r.Object, r.Row, r.Stage, r.Reason)
		}
		if float64(total.Rejected)/float64(total.RowsIn) > maxRejected {
			return &thalweg.Error{Op: "write table", Kind: thalweg.Invalid, Subject: table.String(), Err: errors.New(text),
				Hint: "mend the rows, or allow more: --max-rejected"}
		}
		t.Report.Outputs["bad_rows"] = shortened(text)
	}
	_, err = t.replace(ctx, table, product.Contents{Schema: schema, Parts: parts})
	return err
}

// replace replaces the contents of a table, and tells which version it has.
func (t *Task) replace(ctx context.Context, table *product.Table, c product.Contents) (version int64, err error) {
	c.Now = time.Now()
	c.NewID = storage.SHA256(fmt.Append(nil, t.Lease.TaskId, t.Lease.Token, t.worker.cfg.ID, c.Now.UnixNano()))[:32]
	version, changed, err := table.Replace(ctx, c)
	if err != nil {
		return version, err
	}
	t.Report.Outputs["table"] = fmt.Sprintf("%s version %d", table, version)
	if !changed {
		t.Report.Outputs["table"] += ", which has these rows already"
	}
	return version, nil
}
