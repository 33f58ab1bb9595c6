// Package minio runs a real MinIO server for tests: the S3 that Thalweg's
// storage is held against. The server is built from its Go module into
// .cache/tools (tools/build.sh minio) and never linked.
package minio

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/thalweg/thalweg/integration/process"
)

// Server is one MinIO server with a directory of its own.
type Server struct {
	Address   string // host:port
	AccessKey string
	SecretKey string
	Dir       string // where it keeps objects

	env     []string
	binary  string
	starts  int
	process *process.Process
}

// Start starts a server on loopback without buckets and waits until it is healthy. It
// ends with the test. A missing binary fails the test. env is added to its environment.
func Start(t testing.TB, env ...string) *Server {
	t.Helper()
	return StartAt(t, process.FreeAddress(t), env...)
}

// StartAt is Start at an address of the test's own network.
func StartAt(t testing.TB, address string, env ...string) *Server {
	t.Helper()
	s := &Server{
		Address:   address,
		AccessKey: "thalweg-test",
		SecretKey: "thalweg-test-secret",
		binary:    filepath.Join(process.Root(t), ".cache", "tools", "minio"),
		Dir:       t.TempDir(),
		env:       env,
	}
	if _, err := os.Stat(s.binary); err != nil {
		t.Fatalf("%v: run tools/build.sh minio, or make integration", err)
	}
	s.Restart(t)
	return s
}

// Kill ends the server at once.
func (s *Server) Kill() { s.process.Kill() }

// Restart starts a server that was killed again, on its port and directory,
// and waits until it is healthy.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.starts++
	cmd := exec.Command(s.binary, "server", "--quiet", "--address", s.Address, "--console-address", process.FreeAddress(t), s.Dir)
	cmd.Dir = s.Dir
	cmd.Env = append([]string{
		"HOME=" + s.Dir, // keeps its certificates and settings to itself
		"MINIO_ROOT_USER=" + s.AccessKey,
		"MINIO_ROOT_PASSWORD=" + s.SecretKey,
		"MINIO_BROWSER=off",
		"MINIO_UPDATE=off",
	}, s.env...)
	s.process = process.Start(t, fmt.Sprintf("minio.%d", s.starts), cmd)
	process.Until(t, "MinIO to be healthy", s.process.Answers("http://"+s.Address+"/minio/health/ready"))
}
