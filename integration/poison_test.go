//go:build integration

package integration

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// poison is an event that no version can score.
type poison struct {
	name   string
	value  []byte
	codec  kgo.CompressionCodec
	reason string // a part of what its dead letter says
}

const flightHead = `{"date":"2001-01-01T00:01:00Z","delay":1,"destination":"LAX","origin":"SFO","distance":`

func poisons() []poison {
	none := kgo.NoCompression()
	bomb := bytes.Repeat([]byte{' '}, 96<<20) // inflates beyond any bound of ours; a space is JSON, too
	return []poison{
		{"bad UTF-8", []byte("{\"date\":\"2001-01-01T00:01:00Z\",\"distance\":1,\"origin\":\"\xff\xfe\",\"destination\":\"LAX\"}"), none, "UTF-8"},
		{"10 MB", []byte(flightHead + `1,"note":"` + strings.Repeat("x", 10<<20) + `"}`), none, "the bound is 1048576"},
		{"100,000 deep", []byte(flightHead + `1,"x":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`), none, "nested deeper"},
		{"gzip bomb", bomb, kgo.GzipCompression(), "inflates beyond"},
		{"snappy bomb", bomb, kgo.SnappyCompression(), "inflates beyond"},
		{"lz4 bomb", bomb, kgo.Lz4Compression(), "inflates beyond"},
		{"zstd bomb", bomb, kgo.ZstdCompression(), "inflates beyond"},
		{"NaN", []byte(flightHead + `NaN}`), none, "malformed JSON"},
		{"overflow", []byte(flightHead + `1e400}`), none, "distance"},
		{"duplicate key", []byte(flightHead + `1,"distance":2}`), none, "appears twice"},
		{"wrong type", []byte(flightHead + `"far"}`), none, "distance"},
		{"not JSON", []byte("<flight/>"), none, "malformed JSON"},
		{"empty", []byte{}, none, ""},
		{"null", nil, none, "null"},
	}
}

// TestPoisonOfEveryKindBecomesADeadLetterOnceWithItsReason sends poison among
// good events by a foreign producer to a real broker, batches larger than a
// fetch and compressed bombs of every codec among it: each is one dead letter,
// each good event one row, and the worker stays within its memory.
func TestPoisonOfEveryKindBecomesADeadLetterOnceWithItsReason(t *testing.T) {
	const partitions = 2
	b := newFlowBed(t, partitions, 2*time.Second, map[string]string{
		"message.max.bytes": "16000000", "replica.fetch.max.bytes": "16000000", "socket.request.max.bytes": "200000000",
	})
	b.cluster.KillWorker(0)
	clients := make(map[string]*kgo.Client)
	send := func(codec kgo.CompressionCodec, partition int32, value []byte) place {
		t.Helper()
		name := fmt.Sprint(codec)
		if clients[name] == nil {
			client, err := kgo.NewClient(kgo.SeedBrokers(b.kafka.Brokers()...), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()),
				kgo.ProducerBatchCompression(codec), kgo.ProducerBatchMaxBytes(150_000_000), kgo.BrokerMaxWriteBytes(200_000_000), kgo.MaxBufferedBytes(0))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(client.Close)
			clients[name] = client
		}
		r := &kgo.Record{Partition: partition, Value: value}
		if err := clients[name].ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
		return place{int64(r.Partition), r.Offset}
	}
	bad := make(map[place]poison)
	ends := make([]int64, partitions)
	good := 0
	note := func(at place) { ends[at.partition] = at.offset + 1 }
	for round := range 3 {
		for _, p := range poisons() {
			for partition := range int32(partitions) {
				note(send(kgo.NoCompression(), partition, []byte(flightHead+fmt.Sprint(100+good)+"}")))
				good++
				if round > 0 && len(p.value) > 1<<20 {
					continue
				}
				at := send(p.codec, partition, p.value)
				note(at)
				bad[at] = p
			}
		}
	}
	b.cluster.RestartWorker(t, 0)
	b.wantAll(t, ends)
	rows, dead := results(t, b.lake)
	for at, p := range bad {
		if reason, ok := dead[at]; !ok || !strings.Contains(reason, p.reason) {
			t.Errorf("%s at %+v: dead letter %v, reason %q, want %q in it", p.name, at, ok, reason, p.reason)
		}
	}
	if len(rows) != good || len(dead) != len(bad) {
		t.Errorf("%d rows of %d good events, %d dead letters of %d bad ones", len(rows), good, len(dead), len(bad))
	}
	peak := residentPeak(t, b.cluster.Worker(0).PID())
	t.Logf("%d rows, %d dead letters; the worker's memory peaked at %d MB", len(rows), len(dead), peak>>20)
	if peak > maxWorkerBytes {
		t.Errorf("the worker's memory peaked at %d MB, the bound is %d MB", peak>>20, maxWorkerBytes>>20)
	}
}
