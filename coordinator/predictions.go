package coordinator

import (
	"context"
	"fmt"
	"net"
	"net/http"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/auth"
	"github.com/thalweg/thalweg/coordinator/serving"
	"github.com/thalweg/thalweg/coordinator/state"
)

// servingCluster is what the proxy of predictions sees of this node. Any node passes requests
// on by itself: the state says which workers hold endpoints.
type servingCluster struct{ *Coordinator }

// Service implements serving.Cluster.
func (c servingCluster) Service(pipeline string) (of serving.Service, known bool) {
	c.replica.view(func(s *state.State) {
		if p := s.Pipeline(thalweg.PipelineName(pipeline)); p != nil {
			of, known = serviceOf(s, p), len(p.Endpoints) > 0
		}
	})
	return of, known
}

func serviceOf(s *state.State, p *state.Pipeline) serving.Service {
	of := serving.Service{Pipeline: string(p.Name)}
	if k := p.Newest().Serving; k != nil {
		of.RequestsPerSecond = k.RequestsPerSecond
	}
	if !s.Serves(p) {
		of.Missing = fmt.Sprintf("no %s of model %s yet", p.Newest().Alias, p.Newest().Model)
	}
	for _, e := range p.Endpoints {
		if t := e.Task; t.State == state.TaskLeased {
			of.Workers = append(of.Workers, serving.Worker{ID: string(t.Worker), Address: t.Address})
		}
	}
	return of
}

// Services implements serving.Cluster.
func (c servingCluster) Services(ctx context.Context) (all []serving.Service) {
	c.replica.view(func(s *state.State) {
		for p := range s.Pipelines() {
			if len(p.Endpoints) > 0 && sees(ctx, p.Name) {
				all = append(all, serviceOf(s, p))
			}
		}
	})
	return all
}

// Changed implements serving.Cluster.
func (c servingCluster) Changed() <-chan struct{} { return c.changes.Changed() }

// Permit implements serving.Cluster.
func (c servingCluster) Permit(r *http.Request, pipeline string) (client string, err error) {
	id := auth.FromContext(r.Context())
	if c.auth == nil {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		return "address " + host, nil
	}
	policy, _ := auth.PolicyOf(r.URL.Path)
	return id.Kind + "/" + id.Name, policy.Permit(id, "pipeline "+pipeline, []string{pipeline})
}

// Transport implements serving.Cluster.
func (c servingCluster) Transport(worker string) http.RoundTripper {
	t := c.workerTransport(worker)
	t.MaxIdleConnsPerHost = 64 // as many requests at once are usual
	return t
}

// Scheme implements serving.Cluster.
func (c servingCluster) Scheme() string { return c.cfg.scheme() }
