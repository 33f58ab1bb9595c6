package raftnode

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/hashicorp/raft"

	"github.com/thalweg/thalweg"
)

// Member is one of the cluster, as its newest configuration says.
type Member struct {
	Peer
	// Voter has a part in majorities; one that is none yet gets the log only.
	Voter bool
}

// address is what raft keeps of a peer: both of its addresses, so that whoever knows
// the members can reach them either way, and there is one truth about who they are.
func (p Peer) address() raft.ServerAddress {
	if p.API == "" {
		return raft.ServerAddress(p.Address)
	}
	return raft.ServerAddress(p.Address + "," + p.API)
}

func peerOf(s raft.Server) Peer {
	address, api, _ := strings.Cut(string(s.Address), ",")
	return Peer{ID: string(s.ID), Address: address, API: api}
}

// addressBook finds peers by ID: those that moved by what was learnt of them, the
// others by the configuration in the log.
type addressBook struct {
	raft  atomic.Pointer[raft.Raft]
	moved sync.Map // of Peer by ID
}

func newAddressBook(cfg Config) *addressBook {
	b := &addressBook{}
	for _, p := range append(slices.Clone(cfg.Peers), cfg.Self) {
		if p.ID != "" {
			b.moved.Store(p.ID, p)
		}
	}
	return b
}

// peer returns what is known of a peer.
func (b *addressBook) peer(s raft.Server) Peer {
	if p, ok := b.moved.Load(string(s.ID)); ok {
		return p.(Peer)
	}
	return peerOf(s)
}

// ServerAddr returns the address of a peer's raft behind its ID: by that Dial knows
// whether who answers there is the peer, or another that has the address now.
func (b *addressBook) ServerAddr(id raft.ServerID) (raft.ServerAddress, error) {
	if p, ok := b.moved.Load(string(id)); ok {
		return dialAddress(p.(Peer)), nil
	}
	if r := b.raft.Load(); r != nil {
		for _, s := range r.GetConfiguration().Configuration().Servers { // it does not wait
			if s.ID == id {
				return dialAddress(peerOf(s)), nil
			}
		}
	}
	return "", fmt.Errorf("no peer %q", id)
}

func dialAddress(p Peer) raft.ServerAddress { return raft.ServerAddress(p.ID + "@" + p.Address) }

// Members returns the members of the newest configuration, in order of their IDs;
// none while the node belongs to no cluster.
func (n *Node) Members() (members []Member) {
	for _, s := range n.raft.GetConfiguration().Configuration().Servers {
		members = append(members, Member{Peer: n.book.peer(s), Voter: s.Suffrage == raft.Voter})
	}
	slices.SortFunc(members, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	return members
}

// Configured returns the addresses that the configuration has for a member.
func (n *Node) Configured(id string) (m Member, ok bool) {
	for _, s := range n.raft.GetConfiguration().Configuration().Servers {
		if string(s.ID) == id {
			return Member{Peer: peerOf(s), Voter: s.Suffrage == raft.Voter}, true
		}
	}
	return Member{}, false
}

// Empty reports whether the node belongs to no cluster yet.
func (n *Node) Empty() bool { return len(n.raft.GetConfiguration().Configuration().Servers) == 0 }

// Learn notes where a member is now, when it has moved.
func (n *Node) Learn(p Peer) {
	if n.cfg.Self.ID != "" && p.ID != n.cfg.ID {
		n.book.moved.Store(p.ID, p)
	}
}

// Put adds a member, or changes the addresses or the vote of one. It works on the
// leader only.
func (n *Node) Put(m Member) error {
	change := n.raft.AddNonvoter
	if m.Voter {
		change = n.raft.AddVoter
	}
	if err := n.waitCommit(change(raft.ServerID(m.ID), m.address(), 0, applyTimeout)); err != nil {
		return unavailable("change members", err)
	}
	n.book.moved.Delete(m.ID)
	if m.ID == n.cfg.ID {
		n.book.moved.Store(m.ID, m.Peer)
	}
	return nil
}

// Remove removes a member. It works on the leader only.
func (n *Node) Remove(id string) error {
	if err := n.waitCommit(n.raft.RemoveServer(raft.ServerID(id), 0, applyTimeout)); err != nil {
		return unavailable("change members", err)
	}
	n.book.moved.Delete(id)
	return nil
}

// Found starts a cluster of the peers, this node one of them. Who calls it has
// their consent: none of them may start or have another one.
func (n *Node) Found(peers []Peer) error {
	if !n.Empty() {
		return &thalweg.Error{Op: "found cluster", Kind: thalweg.Exists, Subject: n.cfg.Dir}
	}
	if err := n.wait(n.raft.BootstrapCluster(configuration(peers))); err != nil {
		return &thalweg.Error{Op: "found cluster", Kind: thalweg.KindOf(err), Subject: n.cfg.Dir, Err: err}
	}
	return nil
}

// configuration returns the peers as voters, in order of their IDs.
func configuration(peers []Peer) raft.Configuration {
	var c raft.Configuration
	for _, p := range peers {
		c.Servers = append(c.Servers, raft.Server{Suffrage: raft.Voter, ID: raft.ServerID(p.ID), Address: p.address()})
	}
	slices.SortFunc(c.Servers, func(a, b raft.Server) int { return cmp.Compare(a.ID, b.ID) })
	return c
}

// Admit lets the leader's entries in: it has taken this node for a member that holds
// nothing yet.
func (n *Node) Admit() { n.admitted.Store(true) }

var errNotAdmitted = errors.New("this node is no member yet")

// guarded is the transport of a node that may belong to no cluster yet. As long as
// that is so, it takes nothing from anybody and votes for nobody, unless the leader
// admitted it, or the cluster to whose founding it consented is founded, and one of
// its first members calls: a member that has lost its disk would else take part in
// majorities as if it had never promised anything.
type guarded struct {
	*raft.NetworkTransport
	takesPart func(raft.RPC) bool
	calls     chan raft.RPC
}

// SetHeartbeatHandler guards the calls that raft answers without its queue too.
func (g *guarded) SetHeartbeatHandler(handle func(raft.RPC)) {
	if handle == nil {
		g.NetworkTransport.SetHeartbeatHandler(nil)
		return
	}
	g.NetworkTransport.SetHeartbeatHandler(func(call raft.RPC) {
		if !g.takesPart(call) {
			refuseCall(call)
			return
		}
		handle(call)
	})
}

// Consumer delivers the calls that may be answered.
func (g *guarded) Consumer() <-chan raft.RPC { return g.calls }

// RequestVote asks over another connection where one had ended: the transport keeps those to
// a member that was restarted since, and a vote that is not asked for costs an election.
func (g *guarded) RequestVote(id raft.ServerID, at raft.ServerAddress, ask *raft.RequestVoteRequest, answer *raft.RequestVoteResponse) error {
	return overConns(func() error { return g.NetworkTransport.RequestVote(id, at, ask, answer) })
}

// RequestPreVote is as RequestVote.
func (g *guarded) RequestPreVote(id raft.ServerID, at raft.ServerAddress, ask *raft.RequestPreVoteRequest, answer *raft.RequestPreVoteResponse) error {
	return overConns(func() error { return g.NetworkTransport.RequestPreVote(id, at, ask, answer) })
}

// overConns makes a call, again where its connection had ended: each takes one out of the
// pool.
func overConns(call func() error) (err error) {
	for range pooledConns + 1 {
		if err = call(); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
			break
		}
	}
	return err
}

// guard passes calls on until ctx ends.
func (n *Node) guard(ctx context.Context, g *guarded) {
	for {
		select {
		case call := <-g.NetworkTransport.Consumer():
			if !n.takesPart(call) {
				go refuseCall(call)
				continue
			}
			select {
			case g.calls <- call:
			case <-ctx.Done():
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// takesPart reports whether the node takes part in raft as the caller sees it.
func (n *Node) takesPart(call raft.RPC) bool {
	if r := n.book.raft.Load(); n.admitted.Load() || r != nil && len(r.GetConfiguration().Configuration().Servers) > 0 {
		return true
	}
	f := n.founding.Load()
	from, knows := call.Command.(raft.WithRPCHeader)
	return n.founded.Load() && f != nil && knows && slices.ContainsFunc(f.Members, func(p Peer) bool { return p.ID == string(from.GetRPCHeader().ID) })
}

// refuseCall answers a call with an error.
func refuseCall(call raft.RPC) {
	var answer any
	switch call.Command.(type) {
	case *raft.RequestVoteRequest:
		answer = &raft.RequestVoteResponse{}
	case *raft.RequestPreVoteRequest:
		answer = &raft.RequestPreVoteResponse{}
	case *raft.InstallSnapshotRequest:
		answer = &raft.InstallSnapshotResponse{}
	case *raft.TimeoutNowRequest:
		answer = &raft.TimeoutNowResponse{}
	default:
		answer = &raft.AppendEntriesResponse{}
	}
	if call.Reader != nil {
		discard(call.Reader)
	}
	call.Respond(answer, errNotAdmitted)
}
