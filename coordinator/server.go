package coordinator

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path"
	"runtime/debug"
	"time"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/auth"
	"github.com/thalweg/thalweg/coordinator/auth/pki"
	"github.com/thalweg/thalweg/coordinator/state"
	"github.com/thalweg/thalweg/diagnose"
	"github.com/thalweg/thalweg/docs/reference"
)

const (
	// forwardedHeader names the node that passed a request on; it is not passed on
	// a second time.
	forwardedHeader = "Thalweg-Forwarded-By"
	// compressAbove is the size above which answers are compressed for those who
	// ask for it: below, it costs more than it saves.
	compressAbove = 64 << 10
)

// service carries the RPC's methods, one file rpc_<verb>.go each. It runs on the
// leader, but for Status.
type service struct{ c *Coordinator }

var _ apiv1.CoordinatorServiceHandler = (*service)(nil)

// newServer returns the HTTP server: the RPC (connect, gRPC and JSON) and its
// description, health and metrics on one port, HTTP/1.1 and HTTP/2, over TLS where
// the node has certificates.
func (c *Coordinator) newServer() *http.Server {
	_, rpc := apiv1.NewCoordinatorServiceHandler(&service{c},
		connect.WithInterceptors(connect.UnaryInterceptorFunc(c.intercept)),
		connect.WithConditionalHandlerOptions(func(spec connect.Spec) []connect.HandlerOption {
			policy, _ := auth.PolicyOf(spec.Procedure)
			return api.Bounded(policy.Bytes(), api.MaxParts)
		}),
		connect.WithCompressMinBytes(compressAbove),
		connect.WithRecover(c.recovered))
	handlers := map[string]http.Handler{
		auth.HealthPath:  c.get(func(http.ResponseWriter, *http.Request) {}),
		auth.ReadyPath:   c.get(c.ready),
		auth.MetricsPath: c.get(promhttp.HandlerFor(c.metrics.registry, promhttp.HandlerOpts{}).ServeHTTP),
		auth.OpenAPIPath: c.get(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/yaml")
			_, _ = w.Write(reference.OpenAPI)
		}),
	}
	for path, serve := range diagnose.Handlers(diagnose.Process{Version: c.cfg.Version, Logs: c.lines, Metrics: c.metrics.registry, Facts: c.facts}) {
		handlers[path] = c.get(c.ofNode(serve))
	}
	calls := apiv1.File_coordinator_api_v1_coordinator_proto.Services().ByName("CoordinatorService").Methods()
	for i := range calls.Len() {
		handlers["/"+apiv1.CoordinatorServiceName+"/"+string(calls.Get(i).Name())] = c.toLeader(c.authorized(rpc))
	}
	handlers[apiv1.CoordinatorServiceNodeStatusProcedure] = c.authorized(rpc) // about this node
	var between map[string]http.Handler                                       // coordinators; those of a fixed list have nothing to say
	if c.cluster != nil {
		between = c.cluster.Handlers()
	}
	for _, path := range []string{auth.HelloPath, auth.ConsentPath, auth.JoinPath} {
		serve := between[path]
		if serve == nil {
			serve = http.NotFoundHandler()
		}
		handlers[path] = c.authorized(only(http.MethodPost, serve))
	}
	for _, path := range []string{auth.ScorePath, auth.InferencePath, auth.InferencePath + "/"} {
		handlers[path] = c.authorized(c.predictions)
	}
	handlers[auth.GRPCPath] = c.authorized(c.predictions.GRPC())
	all := routes(handlers)
	if c.cfg.Credentials == nil {
		all = pki.Local(all)
	}
	server := &http.Server{
		Handler:           all,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       c.cfg.BodyTimeout,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(c.log.Handler(), slog.LevelDebug),
		Protocols:         new(http.Protocols),
	}
	server.Protocols.SetHTTP1(true)
	if certs := c.cfg.Credentials; certs != nil {
		server.TLSConfig = certs.Server()
	}
	server.Protocols.SetHTTP2(server.TLSConfig != nil)
	server.Protocols.SetUnencryptedHTTP2(server.TLSConfig == nil)
	return server
}

// ofNode serves what is about this node here, and asks the node that a request is about
// otherwise: workers answer coordinators alone, which know who is an admin.
func (c *Coordinator) ofNode(here http.HandlerFunc) http.HandlerFunc {
	ofWorker := c.toLeader(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // which knows the workers
		lead, err := c.waitLeading(r.Context())
		if err != nil {
			refuse(w, r, err)
			return
		}
		id := r.URL.Query().Get(diagnose.NodeParameter)
		address := c.workerAddress(r.Context(), lead, thalweg.WorkerID(id))
		if address == "" {
			refuse(w, r, &thalweg.Error{Op: "diagnose", Kind: thalweg.NotFound, Subject: fmt.Sprintf("node %.64q", id), Hint: "`thalweg status` lists them"})
			return
		}
		c.askWorker(w, r, id, address)
	}))
	return func(w http.ResponseWriter, r *http.Request) {
		id := r.URL.Query().Get(diagnose.NodeParameter)
		if id == "" || id == c.cfg.ID {
			here(w, r)
			return
		}
		if m, ok := c.node.Configured(id); ok && r.Header.Get(forwardedHeader) == "" {
			c.passTo(func() string { return m.API }, c.peers).ServeHTTP(w, r)
			return
		}
		ofWorker.ServeHTTP(w, r)
	}
}

// workerAddress returns where a worker serves; empty if it is none of the cluster's. A leader
// that has just begun knows none of them: who has not called yet is given a lease's time.
func (c *Coordinator) workerAddress(ctx context.Context, lead *leadership, id thalweg.WorkerID) string {
	tick := time.NewTicker(roundHolds)
	defer tick.Stop()
	for {
		known := lead.liveness.Snapshot()
		if address := known.Workers[id].Address; address != "" || time.Since(known.LeaderSince) > known.LeaseTTL || c.leading() != lead {
			return address
		}
		select {
		case <-tick.C:
		case <-c.stopping:
			return ""
		case <-ctx.Done():
			return ""
		}
	}
}

// passTo passes requests on to the coordinator whose address is returned for each, with who
// makes them.
func (c *Coordinator) passTo(address func() string, over http.RoundTripper) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Transport: over,
		ErrorLog:  slog.NewLogLogger(c.log.Handler(), slog.LevelDebug),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: c.cfg.scheme(), Host: address()})
			r.Out.Header.Set(forwardedHeader, c.cfg.ID)
			if c.auth != nil {
				c.auth.Forward(r.In, r.Out.Header)
			}
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			refuse(w, r, &thalweg.Error{Op: "diagnose", Kind: thalweg.Unavailable, Subject: "node at " + address(), Err: err})
		},
	}
}

// askWorker answers with what a worker does. It gets no credentials of who asks.
func (c *Coordinator) askWorker(w http.ResponseWriter, r *http.Request, id, address string) {
	transport := c.workerTransport(id)
	defer transport.CloseIdleConnections()
	ask := c.passTo(func() string { return address }, transport)
	ask.Rewrite = func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: c.cfg.scheme(), Host: address})
		r.Out.Header = http.Header{}
	}
	ask.ServeHTTP(w, r)
}

// facts is what this node is set to and how its raft does. Nothing of it is secret.
func (c *Coordinator) facts() map[string]any {
	members := c.node.Members()
	f := map[string]any{"kind": pki.Coordinator, "id": c.cfg.ID, "raft": c.node.Stats(), "members": members,
		"settings": map[string]any{"dir": c.cfg.Dir, "listen_api": c.cfg.APIListen, "listen_raft": c.cfg.RaftListen, "join": c.cfg.Join.Addresses,
			"bootstrap_expect": c.cfg.Join.Expect, "remove_dead_after": c.cfg.Join.RemoveDeadAfter.String(), "state_bucket": c.cfg.StateBucket,
			"lease_ttl": c.cfg.LeaseTTL.String(), "leader_wait": c.cfg.LeaderWait.String()}}
	if c.cfg.Auth != nil && c.cfg.Auth.OIDC != nil {
		f["oidc"] = map[string]string{"issuer": c.cfg.Auth.OIDC.Issuer, "audience": c.cfg.Auth.OIDC.Audience}
	}
	if certs := c.cfg.Credentials; certs != nil {
		f["certificate"] = map[string]string{"name": certs.Identity().String(), "expires_in": certs.ExpiresIn().Round(time.Second).String()}
	}
	c.replica.view(func(s *state.State) {
		f["state"] = map[string]any{"index": s.Index(), "cluster": s.Cluster(), "active_runs": len(s.ActiveRuns()), "lease_holders": len(s.Holders())}
	})
	return f
}

// get serves GET requests of those who may call the route.
func (c *Coordinator) get(serve http.HandlerFunc) http.Handler {
	return c.authorized(only(http.MethodGet, serve))
}

// workerTransport returns connections to a worker, as it serves with TLS or without.
func (c *Coordinator) workerTransport(id string) *http.Transport {
	var over *tls.Config
	if c.cfg.Credentials != nil {
		over = c.cfg.Credentials.Client(pki.Worker, id)
	}
	transport := api.NewTransport(over)
	transport.Protocols.SetHTTP1(true) // what a worker serves without TLS
	transport.Protocols.SetUnencryptedHTTP2(false)
	return transport
}

// only serves requests of one method.
func only(method string, serve http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != method && (method != http.MethodGet || r.Method != http.MethodHead) {
			w.Header().Set("Allow", method)
			http.Error(w, "only "+method, http.StatusMethodNotAllowed)
			return
		}
		serve.ServeHTTP(w, r)
	})
}

// intercept authorizes and measures a call and gives its error the form of the RPC.
func (c *Coordinator) intercept(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		started := time.Now()
		err := checkTexts(req.Any().(proto.Message))
		if err == nil {
			err = c.permit(ctx, req.Spec().Procedure, req.Any())
		}
		var resp connect.AnyResponse
		if err == nil {
			resp, err = next(ctx, req)
		}
		c.metrics.requests.observe(path.Base(req.Spec().Procedure), time.Since(started), err)
		if err != nil {
			return nil, api.ToConnect(err)
		}
		return resp, nil
	}
}

// checkTexts refuses a request with a text, other than a spec, that is longer than those that the
// state keeps: errors and logs show names.
func checkTexts(m proto.Message) (err error) {
	m.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if f.Kind() == protoreflect.StringKind && !f.IsList() && f.Name() != "spec" && f.Name() != "parameters" && len(v.String()) > state.MaxTextBytes {
			err = &thalweg.Error{Op: "read request", Kind: thalweg.Invalid, Subject: string(f.Name()),
				Err: fmt.Errorf("it has %d bytes, at most %d", len(v.String()), state.MaxTextBytes)}
		}
		return err == nil
	})
	return err
}

// recovered turns a panic of a handler into that call's error.
func (c *Coordinator) recovered(_ context.Context, spec connect.Spec, _ http.Header, panicked any) error {
	c.log.Error("a request's handler panicked", "procedure", spec.Procedure, keyError, fmt.Sprint(panicked), "stack", string(debug.Stack()))
	return api.ToConnect(&thalweg.Error{Op: "serve request", Subject: spec.Procedure, Err: errors.New("internal fault, see the node's log")})
}

// toLeader serves a request here if this node leads, and passes it on to the
// leader otherwise, so that any node takes any request.
func (c *Coordinator) toLeader(here http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c.node.IsLeader() {
			here.ServeHTTP(w, r)
			return
		}
		if r.Header.Get(forwardedHeader) != "" {
			refuse(w, r, notLeader(c.node.Leader()))
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), c.cfg.LeaderWait)
		leader := c.node.WaitLeader(ctx)
		cancel()
		switch {
		case leader == c.cfg.ID, r.URL.Path == apiv1.CoordinatorServiceStatusProcedure && (leader == "" || !c.leaderAnswers(r.Context(), leader)):
			here.ServeHTTP(w, r)
		case leader == "" || c.apiOf(leader) == "":
			refuse(w, r, notLeader(leader))
		default:
			c.metrics.forwarded.Inc()
			ctx, end := c.node.Under(r.Context(), leader) // one that was cut off never answers
			defer end()
			c.proxy.ServeHTTP(w, r.WithContext(ctx))
		}
	})
}

// newProxy returns the handler that passes requests on to the leader.
func (c *Coordinator) newProxy() http.Handler {
	p := c.passTo(func() string { return c.apiOf(c.node.Leader()) }, c.peers)
	p.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) {
		if large := new(http.MaxBytesError); errors.As(err, &large) {
			refuse(w, r, tooLarge(r, large.Limit))
			return
		}
		refuse(w, r, &thalweg.Error{Op: "pass on to leader", Kind: thalweg.Unavailable,
			Subject: "node " + c.node.Leader(), Hint: "try again", Err: err})
	}
	return p
}

// tooLarge is the error of a request whose body has more than so many bytes.
func tooLarge(r *http.Request, most int64) error {
	return &thalweg.Error{Op: "read request", Kind: thalweg.Exhausted, Subject: r.URL.Path, Hint: "is it the right file?",
		Err: fmt.Errorf("its body has more than %d bytes", most)}
}

// refuse answers with an error; writing can only fail when the caller is gone.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	_ = connect.NewErrorWriter().Write(w, r, api.ToConnect(err))
}

// ready answers 200 while the node can serve requests, itself or by the leader
// that it knows.
func (c *Coordinator) ready(w http.ResponseWriter, _ *http.Request) {
	leader := c.node.Leader()
	if leader == "" {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	if c.auth == nil {
		_, _ = io.WriteString(w, fmt.Sprintf("node %s, leader %q, applied index %d\n", c.cfg.ID, leader, c.node.AppliedIndex()))
	}
}
