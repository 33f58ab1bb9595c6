package kafka

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/connectors/kafka/kafkatest"
)

func newAppender(t *testing.T, c *kfake.Cluster, m *kafkatest.Mortal) *Appender {
	t.Helper()
	cfg := Config{Brokers: c.ListenAddrs(), Topic: "dlq", RequestTimeout: 5 * time.Second}
	if m != nil {
		cfg.Dial = m.Dial
	}
	a, err := NewAppender(cfg, OutboxConfig{Name: "thalweg-p-t-0-rows", Partition: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

// rowsUpTo are messages with the keys from..to-1.
func rowsUpTo(from, to int64) (rows []connectors.Message) {
	for ; from < to; from++ {
		rows = append(rows, connectors.Message{Key: fmt.Append(nil, from), Value: []byte("{}")})
	}
	return rows
}

func begun(t *testing.T, a *Appender, want ...connectors.Position) (at connectors.Position) {
	t.Helper()
	at, err := a.Begin(t.Context(), outboxLine)
	if err != nil || !slices.Contains(want, at) {
		t.Fatalf("begun at %+v (%v), not at one of %+v", at, err, want)
	}
	return at
}

// TestWhereverAnAppenderDiesRowsGoWithTheirPosition: at each request in turn, before
// the broker did it or after, and another goes on where the position says; then the
// first wakes up, and is fenced.
func TestWhereverAnAppenderDiesRowsGoWithTheirPosition(t *testing.T) {
	for _, key := range kafkatest.Transaction() {
		for _, applied := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s applied=%v", key.Name(), applied), func(t *testing.T) {
				t.Parallel()
				c := startOutboxCluster(t)
				zombie := newAppender(t, c, nil)
				begun(t, zombie, connectors.Position{Next: -1})
				first := connectors.Position{Next: 3, Note: "as version 1"}
				if err := zombie.Append(t.Context(), first, rowsUpTo(0, 3)); err != nil {
					t.Fatal(err)
				}
				ctx, die := context.WithCancel(t.Context())
				m := &kafkatest.Mortal{Key: key, Applied: applied, Die: die}
				dying := newAppender(t, c, m)
				second := connectors.Position{Next: 5, Note: "as version 2"}
				_, err := dying.Begin(ctx, outboxLine)
				if err == nil {
					err = dying.Append(ctx, second, rowsUpTo(3, 5))
				}
				if err == nil || !m.Dead() {
					t.Fatalf("appended although it was to die (dead %v): %v", m.Dead(), err)
				}
				next := newAppender(t, c, nil)
				at := begun(t, next, first, second)
				if err := next.Append(t.Context(), connectors.Position{Next: 7}, rowsUpTo(at.Next, 7)); err != nil {
					t.Fatal(err)
				}
				if err := zombie.Append(t.Context(), connectors.Position{Next: 9}, rowsUpTo(3, 9)); !thalweg.Is(err, thalweg.Fenced) {
					t.Errorf("a zombie's append: %v", err)
				}
				if err := next.Append(t.Context(), connectors.Position{Next: 8, Note: "no rows"}, nil); err != nil {
					t.Fatal(err)
				}
				// In the same session: the producer's epoch is as it was.
				if err := next.Append(t.Context(), connectors.Position{Next: 9, Note: "a row"}, rowsUpTo(8, 9)); err != nil {
					t.Errorf("an append after one without rows: %v", err)
				}
				begun(t, newAppender(t, c, nil), connectors.Position{Next: 9, Note: "a row"})
				keys, _ := committed(t, c, "dlq", 3)
				if want := []string{"0", "1", "2", "3", "4", "5", "6", "8"}; !slices.Equal(keys, want) {
					t.Errorf("the topic has %v, not %v", keys, want)
				}
			})
		}
	}
}

func TestARowTooLargeForTheTopicIsSentShorter(t *testing.T) {
	c := startOutboxCluster(t)
	limitMessages(t, c, "dlq", 20_000)
	a := newAppender(t, c, nil)
	begun(t, a, connectors.Position{Next: -1})
	large := connectors.Message{Value: []byte(strings.Repeat("x", 50_000)), Shorter: func() []byte { return []byte(`{"short":true}`) }}
	if err := a.Append(t.Context(), connectors.Position{Next: 2}, []connectors.Message{{Value: []byte("{}")}, large}); err != nil {
		t.Fatal(err)
	}
	_, records := committed(t, c, "dlq", 3)
	if len(records) != 2 || string(records[1].Value) != `{"short":true}` || len(records[1].Headers) != 1 || string(records[1].Headers[0].Value) != "50000" {
		t.Errorf("the topic has %+v", records)
	}
	begun(t, a, connectors.Position{Next: 2})
}
