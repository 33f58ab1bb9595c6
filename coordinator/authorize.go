package coordinator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/auth"
	"github.com/thalweg/thalweg/coordinator/auth/pki"
	"github.com/thalweg/thalweg/coordinator/state"
	"github.com/thalweg/thalweg/pipeline"
)

// routes returns the handler of all that the table of policies has, and of nothing
// else. It reads no more of a body than the route's policy allows. A policy without a
// handler is refused; a handler without a policy is a mistake of this program.
func routes(handlers map[string]http.Handler) http.Handler {
	for path := range handlers {
		if _, ok := auth.PolicyOf(path); !ok {
			panic("coordinator: " + path + " has no policy: add it to coordinator/auth/catalog.go")
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		policy, _ := auth.PolicyOf(r.URL.Path)
		h, ok := handlers[policy.Route]
		if !ok {
			http.NotFound(w, r)
			return
		}
		most := int64(policy.Bytes())
		if r.ContentLength > most {
			refuse(w, r, tooLarge(r, most))
			return
		}
		// The server's own request keeps its body, by which the server knows that one was not
		// read to its end: else it would take the rest of it for the next request. And without
		// w: a request that is passed on may be read after it was answered.
		bounded := *r
		bounded.Body = http.MaxBytesReader(nil, r.Body, most)
		h.ServeHTTP(w, &bounded)
	})
}

// authorized serves requests of those who may call the route, with their identity in
// the context. What it is about, permit checks once the message has been read.
func (c *Coordinator) authorized(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		policy, ok := auth.PolicyOf(r.URL.Path)
		if !ok {
			http.NotFound(w, r)
			return
		}
		id := auth.Anyone(r.RemoteAddr)
		if c.auth != nil && !policy.Open {
			var err error
			if id, err = c.identify(r); err == nil {
				err = policy.Admit(id)
			}
			if err == nil && policy.Over == auth.OverCluster {
				err = policy.PermitCluster(id)
			}
			wait, throttled := c.limit(policy, id, err)
			if err = cmp.Or(throttled, err); err != nil {
				c.refuseCaller(w, r, id, wait, err)
				return
			}
		}
		next.ServeHTTP(w, r.WithContext(auth.NewContext(r.Context(), id)))
	})
}

// limit counts a request, and returns how long its client has to wait if it asks too
// often. What it asks for does not matter, and neither does whether it may.
func (c *Coordinator) limit(policy auth.Policy, id auth.Identity, err error) (wait time.Duration, throttled error) {
	switch {
	case thalweg.Is(err, thalweg.Unauthenticated):
		return c.auth.Limits.TakeFailure(id.Remote, time.Now())
	case policy.Unlimited && err == nil, id.Name == "":
		return 0, nil
	}
	return c.auth.Limits.Take(id, time.Now())
}

// identify returns who makes a request. A leader that has just begun waits until it
// knows all tokens; where nobody leads, a node goes by those that it knows.
func (c *Coordinator) identify(r *http.Request) (auth.Identity, error) {
	if c.node.IsLeader() {
		if _, err := c.waitLeading(r.Context()); err != nil {
			return auth.Identity{}, err
		}
	}
	return c.auth.Identify(r)
}

// refuseCaller answers who may not call, and notes it; whoever asks too often, only in
// the metrics.
func (c *Coordinator) refuseCaller(w http.ResponseWriter, r *http.Request, id auth.Identity, wait time.Duration, err error) {
	kind := thalweg.KindOf(err)
	c.metrics.refused.WithLabelValues(kind.String()).Inc()
	if kind == thalweg.Throttled {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		refuse(w, r, err)
		return
	}
	c.log.Info("request refused", "path", r.URL.Path, "caller", id.String(), keyAddress, r.RemoteAddr, keyError, err)
	if kind == thalweg.Unauthenticated {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	refuse(w, r, err)
}

// permit checks that a call is about what its caller may call it about.
func (c *Coordinator) permit(ctx context.Context, procedure string, message any) error {
	policy, ok := auth.PolicyOf(procedure)
	if !ok {
		return &thalweg.Error{Op: "authorize", Kind: thalweg.Forbidden, Subject: procedure, Err: errors.New("there is no policy for it")}
	}
	id, name := auth.FromContext(ctx), ""
	if policy.Name != nil {
		name = policy.Name(message)
	}
	if of, ok := message.(interface{ GetKind() string }); ok {
		policy = policy.OfJob(of.GetKind())
	}
	switch policy.Over {
	case auth.OverCluster:
		return policy.PermitCluster(id)
	case auth.OverWorker:
		return policy.PermitWorker(id, name)
	case auth.OverPipeline:
		return policy.Permit(id, "pipeline "+name, []string{name})
	case auth.OverList:
		if name != "" {
			return policy.Permit(id, "pipeline "+name, []string{name})
		}
	case auth.OverRun:
		return policy.Permit(id, "run "+name, []string{c.pipelineOfRun(name)})
	case auth.OverJob:
		pipeline, kind := c.pipelineOfJob(thalweg.JobID(name))
		return policy.OfJob(kind).Permit(id, "job "+name, []string{string(pipeline)})
	case auth.OverModel:
		return policy.Permit(id, "all pipelines with model "+name, c.withModel(name))
	}
	return nil
}

// permitSpec checks that who applies a spec may do so for its pipeline, and for all
// that use the model of which its runs register versions.
func (c *Coordinator) permitSpec(ctx context.Context, spec *pipeline.Spec) error {
	policy, _ := auth.PolicyOf(apiv1.CoordinatorServiceApplyProcedure)
	id, name := auth.FromContext(ctx), spec.Metadata.Name
	if err := policy.Permit(id, "pipeline "+name, []string{name}); err != nil {
		return err
	}
	model := spec.Spec.Registry.Model
	if model == "" {
		return nil
	}
	return policy.Permit(id, "all pipelines with model "+model, c.withModel(model))
}

// pipelineOfRun returns the pipeline of a run, or of the newest run of a pipeline, as
// GetRun finds it.
func (c *Coordinator) pipelineOfRun(name string) (of string) {
	c.replica.view(func(s *state.State) {
		switch r := s.Run(thalweg.RunID(name)); {
		case r != nil:
			of = string(r.Pipeline)
		case s.Pipeline(thalweg.PipelineName(name)) != nil:
			of = name
		default:
			of = string(thalweg.RunID(name).Pipeline())
		}
	})
	return of
}

// pipelineOfJob returns whose a job is, and its kind if it is kept.
func (c *Coordinator) pipelineOfJob(id thalweg.JobID) (of thalweg.PipelineName, kind string) {
	c.replica.view(func(s *state.State) {
		if j := s.Job(id); j != nil {
			of, kind = j.Pipeline, j.Kind
		} else {
			of = id.Pipeline()
		}
	})
	return of, kind
}

// withModel returns the pipelines that use a model; where none does, the model is as a
// pipeline of its name.
func (c *Coordinator) withModel(model string) (names []string) {
	c.replica.view(func(s *state.State) { names = withModel(s, model) })
	return names
}

func withModel(s *state.State, model string) (names []string) {
	for p := range s.Pipelines() {
		if p.Uses(thalweg.ModelName(model)) {
			names = append(names, string(p.Name))
		}
	}
	if len(names) == 0 {
		names = []string{model}
	}
	return names
}

// sees reports whether who calls may see a pipeline in a list: workers see all.
func sees[Name ~string](ctx context.Context, pipeline Name) bool {
	id := auth.FromContext(ctx)
	return id.Kind == pki.Worker || id.May(auth.Reader, string(pipeline))
}

// mutate commits a command that somebody asked for, with who that is.
func (c *Coordinator) mutate(ctx context.Context, cmd state.Mutation, requestID string) (state.Answer, error) {
	id := auth.FromContext(ctx)
	caller := id.Caller(requestID)
	if len(requestID) > state.MaxRequestIDBytes {
		return state.Answer{}, &thalweg.Error{Op: state.Name(cmd), Kind: thalweg.Invalid, Subject: "request id",
			Err: fmt.Errorf("longer than %d bytes", state.MaxRequestIDBytes)}
	}
	if requestID != "" && c.auth != nil { // nobody gets the answer to another's request
		requestID = auth.Hash(id.Kind + "/" + id.Name + "/" + requestID)
	}
	if err := c.takeMutation(id); err != nil {
		return state.Answer{}, err
	}
	c.restoring.RLock()
	defer c.restoring.RUnlock()
	return c.commit(&caller, cmd, requestID)
}

// takeMutation counts a change that somebody asks for.
func (c *Coordinator) takeMutation(id auth.Identity) error {
	if c.auth == nil {
		return nil
	}
	_, err := c.auth.Limits.TakeMutation(id, time.Now())
	return err
}

// checkListen refuses to listen to other machines where nobody has to say who it is, or
// where everybody on the way reads how it does.
func (c *Coordinator) checkListen(rpc net.Listener) error {
	host, _, err := net.SplitHostPort(rpc.Addr().String())
	if ip := net.ParseIP(host); err != nil || ip == nil || ip.IsLoopback() || c.cfg.Credentials != nil {
		return nil
	}
	return &thalweg.Error{Op: "listen", Kind: thalweg.Invalid, Subject: rpc.Addr().String(), Err: errors.New("without certificates nobody can prove who it is"),
		Hint: "listen on a loopback address, or set up certificates: `thalweg init`"}
}
