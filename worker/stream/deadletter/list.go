package deadletter

import (
	"context"
	"iter"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// Letter is a dead letter of the stream, and what replays made of it.
type Letter struct {
	engine.DeadLetter
	// Replays counts how often it failed when it was scored again, and Last says how
	// the newest of these ended; nil if it never was.
	Replays int         `json:"replays,omitempty"`
	Last    *LastReplay `json:"last_replay,omitempty"`
	// Replayed is the intent by which it became a row; nil while it is a dead
	// letter.
	Replayed *ReplayedBy `json:"replayed,omitempty"`
}

// LastReplay is an attempt to score a dead letter again that failed too.
type LastReplay struct {
	Intent       string               `json:"intent"`
	ModelVersion thalweg.ModelVersion `json:"model_version"`
	Stage        string               `json:"stage"`
	Reason       string               `json:"reason"`
	ScoredAtUS   int64                `json:"scored_at_us"` // microseconds since 1970 UTC
}

// ReplayedBy is the attempt that made a row of a dead letter.
type ReplayedBy struct {
	Intent       string               `json:"intent"`
	ModelVersion thalweg.ModelVersion `json:"model_version"`
	ScoredAtUS   int64                `json:"scored_at_us"` // microseconds since 1970 UTC
}

// List yields the dead letters of a partition that a selection chooses,
// oldest first, each once, with what replays made of them. It holds one object
// of dead letters and a few slots of replays in memory, whatever there is.
func List(ctx context.Context, bucket storage.Bucket, config commitlog.Config, s *Selection) iter.Seq2[*Letter, error] {
	return func(yield func(*Letter, error) bool) {
		if err := letters(ctx, bucket, config, s, func(l *Letter) bool { return yield(l, nil) }); err != nil {
			yield(nil, err)
		}
	}
}

// letters calls yield until it returns false, which is no error.
func letters(ctx context.Context, bucket storage.Bucket, config commitlog.Config, s *Selection, yield func(*Letter) bool) error {
	main, again, err := openLogs(ctx, bucket, config)
	if err != nil {
		return err
	}
	history := newReplayHistory(bucket, again, offsetsIn)
	if err := history.read(ctx, again.State().NextSeq); err != nil {
		return err
	}
	for page, err := range s.pages(ctx, bucket, main, 0, commitlog.MaxSeq+1) {
		if err != nil {
			return err
		}
		told, err := history.annotate(ctx, page)
		if err != nil {
			return err
		}
		for i := range told {
			if !yield(&told[i]) {
				return nil
			}
		}
	}
	return nil
}

// openLogs returns the main log of a partition, and its replay log, opened.
func openLogs(ctx context.Context, bucket storage.Bucket, config commitlog.Config) (main, again *commitlog.Log, err error) {
	if main, err = commitlog.New(bucket, config); err != nil {
		return nil, nil, err
	}
	config.Replay = true
	if again, err = commitlog.New(bucket, config); err != nil {
		return nil, nil, err
	}
	_, err = again.Open(ctx)
	return main, again, err
}

// annotate adds to dead letters of the main log what replays made of them.
func (h *replayHistory) annotate(ctx context.Context, p page) ([]Letter, error) {
	out := make([]Letter, len(p.letters))
	at := make(map[int64]*Letter, len(p.letters))
	for i, l := range p.letters {
		out[i].DeadLetter = l
		at[l.Offset] = &out[i]
	}
	return out, h.eachCovering(ctx, p, func(in commitlog.Intent, r *replayedSlot) {
		for _, offset := range r.scored {
			if l := at[offset]; l != nil {
				l.Replayed = &ReplayedBy{in.ID, in.ModelVersion, in.ScoredAtUS}
			}
		}
		for offset, d := range r.dead {
			if l := at[offset]; l != nil {
				l.Replays++
				l.Last = &LastReplay{in.ID, in.ModelVersion, d.Stage, d.Reason, in.ScoredAtUS}
			}
		}
	})
}
