package coordinator

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/state"
)

// RemoveMember takes a coordinator out of the cluster. One that leads hands that on
// first, and its successor carries the request out when it is tried again.
func (s *service) RemoveMember(ctx context.Context, req *apiv1.RemoveMemberRequest) (*apiv1.RemoveMemberResponse, error) {
	c := s.c
	refuse := func(kind thalweg.Kind, hint string) error {
		return &thalweg.Error{Op: "remove member", Kind: kind, Subject: fmt.Sprintf("coordinator %q", req.Id), Hint: hint}
	}
	if c.cluster == nil {
		return nil, refuse(thalweg.Unsupported, "the members of `thalweg dev` are fixed")
	}
	if _, err := c.waitLeading(ctx); err != nil {
		return nil, err
	}
	var ids []string
	there, stay, answer := c.cluster.Reaches(ctx), 0, 0
	for _, m := range c.node.Members() {
		ids = append(ids, m.ID)
		if m.Voter && m.ID != req.Id {
			stay++
			if there[m.ID] {
				answer++
			}
		}
	}
	at := slices.Index(ids, req.Id)
	switch {
	case at < 0:
		return nil, refuse(thalweg.NotFound, "the members are "+strings.Join(ids, ", "))
	case len(ids) == 1:
		return nil, refuse(thalweg.Invalid, "it is the last one")
	case answer <= stay/2:
		return nil, refuse(thalweg.Conflict, fmt.Sprintf("of the %d that would stay and vote, %d answer: without a majority nothing goes on", stay, answer))
	case req.Id == c.cfg.ID:
		c.node.StepDown()
		return nil, notLeader(c.node.Leader())
	}
	if _, err := c.mutate(ctx, &state.NoteRemoval{Member: req.Id}, ""); err != nil {
		return nil, err
	}
	if err := c.node.Remove(req.Id); err != nil {
		return nil, err
	}
	c.log.Info("a coordinator was removed on request", keyMember, req.Id)
	return &apiv1.RemoveMemberResponse{Members: slices.Delete(ids, at, at+1)}, nil
}
