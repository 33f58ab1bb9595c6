package kafka_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/connectors/kafka"
)

// TestSourcesOfALinkShareTheirConnections for all but fetches: 200 partitions are
// read with a limit of 1,024 descriptors.
func TestSourcesOfALinkShareTheirConnections(t *testing.T) {
	const sources = 20
	c := newCluster(t, 1)
	var open atomic.Int64
	cfg := config(c)
	cfg.Link = new(kafka.Link)
	t.Cleanup(cfg.Link.Close)
	cfg.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err == nil {
			open.Add(1)
			conn = &counted{Conn: conn, open: &open}
		}
		return conn, err
	}
	var all []*kafka.Source
	for range sources {
		s := newSource(t, cfg)
		all = append(all, s)
		if _, err := s.Topic(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Bounds(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if err := s.Commit(t.Context(), 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	if n := open.Load(); n > 4 {
		t.Errorf("%d sources that do not fetch have %d connections", sources, n)
	}
	for i, s := range all {
		if err := s.Fetch(t.Context(), 0, 0, time.Millisecond, 1<<20, &connectors.Records{}); err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			continue
		}
		if err := s.Close(); err != nil { // the others keep the link
			t.Fatal(err)
		}
	}
	if _, err := all[1].Topic(t.Context()); err != nil {
		t.Errorf("after another one was closed: %v", err)
	}
	if n := open.Load(); n > 2*sources+4 {
		t.Errorf("%d sources have %d connections", sources, n)
	}
}

// counted is a connection that is counted while it is open.
type counted struct {
	net.Conn
	open   *atomic.Int64
	closed atomic.Bool
}

func (c *counted) Close() error {
	if !c.closed.Swap(true) {
		c.open.Add(-1)
	}
	return c.Conn.Close()
}
