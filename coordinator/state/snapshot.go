package state

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/alert"
	"github.com/thalweg/thalweg/coordinator/level"
)

// snapshotFormat numbers the form of a snapshot.
const snapshotFormat = 1

// snapshot is the form of a snapshot: JSON whose lists are sorted by name, so
// that equal states are equal bytes.
type snapshot struct {
	Format    int          `json:"format"`
	Index     uint64       `json:"index"`
	TimeMS    int64        `json:"time_ms"`
	Cluster   string       `json:"cluster,omitempty"`
	Level     int          `json:"level,omitempty"` // 0: the first
	Pipelines []*Pipeline  `json:"pipelines,omitempty"`
	Runs      []*Run       `json:"runs,omitempty"`
	Models    []*Model     `json:"models,omitempty"`
	Deleted   []*Tombstone `json:"deleted,omitempty"`
	Forgotten Forgotten    `json:"forgotten,omitzero"`
	Requests  []request    `json:"requests,omitempty"`
	Audit     auditLog     `json:"audit,omitzero"`
	Alerts    alert.Book   `json:"alerts,omitzero"`
	Jobs      []*Job       `json:"jobs,omitempty"`
	Tokens    []*Token     `json:"tokens,omitempty"`
	// TokensMade: there was a token at some time.
	TokensMade bool `json:"tokens_made,omitempty"`
}

// Encode returns the state as a snapshot. Nodes that applied the same entries
// get the same bytes.
func (s *State) Encode() ([]byte, error) {
	data, err := json.Marshal(snapshot{
		Format: snapshotFormat, Index: s.index, TimeMS: s.timeMS, Cluster: s.cluster, Level: s.level, Requests: s.requests, Forgotten: s.forgotten,
		Pipelines: slices.Collect(s.Pipelines()), Runs: slices.Collect(s.Runs()), Models: slices.Collect(s.Models()),
		Deleted: slices.Collect(s.Deleted()),
		Jobs:    slices.Collect(s.Jobs()),
		Alerts:  s.alerts,
		Audit:   s.audit, Tokens: slices.Collect(s.Tokens()), TokensMade: s.tokensMade,
	})
	if err != nil {
		return nil, &thalweg.Error{Op: "encode snapshot", Kind: thalweg.Other, Subject: fmt.Sprintf("index %d", s.index), Err: err}
	}
	return data, nil
}

// Decode returns the state of a snapshot. It checks all that Apply relies on, so
// that a damaged snapshot is refused here and not met later as a panic.
func Decode(data []byte) (*State, error) {
	var snap snapshot
	if err := thalweg.DecodeStrict(data, &snap); err != nil {
		return nil, damaged("snapshot", err)
	}
	if snap.Format != snapshotFormat {
		return nil, newerBuild("decode snapshot", fmt.Sprintf("format %d", snap.Format), fmt.Errorf("this build reads format %d", snapshotFormat))
	}
	if snap.Level > level.Known {
		return nil, unknownLevel("decode snapshot", snap.Level)
	}
	s := New()
	s.index, s.timeMS, s.cluster, s.level, s.forgotten = snap.Index, snap.TimeMS, snap.Cluster, snap.Level, snap.Forgotten
	if len(s.cluster) > MaxClusterIDBytes {
		return nil, damaged("cluster", fmt.Errorf("its ID has %d bytes", len(s.cluster)))
	}
	for _, m := range snap.Models {
		if err := s.restoreModel(m); err != nil {
			return nil, err
		}
	}
	for _, p := range snap.Pipelines {
		if err := s.restorePipeline(p); err != nil {
			return nil, err
		}
	}
	if len(snap.Deleted) > MaxDeleted {
		return nil, damaged("deleted pipelines", fmt.Errorf("%d of them, at most %d are kept", len(snap.Deleted), MaxDeleted))
	}
	for _, t := range snap.Deleted {
		if err := s.restoreTombstone(t); err != nil {
			return nil, err
		}
	}
	for _, r := range snap.Runs {
		if err := s.restoreRun(r); err != nil {
			return nil, err
		}
	}
	for p := range s.Pipelines() {
		if p.ActiveRun != "" && s.runs[p.ActiveRun] == nil {
			return nil, damaged("pipeline "+string(p.Name), fmt.Errorf("its active run %s is missing", p.ActiveRun))
		}
	}
	if err := s.restoreAlerts(snap.Alerts); err != nil {
		return nil, err
	}
	for _, j := range snap.Jobs {
		if err := s.restoreJob(j); err != nil {
			return nil, err
		}
	}
	if err := s.restoreTokens(snap.Tokens, snap.TokensMade); err != nil {
		return nil, err
	}
	if err := s.restoreAudit(snap.Audit); err != nil {
		return nil, err
	}
	if len(snap.Requests) > MaxRequests {
		return nil, damaged("requests", fmt.Errorf("%d of them, at most %d are kept", len(snap.Requests), MaxRequests))
	}
	for _, r := range snap.Requests {
		if r.ID == "" || s.request(r.ID) != nil {
			return nil, damaged("request "+r.ID, errTwice)
		}
		s.requests = append(s.requests, r)
	}
	return s, nil
}

// EncodeRun returns the record of a run that ended: the same bytes on every node.
func EncodeRun(r *Run) ([]byte, error) { return json.Marshal(r) }

// DecodeRun is the inverse of EncodeRun; Corrupt if the record is damaged.
func DecodeRun(data []byte) (*Run, error) {
	r := &Run{}
	if err := thalweg.DecodeStrict(data, r); err != nil {
		return nil, damaged("record of a run", err)
	}
	return r, r.check()
}

func damaged(subject string, err error) error {
	return &thalweg.Error{Op: "decode snapshot", Kind: thalweg.Corrupt, Subject: subject, Err: err}
}
