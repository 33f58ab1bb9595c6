package view

import (
	"slices"

	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/liveness"
	"github.com/thalweg/thalweg/coordinator/state"
)

// The states of an endpoint, as shown.
const (
	EndpointServing = "serving"
	EndpointWaiting = "waiting" // for a model or a worker
)

// maxServed is how many versions of a model a request can name besides those of aliases.
const maxServed = 64

// completeEndpoint adds to a lease what an endpoint answers with: the champion and what it
// replaced, and what requests can name.
func completeEndpoint(s *state.State, p *state.Pipeline, l *apiv1.Lease) {
	spec := p.Newest()
	l.Pipeline, l.Generation = string(p.Name), uint64(spec.Generation)
	for _, v := range s.Champion(p) {
		l.Models = append(l.Models, &apiv1.ModelVersion{Version: uint64(v.Version), Checkpoint: v.Checkpoint, RegisteredAtUnixMs: v.RegisteredMS})
	}
	completeRollout(s, p, l)
	m := s.Model(spec.Model)
	if m == nil {
		return
	}
	for i, v := range slices.Backward(m.Versions) {
		aliases := m.AliasesOf(v.Version)
		// Who may ask this pipeline may not see what others have trained.
		if v.Pipeline == p.Name && !v.Collected && !v.Retired && (len(aliases) > 0 || len(m.Versions)-i <= maxServed) {
			l.Versions = append(l.Versions, &apiv1.NamedVersion{Version: uint64(v.Version), Checkpoint: v.Checkpoint, Aliases: aliases})
		}
	}
}

// Endpoints returns those of a pipeline. What their workers told of them a leader alone knows.
func Endpoints(s *state.State, p *state.Pipeline, l *liveness.Liveness) (all []*apiv1.Endpoint) {
	for _, e := range p.Endpoints {
		t := e.Task
		v := &apiv1.Endpoint{Pipeline: string(p.Name), Index: t.Index, Worker: string(t.Worker), Address: t.Address, State: EndpointWaiting}
		told := l.ProgressOf(t.ID, t.Token)
		switch {
		case t.State == state.TaskLeased && told != nil:
			if v.ModelVersion, v.Message = told.ModelVersion, told.Message; v.ModelVersion > 0 {
				v.State = EndpointServing
			}
		case t.State == state.TaskLeased:
			v.Message = "its worker has not told of it yet"
		case !s.Serves(p):
			v.Message = "no " + p.Newest().Alias + " of model " + string(p.Newest().Model) + " yet"
		default:
			v.Message = "no worker has taken it yet: one takes one of each pipeline"
		}
		all = append(all, v)
	}
	return all
}
