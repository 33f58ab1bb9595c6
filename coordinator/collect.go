package coordinator

import (
	"context"
	"path"
	"slices"
	"strings"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	"github.com/thalweg/thalweg/coordinator/state"
	"github.com/thalweg/thalweg/storage"
)

const (
	// Where workers keep outputs of runs and checkpoints of versions, in a folder for
	// each run, and prepared rows, in a folder for each pipeline.
	runsPrefix        = "runs/"
	checkpointsPrefix = "checkpoints/"
	preparedPrefix    = "prepared/"
	// The rows that failed data tests, and those that could not be read, in a folder for
	// each run.
	failingPrefix = "failing-rows/"
	// maxSwept bounds the folders that one pass removes; the next goes on.
	maxSwept = 200
)

// collect removes from the state bucket what nobody needs any more: the outputs of
// runs that ended, the failing rows of runs and the answers of jobs that the state has
// forgotten, the prepared rows of pipelines that are gone (those of others are replaced by
// their next run), and the checkpoints of versions that specs keep no longer. What it removes
// follows from the replicated state and a listing, so a pass that died is repeated by the
// next, whoever leads.
func (c *Coordinator) collect(ctx context.Context, lead *leadership) error {
	if err := c.collectVersions(lead); err != nil {
		return err
	}
	b, err := c.cfg.Records(ctx)
	if err != nil {
		return err
	}
	var removed storage.Removed
	err = c.sweep(ctx, b, runsPrefix, ended, &removed)
	if err == nil {
		err = c.sweep(ctx, b, preparedPrefix, deleted, &removed)
	}
	if err == nil {
		err = c.sweep(ctx, b, failingPrefix, forgotten, &removed)
	}
	if err == nil {
		err = c.sweep(ctx, b, stages.JobsDir, forgottenJob, &removed)
	}
	if err == nil {
		err = c.sweepCheckpoints(ctx, b, &removed)
	}
	c.metrics.collectedObjects.Add(float64(removed.Objects))
	c.metrics.collectedBytes.Add(float64(removed.Bytes))
	if removed.Objects > 0 {
		c.log.Info("collected outputs of ended runs, failing and prepared rows, and checkpoints", "objects", removed.Objects, "bytes", removed.Bytes)
	}
	return err
}

// collectVersions marks the versions that specs keep no longer and no stream
// needs.
func (c *Coordinator) collectVersions(lead *leadership) error {
	var due []*state.CollectVersions
	c.replica.view(func(s *state.State) {
		for m := range s.Models() {
			versions := s.Collectable(m)
			if len(versions) == 0 {
				continue
			}
			used, known := lead.liveness.ScoredWith(s, m)
			versions = slices.DeleteFunc(versions, func(v thalweg.ModelVersion) bool { return used[v] })
			if known && len(versions) > 0 {
				due = append(due, &state.CollectVersions{Model: m.Name, Versions: versions})
			}
		}
	})
	for _, cmd := range due {
		if _, err := c.propose(cmd); err != nil {
			return err
		}
	}
	return nil
}

// ended reports whether a run is not going: its outputs are garbage.
func ended(s *state.State, id string) bool {
	r := s.Run(thalweg.RunID(id))
	return r == nil || r.State != state.RunRunning
}

// forgotten reports whether the state does not know a run any more: its rows that failed
// tests or could not be read are garbage.
func forgotten(s *state.State, id string) bool { return s.Run(thalweg.RunID(id)) == nil }

// forgottenJob reports whether the state does not keep a job any more: its answer is garbage.
func forgottenJob(s *state.State, id string) bool { return s.Job(thalweg.JobID(id)) == nil }

// deleted reports whether there is no pipeline of a name: its prepared rows are garbage.
func deleted(s *state.State, name string) bool {
	return s.Pipeline(thalweg.PipelineName(name)) == nil
}

// sweep removes the folders below a prefix whose names are garbage, and adds what it
// removed. A folder is in a listing only if its run had begun before; so one that the
// state, read afterwards, does not know to be going has ended, and its ID is never given
// again. A pipeline may be given its name again, and then prepares its rows anew.
func (c *Coordinator) sweep(ctx context.Context, b storage.Bucket, prefix string, garbage func(*state.State, string) bool, removed *storage.Removed) error {
	var ids []string
	for after := ""; len(ids) < maxSwept; {
		id := ""
		for info, err := range b.List(ctx, prefix, after) {
			if err != nil {
				return err
			}
			id, _, _ = strings.Cut(info.Key[len(prefix):], "/")
			break
		}
		if id == "" {
			break
		}
		after = prefix + id + "/~" // behind all of it
		c.replica.view(func(s *state.State) {
			if garbage(s, id) {
				ids = append(ids, id)
			}
		})
	}
	if len(ids) == 0 {
		return nil
	}
	if err := c.read(func(s *state.State) {
		ids = slices.DeleteFunc(ids, func(id string) bool { return !garbage(s, id) })
	}); err != nil {
		return err
	}
	for _, id := range ids {
		of, err := storage.Remove(ctx, b, prefix+id+"/", func(string) bool { return true })
		removed.Add(of)
		if err != nil {
			return err
		}
	}
	return nil
}

// sweepCheckpoints removes the checkpoints of collected versions, and of runs that
// ended without registering theirs, and adds what it removed. What the state does not
// know stays: the log of a stream may name it.
func (c *Coordinator) sweepCheckpoints(ctx context.Context, b storage.Bucket, removed *storage.Removed) error {
	dead := make(map[string]bool)
	dir := func(checkpoint string) string {
		key, _, _ := strings.Cut(checkpoint, "#")
		return path.Dir(key)
	}
	c.replica.view(func(s *state.State) {
		for r := range s.Runs() {
			if r.State != state.RunRunning && r.Version == 0 && r.Outputs["checkpoint"] != "" {
				dead[dir(r.Outputs["checkpoint"])] = true
			}
		}
		for _, collected := range []bool{true, false} {
			for m := range s.Models() {
				for _, v := range m.Versions {
					if v.Collected == collected {
						dead[dir(v.Checkpoint)] = collected
					}
				}
			}
		}
	})
	of, err := storage.Remove(ctx, b, checkpointsPrefix, func(key string) bool { return dead[path.Dir(key)] })
	removed.Add(of)
	return err
}
