package worker

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/imported"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage/dataset"
)

// runProfile lists the dataset, reads the footers, cuts it into shards and
// checks the spec against the columns that are really there.
func runProfile(ctx context.Context, t *Task) error {
	spec, err := t.worker.spec(t.Lease)
	if err != nil {
		return err
	}
	source, err := t.worker.source(ctx, spec)
	if err != nil {
		return err
	}
	// Before Discover lists them: an object that comes in between is new to the next run too.
	objects, n, err := t.worker.objects(ctx, spec, source)
	if err != nil {
		return err
	}
	if skipsBadShards(spec) {
		store := &watchedBucket{Bucket: source.Bucket}
		source.Bucket, source.skip = store, store.blameless
	}
	manifest, schema, err := source.Discover(ctx)
	if err == nil {
		err = judgeSkipped(spec, manifest)
	}
	if err != nil {
		return err
	}
	tables, warnings, err := t.worker.lookups(ctx, spec)
	if err != nil {
		return err
	}
	schema.Lookups = tables
	var labels *LabelFile
	if spec.Spec.Sources.Train.LabelFile != nil {
		from, err := t.worker.labelSource(ctx, spec)
		if err == nil {
			labels, err = ReadLabelFile(ctx, spec, t.worker.cfg.Datasets, from, &schema)
		}
		if err != nil {
			return err
		}
	}
	plan, err := pipeline.Compile(spec, schema)
	if err != nil {
		return err
	}
	events, err := t.worker.eventSchema(ctx, plan)
	if err != nil {
		return err
	}
	ensemble, err := t.worker.imported(ctx, plan)
	if err != nil {
		return err
	}
	if _, err := t.worker.parent(ctx, t.Lease, plan); err != nil {
		return err
	}
	if !spec.Trains() {
		if err := t.claimOutput(ctx, plan, manifest, source.Key.ID()); err != nil {
			return err
		}
	}
	t.Report.Outputs[stages.ObjectsOutput] = objects
	if spec.Spec.Sources.Train.Freshness == nil { // which clean judges, as rows that do not change grow old
		t.endIfKnown(objects, n)
	}
	t.Report.Counts["shards"] = int64(len(manifest.Shards))
	t.Report.Counts["objects"] = int64(len(manifest.Objects))
	t.Report.Counts["rows"] = manifest.Rows
	for _, l := range tables {
		t.Report.Counts["rows of table "+l.Name] = int64(l.Rows)
	}
	if len(plan.Matched) > 0 {
		t.Report.Outputs["features"] = shortened(strings.Join(plan.Matched, "\n"))
		t.Report.Counts["features"] = int64(len(plan.Features))
	}
	if text := PartitionColumns(manifest, schema); text != "" {
		t.Report.Outputs["partitions"] = shortened(text)
	}
	of := profiled{Manifest: manifest, Schema: schema, EventSchema: events, Imported: ensemble, KeyID: source.Key.ID()}
	if labels != nil {
		of.Labels = labels.Manifest
		t.Report.Counts["rows of label_file"], t.Report.Counts["objects of label_file"] = labels.Manifest.Rows, int64(len(labels.Manifest.Objects))
		warnings = append(warnings, labels.Warnings(plan)...)
	}
	for _, w := range slices.Concat(manifest.Warnings, warnings, GapWarnings(plan, manifest)) {
		t.warn("%s", w)
	}
	if manifest.PassedOver > 0 {
		t.Report.Counts["objects.passed_over"] = manifest.PassedOver
	}
	return t.Save(ctx, "manifest", of)
}

// endIfKnown ends a run that its schedule started if the newest version was trained on the
// same objects.
func (t *Task) endIfKnown(objects string, n int) {
	if version, known, _ := strings.Cut(t.Lease.Inputs[stages.KnownInput], " "); known == objects && version != "" {
		t.Report.Outputs[stages.EndOutput] = fmt.Sprintf("nothing new: version %s was trained on the same objects, %s in all", version, humanize.Comma(int64(n)))
	}
}

// imported reads the model that a spec imports, nil where it does not, and holds it
// against the features.
func (w *Worker) imported(ctx context.Context, plan *pipeline.Plan) (*imported.Ensemble, error) {
	ref := plan.Spec.Imports()
	if ref == "" {
		return nil, nil
	}
	fail := func(kind thalweg.Kind, err error) error {
		return &thalweg.Error{Op: "read imported model", Kind: kind, Subject: ref, Err: err, Hint: "import it by `thalweg models import`"}
	}
	info, err := w.state.Head(ctx, imported.Key(ref))
	if err == nil && info.SizeBytes > imported.MaxFileBytes {
		err = fmt.Errorf("it has %d bytes, the bound is %d", info.SizeBytes, imported.MaxFileBytes)
	}
	if err != nil {
		return nil, fail(thalweg.KindOf(err), err)
	}
	data, _, err := w.state.Get(ctx, imported.Key(ref))
	if err != nil {
		return nil, fail(thalweg.KindOf(err), err)
	}
	e, err := imported.Decode(data)
	if err == nil && !imported.Names(ref, e) {
		err = fmt.Errorf("the object is of another model: %s", e.Hash())
	}
	if err != nil {
		return nil, fail(thalweg.Corrupt, err)
	}
	_, err = plan.WithImported(e)
	return e, err
}

// PartitionColumns names the columns that folders of keys fill, with their types.
func PartitionColumns(m *dataset.Manifest, schema table.Schema) string {
	var names []string
	for _, name := range m.Partitions {
		_, c, _ := schema.Lookup(name)
		names = append(names, name+" "+string(c.Type))
	}
	return strings.Join(names, ", ")
}

// GapWarnings say which columns that training reads are missing in some of the
// objects, whose rows have null there.
func GapWarnings(plan *pipeline.Plan, m *dataset.Manifest) (texts []string) {
	for _, gap := range m.Gaps {
		use, ok := plan.Uses[gap.Column]
		if !ok {
			continue
		}
		named := strings.Join(gap.Named, ", ")
		if gap.Objects > len(gap.Named) {
			named += ", …"
		}
		texts = append(texts, fmt.Sprintf("column %s, which %s reads, is missing in %d of %d objects (%s): it is null in their %s rows",
			gap.Column, use, gap.Objects, len(m.Objects), named, humanize.Comma(gap.Rows)))
	}
	return texts
}

// shortened cuts a text for people to what an output of a run may have.
func shortened(text string) string {
	const most = 4000
	if len(text) <= most {
		return text
	}
	return text[:strings.LastIndexByte(text[:most], '\n')+1] + "…"
}

// maxEventSchemaBytes bounds the file of an Avro schema; those of wide tables
// have some ten KiB.
const maxEventSchemaBytes = 1 << 20

// eventSchema reads the schema of events, where the spec names its file, and
// holds it against the columns.
func (w *Worker) eventSchema(ctx context.Context, plan *pipeline.Plan) (string, error) {
	path := plan.Spec.SchemaFile()
	if path == "" {
		return "", nil
	}
	bucket, key, err := w.location(ctx, plan.Spec.Spec.Sources.Train.Connection, path)
	if err != nil {
		return "", err
	}
	fail := func(kind thalweg.Kind, err error) error {
		return &thalweg.Error{Op: "read schema of events", Kind: kind, Subject: path, Err: err}
	}
	info, err := bucket.Head(ctx, key)
	if err != nil {
		return "", fail(thalweg.KindOf(err), err)
	}
	if info.SizeBytes > maxEventSchemaBytes {
		return "", fail(thalweg.Invalid, fmt.Errorf("it has %d bytes, the bound is %d", info.SizeBytes, maxEventSchemaBytes))
	}
	text, _, err := bucket.Get(ctx, key)
	if err != nil {
		return "", fail(thalweg.KindOf(err), err)
	}
	if err := artifact.CheckEvents(plan, string(text)); err != nil {
		return "", fail(thalweg.Invalid, err)
	}
	return string(text), nil
}
