package average_test

import (
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/worker/average"
)

// BenchmarkAverage is one exchange of a vector of 10 million floats per
// replica between workers on loopback, and of one of 1,500, a linear model of
// the flights with Adam's state. MB/s counts the bytes that each worker
// receives.
func BenchmarkAverage(b *testing.B) {
	for _, test := range []struct{ size, workers, replicas int }{{10_000_000, 2, 2}, {10_000_000, 4, 4}, {1500, 2, 8}} {
		b.Run(fmt.Sprintf("%d floats, %d workers, %d replicas", test.size, test.workers, test.replicas), func(b *testing.B) {
			var nodes []*node
			for i := range test.workers {
				nodes = append(nodes, newNode(b, fmt.Sprint("w", i)))
			}
			g := newGroup(deal(test.replicas, nodes...))
			vectors := make([]kernel.Vector, test.replicas)
			for r := range vectors {
				_, vectors[r], _ = given(floats, 0, r, test.size)
			}
			for _, n := range nodes {
				n.join(b, g, average.Config{PollWait: 10 * time.Second})
			}
			sequence := uint64(0)
			for b.Loop() {
				var wg sync.WaitGroup
				for _, n := range nodes {
					wg.Go(func() {
						held, _ := n.session.Held()
						for _, r := range held {
							n.session.Offer(sequence, r, 1, vectors[r], nil)
						}
						if _, _, err := n.session.Collect(b.Context(), sequence, floats.Zeros(test.size)); err != nil {
							b.Error(err)
						}
						n.session.Advance(sequence+1, snapshotOf(sequence+1))
					})
				}
				wg.Wait()
				sequence++
			}
			received := float64(4*test.size) * float64(test.replicas-test.replicas/test.workers)
			if test.size > 1<<16 {
				received = received/float64(test.workers) + float64(4*test.size)*float64(test.workers-1)/float64(test.workers)
			}
			b.ReportMetric(received*float64(b.N)/b.Elapsed().Seconds()/1e6, "MB/s")
		})
	}
	// What the kernel does with the same bytes: each of two ends sends 40 MB to
	// the other over one connection.
	b.Run("raw TCP, 10000000 floats, 2 ends", func(b *testing.B) {
		const bytes = 40_000_000
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		defer listener.Close()
		client, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		defer client.Close()
		server, err := listener.Accept()
		if err != nil {
			b.Fatal(err)
		}
		defer server.Close()
		send := func(c net.Conn) {
			chunk := make([]byte, 64<<10)
			for left := bytes; left > 0; left -= len(chunk) {
				if _, err := c.Write(chunk[:min(left, len(chunk))]); err != nil {
					b.Error(err)
					return
				}
			}
		}
		receive := func(c net.Conn) {
			chunk := make([]byte, 64<<10)
			for left := bytes; left > 0; {
				n, err := c.Read(chunk[:min(left, len(chunk))])
				left -= n
				if err != nil && err != io.EOF {
					b.Error(err)
					return
				}
			}
		}
		for b.Loop() {
			var wg sync.WaitGroup
			for _, c := range []net.Conn{client, server} {
				wg.Go(func() { send(c) })
				wg.Go(func() { receive(c) })
			}
			wg.Wait()
		}
		b.ReportMetric(bytes*float64(b.N)/b.Elapsed().Seconds()/1e6, "MB/s")
	})
}
