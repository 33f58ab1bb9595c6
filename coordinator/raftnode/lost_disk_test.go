package raftnode

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"

	"github.com/thalweg/thalweg/retry"
)

// founders are nodes that are first members of one cluster, by consent.
type founders struct {
	*group
	at map[string]Peer
}

func newFounders(t *testing.T, election time.Duration, ids ...string) *founders {
	f := &founders{&group{t: t, dir: t.TempDir(), election: election, members: make(map[string]*member)}, make(map[string]Peer)}
	listeners := make(map[string]net.Listener)
	for _, id := range ids {
		listeners[id] = listen(t)
		f.at[id] = Peer{ID: id, Address: listeners[id].Addr().String()}
	}
	for _, id := range ids {
		f.begin(id, listeners[id])
	}
	all := Founding{Cluster: "first", Founder: ids[0]}
	for _, id := range ids {
		all.Members = append(all.Members, f.at[id])
	}
	for _, id := range ids {
		if err := f.members[id].Consent(all); err != nil {
			t.Fatal(err)
		}
		f.members[id].Founded()
	}
	if err := f.members[ids[0]].Found(all.Members); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for id := range f.members {
			f.stop(id)
		}
	})
	return f
}

// begin starts a node, on its directory.
func (f *founders) begin(id string, l net.Listener) *member {
	f.t.Helper()
	if l == nil {
		var err error
		if l, err = net.Listen("tcp", f.at[id].Address); err != nil {
			f.t.Fatal(err)
		}
	}
	cfg := f.config(id)
	cfg.Peers, cfg.Self = nil, f.at[id]
	machine := &list{}
	node, err := Open(slog.New(slog.DiscardHandler), l, machine, cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	m := &member{Node: node, machine: machine, stop: cancel, done: make(chan error, 1)}
	go func() { m.done <- node.Run(ctx) }()
	f.members[id] = m
	return m
}

// never fails if fact holds within several elections.
func (f *founders) never(what string, fact func() bool) {
	f.t.Helper()
	for range 50 {
		if fact() {
			f.t.Fatal(what)
		}
		if retry.Sleep(f.t.Context(), f.election/5) != nil {
			return
		}
	}
}

// A node that has lost its disk has no vote, whatever it consents to meanwhile: what
// it has acknowledged would be forgotten by a majority of it and one that was away.
func TestANodeWithoutItsDiskDoesNotVoteAlthoughItConsents(t *testing.T) {
	t.Parallel()
	f := newFounders(t, 200*time.Millisecond, "a", "b", "c")
	f.commit("one")
	f.await(1)
	f.stop("c")
	f.commit("X") // a and b have it
	f.stop("a")
	f.stop("b")
	if err := os.RemoveAll(f.config("b").Dir); err != nil {
		t.Fatal(err)
	}
	b, c := f.begin("b", nil), f.begin("c", nil)
	others := []Peer{f.at["b"], {ID: "d", Address: "127.0.0.1:1"}, {ID: "e", Address: "127.0.0.1:2"}}
	if err := b.Consent(Founding{Cluster: "second", Founder: "b", Members: others}); err != nil {
		t.Fatal(err)
	}
	f.never("c leads with the vote of b", func() bool { return c.IsLeader() })
	f.begin("a", nil)
	f.commit("Y")
	for _, id := range []string{"a", "c"} {
		for f.members[id].machine.len() < 3 {
			if retry.Sleep(t.Context(), 10*time.Millisecond) != nil {
				t.Fatal(t.Context().Err())
			}
		}
		if got := fmt.Sprint(f.members[id].machine.entries()); got != "[one X Y]" {
			t.Errorf("%s holds %s", id, got)
		}
	}
}

// It is no part of the majority by which a leader goes on and reads either.
func TestANodeWithoutItsDiskDoesNotAnswerHeartbeats(t *testing.T) {
	t.Parallel()
	f := newFounders(t, 300*time.Millisecond, "a", "b")
	f.commit("one")
	f.await(1)
	lost := f.followers()[0]
	leader := f.leader()
	f.stop(lost)
	if err := os.RemoveAll(f.config(lost).Dir); err != nil {
		t.Fatal(err)
	}
	f.begin(lost, nil)
	deadline := time.Now().Add(20 * time.Second)
	for leader.IsLeader() {
		if time.Now().After(deadline) {
			t.Fatal("the leader goes on with a node that has lost its disk")
		}
		if retry.Sleep(t.Context(), 10*time.Millisecond) != nil {
			t.Fatal(t.Context().Err())
		}
	}
	f.never("a leader is elected by a node that has lost its disk", leader.IsLeader)
}
