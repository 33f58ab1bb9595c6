package coordinator

import (
	"context"
	"net/http"
	"sync"
	"time"

	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/auth"
	"github.com/thalweg/thalweg/coordinator/state"
)

// probeTime bounds the wait for another node's sign of life.
const probeTime = 500 * time.Millisecond

// The states of nodes and workers, as shown.
const (
	nodeLeader      = "leader"
	nodeFollower    = "follower"
	nodeJoining     = "joining" // it gets the log, and has no vote yet
	nodeUnreachable = "unreachable"
	workerAlive     = "alive"
	workerLost      = "lost"
)

// Status tells the nodes, the leader and the workers. A node that knows no
// leader answers for itself, so that there is always somebody to ask; only a
// leader knows the workers.
func (s *service) Status(ctx context.Context, _ *apiv1.StatusRequest) (*apiv1.StatusResponse, error) {
	c := s.c
	resp := &apiv1.StatusResponse{Leader: c.node.Leader(), Nodes: c.probeNodes(ctx), AppliedIndex: c.node.AppliedIndex()}
	lead := c.leading()
	if lead == nil {
		return resp, nil
	}
	now, known := time.Now(), lead.liveness.Snapshot()
	c.replica.view(func(st *state.State) {
		for _, id := range sortedKeys(known.Workers) {
			w := known.Workers[id]
			v := &apiv1.Worker{Id: string(w.ID), Address: w.Address, State: workerAlive,
				Leases: uint32(len(st.HeldBy(w.ID))), LastSeenUnixMs: w.LastSeen.UnixMilli()}
			if known.Lost(id, now) {
				v.State = workerLost
			}
			resp.Workers = append(resp.Workers, v)
		}
	})
	return resp, nil
}

// probeNodes asks the other nodes for a sign of life, all at once.
func (c *Coordinator) probeNodes(ctx context.Context) []*apiv1.Node {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	leader := c.node.Leader()
	members := c.node.Members()
	nodes := make([]*apiv1.Node, len(members))
	var group sync.WaitGroup
	for i, p := range members {
		n := &apiv1.Node{Id: p.ID, Address: p.API, RaftAddress: p.Address, State: nodeFollower}
		nodes[i] = n
		switch {
		case p.ID == leader:
			n.State = nodeLeader
		case !p.Voter:
			n.State = nodeJoining
		}
		if p.ID != c.cfg.ID {
			group.Go(func() {
				if !c.answers(ctx, p.API) {
					n.State = nodeUnreachable
				}
			})
		}
	}
	group.Wait()
	return nodes
}

// answers reports whether a node's RPC port answers.
func (c *Coordinator) answers(ctx context.Context, address string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.cfg.scheme()+"://"+address+auth.HealthPath, nil)
	if err != nil {
		return false
	}
	resp, err := c.peers.RoundTrip(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return true
}
