//go:build integration

package integration

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/thalweg/thalweg/coordinator/api"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/auth/pki"
	"github.com/thalweg/thalweg/integration/kafka"
	"github.com/thalweg/thalweg/integration/minio"
	"github.com/thalweg/thalweg/integration/process"
)

// clusterConfig describes a cluster.
type clusterConfig struct {
	Coordinators int            // default 3
	Workers      int            // default 2
	S3           *minio.Server  // required
	Kafka        *kafka.Cluster // nil: no streams
	// CoordinatorAddress is where the only coordinator listens; default a free port.
	CoordinatorAddress string
	// Tags are build tags of the binary besides the usual; "" for none.
	Tags string
	// Binary is that of each process at first, default the one with Tags.
	Binary string
	// Env, if not nil, is asked at each start of a process, by its name ("w0",
	// "c2"), for variables that add to or replace the cluster's own.
	Env func(member string) []string
	// Args are added to the command line of each process.
	Args []string
	// Host, if not nil, is asked for the address that a process listens at, by its
	// name; default loopback.
	Host func(member string) string
	// Enter, if not nil, changes the command of a process before it starts.
	Enter func(member string, cmd *exec.Cmd)
}

// cluster is Thalweg's own binary: coordinators and workers as separate processes
// over a real S3 server and a real Kafka, each of which can be killed and started
// again while the others go on.
type cluster struct {
	clusterConfig
	binary       string
	env          []string
	certs        string // directory of the certificates of all
	coordinators []*member
	workers      []*member
	client       *api.Client
}

// member is one process and what starts it again.
type member struct {
	name    string
	address string // of a coordinator's API
	args    []string
	binary  string // "": the cluster's
	starts  int
	process *process.Process
}

// buildBinary builds thalweg from the working tree, with build tags or "", and
// returns its path. Nothing is built where it is up to date.
func buildBinary(t testing.TB, tags string) string {
	t.Helper()
	name := "thalweg"
	if tags != "" {
		name += "-" + tags
	}
	return buildVersion(t, name, tags, "")
}

// buildVersion is buildBinary for one with a name and a version of its own.
func buildVersion(t testing.TB, name, tags, version string) string {
	t.Helper()
	path := filepath.Join(process.Root(t), "bin", name)
	build := exec.Command("go", "build", "-tags", tags, "-ldflags", "-s -w -X main.version="+version, "-o", path, "./cmd/thalweg")
	build.Dir = process.Root(t)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build thalweg: %v\n%s", err, out)
	}
	return path
}

// startCluster starts a cluster and waits until it has a leader and knows its workers.
// It ends with the test.
func startCluster(t testing.TB, cfg clusterConfig) *cluster {
	t.Helper()
	c := &cluster{
		clusterConfig: cfg, binary: cfg.Binary,
		env: append(os.Environ(),
			"THALWEG_STORE=http://"+cfg.S3.Address,
			"THALWEG_ACCESS_KEY="+cfg.S3.AccessKey,
			"THALWEG_SECRET_KEY="+cfg.S3.SecretKey,
			"THALWEG_STATE_BUCKET=thalweg"),
	}
	if c.binary == "" {
		c.binary = buildBinary(t, cfg.Tags)
	}
	if cfg.Kafka != nil {
		c.env = append(c.env, "THALWEG_KAFKA="+strings.Join(cfg.Kafka.Brokers(), ","))
	}
	var addresses []string
	init := []string{"init", "--dir", filepath.Join(t.TempDir(), "pki")}
	c.certs = init[2]
	for i := range cmp.Or(cfg.Coordinators, 3) {
		m := &member{name: fmt.Sprintf("c%d", i)}
		m.address = c.freeAddress(t, m.name)
		if cfg.CoordinatorAddress != "" {
			m.address = cfg.CoordinatorAddress
		}
		c.coordinators = append(c.coordinators, m)
		init = append(init, "--coordinator", m.name+"="+c.host(m.name))
		addresses = append(addresses, m.address)
	}
	c.Run(t, init...)
	c.env = append(c.env, "THALWEG_COORDINATOR="+strings.Join(addresses, ","), "THALWEG_CERTS="+filepath.Join(c.certs, "user-admin"))
	for _, m := range c.coordinators {
		m.args = []string{"coordinator", "--id", m.name, "--certs", filepath.Join(c.certs, "coordinator-"+m.name), "--dir", t.TempDir(),
			"--listen-api", m.address, "--listen-raft", c.freeAddress(t, m.name),
			"--join", strings.Join(addresses, ","), "--bootstrap-expect", strconv.Itoa(len(addresses))}
		c.start(t, m)
	}
	admin, err := pki.OpenUser(slog.New(slog.DiscardHandler), filepath.Join(c.certs, "user-admin"))
	if err != nil {
		t.Fatal(err)
	}
	client, err := api.NewClient(api.Config{Addresses: addresses, TLS: admin.Client(pki.Coordinator, "")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	c.client = client
	c.Leader(t)
	for range cmp.Or(cfg.Workers, 2) {
		c.AddWorker(t)
	}
	return c
}

// host returns the address that a member listens at.
func (c *cluster) host(member string) string {
	if c.Host == nil {
		return "127.0.0.1"
	}
	return c.Host(member)
}

func (c *cluster) freeAddress(t testing.TB, member string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(process.FreeAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort(c.host(member), port)
}

func (c *cluster) start(t testing.TB, m *member) {
	t.Helper()
	m.starts++
	cmd := exec.Command(cmp.Or(m.binary, c.binary), slices.Concat(m.args, c.Args)...)
	cmd.Env = c.env
	if c.Env != nil {
		cmd.Env = append(slices.Clone(c.env), c.Env(m.name)...)
	}
	if c.Enter != nil {
		c.Enter(m.name, cmd)
	}
	m.process = process.Start(t, fmt.Sprintf("%s.%d", m.name, m.starts), cmd)
}

// Client returns a client that knows all coordinators.
func (c *cluster) Client() *api.Client { return c.client }

// Leader waits until there is a leader and returns which coordinator it is.
func (c *cluster) Leader(t testing.TB) int {
	t.Helper()
	leader := -1
	process.Until(t, "a leader", func(ctx context.Context) error {
		res, err := c.client.Status(ctx, &apiv1.StatusRequest{})
		if err != nil {
			return err
		}
		for i, m := range c.coordinators {
			if m.name == res.Leader {
				leader = i
				return nil
			}
		}
		return errors.New("nobody leads")
	})
	return leader
}

// CoordinatorOutput returns what the coordinators that run have printed.
func (c *cluster) CoordinatorOutput() []string {
	var lines []string
	for _, m := range c.coordinators {
		lines = append(lines, m.process.Output()...)
	}
	return lines
}

// KillCoordinator ends a coordinator at once, as a crash does.
func (c *cluster) KillCoordinator(i int) { c.coordinators[i].process.Kill() }

// RestartCoordinator starts a coordinator that was killed again, on its
// directory and ports.
func (c *cluster) RestartCoordinator(t testing.TB, i int) {
	t.Helper()
	c.start(t, c.coordinators[i])
}

// AddWorker starts one more worker, waits until the coordinators know it, and
// returns its number.
func (c *cluster) AddWorker(t testing.TB) int {
	t.Helper()
	name := fmt.Sprintf("w%d", len(c.workers))
	c.Run(t, "init", "node", "worker", name+"="+c.host(name), "--dir", c.certs)
	m := &member{name: name, args: []string{"worker", "--id", name, "--certs", filepath.Join(c.certs, "worker-"+name), "--dir", t.TempDir(),
		"--listen", net.JoinHostPort(c.host(name), "0")}}
	c.workers = append(c.workers, m)
	c.start(t, m)
	process.Until(t, "worker "+name+" to be known", func(ctx context.Context) error {
		select {
		case <-m.process.Done():
			return fmt.Errorf("%w: it ended: %s", process.ErrHopeless, m.process.Tail())
		default:
		}
		res, err := c.client.Status(ctx, &apiv1.StatusRequest{})
		if err != nil {
			return err
		}
		for _, w := range res.Workers {
			if w.Id == name && w.State == "alive" {
				return nil
			}
		}
		return fmt.Errorf("%d workers are known", len(res.Workers))
	})
	return len(c.workers) - 1
}

// KillWorker ends a worker at once, as a crash does.
func (c *cluster) KillWorker(i int) { c.workers[i].process.Kill() }

// StopWorker asks a worker to end (SIGTERM) and returns its exit code.
func (c *cluster) StopWorker(t testing.TB, i int) int {
	t.Helper()
	return c.workers[i].process.Stop(t)
}

// RollWorkers replaces each worker as an update does, one after the other: it is asked to end,
// must end well, and is started again.
func (c *cluster) RollWorkers(t testing.TB) {
	t.Helper()
	for i := range c.workers {
		if code := c.StopWorker(t, i); code != 0 {
			t.Errorf("worker %d ended with code %d when it was asked to", i, code)
		}
		c.RestartWorker(t, i)
	}
}

// SignalWorker sends a worker a signal: one that stops it makes it a zombie,
// alive and deaf, until another continues it.
func (c *cluster) SignalWorker(t testing.TB, i int, signal os.Signal) {
	t.Helper()
	worker, err := os.FindProcess(c.workers[i].process.PID())
	if err == nil {
		err = worker.Signal(signal)
	}
	if err != nil {
		t.Fatalf("signal %v to worker %d: %v", signal, i, err)
	}
}

// Coordinator returns the process of a coordinator, the last one under its name.
func (c *cluster) Coordinator(i int) *process.Process { return c.coordinators[i].process }

// Worker returns the process of a worker, the last one under its name.
func (c *cluster) Worker(i int) *process.Process { return c.workers[i].process }

// RestartWorker starts a worker that has ended again, under its name.
func (c *cluster) RestartWorker(t testing.TB, i int) {
	t.Helper()
	c.start(t, c.workers[i])
}

// KillJob kills the worker that does a job of a kind, starts it again, and reports whether
// there was one.
func (c *cluster) KillJob(t testing.TB, kind string) bool {
	t.Helper()
	res, err := c.Client().ListJobs(t.Context(), &apiv1.ListJobsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, job := range res.Jobs {
		for i, w := range c.workers {
			if job.Kind == kind && job.State == "running" && job.Worker == w.name {
				c.KillWorker(i)
				c.RestartWorker(t, i)
				return true
			}
		}
	}
	return false
}

// Command returns the command of a verb of the binary, its environment naming
// the cluster's coordinators, store and brokers.
func (c *cluster) Command(args ...string) *exec.Cmd {
	cmd := exec.Command(c.binary, args...)
	cmd.Env = c.env
	return cmd
}

// Run runs a verb to its end and returns what it printed to standard output.
// An exit code other than 0 fails the test.
func (c *cluster) Run(t testing.TB, args ...string) string {
	t.Helper()
	cmd := c.Command(args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("thalweg %s: %v\n%s%s", strings.Join(args, " "), err, &stdout, &stderr)
	}
	return stdout.String()
}
