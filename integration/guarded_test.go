//go:build integration

package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/connectors/kafka"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	apache "github.com/thalweg/thalweg/integration/kafka"
	"github.com/thalweg/thalweg/integration/minio"
	"github.com/thalweg/thalweg/integration/process"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/worker/stream/fsck"
)

// bank is a stream over a Kafka that lets nobody in without a certificate and
// a password.
type bank struct {
	t       *testing.T
	broker  *apache.Cluster
	cluster *cluster
	lake    storage.Bucket
	events  []string // flights that are not produced yet
	missing int64    // offsets given up so far
}

// TestKafkaForReal takes one stream on real processes through what a real Kafka
// does to it: certificates and passwords, the codecs of Kafka's own producer,
// transactions, partitions that are added, records that are deleted by hand and
// by retention, and a topic that is deleted and made anew. fsck judges each step.
func TestKafkaForReal(t *testing.T) {
	broker := apache.Start(t, apache.Config{Guarded: true, Properties: map[string]string{"log.retention.check.interval.ms": "300"}})
	broker.CreateTopic(t, topic, 3, nil)
	server := minio.Start(t)
	b := &bank{t: t, broker: broker, lake: newLake(t, server)}
	file := filepath.Join(t.TempDir(), "connections.yaml")
	text := fmt.Sprintf(`connections:
  bank:
    kafka:
      brokers: [%q]
      tls: {ca: %q, certificate: %q, key: %q}
      sasl: {mechanism: SCRAM-SHA-512, user: ada, password: {env: BANK_PASSWORD}}
`, broker.Guard.Address, broker.Guard.CA, broker.Guard.Certificate, broker.Guard.Key)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	// No process of Thalweg learns of a way around the guard.
	b.cluster = startCluster(t, clusterConfig{S3: server, Coordinators: 1, Workers: 1, Env: func(string) []string {
		return []string{"THALWEG_CONNECTIONS=" + file, "BANK_PASSWORD=" + broker.Guard.Ada, "THALWEG_KAFKA=127.0.0.1:1"}
	}})
	spec := flightsSpec(t, "")
	for _, change := range [][2]string{
		{`{kafka: {topic: flights}`, `{connection: bank, kafka: {topic: flights, consumer_group: bank, isolation_level: read_committed}`},
		{`delays/"}, format: {type: parquet}}`, `delays/"}, format: {type: parquet}, rolling: {period: 300ms}}`},
	} {
		if !strings.Contains(spec, change[0]) {
			t.Fatalf("the demo's pipeline has no %s", change[0])
		}
		spec = strings.Replace(spec, change[0], change[1], 1)
	}
	waitRun(t, b.cluster, apply(t, b.cluster, spec), "the model", succeeded)
	b.events = eventsOf(t, b.lake, 5000)
	for _, step := range []struct {
		name string
		run  func(t *testing.T)
	}{
		{"who may not come in is told why", b.strangers},
		{"every codec of two producers is scored, aborted transactions are not", b.codecsAndTransactions},
		{"the consumer group shows no lag", b.group},
		{"partitions that are added are scored from their first record", b.growth},
		{"deleted records stop the partition until they are given up", b.deleteRecords},
		{"records lost to retention likewise", b.retention},
		{"a topic made anew likewise", b.remake},
	} {
		began := time.Now()
		if !t.Run(step.name, func(t *testing.T) {
			b.t = t
			step.run(t)
			b.judge()
		}) {
			return
		}
		t.Logf("%s: %v", step.name, time.Since(began).Round(100*time.Millisecond))
	}
}

// access returns Ada's way in.
func (b *bank) access() kafka.Config {
	return kafka.Config{Brokers: []string{b.broker.Guard.Address}, Topic: topic, IsolationLevel: kafka.ReadCommitted, TLS: b.broker.Guard.TLS(true),
		SASL: kafka.SASL{Mechanism: "SCRAM-SHA-512", User: "ada", Password: b.broker.Guard.Ada}}
}

func (b *bank) source(cfg kafka.Config) *kafka.Source {
	b.t.Helper()
	s, err := kafka.New(cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { s.Close() })
	return s
}

// take returns n flights that were not produced yet.
func (b *bank) take(n int) []string {
	b.t.Helper()
	if len(b.events) < n {
		b.t.Fatal("no flights left")
	}
	taken := b.events[:n]
	b.events = b.events[n:]
	return taken
}

// write produces n flights to a partition.
func (b *bank) write(partition int32, n int) {
	b.t.Helper()
	client := newFranz(b.t, b.broker, topic)
	var records []*kgo.Record
	for _, e := range b.take(n) {
		records = append(records, &kgo.Record{Partition: partition, Value: []byte(e)})
	}
	if err := client.ProduceSync(b.t.Context(), records...).FirstErr(); err != nil {
		b.t.Fatal(err)
	}
}

// ends returns the next offset of each partition.
func (b *bank) ends() []int64 {
	b.t.Helper()
	source := b.source(b.access())
	now, err := source.Topic(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	ends := make([]int64, now.Partitions)
	for p := range ends {
		if _, ends[p], err = source.Bounds(b.t.Context(), p); err != nil {
			b.t.Fatal(err)
		}
	}
	return ends
}

// status returns what the coordinator tells of a partition.
func (b *bank) status(ctx context.Context, partition int) (*apiv1.StreamPartition, error) {
	res, err := b.cluster.Client().StreamStatus(ctx, &apiv1.StreamStatusRequest{Pipeline: flightPipeline})
	if err != nil {
		return nil, err
	}
	for _, p := range res.Partitions {
		if int(p.Partition) == partition {
			return p, nil
		}
	}
	return nil, fmt.Errorf("%d partitions are known", len(res.Partitions))
}

// waitDrained waits until every partition is committed to its end.
func (b *bank) waitDrained() {
	b.t.Helper()
	for p, end := range b.ends() {
		process.Until(b.t, fmt.Sprintf("partition %d to be committed", p), func(ctx context.Context) error {
			s, err := b.status(ctx, p)
			switch {
			case err != nil:
				return err
			case s.Committed != end:
				return fmt.Errorf("%d of %d: %s %s", s.Committed, end, s.State, s.Message)
			}
			return nil
		})
	}
}

// waitLost waits until a partition has stopped and returns what it misses.
func (b *bank) waitLost(partition int) *apiv1.SkipAuthorization {
	b.t.Helper()
	var lost *apiv1.SkipAuthorization
	process.Until(b.t, fmt.Sprintf("partition %d to stop", partition), func(ctx context.Context) error {
		s, err := b.status(ctx, partition)
		if err == nil && (s.State != "stopped" || s.Lost == nil) {
			err = fmt.Errorf("it is %s at %d: %s", s.State, s.Committed, s.Message)
		}
		if err == nil {
			lost = s.Lost
			if !strings.Contains(s.Message, fmt.Sprintf("[%d, %d)", lost.From, lost.To)) {
				b.t.Errorf("the message does not name what is lost: %s", s.Message)
			}
		}
		return err
	})
	return lost
}

// refused runs thalweg stream resume with a word that is not right.
func (b *bank) refused(want string, args ...string) {
	b.t.Helper()
	out, err := b.cluster.Command(append([]string{"stream", "resume", flightPipeline}, args...)...).CombinedOutput()
	if err == nil || !strings.Contains(string(out), want) {
		b.t.Errorf("stream resume %v: %v, want a refusal with %q: %s", args, err, want, out)
	}
}

// judge has fsck judge the sink, by the command that operators have.
func (b *bank) judge() {
	b.t.Helper()
	var v fsck.Verdict
	if err := json.Unmarshal([]byte(b.cluster.Run(b.t, "fsck", flightPipeline, "-o", "json")), &v); err != nil {
		b.t.Fatal(err)
	}
	if !v.OK() || v.Missing != b.missing {
		b.t.Errorf("%d offsets given up, want %d:\n%s", v.Missing, b.missing, &v)
	}
	b.t.Logf("fsck: %d scored, %d dead, %d absent, %d given up in %d files, %d violations", v.Scored, v.Dead, v.Absent, v.Missing, v.Files, len(v.Violations))
}

func (b *bank) strangers(t *testing.T) {
	guard := b.broker.Guard
	for want, change := range map[string]func(*kafka.Config){
		"check user, password and mechanism": func(c *kafka.Config) { c.SASL.Password = "guessed" },
		"the broker does not permit this to bob": func(c *kafka.Config) {
			c.SASL = kafka.SASL{Mechanism: "SCRAM-SHA-512", User: "bob", Password: guard.Bob}
		},
		"check the connection's CA":    func(c *kafka.Config) { c.TLS.RootCAs = nil },
		"check the client certificate": func(c *kafka.Config) { c.TLS = guard.TLS(false) },
		"expect TLS":                   func(c *kafka.Config) { c.TLS = nil },
		"mechanism (PLAIN)":            func(c *kafka.Config) { c.SASL.Mechanism = "PLAIN" },
	} {
		cfg := b.access()
		cfg.Attempts = 2
		change(&cfg)
		_, err := b.source(cfg).Topic(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want an error with %q", err, want)
		}
		if err != nil && (strings.Contains(err.Error(), "guessed") || strings.Contains(err.Error(), "secret")) {
			t.Errorf("the error tells a password: %v", err)
		}
	}
}

func (b *bank) codecsAndTransactions(t *testing.T) {
	const perCodec = 120
	var want []string
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		// Kafka's own producer, over the plain listener; keys and headers too.
		events := b.take(perCodec)
		var lines strings.Builder
		for i, e := range events {
			fmt.Fprintf(&lines, "codec:%s,n:%d\tkey-%d\t%s\n", codec, i, i, e)
		}
		b.broker.Tool(t, strings.NewReader(lines.String()), "org.apache.kafka.tools.ConsoleProducer", "--topic", topic, "--compression-codec", codec,
			"--reader-property", "parse.key=true", "--reader-property", "parse.headers=true")
		want = append(want, events...)

		// Ours, past the guard.
		producer, err := kafka.NewProducer(b.access(), kafka.ProducerConfig{Compression: codec, BatchBytes: 8192})
		if err != nil {
			t.Fatal(err)
		}
		defer producer.Close()
		var messages []kafka.Message
		for i, e := range b.take(perCodec) {
			messages = append(messages, kafka.Message{Value: []byte(e), Key: fmt.Append(nil, "key-", i), Headers: []connectors.Header{{Name: "codec", Value: []byte(codec)}}})
			want = append(want, e)
		}
		if err := producer.Produce(t.Context(), messages); err != nil {
			t.Fatal(err)
		}
	}
	client := newFranz(t, b.broker, topic, kgo.TransactionalID("bank"))
	for i, end := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort, kgo.TryAbort, kgo.TryCommit} {
		if err := client.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		var records []*kgo.Record
		for j, e := range b.take(60) {
			records = append(records, &kgo.Record{Partition: int32((i + j) % 3), Value: []byte(e)})
			if end == kgo.TryCommit {
				want = append(want, e)
			}
		}
		if err := client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := client.EndTransaction(t.Context(), end); err != nil {
			t.Fatal(err)
		}
	}
	for p := range int32(3) { // what is behind the last event is committed with the next one
		want = append(want, b.events[:5]...)
		b.write(p, 5)
	}
	b.waitDrained()

	// Each event that a committed reader sees is one row, and no other is.
	source := b.source(b.access())
	rows, dead := results(t, b.lake)
	var got []string
	fromJava := 0
	for p, end := range b.ends() {
		r := connectors.Records{Want: connectors.Keys | connectors.Headers}
		for at := int64(0); at < end; at = r.Next {
			if err := source.Fetch(t.Context(), p, at, time.Second, 1<<20, &r); err != nil {
				t.Fatal(err)
			}
			for i, offset := range r.Offsets {
				got = append(got, string(r.Value(i)))
				if _, ok := rows[place{int64(p), offset}]; !ok {
					t.Errorf("partition %d offset %d is not scored: %s", p, offset, r.Value(i))
				}
				delete(rows, place{int64(p), offset})
				if age := time.Since(time.UnixMicro(r.Timestamps[i])); age < 0 || age > time.Hour {
					t.Errorf("partition %d offset %d was produced %v ago", p, offset, age)
				}
				if n, ok := r.Header(i, "n"); ok {
					fromJava++
					if codec, _ := r.Header(i, "codec"); len(codec) == 0 || string(r.Key(i)) != "key-"+string(n) {
						t.Errorf("partition %d offset %d: key %q, headers codec=%s, n=%s", p, offset, r.Key(i), codec, n)
					}
				}
			}
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("a committed reader sees %d events, %d were committed", len(got), len(want))
	}
	if len(rows) > 0 || len(dead) > 0 || fromJava != 5*perCodec {
		t.Errorf("%d rows of events that nobody committed, %d dead letters, %d events of Kafka's own producer", len(rows), len(dead), fromJava)
	}
}

func (b *bank) group(t *testing.T) {
	process.Until(t, "the group's offsets", func(context.Context) error {
		out := b.broker.Tool(t, nil, "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "--describe", "--group", "bank")
		lags := map[string]string{}
		for line := range strings.Lines(out) {
			// GROUP TOPIC PARTITION CURRENT-OFFSET LOG-END-OFFSET LAG …, maybe with more between.
			f := strings.Fields(line)
			if len(f) >= 6 && f[0] == "bank" && f[1] == topic {
				i := slices.IndexFunc(f, func(s string) bool { n, err := strconv.Atoi(s); return err == nil && n > 10 })
				if i < 0 || i+2 >= len(f) {
					return fmt.Errorf("%s", line)
				}
				lags[f[2]] = f[i] + " of " + f[i+1] + " lag " + f[i+2]
			}
		}
		for p, end := range b.ends() {
			if want := fmt.Sprintf("%d of %d lag 0", end, end); lags[fmt.Sprint(p)] != want {
				return fmt.Errorf("partition %d: %q, want %q: %s", p, lags[fmt.Sprint(p)], want, out)
			}
		}
		t.Logf("kafka-consumer-groups:\n%s", out)
		return nil
	})
}

// admin sends a request that has no error in its response's topics.
func (b *bank) admin(r kmsg.Request, code func(kmsg.Response) int16) {
	b.t.Helper()
	res, err := newFranz(b.t, b.broker, topic).Request(b.t.Context(), r)
	if err == nil && code(res) != 0 {
		err = fmt.Errorf("error code %d", code(res))
	}
	if err != nil {
		b.t.Fatalf("%T: %v", r, err)
	}
}

func (b *bank) growth(t *testing.T) {
	of := kmsg.NewCreatePartitionsRequestTopic()
	of.Topic, of.Count = topic, 5
	r := kmsg.NewPtrCreatePartitionsRequest()
	r.Topics, r.TimeoutMillis = append(r.Topics, of), 10_000
	b.admin(r, func(res kmsg.Response) int16 { return res.(*kmsg.CreatePartitionsResponse).Topics[0].ErrorCode })
	began := time.Now()
	for p := range int32(5) {
		process.Until(t, "the partition to have a leader", func(ctx context.Context) error {
			return newFranz(t, b.broker, topic).ProduceSync(ctx, &kgo.Record{Partition: p, Value: []byte(b.take(1)[0])}).FirstErr()
		})
		b.write(p, 20)
	}
	b.waitDrained()
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("noticed and scored after %v", took)
	} else {
		t.Logf("noticed, leased, scored and committed in %v", took.Round(time.Millisecond))
	}
	for p := 3; p < 5; p++ {
		if s, err := b.status(t.Context(), p); err != nil || s.ScoredRows != 21 {
			t.Errorf("partition %d: %v, %v, want all 21 records", p, s, err)
		}
	}
}

func (b *bank) pause() {
	b.t.Helper()
	b.cluster.Run(b.t, "stream", "pause", flightPipeline)
	process.Until(b.t, "the holders to pause", func(ctx context.Context) error {
		res, err := b.cluster.Client().StreamStatus(ctx, &apiv1.StreamStatusRequest{Pipeline: flightPipeline})
		if err != nil {
			return err
		}
		for _, p := range res.Partitions {
			if p.State != "paused" {
				err = fmt.Errorf("partition %d is %s", p.Partition, p.State)
			}
		}
		return err
	})
}

// giveUp lets a partition go on by the right word, after wrong ones.
func (b *bank) giveUp(partition int, lost *apiv1.SkipAuthorization) {
	b.t.Helper()
	p, word := fmt.Sprint(partition), fmt.Sprintf("%d-%d", lost.From, lost.To)
	b.refused(fmt.Sprintf("what is missing is %s", word), "--partition", p, "--skip", fmt.Sprintf("%d-%d", lost.From, lost.To-1))
	b.refused("leave --accept-topic out", "--partition", p, "--skip", word, "--accept-topic", strings.Repeat("0", 32))
	b.refused("nothing is missing there", "--partition", fmt.Sprint((partition+1)%3), "--skip", word)
	out := b.cluster.Run(b.t, "stream", "resume", flightPipeline, "--partition", p, "--skip", word)
	if !strings.Contains(out, "are skipped") {
		b.t.Error(out)
	}
	b.missing += lost.To - lost.From
	b.waitDrained()
	if s, err := b.status(b.t.Context(), partition); err != nil || s.Missing != lost.To-lost.From {
		b.t.Errorf("the status tells of %d offsets given up, %v", s.GetMissing(), err)
	}
}

func (b *bank) deleteRecords(t *testing.T) {
	b.pause()
	end := b.ends()[0]
	b.write(0, 30)
	part := kmsg.NewDeleteRecordsRequestTopicPartition()
	part.Offset = end + 20
	of := kmsg.NewDeleteRecordsRequestTopic()
	of.Topic, of.Partitions = topic, append(of.Partitions, part)
	r := kmsg.NewPtrDeleteRecordsRequest()
	r.Topics = append(r.Topics, of)
	b.admin(r, func(res kmsg.Response) int16 {
		return res.(*kmsg.DeleteRecordsResponse).Topics[0].Partitions[0].ErrorCode
	})
	b.cluster.Run(t, "stream", "resume", flightPipeline)
	lost := b.waitLost(0)
	if lost.From != end || lost.To != end+20 || lost.AcceptTopic != "" {
		t.Fatalf("%v, want %d-%d", lost, end, end+20)
	}
	b.giveUp(0, lost)
}

// retain sets how long records are kept.
func (b *bank) retain(ms string) {
	b.t.Helper()
	setting := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	setting.Name, setting.Value = "retention.ms", &ms
	of := kmsg.NewIncrementalAlterConfigsRequestResource()
	of.ResourceType, of.ResourceName, of.Configs = kmsg.ConfigResourceTypeTopic, topic, append(of.Configs, setting)
	r := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r.Resources = append(r.Resources, of)
	b.admin(r, func(res kmsg.Response) int16 {
		return res.(*kmsg.IncrementalAlterConfigsResponse).Resources[0].ErrorCode
	})
}

func (b *bank) retention(t *testing.T) {
	b.pause()
	end := b.ends()[1]
	b.write(1, 25)
	b.retain("1")
	source := b.source(b.access())
	process.Until(t, "retention to delete", func(ctx context.Context) error {
		first, next, err := source.Bounds(ctx, 1)
		if err == nil && first != next {
			err = fmt.Errorf("records from %d to %d are there", first, next)
		}
		return err
	})
	b.retain("-1")
	b.cluster.Run(t, "stream", "resume", flightPipeline)
	lost := b.waitLost(1)
	if lost.From != end || lost.To != end+25 || lost.AcceptTopic != "" {
		t.Fatalf("%v, want %d-%d", lost, end, end+25)
	}
	b.write(1, 10)
	b.giveUp(1, lost)
}

func (b *bank) remake(t *testing.T) {
	ends := b.ends()
	was, err := b.source(b.access()).Topic(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	name := topic
	of := kmsg.NewDeleteTopicsRequestTopic()
	of.Topic = &name
	r := kmsg.NewPtrDeleteTopicsRequest()
	r.Topics, r.TopicNames, r.TimeoutMillis = append(r.Topics, of), []string{topic}, 10_000
	b.admin(r, func(res kmsg.Response) int16 { return res.(*kmsg.DeleteTopicsResponse).Topics[0].ErrorCode })
	b.broker.CreateTopic(t, topic, 5, nil)
	for p := range 5 { // as many records as the old topic had, and more: offsets alone would not tell
		b.write(int32(p), int(min(ends[p], 300))+10)
	}
	is, err := b.source(b.access()).Topic(t.Context())
	if err != nil || is.ID == was.ID {
		t.Fatalf("%+v, %v", is, err)
	}
	lost := map[int]*apiv1.SkipAuthorization{}
	for p := range 5 {
		lost[p] = b.waitLost(p)
		s, err := b.status(t.Context(), p)
		if err != nil || lost[p].From != ends[p] || lost[p].To != ends[p] || lost[p].TopicId != was.ID || lost[p].AcceptTopic != is.ID ||
			!strings.Contains(s.Message, was.ID) || !strings.Contains(s.Message, is.ID) {
			t.Errorf("partition %d: %v, %v: %s", p, lost[p], err, s.GetMessage())
		}
	}
	for _, p := range slices.Sorted(maps.Keys(lost)) {
		word := fmt.Sprintf("%d-%d", lost[p].From, lost[p].To)
		b.refused("the topic was deleted and created again", "--partition", fmt.Sprint(p), "--skip", word)
		b.refused("the topic was deleted and created again", "--partition", fmt.Sprint(p), "--skip", word, "--accept-topic", was.ID)
		b.cluster.Run(t, "stream", "resume", flightPipeline, "--partition", fmt.Sprint(p), "--skip", word, "--accept-topic", is.ID)
	}
	b.waitAccepted(is.ID)
	b.waitDrained()
	for p := range 5 {
		if s, err := b.status(t.Context(), p); err != nil || s.TopicId != is.ID {
			t.Errorf("partition %d is of topic %s, %v", p, s.GetTopicId(), err)
		}
	}
	// Not even a source that was not told which topic is meant can be fooled into the old offsets.
	records := connectors.Records{TopicID: was.ID}
	missing := new(connectors.MissingRange)
	if err := b.source(b.access()).Fetch(t.Context(), 0, 0, time.Second, 1<<20, &records); !thalweg.Is(err, thalweg.Lost) || !errors.As(err, &missing) || missing.Is != is.ID {
		t.Errorf("a fetch of the old topic: %v", err)
	}
}

// waitAccepted waits until every partition goes on with a topic.
func (b *bank) waitAccepted(id string) {
	b.t.Helper()
	process.Until(b.t, "the new topic to be scored", func(ctx context.Context) error {
		res, err := b.cluster.Client().StreamStatus(ctx, &apiv1.StreamStatusRequest{Pipeline: flightPipeline})
		if err != nil {
			return err
		}
		for _, p := range res.Partitions {
			if p.TopicId != id || p.State != "running" {
				return fmt.Errorf("partition %d is %s on topic %s: %s", p.Partition, p.State, p.TopicId, p.Message)
			}
		}
		return nil
	})
}
