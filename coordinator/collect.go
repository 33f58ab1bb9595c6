package coordinator

import (
	"context"
	"path"
	"slices"
	"strings"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/state"
	"github.com/thalweg/thalweg/storage"
)

const (
	// runsPrefix and checkpointsPrefix are where workers keep outputs of runs and
	// checkpoints of versions, each below a folder of its run.
	runsPrefix        = "runs/"
	checkpointsPrefix = "checkpoints/"
	// maxSwept bounds the runs whose outputs one pass removes; the next goes on.
	maxSwept = 200
)

// collect removes from the state bucket what nobody needs any more: the outputs of
// runs that ended, and the checkpoints of versions that specs keep no longer. What
// it removes follows from the replicated state and a listing, so a pass that died
// is repeated by the next, whoever leads.
func (c *Coordinator) collect(ctx context.Context, lead *leadership) error {
	if err := c.collectVersions(lead); err != nil {
		return err
	}
	b, err := c.cfg.Records(ctx)
	if err != nil {
		return err
	}
	removed, err := c.sweepRuns(ctx, b)
	if err == nil {
		var checkpoints storage.Removed
		checkpoints, err = c.sweepCheckpoints(ctx, b)
		removed.Add(checkpoints)
	}
	c.metrics.collectedObjects.Add(float64(removed.Objects))
	c.metrics.collectedBytes.Add(float64(removed.Bytes))
	if removed.Objects > 0 {
		c.log.Info("collected outputs of ended runs, and checkpoints", "objects", removed.Objects, "bytes", removed.Bytes)
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
			used, known := lead.liveness.scoredWith(s, m)
			versions = slices.DeleteFunc(versions, func(v thalweg.ModelVersion) bool { return used[v] })
			if known && len(versions) > 0 {
				due = append(due, &state.CollectVersions{Model: m.Name, Versions: versions})
			}
		}
	})
	for _, cmd := range due {
		if _, err := c.propose(cmd, ""); err != nil {
			return err
		}
	}
	return nil
}

// scoredWith returns the versions that streams of a model's pipelines score with,
// those of unfinished claims included. It is not known while one of their
// partitions is without a holder that has read its log: there may be a claim.
func (l *liveness) scoredWith(s *state.State, m *state.Model) (used map[thalweg.ModelVersion]bool, known bool) {
	used = make(map[thalweg.ModelVersion]bool)
	for p := range s.Pipelines() {
		// Where no holder has ever seen the topic, no event was claimed, unless by a
		// pipeline of that name before.
		if !p.Uses(m.Name) || !p.Counted && !slices.ContainsFunc(m.Versions, func(v *state.ModelVersion) bool { return v.Retired }) {
			continue
		}
		for _, part := range p.Partitions {
			v, _ := l.streamOf(part.Task.ID, part.Task.Worker)
			if v == nil || v.Committed < 0 || v.ModelVersion == 0 {
				return nil, false
			}
			used[thalweg.ModelVersion(v.ModelVersion)] = true
		}
	}
	return used, true
}

// sweepRuns removes the outputs of runs that are not going. A run is in a listing
// only if it had begun before; so one that the state, read afterwards, does not know
// to be going has ended, and its ID is never given again.
func (c *Coordinator) sweepRuns(ctx context.Context, b storage.Bucket) (removed storage.Removed, err error) {
	ended := func(s *state.State, id string) bool {
		r := s.Run(thalweg.RunID(id))
		return r == nil || r.State != state.RunRunning
	}
	var ids []string
	for after := ""; len(ids) < maxSwept; {
		id := ""
		for info, err := range b.List(ctx, runsPrefix, after) {
			if err != nil {
				return removed, err
			}
			id, _, _ = strings.Cut(info.Key[len(runsPrefix):], "/")
			break
		}
		if id == "" {
			break
		}
		after = runsPrefix + id + "/~" // behind all of it
		c.replica.view(func(s *state.State) {
			if ended(s, id) {
				ids = append(ids, id)
			}
		})
	}
	if len(ids) == 0 {
		return removed, nil
	}
	if err := c.read(func(s *state.State) {
		ids = slices.DeleteFunc(ids, func(id string) bool { return !ended(s, id) })
	}); err != nil {
		return removed, err
	}
	for _, id := range ids {
		of, err := storage.Remove(ctx, b, runsPrefix+id+"/", func(string) bool { return true })
		removed.Add(of)
		if err != nil {
			return removed, err
		}
	}
	return removed, nil
}

// sweepCheckpoints removes the checkpoints of collected versions, and of runs that
// ended without registering theirs. What the state does not know stays: the log of a
// stream may name it.
func (c *Coordinator) sweepCheckpoints(ctx context.Context, b storage.Bucket) (storage.Removed, error) {
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
	return storage.Remove(ctx, b, checkpointsPrefix, func(key string) bool { return dead[path.Dir(key)] })
}
