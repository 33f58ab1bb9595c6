//go:build integration

package integration

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/integration/minio"
	"github.com/thalweg/thalweg/integration/process"
)

// TestACoordinatorIsReplaced: one that is dead leaves, another comes, all certificates
// are renewed, and the others go on. Whoever has no certificate gets nothing from any
// port but a sign of life.
func TestACoordinatorIsReplaced(t *testing.T) {
	server := minio.Start(t)
	newLake(t, server)
	c := startCluster(t, clusterConfig{S3: server, Workers: 1})
	status, err := c.Client().Status(t.Context(), &apiv1.StatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range status.Nodes {
		isClosed(t, n.RaftAddress, false)
		isClosed(t, n.Address, true)
	}
	isClosed(t, status.Workers[0].Address, true)

	c.KillCoordinator(0)
	added := &member{name: "c3", address: process.FreeAddress(t)}
	c.Run(t, "init", "node", "coordinator", "c3=127.0.0.1", "--dir", c.certs)
	added.args = []string{"coordinator", "--id", "c3", "--certs", filepath.Join(c.certs, "coordinator-c3"), "--dir", t.TempDir(),
		"--listen-api", added.address, "--listen-raft", process.FreeAddress(t), "--join", c.coordinators[1].address}
	c.start(t, added)
	states := func(want map[string]string) func(context.Context) error {
		return func(ctx context.Context) error {
			res, err := c.Client().Status(ctx, &apiv1.StatusRequest{})
			if err != nil {
				return err
			}
			for _, n := range res.Nodes {
				if state := strings.Replace(n.State, "leader", "follower", 1); state != want[n.Id] || len(res.Nodes) != len(want) {
					return fmt.Errorf("%v", res.Nodes)
				}
			}
			return nil
		}
	}
	process.Until(t, "c3 to vote", states(map[string]string{"c0": "unreachable", "c1": "follower", "c2": "follower", "c3": "follower"}))
	if out := c.Run(t, "members", "remove", "c0"); !strings.Contains(out, "c1, c2, c3") {
		t.Errorf("members remove prints %q", out)
	}
	process.Until(t, "c0 to be gone", states(map[string]string{"c1": "follower", "c2": "follower", "c3": "follower"}))

	for _, node := range []string{"coordinator c1", "coordinator c2", "coordinator c3", "worker w0"} {
		kind, id, _ := strings.Cut(node, " ")
		c.Run(t, "init", "node", kind, id, "--dir", c.certs, "--renew")
	}
	c.KillCoordinator(1) // the others connect anew, and the worker too
	c.RestartCoordinator(t, 1)
	process.Until(t, "c1 to be back", states(map[string]string{"c1": "follower", "c2": "follower", "c3": "follower"}))
	process.Until(t, "c3 to read its certificates again, which it does with a connection", func(context.Context) error {
		c.Run(t, "status", "--coordinator", added.address)
		if out := added.process.Output(); !slices.ContainsFunc(out, func(line string) bool { return strings.Contains(line, "certificates were read again") }) {
			return errors.New(added.process.Tail())
		}
		return nil
	})
	run := apply(t, c, flightsSpec(t, "  trainer: {epochs: 2}\n"))
	waitRun(t, c, run, "a run of the new members", succeeded)
}

// isClosed checks that a port answers nothing without TLS and, with it, nothing
// without a certificate but its sign of life.
func isClosed(t *testing.T, address string, lives bool) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(process.Patience))
	_, err = io.WriteString(conn, "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
	answer, _ := io.ReadAll(conn)
	if err != nil || strings.Contains(string(answer), "200 OK") || strings.Contains(string(answer), "thalweg_") {
		t.Errorf("%s answers without TLS: %q, %v", address, answer, err)
	}
	nobody := &http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	for _, path := range []string{"/healthz", "/metrics", "/exchange/flights-1-1/0/snapshot", "/cluster/hello", "/thalweg.coordinator.v1.CoordinatorService/Status"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+address+path, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		if path != "/cluster/hello" && !strings.Contains(path, "thalweg") {
			req.Method = http.MethodGet
		}
		req.Header.Set("Content-Type", "application/json")
		res, err := nobody.Do(req)
		switch {
		case err != nil && !lives:
			continue
		case err != nil && errors.Is(err, context.Canceled):
			t.Fatal(err)
		case err != nil:
			t.Errorf("%s%s: %v", address, path, err)
			continue
		}
		res.Body.Close()
		if open := res.StatusCode == http.StatusOK; open != (path == "/healthz" && lives) {
			t.Errorf("%s%s answers %s to nobody", address, path, res.Status)
		}
	}
}
