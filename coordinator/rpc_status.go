package coordinator

import (
	"context"
	"net/http"
	"sync"
	"time"

	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/level"
	"github.com/thalweg/thalweg/coordinator/liveness"
	"github.com/thalweg/thalweg/coordinator/raftnode"
	"github.com/thalweg/thalweg/coordinator/state"
	"github.com/thalweg/thalweg/coordinator/view"
)

// probeTime bounds the wait for another node's sign of life.
const probeTime = 500 * time.Millisecond

// Status tells what the cluster is doing and what is the matter with it. A node that
// knows no leader, or whose leader does not answer, answers for itself, so that there is
// always somebody to ask; only a leader knows the workers.
func (s *service) Status(ctx context.Context, _ *apiv1.StatusRequest) (*apiv1.StatusResponse, error) {
	c := s.c
	lead := c.leading()
	if lead != nil && c.node.Read() != nil {
		lead = nil // it does not lead any more: a majority does not answer it
	}
	self := c.nodeView()
	if lead == nil && self.AgeMs == 0 {
		self.AgeMs = -1 // it was about to lead, or is about to see that it does not
	}
	resp := &apiv1.StatusResponse{Leader: c.node.Leader(), Node: c.cfg.ID, Term: self.Term, AgeMs: self.AgeMs, AppliedIndex: self.AppliedIndex, Nodes: c.probeNodes(ctx, self)}
	known := liveness.New(c.cfg.LeaseTTL)
	if lead != nil {
		known = lead.liveness
	}
	c.replica.view(func(st *state.State) {
		resp.Level = uint32(st.Level())
		for p := range st.Pipelines() {
			if sees(ctx, p.Name) {
				resp.Pipelines = append(resp.Pipelines, pipelineView(lead, st, p, p.Newest()))
			}
		}
		view.Status(resp, st, known, time.Now(), lead != nil)
		for _, r := range st.Alerts().Firing {
			if r.Pipeline == "" || sees(ctx, r.Pipeline) {
				resp.AlertsFiring++
			}
		}
	})
	return resp, nil
}

// NodeStatus tells of this node.
func (s *service) NodeStatus(context.Context, *apiv1.NodeStatusRequest) (*apiv1.NodeStatusResponse, error) {
	return &apiv1.NodeStatusResponse{Node: s.c.nodeView()}, nil
}

// nodeView is what this node tells of itself.
func (c *Coordinator) nodeView() *apiv1.Node {
	n := &apiv1.Node{Id: c.cfg.ID, Version: c.cfg.Version, Level: level.Known, AppliedIndex: c.node.AppliedIndex(), Term: c.node.Term(), FreeBytes: -1, AgeMs: -1}
	if free, err := c.node.FreeBytes(); err == nil {
		n.FreeBytes = free
	}
	if err := c.node.Writable(); err != nil {
		n.ReadOnly = err.Error()
	}
	if age, known := c.node.Age(); known {
		n.AgeMs = age.Milliseconds()
	}
	if certs := c.cfg.Credentials; certs != nil {
		n.CertificateExpiresAtUnixMs = time.Now().Add(certs.ExpiresIn()).UnixMilli()
	}
	return n
}

// probeNodes asks the other nodes about themselves, all at once.
func (c *Coordinator) probeNodes(ctx context.Context, self *apiv1.Node) []*apiv1.Node {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	leader := c.node.Leader()
	members := c.node.Members()
	nodes := make([]*apiv1.Node, len(members))
	var group sync.WaitGroup
	for i, p := range members {
		group.Go(func() {
			n := self
			if p.ID != c.cfg.ID {
				n = c.askNode(ctx, p)
			}
			n.Id, n.Address, n.RaftAddress = p.ID, p.API, p.Address
			switch {
			case n.State != "": // unreachable
			case p.ID == leader:
				n.State = view.NodeLeader
			case !p.Voter:
				n.State = view.NodeJoining
			default:
				n.State = view.NodeFollower
			}
			nodes[i] = n
		})
	}
	group.Wait()
	return nodes
}

// askNode asks a member about itself.
func (c *Coordinator) askNode(ctx context.Context, m raftnode.Member) *apiv1.Node {
	client := apiv1.NewCoordinatorServiceClient(&http.Client{Transport: c.peers}, c.cfg.scheme()+"://"+m.API)
	resp, err := client.NodeStatus(ctx, &apiv1.NodeStatusRequest{})
	if err != nil || resp.Node == nil || resp.Node.Id != m.ID {
		return &apiv1.Node{State: view.NodeUnreachable, FreeBytes: -1, AgeMs: -1}
	}
	return resp.Node
}

// leaderAnswers reports whether the node that this one takes for the leader answers.
func (c *Coordinator) leaderAnswers(ctx context.Context, leader string) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	m, ok := c.node.Configured(leader)
	return ok && c.askNode(ctx, m).State != view.NodeUnreachable
}
