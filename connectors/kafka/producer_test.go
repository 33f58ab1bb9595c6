package kafka_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors/kafka"
)

func messages(values ...string) []kafka.Message {
	m := make([]kafka.Message, len(values))
	for i, v := range values {
		m[i] = kafka.Message{Value: []byte(v), Time: time.UnixMilli(1700000000000 + int64(i))}
	}
	return m
}

func TestProducedMessagesAreReadBackByOthers(t *testing.T) {
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		t.Run(codec, func(t *testing.T) {
			c := newCluster(t, 3)
			p := newProducer(t, config(c), kafka.ProducerConfig{BatchBytes: 1000, Compression: codec})
			want := numbered(0, 1000)
			if err := p.Produce(t.Context(), messages(want...)); err != nil {
				t.Fatal(err)
			}
			cl := newFranz(t, c, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
			var got []string
			for len(got) < len(want) {
				fetches := cl.PollFetches(t.Context())
				if err := fetches.Err(); err != nil {
					t.Fatal(err)
				}
				fetches.EachRecord(func(r *kgo.Record) {
					got = append(got, string(r.Value))
					if ms := r.Timestamp.UnixMilli(); ms < 1700000000000 || ms >= 1700000001000 {
						t.Errorf("timestamp %d", ms)
					}
				})
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Error("what was read is not what was produced")
			}
		})
	}
}

func TestUnkeyedMessagesAreSpreadAndKeyedOnesStayTogetherInOrder(t *testing.T) {
	c := newCluster(t, 4)
	p := newProducer(t, config(c), kafka.ProducerConfig{})
	if err := p.Produce(t.Context(), messages(numbered(0, 100)...)); err != nil {
		t.Fatal(err)
	}
	s := newSource(t, config(c))
	for partition := range 4 {
		if got, _ := readAll(t, s, partition, 0, 1<<20); len(got) != 25 {
			t.Errorf("partition %d got %d of 100", partition, len(got))
		}
	}
	var keyed []kafka.Message
	for i := range 300 {
		keyed = append(keyed, kafka.Message{Key: fmt.Appendf(nil, "key %d", i%7), Value: fmt.Appendf(nil, "%d/%03d", i%7, i), Time: time.Now()})
	}
	if err := p.Produce(t.Context(), keyed); err != nil {
		t.Fatal(err)
	}
	home := make(map[string]int)
	last := make(map[string]string)
	for partition := range 4 {
		got, _ := readAll(t, s, partition, 25, 1<<20)
		for _, e := range got {
			key, _, _ := strings.Cut(e.Value, "/")
			if at, seen := home[key]; seen && at != partition {
				t.Errorf("key %s is in partitions %d and %d", key, at, partition)
			}
			if e.Value <= last[key] {
				t.Errorf("%s came after %s", e.Value, last[key])
			}
			home[key], last[key] = partition, e.Value
		}
	}
}

// TestRetriedBatchLeavesOneCopy loses the answer to a batch that was written:
// the second copy must be dropped.
func TestRetriedBatchLeavesOneCopy(t *testing.T) {
	c := newCluster(t, 1)
	p := newProducer(t, config(c), kafka.ProducerConfig{})
	if err := p.Produce(t.Context(), messages("a")); err != nil {
		t.Fatal(err)
	}
	lost := 0
	c.ControlKey(kmsg.Produce.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if lost++; lost <= 2 {
			r := req.(*kmsg.ProduceRequest)
			res := r.ResponseKind().(*kmsg.ProduceResponse)
			rt := kmsg.NewProduceResponseTopic()
			rt.Topic = r.Topics[0].Topic
			rp := kmsg.NewProduceResponseTopicPartition()
			rp.ErrorCode = kerr.NotEnoughReplicasAfterAppend.Code
			rt.Partitions = append(rt.Partitions, rp)
			res.Topics = append(res.Topics, rt)
			return res, nil, true
		}
		return nil, nil, false
	})
	if err := p.Produce(t.Context(), messages("b", "c")); err != nil {
		t.Fatal(err)
	}
	if err := p.Produce(t.Context(), messages("d")); err != nil {
		t.Fatal(err)
	}
	got, _ := readAll(t, newSource(t, config(c)), 0, 0, 1<<20)
	if want := []event{{0, "a"}, {1, "b"}, {2, "c"}, {3, "d"}}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestRefusedBatchIsNamedAndTheNextGoesThrough(t *testing.T) {
	c := newCluster(t, 2)
	p := newProducer(t, config(c), kafka.ProducerConfig{BatchBytes: 1})
	if err := p.Produce(t.Context(), messages("a", "b")); err != nil {
		t.Fatal(err)
	}
	big := messages("c", "d", "e", "f")
	big[2].Value = make([]byte, 3<<20) // the second message of partition 0
	err := p.Produce(t.Context(), big)
	var refused *kafka.BatchError
	if !errors.As(err, &refused) || !thalweg.Is(refused.Err, thalweg.Exhausted) {
		t.Fatalf("%v, want a batch refused as too large", err)
	}
	if refused.Partition != 0 || !slices.Equal(refused.Index, []int{2}) {
		t.Errorf("partition %d, messages %d, want partition 0, message 2", refused.Partition, refused.Index)
	}
	if err := p.Produce(t.Context(), messages("g", "h")); err != nil {
		t.Fatal(err)
	}
	s := newSource(t, config(c))
	var got []string
	for partition := range 2 {
		events, _ := readAll(t, s, partition, 0, 1<<20)
		for _, e := range events {
			got = append(got, e.Value)
		}
	}
	slices.Sort(got)
	if want := []string{"a", "b", "c", "d", "f", "g", "h"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestCreateTopicWaitsUntilItCanBeUsed(t *testing.T) {
	c := newCluster(t, 1)
	cfg := config(c)
	cfg.Topic = "made"
	p := newProducer(t, cfg, kafka.ProducerConfig{})
	if err := p.Produce(t.Context(), messages("x")); !thalweg.Is(err, thalweg.NotFound) {
		t.Errorf("before the topic is made: %v, want not found", err)
	}
	if err := p.CreateTopic(t.Context(), 5); err != nil {
		t.Fatal(err)
	}
	if n, err := p.Partitions(t.Context()); n != 5 || err != nil {
		t.Errorf("%d partitions, %v", n, err)
	}
	if err := p.Produce(t.Context(), messages("x")); err != nil {
		t.Error(err)
	}
	if err := p.CreateTopic(t.Context(), 5); !thalweg.Is(err, thalweg.Exists) {
		t.Errorf("made twice: %v, want exists", err)
	}
}
