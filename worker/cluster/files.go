package cluster

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

// File is one object that a done record names.
type File struct {
	Path         string `json:"path"`
	Key          string `json:"-"`
	Topic        string `json:"topic"`
	Partition    int    `json:"partition"`
	From         int64  `json:"from"`
	To           int64  `json:"to"`
	Rows         int64  `json:"rows"`
	SizeBytes    int64  `json:"size_bytes"`
	SHA256       string `json:"sha256"`
	ModelVersion uint64 `json:"model_version"`      // 0 of a merged file, whose rows tell
	Candidate    uint64 `json:"candidate,omitzero"` // of a canary: the version that scored the other rows
	Merged       bool   `json:"merged,omitempty"`   // by a compaction
	Replayed     bool   `json:"replayed,omitempty"` // dead letters that were scored later

	// ScoredAtUS is when its slot was claimed, which is not before any of its rows was scored.
	ScoredAtUS int64 `json:"-"`

	slots [2]uint64 // whose rows are in it
}

// ScoredBy says which model version scored a file.
func (f File) ScoredBy() string {
	switch {
	case f.Merged:
		return "merged"
	case f.Replayed:
		return fmt.Sprintf("%d (replay)", f.ModelVersion)
	}
	if f.Candidate > 0 {
		return fmt.Sprintf("%d and %d", f.ModelVersion, f.Candidate)
	}
	return fmt.Sprint(f.ModelVersion)
}

// Files lists the live objects of scored rows, in the order of the log: those
// that hold each row once. Replays of dead letters have a log of their own,
// which follows that of their partition.
func (s *Stream) Files(ctx context.Context, partitions int) ([]File, error) {
	files := []File{}
	for p := range partitions {
		for _, replay := range []bool{false, true} {
			log, err := commitlog.New(s.Live.Bucket, s.Log(p, replay))
			if err != nil {
				return nil, err
			}
			first := len(files)
			for e, err := range commitlog.Live(log.ReadBack(ctx)) {
				if err != nil {
					return nil, err
				}
				files = append(files, s.filesOf(e)...)
			}
			slices.SortStableFunc(files[first:], func(a, b File) int { return cmp.Compare(a.slots[0], b.slots[0]) })
		}
	}
	return files, nil
}

// filesOf returns an entry's objects of scored rows.
func (s *Stream) filesOf(e commitlog.Entry) (files []File) {
	in := e.Intent
	from, to := e.Offsets()
	slots := [2]uint64{in.Seq, in.Seq + 1}
	if in.Action == commitlog.Compact {
		slots = in.Slots
	}
	for _, o := range e.Done.Objects {
		if o.Kind == commitlog.Scored {
			candidate := uint64(in.Rollout.Candidate)
			if in.Rollout.Shadow {
				candidate = 0
			}
			files = append(files, File{Path: "s3://" + s.Live.Name + "/" + o.Key, Key: o.Key, Topic: in.Topic, Partition: in.Partition,
				From: from, To: to, Rows: o.Rows, SizeBytes: o.SizeBytes, SHA256: o.SHA256, ModelVersion: uint64(in.ModelVersion), Candidate: candidate,
				Merged: in.Action == commitlog.Compact, Replayed: in.Action == commitlog.Replay, ScoredAtUS: in.ScoredAtUS, slots: slots})
		}
	}
	return files
}
