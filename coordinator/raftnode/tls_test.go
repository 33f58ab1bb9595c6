package raftnode

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/thalweg/thalweg/coordinator/auth/pki"
)

// secure makes certificates of coordinators and of a worker w1.
func secure(t testing.TB, ids ...string) map[string]*pki.Credentials {
	t.Helper()
	dir := t.TempDir()
	authority, err := pki.Create(filepath.Join(dir, "ca"), "test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	made := make(map[string]*pki.Credentials)
	for _, id := range append(ids, "w1") {
		kind := pki.Coordinator
		if id == "w1" {
			kind = pki.Worker
		}
		if err := authority.Issue(filepath.Join(dir, id), kind, id, nil, time.Now()); err != nil {
			t.Fatal(err)
		}
		if made[id], err = pki.Open(slog.New(slog.DiscardHandler), filepath.Join(dir, id), kind); err != nil {
			t.Fatal(err)
		}
	}
	return made
}

// openAll starts members, within TLS where they have certificates, and returns the
// leader and where one of them listens.
func openAll(t testing.TB, certs map[string]*pki.Credentials, ids ...string) (leader *Node, address string) {
	t.Helper()
	dir := t.TempDir()
	var peers []Peer
	var listeners []net.Listener
	for _, id := range ids {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners, peers = append(listeners, l), append(peers, Peer{ID: id, Address: l.Addr().String()})
	}
	var nodes []*Node
	for i, id := range ids {
		node, err := Open(slog.New(slog.DiscardHandler), listeners[i], &list{}, Config{ID: id, Peers: peers, Dir: filepath.Join(dir, id), Credentials: certs[id],
			Timing: Timing{ElectionTimeout: time.Second}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- node.Run(ctx) }()
		t.Cleanup(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("node %s: %v", id, err)
			}
		})
		nodes = append(nodes, node)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	at := slices.Index(ids, nodes[0].WaitLeader(ctx))
	if at < 0 {
		t.Fatal("nobody leads")
	}
	return nodes[at], peers[0].Address
}

// TestMembersTalkWithinTLS, let no worker in, and send nothing to one that has the
// address of another now.
func TestMembersTalkWithinTLS(t *testing.T) {
	certs := secure(t, "a", "b", "c")
	leader, address := openAll(t, certs, "a", "b", "c")
	if _, err := leader.Apply([]byte("entry")); err != nil {
		t.Fatal(err)
	}
	if conn, err := leader.wire.Dial(raft.ServerAddress("b@"+address), 5*time.Second); err == nil {
		conn.Close()
		t.Error("a is taken for b, whose address it has")
	}
	if conn, err := leader.wire.Dial(raft.ServerAddress("a@"+address), 5*time.Second); err != nil {
		t.Error(err)
	} else {
		conn.Close()
	}
	conn, err := tls.Dial("tcp", address, certs["w1"].Client(pki.Coordinator, ""))
	if err == nil {
		defer conn.Close()
		_, err = conn.Read(make([]byte, 1))
	}
	if err == nil {
		t.Error("a worker was let in")
	}
}

// BenchmarkCommitWithinTLS is a commit of three members within TLS, beside the same
// without: x-plain is the ratio of processor time.
func BenchmarkCommitWithinTLS(b *testing.B) {
	for _, size := range []int{512, 64 << 10} {
		b.Run(fmt.Sprint(size, " bytes"), func(b *testing.B) {
			var leaders [2]*Node
			leaders[0], _ = openAll(b, secure(b, "a", "b", "c"), "a", "b", "c")
			leaders[1], _ = openAll(b, nil, "a", "b", "c")
			var took [2][]float64
			entry := make([]byte, size)
			for b.Loop() {
				for i, leader := range leaders {
					before := cpuSeconds(b)
					for range 20 { // so that what the system counts by ticks is small
						if _, err := leader.Apply(entry); err != nil {
							b.Fatal(err)
						}
					}
					took[i] = append(took[i], cpuSeconds(b)-before)
				}
			}
			median := func(v []float64) float64 { return slices.Sorted(slices.Values(v))[len(v)/2] }
			b.ReportMetric(median(took[0])/median(took[1]), "x-plain")
		})
	}
}

// cpuSeconds returns the processor time that this process has used.
func cpuSeconds(t testing.TB) float64 {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	seconds := func(v syscall.Timeval) float64 { return float64(v.Sec) + float64(v.Usec)/1e6 }
	return seconds(u.Utime) + seconds(u.Stime)
}
