package coordinator

import (
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/auth"
	"github.com/thalweg/thalweg/coordinator/auth/pki"
	"github.com/thalweg/thalweg/diagnose"
)

// TestAnAdminLooksIntoEachNodeByAnyOther: into coordinators and workers, which get no
// credentials of theirs; others look into none.
func TestAnAdminLooksIntoEachNodeByAnyOther(t *testing.T) {
	t.Parallel()
	dir := certificates(t, "coordinator-n1", "coordinator-n2", "worker-w1", "user-ada", "user-bob")
	c := newCluster(t, 2, func(cfg *Config) {
		cfg.Version = "v1"
		cfg.Credentials = credentials(t, filepath.Join(dir, "coordinator-"+cfg.ID))
		cfg.Auth = &auth.Config{Users: map[string]auth.Grant{"ada": {Role: auth.Admin, Pipelines: auth.Scope{"*"}}, "bob": {Role: auth.Operator, Pipelines: auth.Scope{"*"}}}}
	})
	client := func(who string, nodes ...string) *api.Client {
		t.Helper()
		over := api.Config{TLS: credentials(t, filepath.Join(dir, who)).Client(pki.Coordinator, "")}
		for _, p := range c.peers {
			if len(nodes) == 0 || p.ID == nodes[0] {
				over.Addresses = append(over.Addresses, p.API)
			}
		}
		k, err := api.NewClient(over)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(k.Close)
		return k
	}

	// A worker that answers coordinators alone, and says what it was shown.
	certs, err := pki.Open(slog.New(slog.DiscardHandler), filepath.Join(dir, "worker-w1"), pki.Worker)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	worker := &http.Server{TLSConfig: certs.Server(), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug), Handler: pki.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("worker w1 at " + r.URL.Path + " shown " + r.Header.Get("Authorization")))
	}), pki.Coordinator)}
	ended := make(chan error, 1)
	go func() { ended <- worker.ServeTLS(l, "", "") }()
	t.Cleanup(func() { worker.Close(); <-ended })
	c.eventually("the worker polls", func() bool {
		_, err := client("worker-w1").Poll(c.ctx(), &apiv1.PollRequest{WorkerId: "w1", Incarnation: "i", ExchangeAddress: l.Addr().String()})
		return err == nil
	})

	for _, asked := range c.peers {
		for node, want := range map[string]string{"": `"id": "` + asked.ID + `"`, "n1": `"id": "n1"`, "n2": `"id": "n2"`, "w1": "worker w1 at /debug/info shown "} {
			query := url.Values{"node": {node}}
			body, err := client("user-ada", asked.ID).Get(c.ctx(), diagnose.InfoPath, query, 1<<20)
			if err != nil || !strings.Contains(string(body), want) || node == "w1" && string(body) != want {
				t.Errorf("%s asked about %q: %v\n%.300s", asked.ID, node, err, body)
			}
			if _, err := client("user-bob", asked.ID).Get(c.ctx(), diagnose.InfoPath, query, 1<<20); !thalweg.Is(err, thalweg.Forbidden) {
				t.Errorf("%s asked about %q by an operator: %v", asked.ID, node, err)
			}
		}
		if _, err := client("user-ada", asked.ID).Get(c.ctx(), diagnose.InfoPath, url.Values{"node": {"w7"}}, 1<<20); !thalweg.Is(err, thalweg.NotFound) {
			t.Errorf("%s asked about a node that there is not: %v", asked.ID, err)
		}
		if _, err := client("user-ada", asked.ID).Get(c.ctx(), diagnose.InfoPath, nil, 10); !thalweg.Is(err, thalweg.Exhausted) {
			t.Errorf("an answer that is too long: %v", err)
		}
	}
}
