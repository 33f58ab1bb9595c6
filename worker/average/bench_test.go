package average_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/worker/average"
)

// BenchmarkAverage is one exchange of a vector of 10 million floats per
// replica between workers on loopback, and of one of 1,500, a linear model of
// the flights with Adam's state. MB/s counts the bytes that each worker
// receives. x-raw is the processor time beside that of a bare TCP exchange of as many bytes.
// goal: at most 1.25 for two workers.
func BenchmarkAverage(b *testing.B) {
	for _, test := range []struct{ size, workers, replicas int }{{10_000_000, 2, 2}, {10_000_000, 4, 4}, {1500, 2, 8}} {
		b.Run(fmt.Sprintf("%d floats, %d workers, %d replicas", test.size, test.workers, test.replicas), func(b *testing.B) {
			var nodes []*node
			for i := range test.workers {
				nodes = append(nodes, newNode(b, fmt.Sprint("w", i)))
			}
			g := newGroup(deal(test.replicas, nodes...))
			vectors, reduced := make([]kernel.Vector, test.replicas), make([]kernel.Vector, test.workers)
			for r := range vectors {
				_, vectors[r], _ = given(floats, 0, r, test.size)
			}
			for _, n := range nodes {
				n.join(b, g, average.Config{PollWait: 10 * time.Second})
			}
			for i := range reduced {
				reduced[i] = floats.Zeros(test.size)
			}
			sequence := uint64(0)
			received := float64(4*test.size) * float64(test.replicas-test.replicas/test.workers)
			if test.size > 1<<16 {
				received = received/float64(test.workers) + float64(4*test.size)*float64(test.workers-1)/float64(test.workers)
			}
			raw := rawExchange(b, int(received)*test.workers/2)
			var ours, peers []float64
			var wall time.Duration
			for b.Loop() {
				before, began := cpuSeconds(b), time.Now()
				var wg sync.WaitGroup
				for i, n := range nodes {
					wg.Go(func() {
						held, _ := n.session.Held()
						for _, r := range held {
							n.session.Offer(sequence, r, 1, vectors[r], nil)
						}
						if _, _, err := n.session.Collect(b.Context(), sequence, reduced[i], offered()); err != nil {
							b.Error(err)
						}
						n.session.Advance(sequence+1, snapshotOf(sequence+1))
					})
				}
				wg.Wait()
				wall += time.Since(began)
				sequence++
				between := cpuSeconds(b)
				raw()
				ours, peers = append(ours, between-before), append(peers, cpuSeconds(b)-between)
			}
			b.ReportMetric(received*float64(b.N)/wall.Seconds()/1e6, "MB/s")
			b.ReportMetric(median(ours)/median(peers), "x-raw")
			b.ReportMetric(median(ours)*1e3, "cpu-ms")
		})
	}
}

func median(v []float64) float64 { return slices.Sorted(slices.Values(v))[len(v)/2] }

// cpuSeconds returns the processor time that this process has used.
func cpuSeconds(tb testing.TB) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// rawExchange returns what the kernel does with the same bytes: each of two ends sends
// some to the other over one connection.
func rawExchange(b *testing.B, size int) func() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
	client, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { client.Close() })
	server, err := listener.Accept()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { server.Close() })
	// What is sent and received is memory of each end's own, written before: pages that
	// nobody wrote would all be one page in the cache. Both go in pieces of a size at
	// which the system has least to do.
	const piece = 256 << 10
	var out, in [2][]byte
	for i := range out {
		out[i], in[i] = bytes.Repeat([]byte{1}, size), bytes.Repeat([]byte{2}, size)
	}
	send := func(c net.Conn, from []byte) {
		for part := range slices.Chunk(from, piece) {
			if _, err := c.Write(part); err != nil {
				b.Error(err)
				return
			}
		}
	}
	receive := func(c net.Conn, to []byte) {
		for part := range slices.Chunk(to, piece) {
			if _, err := io.ReadFull(c, part); err != nil {
				b.Error(err)
				return
			}
		}
	}
	return func() {
		var wg sync.WaitGroup
		for i, c := range []net.Conn{client, server} {
			wg.Go(func() { send(c, out[i]) })
			wg.Go(func() { receive(c, in[i]) })
		}
		wg.Wait()
	}
}
