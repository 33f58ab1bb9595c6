package jobs

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/worker/cluster"
	"github.com/thalweg/thalweg/worker/stream/engine"
	"github.com/thalweg/thalweg/worker/stream/labels"
)

// Quality asks how good a stream's answers were, by the labels of spec.monitoring. The answer
// is a labels.Report.
type Quality struct {
	// SinceUS and UntilUS bound when rows were scored, microseconds since 1970 UTC. 0: as
	// long ago as the spec says, and now.
	SinceUS int64 `json:"since_us,omitempty"`
	UntilUS int64 `json:"until_us,omitempty"`
}

func runQuality(ctx context.Context, j *Job, p Quality) error {
	s, err := j.OpenStream(ctx, j.Pipeline)
	if err != nil {
		return err
	}
	m := s.Spec.Spec.Monitoring
	if m == nil || m.Labels == nil {
		return &thalweg.Error{Op: "measure quality", Kind: thalweg.Invalid, Subject: "pipeline " + j.Pipeline, Hint: "its spec has no monitoring.labels: thalweg explain spec.monitoring.labels"}
	}
	versions, err := j.versions(ctx, s)
	if err != nil {
		return err
	}
	newest, err := versions.newest(ctx)
	if err != nil {
		return err
	}
	what := labels.Request{Spec: s.Spec, Until: time.Now()}
	if p.UntilUS > 0 {
		what.Until = time.UnixMicro(p.UntilUS)
	}
	if what.Since = what.Until.Add(-time.Duration(m.Labels.Within)); p.SinceUS > 0 {
		what.Since = time.UnixMicro(p.SinceUS)
	}
	if what.Key, what.Label, err = labelColumns(m.Labels, newest.Plan()); err != nil {
		return err
	}
	what.Dir, what.Memory = j.Scratch()
	partitions, err := s.Partitions(ctx)
	if err != nil {
		return err
	}
	files, err := s.Files(ctx, partitions)
	if err != nil {
		return err
	}
	from := labels.Sources{Bucket: s.Live.Bucket, Version: versions.trained}
	for _, f := range files {
		if f.ScoredAtUS >= what.Since.UnixMicro() { // no row of a file is later than its slot
			from.Files = append(from.Files, f.Key)
		}
	}
	read := &lateLabels{Job: j, spec: s.Spec, of: m.Labels, artifact: newest}
	from.Labels = read.each
	report, err := labels.Run(ctx, from, what, j.Progress)
	if err != nil {
		return err
	}
	report.Rejected, report.First = read.rejected, read.first
	return j.Reply(report)
}

// labelColumns returns the key and the label as labels have them.
func labelColumns(of *pipeline.LateLabels, plan *pipeline.Plan) (key, label table.Column, err error) {
	refused := func(field, name, why string) error {
		return &thalweg.Error{Op: "measure quality", Kind: thalweg.Invalid, Subject: "spec.monitoring.labels." + field, Err: fmt.Errorf("column %s %s", name, why)}
	}
	_, key, ok := plan.ScoringInput.Lookup(of.Key)
	_, carried, alsoOK := plan.ScoringCleaned.Lookup(of.Key)
	switch {
	case !ok || !alsoOK || !plan.Carried[of.Key]:
		return key, label, refused("key", of.Key, "is not in scored rows")
	case carried.Type != key.Type:
		return key, label, refused("key", of.Key, fmt.Sprintf("is %s in events and %s in scored rows: it must be as it came", key.Type, carried.Type))
	}
	_, label, ok = plan.Cleaned.Lookup(of.Column)
	if !ok {
		return key, label, refused("column", of.Column, "is not in the training data")
	}
	key.Nullable = true
	return key, table.Column{Name: label.Name, Type: label.Type, Nullable: true}, nil
}

// versions are those that rows of a stream may be of.
type versions struct {
	*Job
	stream *cluster.Stream
	models *engine.Registry
	of     *apiv1.Model
	loaded map[thalweg.ModelVersion]*labels.Trained
}

func (j *Job) versions(ctx context.Context, s *cluster.Stream) (v *versions, err error) {
	v = &versions{Job: j, stream: s, loaded: make(map[thalweg.ModelVersion]*labels.Trained)}
	if v.of, err = j.FindModel(ctx, s.Spec.Spec.Registry.Model); err != nil {
		return nil, err
	}
	v.models, err = j.Models(ctx)
	return v, err
}

// newest returns the newest version of the pipeline that is kept.
func (v *versions) newest(ctx context.Context) (*artifact.Artifact, error) {
	for _, version := range slices.Backward(v.of.Versions) {
		if !version.Collected && !version.Retired && version.Pipeline == v.Pipeline {
			t, err := v.trained(ctx, thalweg.ModelVersion(version.Version))
			if err != nil {
				return nil, err
			}
			return t.Artifact, nil
		}
	}
	return nil, &thalweg.Error{Op: "measure quality", Kind: thalweg.NotFound, Subject: "pipeline " + v.Pipeline, Hint: "it has trained no version yet"}
}

// trained implements labels.Sources.Version.
func (v *versions) trained(ctx context.Context, number thalweg.ModelVersion) (*labels.Trained, error) {
	if t := v.loaded[number]; t != nil {
		return t, nil
	}
	version, of, err := cluster.VersionOf(v.of, number)
	if err != nil {
		return nil, err
	}
	t := new(labels.Trained)
	if t.Artifact, err = v.models.Load(ctx, of); err != nil {
		return nil, err
	}
	v.loaded[number] = t
	if version.RunId == "" { // imported
		return t, nil
	}
	res, err := v.GetRun(ctx, &apiv1.GetRunRequest{RunId: version.RunId})
	if err == nil {
		found, notFound := v.Evaluation(ctx, res.Run)
		if err = notFound; err == nil {
			t.Judged, t.Metrics = found.Judged, found.Splits[found.Judged].Metrics
		}
	}
	if thalweg.Is(err, thalweg.NotFound) || thalweg.Is(err, thalweg.Invalid) { // a run without evaluation
		err = nil
	}
	return t, err
}
