//go:build integration

package integration

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/thalweg/thalweg/connectors/kafka"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/integration/process"
)

// limited is thalweg dev with so many descriptors, which it cannot raise.
func limited(t *testing.T, descriptors int, dir string) *exec.Cmd {
	return exec.Command("sh", "-c", fmt.Sprintf(`ulimit -n %d && exec "$0" dev --dir "$1" --free-ports`, descriptors), buildBinary(t, ""), dir)
}

// TestRunningOutOfDescriptorsEndsDevByName: its broker and store would go on
// failing their clients without a reason.
func TestRunningOutOfDescriptorsEndsDevByName(t *testing.T) {
	d := startDevBy(t, "dev", limited(t, 1024, t.TempDir()))
	for range 1024 {
		conn, err := net.Dial("tcp", d.broker)
		if err != nil {
			break
		}
		defer conn.Close()
	}
	if code := d.process.Wait(t); code != 1 || !strings.Contains(d.process.Tail(), "limit of 1024 open files") {
		t.Errorf("exit code %d, and it says: %s", code, d.process.Tail())
	}
}

// TestTwoHundredPartitionsInOneProcess are scored by a dev with 2,048 descriptors,
// which ends in time. One with 256 says at once what is missing.
func TestTwoHundredPartitionsInOneProcess(t *testing.T) {
	const partitions, events, endsWithin = 200, 2000, 10 * time.Second
	if out, err := limited(t, 256, t.TempDir()).CombinedOutput(); err == nil || !strings.Contains(string(out), "limit of 256 open files") {
		t.Errorf("with 256 descriptors: %v, %s", err, out)
	}
	d := startDevBy(t, "dev", limited(t, 2048, t.TempDir()))
	producer, err := kafka.NewProducer(kafka.Config{Brokers: []string{d.broker}, Topic: topic}, kafka.ProducerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	if err := producer.CreateTopic(t.Context(), partitions); err != nil {
		t.Fatal(err)
	}
	d.run(t, "put", filepath.Join(process.Root(t), "deploy", "demo", "flights.parquet"), "s3://lake/flights/")
	spec := filepath.Join(t.TempDir(), "flights.yaml")
	quick := strings.Replace(flightsSpec(t, ""), `delays/"}, format: {type: parquet}}`, `delays/"}, format: {type: parquet}, rolling: {period: 2s}}`, 1)
	if err := os.WriteFile(spec, []byte(quick), 0o644); err != nil {
		t.Fatal(err)
	}
	d.run(t, "apply", "-f", spec, "--wait")
	process.UntilFor(t, 2*time.Minute, "200 partitions to run", func(ctx context.Context) error {
		status, err := d.client.StreamStatus(ctx, &apiv1.StreamStatusRequest{Pipeline: "flight-delays"})
		if err != nil {
			return err
		}
		running := 0
		for _, p := range status.Partitions {
			if p.State == "running" {
				running++
			}
		}
		if running != partitions {
			return fmt.Errorf("%d run", running)
		}
		return nil
	})
	messages := make([]kafka.Message, events)
	for i := range messages {
		messages[i].Value = fmt.Appendf(nil, `{"date":"2001-06-30T17:05:00Z","distance":%d,"origin":"ORD","destination":"LGA"}`, 100+i)
	}
	if err := producer.Produce(t.Context(), messages); err != nil {
		t.Fatal(err)
	}
	d.drained(t, events)
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", d.process.PID()))
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	code := d.process.Stop(t)
	took := time.Since(began)
	t.Logf("%d descriptors for %d partitions; ended after %v", len(open), partitions, took.Round(time.Millisecond))
	if code != 0 || took > endsWithin {
		t.Errorf("exit code %d after %v", code, took)
	}
}
