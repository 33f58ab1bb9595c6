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

// parent is the version that training starts from, or its champion.
type parent struct {
	*artifact.Artifact
	version uint64
	flaw    string // why a champion cannot be read
}

// parent loads the version that a run starts from, nil where it starts anew, and holds
// it against the plan.
func (w *Worker) parent(ctx context.Context, lease *apiv1.Lease, plan *pipeline.Plan) (*parent, error) {
	input, ok := lease.Inputs[stages.ParentInput]
	if !ok {
		return nil, nil
	}
	p, err := w.version(ctx, input)
	if err == nil {
		err = artifact.CheckParent(plan, p.Artifact)
	}
	if err != nil {
		number, _, _ := strings.Cut(input, " ")
		return nil, &thalweg.Error{Op: "start from version " + number, Kind: thalweg.KindOf(err), Subject: "trainer.warm_start", Err: err}
	}
	return p, nil
}

// version loads the version that an input of a run names.
func (w *Worker) version(ctx context.Context, input string) (p *parent, err error) {
	number, reference, _ := strings.Cut(input, " ")
	p = new(parent)
	if p.version, err = strconv.ParseUint(number, 10, 64); err == nil {
		p.Artifact, err = w.artifact(ctx, reference)
	}
	return p, err
}

// told says, for people, what a start took from its parent.
func (p *parent) told(got artifact.Inherited) string {
	text := fmt.Sprintf("from version %d: weights of %d of %d features", p.version, got.Features, got.Features+len(got.New))
	if len(got.New) > 0 {
		text += "; new are " + brief(strings.Join(got.New, ", "))
	}
	if got.Values > 0 {
		text += fmt.Sprintf("; %d values that it did not know", got.Values)
	}
	return text
}
