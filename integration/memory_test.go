//go:build integration

package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	apache "github.com/thalweg/thalweg/integration/kafka"
	"github.com/thalweg/thalweg/integration/minio"
	"github.com/thalweg/thalweg/integration/process"
	"github.com/thalweg/thalweg/worker/stream/budget"
)

// TestAWorkerStaysWithinItsMemoryWhileItTrainsBesidePoison has a worker score five
// topics of large events, half of them poison, while it trains on and on: it holds what
// the help of --stream-bytes says.
func TestAWorkerStaysWithinItsMemoryWhileItTrainsBesidePoison(t *testing.T) {
	const pipelines, partitions, large, bound = 5, 4, 20, budget.DefaultMemory + 230<<20
	k, server := apache.Start(t, apache.Config{}), minio.Start(t)
	newLake(t, server)
	c := startCluster(t, clusterConfig{Coordinators: 1, Workers: 1, S3: server, Kafka: k})
	var names, runs []string
	for i := range pipelines {
		name := fmt.Sprint("poison-", i)
		names = append(names, name)
		k.CreateTopic(t, name, partitions, nil)
		spec := streamSpec(t, 30*time.Second, "  trainer: {epochs: 5, early_stop: 0, batch_size: 64}\n")
		spec = strings.NewReplacer("name: flight-delays", "name: "+name, "topic: flights", "topic: "+name, "scored/flight-delays/", "scored/"+name+"/").Replace(spec)
		runs = append(runs, apply(t, c, spec))
	}
	for _, id := range runs {
		waitRun(t, c, id, "the first models", succeeded)
	}
	c.KillWorker(0)
	client, err := kgo.NewClient(kgo.SeedBrokers(k.Brokers()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.Lz4Compression()),
		kgo.ProducerBatchMaxBytes(1_000_000), kgo.MaxBufferedRecords(1000))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	note := `,"note":"` + strings.Repeat("x", 800_000) + `"}`
	for n := range large * partitions * pipelines {
		value := flightHead + "1" + note
		if n/(partitions*pipelines)%2 == 1 {
			value = flightHead + `"far"` + note
		}
		client.Produce(t.Context(), &kgo.Record{Topic: names[n%pipelines], Partition: int32(n / pipelines % partitions), Value: []byte(value)}, nil)
	}
	if err := client.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.RestartWorker(t, 0)
	for i, name := range names {
		runs[i] = startRun(t, c, name)
	}
	for _, id := range runs {
		waitRun(t, c, id, "the runs beside the streams", succeeded)
	}
	process.UntilFor(t, 5*time.Minute, "all events to be committed", func(ctx context.Context) error {
		res, err := c.Client().StreamStatus(ctx, &apiv1.StreamStatusRequest{})
		if err != nil {
			return err
		}
		var rows, dead int64
		for _, p := range res.Partitions {
			rows, dead = rows+p.ScoredRows, dead+p.DeadLetters
		}
		if rows != dead || rows+dead != large*partitions*pipelines {
			return fmt.Errorf("%d rows and %d dead letters", rows, dead)
		}
		return nil
	})
	peak := residentPeak(t, c.Worker(0).PID())
	t.Logf("the worker's memory peaked at %d MiB", peak>>20)
	if peak > bound {
		t.Errorf("the worker's memory peaked at %d MiB, the bound is %d MiB", peak>>20, bound>>20)
	}
}
