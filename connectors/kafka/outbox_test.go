package kafka

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/connectors/kafka/kafkatest"
)

const outboxLine = "00112233445566778899aabbccddeeff"

// group is a group of the line that began just now.
func group(seq uint64) connectors.Group {
	return connectors.Group{Line: outboxLine, Seq: seq, ID: fmt.Sprintf("%032x", seq), BegunAtUS: time.Now().UnixMicro()}
}

// letters are n messages of a group, each of size bytes.
func letters(seq uint64, n, size int) iter.Seq2[connectors.Message, error] {
	return func(yield func(connectors.Message, error) bool) {
		for i := range n {
			text := fmt.Sprintf("%d-%d-", seq, i)
			m := connectors.Message{Key: fmt.Appendf(nil, "k%d-%d", seq, i), Value: []byte(text + strings.Repeat("x", max(0, size-len(text)))),
				Headers: []connectors.Header{{Name: "group", Value: fmt.Appendf(nil, "%d", seq)}, {Name: "null"}}}
			if !yield(m, nil) {
				return
			}
		}
	}
}

func newOutbox(t *testing.T, cluster *kfake.Cluster, topic string) *Outbox {
	t.Helper()
	o, err := NewOutbox(Config{Brokers: cluster.ListenAddrs(), Topic: topic, RequestTimeout: 5 * time.Second}, OutboxConfig{Name: "thalweg-p-t-0", Partition: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Close() })
	return o
}

// committed reads a topic of a number of partitions.
func committed(t *testing.T, cluster *kfake.Cluster, topic string, partitions int) (keys []string, records []*kgo.Record) {
	t.Helper()
	records = kafkatest.Committed(t, cluster.ListenAddrs(), topic, partitions)
	for _, r := range records {
		keys = append(keys, string(r.Key))
	}
	return keys, records
}

func wantOnce(t *testing.T, keys []string, groups map[uint64]int) {
	t.Helper()
	seen := make(map[string]int)
	for _, k := range keys {
		seen[k]++
	}
	for seq, n := range groups {
		for i := range n {
			key := fmt.Sprintf("k%d-%d", seq, i)
			if seen[key] != 1 {
				t.Errorf("%s is there %d times", key, seen[key])
			}
			delete(seen, key)
		}
	}
	for key := range seen {
		t.Errorf("%s should not be there", key)
	}
}

func startOutboxCluster(t *testing.T, options ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(3), kfake.SeedTopics(3, "dlq")}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestAGroupIsDeliveredOnceHoweverOftenItIsTried(t *testing.T) {
	c := startOutboxCluster(t)
	a, b := newOutbox(t, c, "dlq"), newOutbox(t, c, "dlq")
	deliver := func(o *Outbox, seq uint64, n, size int) {
		t.Helper()
		if err := o.Deliver(t.Context(), group(seq), letters(seq, n, size)); err != nil {
			t.Fatalf("group %d: %v", seq, err)
		}
	}
	deliver(a, 0, 3, 0)
	deliver(a, 0, 3, 0)
	deliver(b, 0, 3, 0)       // a takeover of what was delivered
	deliver(b, 3, 2000, 1000) // several batches; the line skips numbers
	deliver(a, 3, 2000, 1000) // the one before wakes up: it is fenced, asks, and finds it done
	deliver(a, 4, 1, 0)
	deliver(b, 4, 1, 0)
	deliver(newOutbox(t, c, "dlq"), 4, 1, 0)
	keys, records := committed(t, c, "dlq", 3)
	wantOnce(t, keys, map[uint64]int{0: 3, 3: 2000, 4: 1})
	for _, r := range records {
		if r.Partition != 4%3 || len(r.Headers) != 2 || r.Headers[0].Key != "group" || r.Headers[1].Value != nil || time.Since(r.Timestamp) > time.Minute {
			t.Fatalf("%+v", r)
		}
	}
}

// TestWhereverADelivererDiesTheGroupIsThereOnce: at each request of a delivery
// in turn, before the broker did it or after, and another goes on; then the
// first wakes up.
func TestWhereverADelivererDiesTheGroupIsThereOnce(t *testing.T) {
	for _, key := range kafkatest.Transaction() {
		for _, applied := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s applied=%v", key.Name(), applied), func(t *testing.T) {
				c := startOutboxCluster(t)
				zombie := newOutbox(t, c, "dlq") // it held the line before anything happened
				if err := zombie.Deliver(t.Context(), group(0), letters(0, 2, 0)); err != nil {
					t.Fatal(err)
				}
				ctx, die := context.WithCancel(t.Context())
				m := &kafkatest.Mortal{Key: key, Applied: applied, Die: die}
				first, err := NewOutbox(Config{Brokers: c.ListenAddrs(), Topic: "dlq", Dial: m.Dial}, OutboxConfig{Name: "thalweg-p-t-0", Partition: 4})
				if err != nil {
					t.Fatal(err)
				}
				defer first.Close()
				if err := first.Deliver(ctx, group(1), letters(1, 3, 0)); err == nil || !m.Dead() {
					t.Fatalf("delivered although it was to die (dead %v): %v", m.Dead(), err)
				}
				second := newOutbox(t, c, "dlq")
				for _, o := range []*Outbox{second, zombie, second} {
					if err := o.Deliver(t.Context(), group(1), letters(1, 3, 0)); err != nil {
						t.Fatal(err)
					}
				}
				if err := second.Deliver(t.Context(), group(2), letters(2, 1, 0)); err != nil {
					t.Fatal(err)
				}
				keys, _ := committed(t, c, "dlq", 3)
				wantOnce(t, keys, map[uint64]int{0: 2, 1: 3, 2: 1})
			})
		}
	}
}

// TestMessagesThatFailToComeLeaveNothing: what was written before is aborted.
func TestMessagesThatFailToComeLeaveNothing(t *testing.T) {
	c := startOutboxCluster(t)
	o := newOutbox(t, c, "dlq")
	broken := errors.New("broken")
	err := o.Deliver(t.Context(), group(0), func(yield func(connectors.Message, error) bool) {
		for m, err := range letters(0, 2000, 1000) {
			if !yield(m, err) {
				return
			}
		}
		yield(connectors.Message{}, broken)
	})
	if !errors.Is(err, broken) {
		t.Fatalf("%v", err)
	}
	if err := o.Deliver(t.Context(), group(0), letters(0, 1, 0)); err != nil {
		t.Fatal(err)
	}
	keys, _ := committed(t, c, "dlq", 3)
	wantOnce(t, keys, map[uint64]int{0: 1})
}

// TestAnEmptyGroupLeavesTheLineOpen: the next group goes on with the same
// client, and its producer id.
func TestAnEmptyGroupLeavesTheLineOpen(t *testing.T) {
	c := startOutboxCluster(t)
	var begun atomic.Int32
	c.ControlKey(kmsg.InitProducerID.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		begun.Add(1)
		return nil, nil, false
	})
	o := newOutbox(t, c, "dlq")
	for seq, n := range []int{2, 0, 3, 0, 0, 1} {
		if err := o.Deliver(t.Context(), group(uint64(seq)), letters(uint64(seq), n, 0)); err != nil {
			t.Fatalf("group %d: %v", seq, err)
		}
	}
	if n := begun.Load(); n != 1 {
		t.Errorf("the line was begun %d times", n)
	}
	keys, _ := committed(t, c, "dlq", 3)
	wantOnce(t, keys, map[uint64]int{0: 2, 2: 3, 5: 1})
}

// TestTwoWhoDeliverAtOnceFenceEachOther: whoever wins, each group is there once.
func TestTwoWhoDeliverAtOnceFenceEachOther(t *testing.T) {
	c := startOutboxCluster(t)
	const groups = 8
	var people sync.WaitGroup
	for range 3 {
		o := newOutbox(t, c, "dlq")
		people.Go(func() {
			for seq := range uint64(groups) {
				for tries := 0; ; tries++ {
					err := o.Deliver(t.Context(), group(seq), letters(seq, 5, 0))
					if err == nil {
						break
					}
					if tries > 1000 {
						t.Errorf("group %d: %v", seq, err)
						return
					}
				}
			}
		})
	}
	people.Wait()
	keys, _ := committed(t, c, "dlq", 3)
	want := make(map[uint64]int)
	for seq := range uint64(groups) {
		want[seq] = 5
	}
	wantOnce(t, keys, want)
}

func TestWhereATopicCannotBeWrittenToTheErrorSaysSo(t *testing.T) {
	c := startOutboxCluster(t)
	o := newOutbox(t, c, "elsewhere")
	if err := o.Deliver(t.Context(), group(0), letters(0, 1, 0)); !thalweg.Is(err, thalweg.NotFound) {
		t.Errorf("a missing topic: %v", err)
	}
	// What was begun long ago, and of which the brokers know nothing, may have been
	// delivered and forgotten.
	old := group(7)
	old.BegunAtUS = time.Now().Add(-10 * 24 * time.Hour).UnixMicro()
	o = newOutbox(t, c, "dlq")
	err := o.Deliver(t.Context(), old, letters(7, 1, 0))
	if !thalweg.Is(err, thalweg.Lost) || !strings.Contains(err.Error(), old.ID) {
		t.Errorf("an old group: %v", err)
	}
	if err := o.Deliver(t.Context(), group(8), letters(8, 1, 0)); err != nil {
		t.Error(err)
	}
	if err := o.Deliver(t.Context(), old, letters(7, 1, 0)); err != nil {
		t.Errorf("a group before one that was delivered: %v", err)
	}
}

// limitMessages bounds the messages that a topic takes.
func limitMessages(t *testing.T, c *kfake.Cluster, topic string, bytes int) {
	t.Helper()
	admin, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	limit := fmt.Sprint(bytes)
	req.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: topic,
		Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: "max.message.bytes", Value: &limit}}}}
	if _, err := req.RequestWith(t.Context(), admin); err != nil {
		t.Fatal(err)
	}
}

func TestAMessageTooLargeForTheTopicIsCutAndSaysSo(t *testing.T) {
	c := startOutboxCluster(t, kfake.SeedTopics(1, "small"))
	limitMessages(t, c, "small", 20_000)
	o := newOutbox(t, c, "small")
	large := func(seq uint64, headers ...connectors.Header) iter.Seq2[connectors.Message, error] {
		return func(yield func(connectors.Message, error) bool) {
			for m, err := range letters(seq, 10, 50_000) {
				m.Headers = append(m.Headers, headers...)
				if !yield(m, err) {
					return
				}
			}
		}
	}
	kept := connectors.Header{Name: "tenant", Value: []byte("a")}
	for seq, headers := range [][]connectors.Header{
		{kept},
		{{Name: "blob", Value: make([]byte, 30_000)}, kept},
		{kept, {Name: strings.Repeat("n", 60_000)}, {Name: "blob", Value: make([]byte, 15_000)}},
	} {
		if err := o.Deliver(t.Context(), group(uint64(seq)), large(uint64(seq), headers...)); err != nil {
			t.Fatal(err)
		}
	}
	keys, records := committed(t, c, "small", 1)
	wantOnce(t, keys, map[uint64]int{0: 10, 1: 10, 2: 10})
	for i, r := range records {
		of := make(map[string]string)
		size := len(r.Key) + len(r.Value)
		for _, h := range r.Headers {
			of[h.Key] = string(h.Value)
			size += len(h.Key) + len(h.Value)
		}
		leftOut := []string{"", "1", "2"}[i/10]
		if size < 8_000 || size > 20_000 || len(r.Value) < 8_000 || of["tenant"] != "a" || of[TruncatedHeader] != "50000" || of[LeftOutHeader] != leftOut {
			t.Errorf("message %d: %d bytes, %d of its value, with %.200v", i, size, len(r.Value), of)
		}
	}
}
