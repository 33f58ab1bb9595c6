package raftnode

import (
	"context"
	"errors"
	"syscall"
	"time"

	"github.com/hashicorp/raft"
)

// turns is into how many turns an election timeout is divided: followers that miss their
// leader at the same moment stand for election one after the other, so that votes are not
// split among them.
const turns = 4

// askedAgain bounds how often it is asked within an election timeout whether the leader is
// gone.
const askedAgain = 20

// missLeader stands for election at once where the leader's process is gone, until ctx ends.
// A kernel closes the connections of a process that died, and refuses new ones: that is
// known long before an election timeout has passed, so the timeout can be long enough for a
// slow machine. Of a leader that cannot be reached otherwise, or stands still, raft's
// timeouts alone decide. Any member may stand at any time: at worst an election is held that
// was not needed.
func (n *Node) missLeader(ctx context.Context, calls chan<- raft.RPC) {
	var leader known // the last: an election that somebody lost makes this node forget who it was
	for {
		changed := n.leaders.Changed()
		if now := n.raftLeader(); now.id != "" {
			leader = now
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
			continue
		case <-n.wire.ended:
		}
		turn, votes := n.turn(leader.id)
		if leader.id == "" || leader.id == raft.ServerID(n.cfg.ID) || !votes || !n.refused(ctx, leader, askedAgain) {
			continue
		}
		// What it sent before it died may come to be handled for a while.
		quiet := time.Now().Add(n.cfg.ElectionTimeout / turns)
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Duration(turn) * n.cfg.ElectionTimeout / turns):
		}
		// Asking may have taken long: what has come meanwhile counts. Where somebody has stood for
		// election in vain, nobody is known to lead.
		now := n.raftLeader()
		if heard := now == leader && n.raft.LastContact().After(quiet); heard || now.id != "" && now != leader ||
			n.raft.State() != raft.Follower || !n.refused(ctx, leader, 1) {
			continue
		}
		n.log.Info("the leader is gone: this node stands for election", "leader", leader.id)
		stand := raft.RPC{
			Command:  &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax}},
			RespChan: make(chan raft.RPCResponse, 1), // of an answer that nobody waits for
		}
		select {
		case calls <- stand:
		case <-time.After(n.cfg.ElectionTimeout / turns): // raft is busy: it is looked at again
			n.wire.tellEnded()
		case <-ctx.Done():
			return
		}
	}
}

// known is a leader as a follower knows it.
type known struct {
	address raft.ServerAddress
	id      raft.ServerID
}

func (n *Node) raftLeader() known {
	address, id := n.raft.LeaderWithID()
	return known{address, id}
}

// turn returns how many others stand for election before this node where the leader is
// gone, and whether it has a vote.
func (n *Node) turn(leader raft.ServerID) (before int, votes bool) {
	for _, s := range n.raft.GetConfiguration().Configuration().Servers {
		switch {
		case s.Suffrage != raft.Voter || s.ID == leader:
		case s.ID == raft.ServerID(n.cfg.ID):
			votes = true
		case s.ID < raft.ServerID(n.cfg.ID):
			before++
		}
	}
	return min(before, turns), votes
}

// refused reports whether nobody listens at the leader's address any more. A process that
// dies may close its connections before its listener, so that what is neither an answer nor a
// refusal is asked again, so many times in all, and for no longer than an election timeout.
func (n *Node) refused(ctx context.Context, leader known, times int) bool {
	address, err := n.book.ServerAddr(leader.id)
	if err != nil {
		return false
	}
	until := time.Now().Add(n.cfg.ElectionTimeout)
	for range times {
		c, err := n.wire.Dial(address, max(time.Until(until), time.Millisecond))
		if err == nil {
			c.Close()
			return false
		}
		if errors.Is(err, syscall.ECONNREFUSED) {
			return true
		}
		if time.Now().After(until) {
			return false
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(n.cfg.ElectionTimeout / askedAgain):
		}
	}
	return false
}
