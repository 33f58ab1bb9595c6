package coordinator

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/thalweg/thalweg/coordinator/api"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/auth"
	"github.com/thalweg/thalweg/coordinator/auth/pki"
	"github.com/thalweg/thalweg/coordinator/view"
)

// certificates makes an authority and the certificates of those named as kind-id.
func certificates(t *testing.T, names ...string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	authority, err := pki.Create(filepath.Join(dir, "ca"), "test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		kind, id, _ := strings.Cut(name, "-")
		if err := authority.Issue(filepath.Join(dir, name), kind, id, []string{"127.0.0.1"}, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func credentials(t *testing.T, dir string) *pki.Credentials {
	t.Helper()
	c, err := pki.OpenUser(slog.New(slog.DiscardHandler), dir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestNobodyIsServedWithoutACertificate: neither by the leader nor by one that
// passes requests on to it, while those of the cluster are by any.
func TestNobodyIsServedWithoutACertificate(t *testing.T) {
	dir := certificates(t, "coordinator-n1", "coordinator-n2", "user-ada")
	c := newCluster(t, 2, func(cfg *Config) {
		cfg.Credentials = credentials(t, filepath.Join(dir, "coordinator-"+cfg.ID))
		cfg.Auth = &auth.Config{Users: map[string]auth.Grant{"ada": {Role: auth.Reader, Pipelines: auth.Scope{"*"}}}}
	})
	ada := credentials(t, filepath.Join(dir, "user-ada"))
	stranger := credentials(t, filepath.Join(certificates(t, "user-ada"), "user-ada"))
	for _, p := range c.peers {
		client, err := api.NewClient(api.Config{Addresses: []string{p.API}, TLS: ada.Client(pki.Coordinator, p.ID)})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		if _, err := client.ListPipelines(t.Context(), &apiv1.ListPipelinesRequest{}); err != nil {
			t.Errorf("node %s: %v", p.ID, err)
		}
		status, err := client.Status(t.Context(), &apiv1.StatusRequest{})
		if err != nil || len(status.Nodes) != 2 || status.Nodes[0].State == view.NodeUnreachable || status.Nodes[1].State == view.NodeUnreachable {
			t.Errorf("node %s: %v, %v; want both nodes", p.ID, status, err)
		}
		for what, over := range map[string]api.Config{"without TLS": {}, "of another authority": {TLS: stranger.Client(pki.Coordinator, "")}} {
			over.Addresses = []string{p.API}
			refused, err := api.NewClient(over)
			if err != nil {
				t.Fatal(err)
			}
			defer refused.Close()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			_, err = refused.Status(ctx, &apiv1.StatusRequest{})
			if err == nil || ctx.Err() != nil || what == "without TLS" && !strings.Contains(err.Error(), "--certs") {
				t.Errorf("node %s, %s: %v; want to be refused at once", p.ID, what, err)
			}
		}
		anonymous := credentials(t, filepath.Join(dir, "user-ada")).Client(pki.Coordinator, "")
		anonymous.GetClientCertificate = nil
		web := &http.Client{Transport: &http.Transport{TLSClientConfig: anonymous}}
		defer web.CloseIdleConnections()
		for path, want := range map[string]int{auth.HealthPath: http.StatusOK, auth.MetricsPath: http.StatusUnauthorized, auth.OpenAPIPath: http.StatusUnauthorized,
			apiv1.CoordinatorServiceStatusProcedure: http.StatusUnauthorized} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+p.API+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			res, err := web.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != want {
				t.Errorf("node %s: %s answers %s to nobody, want %d", p.ID, path, res.Status, want)
			}
		}
		raft, err := net.Dial("tcp", p.Raft) // raft's first byte, without TLS
		if err != nil {
			t.Fatal(err)
		}
		_, _ = raft.Write([]byte("\x00{\"Term\":1,\"Leader\":\"me\"}"))
		if answer, _ := io.ReadAll(raft); strings.Contains(string(answer), "Term") {
			t.Errorf("node %s: raft answers %q to nobody", p.ID, answer)
		}
		raft.Close()
	}
}
