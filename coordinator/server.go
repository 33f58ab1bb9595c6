package coordinator

import (
	"context"
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

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/auth"
	"github.com/thalweg/thalweg/coordinator/auth/pki"
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
		connect.WithReadMaxBytes(api.MaxMessageBytes),
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
	all := routes(handlers)
	if c.cfg.Credentials == nil {
		all = pki.Local(all)
	}
	server := &http.Server{
		Handler:           http.MaxBytesHandler(all, api.MaxMessageBytes),
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

// get serves GET requests of those who may call the route.
func (c *Coordinator) get(serve http.HandlerFunc) http.Handler {
	return c.authorized(only(http.MethodGet, serve))
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
		err := c.permit(ctx, req.Spec().Procedure, req.Any())
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
			c.proxy.ServeHTTP(w, r)
		}
	})
}

// newProxy returns the handler that passes requests on to the leader.
func (c *Coordinator) newProxy() http.Handler {
	return &httputil.ReverseProxy{
		Transport: c.peers,
		ErrorLog:  slog.NewLogLogger(c.log.Handler(), slog.LevelDebug),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: c.cfg.scheme(), Host: c.apiOf(c.node.Leader())})
			r.Out.Header.Set(forwardedHeader, c.cfg.ID)
			if c.auth != nil {
				c.auth.Forward(r.In, r.Out.Header)
			}
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			refuse(w, r, &thalweg.Error{Op: "pass on to leader", Kind: thalweg.Unavailable,
				Subject: "node " + c.node.Leader(), Hint: "try again", Err: err})
		},
	}
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
