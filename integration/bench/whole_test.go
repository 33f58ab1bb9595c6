package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/thalweg/thalweg/integration/process"
)

// wholeRun is what a run took from the file to the evaluated model.
type wholeRun struct {
	wall    float64   // seconds
	workers []float64 // CPU seconds of each worker
	cpu     float64   // CPU seconds of all processes
}

// whole trains the demo's spec on a cluster of processes whose store is a directory, each
// with one processor of Go's, and each worker pinned to its own core where there is taskset.
func whole(b *testing.B, path, more string, workers int) (took wholeRun) {
	b.Helper()
	dir := b.TempDir()
	check(b, os.MkdirAll(filepath.Join(dir, "store", "thalweg"), 0o755))
	check(b, os.MkdirAll(filepath.Join(dir, "store", "lake", "flights"), 0o755))
	file, err := os.ReadFile(flightsFile())
	check(b, err)
	check(b, os.WriteFile(filepath.Join(dir, "store", "lake", "flights", "0.parquet"), file, 0o644))
	text, err := os.ReadFile(filepath.FromSlash(demo + "flights.yaml"))
	check(b, err)
	training, _, _ := strings.Cut(string(text), "\n  scoring:")
	var spec strings.Builder
	for line := range strings.Lines(training + "\n" + more) {
		if !strings.Contains(line, " events:") {
			spec.WriteString(line)
		}
	}
	check(b, os.WriteFile(filepath.Join(dir, "spec.yaml"), []byte(spec.String()), 0o644))
	api, raft := process.FreeAddress(b), process.FreeAddress(b)
	run := func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(name, args...)
		cmd.Env = append(os.Environ(), "GOMAXPROCS=1", "THALWEG_STORE=file://"+filepath.Join(dir, "store"), "THALWEG_COORDINATOR="+api, "THALWEG_CERTS="+filepath.Join(dir, "pki", "user-admin"))
		return cmd
	}
	certs := func(name string) string { return filepath.Join(dir, "pki", name) }
	init := []string{"init", "--dir", filepath.Join(dir, "pki"), "--coordinator", "c1=127.0.0.1"}
	for i := range workers {
		init = append(init, "--worker", fmt.Sprintf("w%d=127.0.0.1", i))
	}
	if out, err := run(path, init...).CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	var processes []*exec.Cmd
	start := func(cmd *exec.Cmd) {
		check(b, cmd.Start())
		b.Cleanup(func() { _ = cmd.Process.Kill() })
		processes = append(processes, cmd)
	}
	start(run(path, "coordinator", "--id", "c1", "--certs", certs("coordinator-c1"), "--dir", filepath.Join(dir, "c1"),
		"--listen-api", api, "--listen-raft", raft, "--bootstrap-expect", "1"))
	_, err = exec.LookPath("taskset")
	for i := range workers {
		args := []string{path, "worker", "--id", fmt.Sprint("w", i), "--certs", certs(fmt.Sprint("worker-w", i)), "--dir", filepath.Join(dir, fmt.Sprint("w", i)), "--slots", "2"}
		if err == nil && workers <= runtime.NumCPU() {
			args = append([]string{"taskset", "-c", fmt.Sprint(i)}, args...)
		}
		start(run(args[0], args[1:]...))
	}
	process.Until(b, "the workers", func(context.Context) error {
		out, err := run(path, "status").CombinedOutput()
		for i := range workers {
			if !strings.Contains(string(out), fmt.Sprint("w", i)) {
				err = errors.Join(err, fmt.Errorf("no w%d: %s", i, out))
			}
		}
		return err
	})
	began := time.Now()
	apply := run(path, "apply", "-f", filepath.Join(dir, "spec.yaml"), "--wait")
	if out, err := apply.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	took.wall = time.Since(began).Seconds()
	took.cpu = cpuOf(apply)
	for i, cmd := range processes {
		check(b, cmd.Process.Signal(os.Interrupt))
		_ = cmd.Wait()
		took.cpu += cpuOf(cmd)
		if i > 0 {
			took.workers = append(took.workers, cpuOf(cmd))
		}
	}
	return took
}

func cpuOf(cmd *exec.Cmd) float64 {
	return (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
}

// BenchmarkWhole goes from the file to the evaluated and registered model, all processes
// included. goal, on the full file: at most 1.5 CPU-seconds linear; trees with less CPU than
// Polars and LightGBM whole, one thread each.
func BenchmarkWhole(b *testing.B) {
	path := binary(b)
	b.Run("linear", func(b *testing.B) {
		var ours float64
		for b.Loop() {
			ours += whole(b, path, "", 1).cpu
		}
		b.ReportMetric(ours/float64(b.N), "cpu-s")
	})
	b.Run("trees", func(b *testing.B) {
		var ours, peers float64
		for b.Loop() {
			peer := exec.Command(filepath.FromSlash("../../.cache/python/lightgbm/bin/python"), filepath.FromSlash("../lightgbm/whole.py"),
				flightsFile(), fmt.Sprint(benchTrees), fmt.Sprint(benchLeaves))
			peer.Env = append(os.Environ(), "POLARS_MAX_THREADS=1", "OMP_NUM_THREADS=1")
			if out, err := peer.CombinedOutput(); err != nil {
				b.Fatalf("LightGBM: %v: run integration/python.sh lightgbm first\n%s", err, out)
			}
			peers += cpuOf(peer)
			ours += whole(b, path, treesLine, 1).cpu
		}
		b.ReportMetric(ours/float64(b.N), "cpu-s")
		b.ReportMetric(peers/float64(b.N), "lightgbm-cpu-s")
		b.ReportMetric(peers/ours, "of-lightgbm")
	})
}

// BenchmarkTwoWorkers grows the trees with one worker and with two, each on its own core.
// goal, on the full file and a machine with nothing else to do: at least 1.6 times as fast. On
// a busy machine speedup-by-cpu says the same: the CPU-seconds of one worker alone over those of
// the busier one of two.
func BenchmarkTwoWorkers(b *testing.B) {
	path := binary(b)
	var one, two, alone, more float64
	for b.Loop() {
		first, second := whole(b, path, treesLine, 1), whole(b, path, treesLine, 2)
		one, two = one+first.wall, two+second.wall
		alone, more = alone+first.workers[0], more+max(second.workers[0], second.workers[1])
	}
	b.ReportMetric(one/two, "speedup")
	b.ReportMetric(alone/more, "speedup-by-cpu")
	b.ReportMetric(alone/float64(b.N), "one-cpu-s")
	b.ReportMetric(more/float64(b.N), "busier-of-two-cpu-s")
}
