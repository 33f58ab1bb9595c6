package coordinator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/auth"
	"github.com/thalweg/thalweg/coordinator/backup"
	"github.com/thalweg/thalweg/coordinator/state"
	"github.com/thalweg/thalweg/storage"
)

// maxBackupBytes bounds a backup, with room for the rest of the message.
const maxBackupBytes = api.MaxMessageBytes - 1<<10

// Backup answers with all that the cluster knows, as of now.
func (s *service) Backup(context.Context, *apiv1.BackupRequest) (*apiv1.BackupResponse, error) {
	resp := &apiv1.BackupResponse{}
	var failed error
	err := s.c.read(func(st *state.State) {
		resp.AppliedIndex = st.Index()
		resp.Backup, failed = backup.Write(st)
	})
	if err := errors.Join(err, failed); err != nil {
		return nil, err
	}
	if len(resp.Backup) > maxBackupBytes {
		return nil, &thalweg.Error{Op: "backup", Kind: thalweg.Exhausted, Subject: fmt.Sprintf("%d bytes", len(resp.Backup)),
			Hint: fmt.Sprintf("a backup may have %d MiB: copy the directory of a coordinator that is stopped", api.MaxMessageBytes>>20)}
	}
	return resp, nil
}

// Restore makes a cluster that knows nothing yet know what a backup holds. Repeated because
// its answer was lost, it gives that again.
func (s *service) Restore(ctx context.Context, req *apiv1.RestoreRequest) (*apiv1.RestoreResponse, error) {
	restored, err := backup.Read(req.Backup)
	if err != nil {
		return nil, err
	}
	resp := &apiv1.RestoreResponse{NewestUnixMs: restored.TimeMS()}
	for range restored.Pipelines() {
		resp.Pipelines++
	}
	for range restored.Models() {
		resp.Models++
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
	defer s.c.restoring.Unlock()
	if err := s.c.restore(ctx, restored, storage.SHA256(req.Backup)); err != nil {
		return nil, err
	}
	s.c.log.Info("the cluster was restored from a backup", "pipelines", resp.Pipelines, "models", resp.Models)
	return resp, nil
}

// restore replaces the state of all nodes, if there is nothing in it. That it came of a
// backup, and who wanted that, is noted in the state that takes its place: so it is there
// with what was restored, or neither is.
func (c *Coordinator) restore(ctx context.Context, restored *state.State, sha256 string) error {
	requestID, blank, before := "restore "+sha256, false, false
	if err := c.read(func(now *state.State) { blank, before = now.Blank(), now.RestoredBy(requestID) }); err != nil {
		return err
	}
	switch {
	case before:
		return nil
	case !blank:
		return &thalweg.Error{Op: "restore", Kind: thalweg.Conflict, Subject: "cluster",
			Hint: "it has pipelines or models, by an earlier restore or by users: restore into a new cluster"}
	}
	id, started := auth.FromContext(ctx), time.Now()
	if err := c.takeMutation(id); err != nil {
		return err
	}
	caller, note := id.Caller(""), &state.NoteRestore{SHA256: sha256}
	entry, err := state.EncodeFor(&caller, note, requestID, c.cfg.Now().UnixMilli())
	if err != nil {
		return err
	}
	answer, err := restored.Apply(restored.Index()+1, entry)
	if err = errors.Join(err, answer.Err()); err != nil {
		return err
	}
	snapshot, err := restored.Encode()
	if err != nil {
		return err
	}
	err = c.node.Restore(snapshot, restored.Index())
	c.metrics.commands.observe(state.Name(note), time.Since(started), err)
	return err
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
