package worker

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
)

// modelVersion is a version of the model that a run knows: its parent, or the champion.
type modelVersion struct {
	*artifact.Artifact
	number uint64
	flaw   string // why a champion cannot be read
}

// parent loads the version that training starts from, nil where it starts anew, and holds
// it against the plan.
func (w *Worker) parent(ctx context.Context, lease *apiv1.Lease, plan *pipeline.Plan) (*modelVersion, error) {
	input, ok := lease.Inputs[stages.ParentInput]
	if !ok {
		return nil, nil
	}
	v, err := w.version(ctx, input)
	if err == nil {
		err = artifact.CheckParent(plan, v.Artifact)
	}
	if err != nil {
		number, _, _ := strings.Cut(input, " ")
		return nil, &thalweg.Error{Op: "start from version " + number, Kind: thalweg.KindOf(err), Subject: "trainer.warm_start", Err: err}
	}
	return v, nil
}

// version loads the version that an input of a run names.
func (w *Worker) version(ctx context.Context, input string) (v *modelVersion, err error) {
	number, reference, _ := strings.Cut(input, " ")
	v = new(modelVersion)
	if v.number, err = strconv.ParseUint(number, 10, 64); err == nil {
		v.Artifact, err = w.artifact(ctx, reference)
	}
	return v, err
}

// inheritedText says, for people, what training took from the version that it starts from.
func (v *modelVersion) inheritedText(got artifact.Inherited) string {
	text := fmt.Sprintf("from version %d: weights of %d of %d features", v.number, got.Features, got.Features+len(got.New))
	if got.Trees > 0 {
		text = fmt.Sprintf("from version %d: splits of %d trees, by %d of %d features, with leaves refitted", v.number, got.Trees, got.Features, got.Features+len(got.New))
	}
	if len(got.New) > 0 {
		text += "; new are " + brief(strings.Join(got.New, ", "))
	}
	if got.Values > 0 {
		text += fmt.Sprintf("; %d values that it did not know", got.Values)
	}
	return text
}
