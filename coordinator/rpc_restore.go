package coordinator

import (
	"context"
	"errors"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/backup"
	"github.com/thalweg/thalweg/coordinator/state"
	"github.com/thalweg/thalweg/storage"
)

// Restore makes a cluster that knows nothing yet know what a backup holds.
func (s *service) Restore(ctx context.Context, req *apiv1.RestoreRequest) (*apiv1.RestoreResponse, error) {
	restored, err := backup.Read(req.Backup)
	if err != nil {
		return nil, err
	}
	lead, err := s.c.waitLeading(ctx)
	if err != nil {
		return nil, err
	}
	// Nothing is planned meanwhile, as between two plans.
	lead.planning.turn.Lock()
	defer lead.planning.turn.Unlock()
	if err := s.c.allThere(ctx); err != nil {
		return nil, err
	}
	s.c.restoring.Lock() // nothing is acknowledged that the restore would take away
	err = s.c.restore(restored)
	s.c.restoring.Unlock()
	if err != nil {
		return nil, err
	}
	if _, err := s.c.mutate(ctx, &state.NoteRestore{SHA256: storage.SHA256(req.Backup)}, ""); err != nil {
		return nil, &thalweg.Error{Op: "note restore", Kind: thalweg.KindOf(err), Subject: "audit log", Err: err, Hint: "the cluster is restored, but the audit log does not say so"}
	}
	resp := &apiv1.RestoreResponse{NewestUnixMs: restored.TimeMS()}
	for range restored.Pipelines() {
		resp.Pipelines++
	}
	for range restored.Models() {
		resp.Models++
	}
	s.c.log.Info("the cluster was restored from a backup", "pipelines", resp.Pipelines, "models", resp.Models)
	return resp, nil
}

// restore replaces the state of all nodes, if there is nothing in it.
func (c *Coordinator) restore(restored *state.State) error {
	blank := false
	if err := c.read(func(now *state.State) { blank = now.Blank() }); err != nil {
		return err
	}
	if !blank {
		return &thalweg.Error{Op: "restore", Kind: thalweg.Conflict, Subject: "cluster",
			Hint: "it has pipelines or models, by an earlier restore or by users: restore into a new cluster"}
	}
	snapshot, err := restored.Encode()
	if err != nil {
		return err
	}
	return c.node.Restore(snapshot, restored.Index())
}

// allThere reports which coordinator does not answer: one that is away during a restore
// may lead afterwards without it.
func (c *Coordinator) allThere(ctx context.Context) error {
	if c.cluster == nil {
		return nil
	}
	there := c.cluster.Reaches(ctx)
	for _, m := range c.node.Members() {
		if !there[m.ID] {
			return &thalweg.Error{Op: "restore", Kind: thalweg.Unavailable, Subject: "coordinator " + m.ID, Err: errors.New("it does not answer"),
				Hint: "start it, or remove it from the cluster: a restore needs all of them"}
		}
	}
	return nil
}
