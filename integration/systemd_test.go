//go:build integration

package integration

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/thalweg/thalweg/integration/minio"
	"github.com/thalweg/thalweg/integration/process"
)

// TestSystemdVerifiesTheUnits that are in deploy/systemd, with the binary in its place.
func TestSystemdVerifiesTheUnits(t *testing.T) {
	binary, err := filepath.Abs("../bin/thalweg")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{"thalweg-coordinator.service", "thalweg-worker.service"} {
		text, err := os.ReadFile("../deploy/systemd/" + name)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(strings.ReplaceAll(string(text), "/usr/bin/thalweg", binary)), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), "systemd-analyze", "verify", "--man=no", "--recursive-errors=no", file).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// TestNodesTellSystemdHowTheyAre: that they serve, that they live, and that they stop.
func TestNodesTellSystemdHowTheyAre(t *testing.T) {
	sockets := map[string]*net.UnixConn{}
	dir := t.TempDir()
	for _, member := range []string{"c0", "w0"} {
		s, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, member), Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		sockets[member] = s
	}
	server := minio.Start(t)
	newLake(t, server)
	c := startCluster(t, clusterConfig{S3: server, Coordinators: 1, Workers: 1, Env: func(member string) []string {
		return []string{"NOTIFY_SOCKET=" + filepath.Join(dir, member), "WATCHDOG_USEC=300000"}
	}})
	await := func(member, want string) {
		t.Helper()
		text := make([]byte, 100)
		if err := sockets[member].SetReadDeadline(time.Now().Add(process.Patience)); err != nil {
			t.Fatal(err)
		}
		for {
			n, err := sockets[member].Read(text)
			if err != nil {
				t.Fatalf("%s does not tell %s: %v", member, want, err)
			}
			if string(text[:n]) == want {
				return
			}
		}
	}
	for member := range sockets {
		await(member, "READY=1")
		await(member, "WATCHDOG=1")
	}
	c.StopWorker(t, 0)
	await("w0", "STOPPING=1")
}
