package bench

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// binary builds thalweg and returns its path.
func binary(b *testing.B) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "thalweg")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "../../cmd/thalweg")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("build thalweg: %v\n%s", err, out)
	}
	return path
}

// BenchmarkVersion runs `thalweg version`, against a process that does nothing.
// goal: at most 20 ms.
func BenchmarkVersion(b *testing.B) {
	path := binary(b)
	var ours, nothing time.Duration
	i := 0
	for b.Loop() {
		i++
		began := time.Now()
		check(b, exec.Command(path, "version").Run())
		between := time.Now()
		check(b, exec.Command("true").Run())
		ours += between.Sub(began)
		nothing += time.Since(between)
	}
	b.ReportMetric(ours.Seconds()*1e3/float64(i), "ms")
	b.ReportMetric(nothing.Seconds()*1e3/float64(i), "true-ms")
}

// BenchmarkDevReady starts `thalweg dev` on an empty directory until it says
// that it accepts a spec. goal: at most 2 s.
func BenchmarkDevReady(b *testing.B) {
	path := binary(b)
	var total time.Duration
	i := 0
	for b.Loop() {
		i++
		cmd := exec.Command(path, "dev", "--free-ports", "--dir", b.TempDir(), "--log-level", "error")
		out, err := cmd.StdoutPipe()
		check(b, err)
		began := time.Now()
		check(b, cmd.Start())
		lines := bufio.NewScanner(out)
		ready := false
		for !ready && lines.Scan() {
			ready = strings.Contains(lines.Text(), "Thalweg is ready")
		}
		total += time.Since(began)
		check(b, cmd.Process.Signal(os.Interrupt))
		go func() {
			for lines.Scan() {
			}
		}()
		check(b, cmd.Wait())
		if !ready {
			b.Fatal("dev ended before it was ready")
		}
	}
	b.ReportMetric(total.Seconds()*1e3/float64(i), "ms")
}
