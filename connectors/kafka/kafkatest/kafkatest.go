// Package kafkatest lets processes die at chosen requests to Kafka and reads
// what they leave, for tests of transactions.
package kafkatest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// patience is how long a reader waits for what must be there.
const patience = 90 * time.Second

// Transaction returns the requests by which a kafka.Outbox delivers a group, in
// their order.
func Transaction() []kmsg.Key {
	return []kmsg.Key{kmsg.InitProducerID, kmsg.OffsetFetch, kmsg.AddPartitionsToTxn, kmsg.Produce, kmsg.AddOffsetsToTxn, kmsg.TxnOffsetCommit, kmsg.EndTxn}
}

// Committed returns the records of a topic, those of each partition in order, as
// an independent reader of committed records sees them: up to marks that it
// writes first, whose keys begin with "mark ".
func Committed(t testing.TB, brokers []string, topic string, partitions int) []*kgo.Record {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	mark := fmt.Sprintf("mark %d", time.Now().UnixNano())
	for p := range partitions {
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Partition: int32(p), Key: []byte(mark)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var records []*kgo.Record
	for marks := 0; marks < partitions; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			switch key := string(r.Key); {
			case key == mark:
				marks++
			case !strings.HasPrefix(key, "mark "): // of an earlier look
				records = append(records, r)
			}
		})
	}
	return records
}

// Mortal dials the connections of a process that dies at its first request of
// Key: before it is sent or, with Applied, when its answer comes.
type Mortal struct {
	Key     kmsg.Key
	Applied bool
	Die     context.CancelFunc // called when it dies, maybe more than once

	dead atomic.Bool
}

// Dead reports whether it has died. All its connections fail from then on.
func (m *Mortal) Dead() bool { return m.dead.Load() }

// Dial is a kafka.Config.Dial.
func (m *Mortal) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if m.dead.Load() {
		return nil, net.ErrClosed
	}
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, mortal: m}, nil
}

type conn struct {
	net.Conn
	mortal *Mortal
	doomed atomic.Bool
}

func (c *conn) end() error {
	c.mortal.dead.Store(true)
	c.mortal.Die()
	return errors.Join(net.ErrClosed, c.Close())
}

// Write looks at the key of a request, which follows its length.
func (c *conn) Write(b []byte) (int, error) {
	if len(b) >= 6 && kmsg.Key(binary.BigEndian.Uint16(b[4:])) == c.mortal.Key {
		if !c.mortal.Applied {
			return 0, c.end()
		}
		c.doomed.Store(true)
	}
	return c.Conn.Write(b)
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.doomed.Load() {
		return 0, c.end()
	}
	return n, err
}
