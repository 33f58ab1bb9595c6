package replay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/worker/stream/compact"
	"github.com/thalweg/thalweg/worker/stream/engine"
	"github.com/thalweg/thalweg/worker/stream/scorer"
)

// Config says how a replay runs; what it makes does not depend on it but for
// where files end.
type Config struct {
	// Parallel is how many partitions are scored at once, each with the memory of a
	// scorer. Default 2.
	Parallel int
	// Score is what a scorer wants: batching, compression, timeouts. Its Rolling
	// bounds a file, and so memory, by events and bytes; never by time or by how much
	// memory is left, so that files are cut at the same offsets whenever a replay
	// runs. Default, and at most, 200,000 events and 32 MiB of them.
	Score scorer.Config
}

// stalledAfter is how long nothing may move before a warning.
const stalledAfter = 10 * time.Second

// never is a period that does not pass.
const never = time.Duration(1 << 62)

// The most that a file has. Of each partition that is being scored one file is
// filled while another is written.
const (
	maxFileEvents = 200_000
	maxFileBytes  = 32 << 20
)

// Runner carries a replay out.
type Runner struct {
	manifest *Manifest
	prefix   string
	source   connectors.Source
	bucket   storage.Bucket
	models   engine.Models
	log      *slog.Logger
	cfg      Config
	mu       struct {
		sync.Mutex
		scorers map[int]*scorer.Scorer
	}
}

// New returns a Runner of what m pins under a prefix of bucket, with the
// artifact of m's checkpoint.
func New(m *Manifest, source connectors.Source, bucket storage.Bucket, prefix string, a *artifact.Artifact, log *slog.Logger, cfg Config) *Runner {
	if cfg.Parallel == 0 {
		cfg.Parallel = 2
	}
	rolling := &cfg.Score.Rolling
	if rolling.Period = never; rolling.Count <= 0 || rolling.Count > maxFileEvents {
		rolling.Count = maxFileEvents
	}
	if rolling.Bytes <= 0 || rolling.Bytes > maxFileBytes {
		rolling.Bytes = maxFileBytes
	}
	r := &Runner{manifest: m, prefix: prefix, source: source, bucket: bucket, log: log, cfg: cfg,
		models: &engine.Fixed{Candidate: m.Candidate, Artifact: a}}
	r.mu.scorers = make(map[int]*scorer.Scorer)
	return r
}

// Run scores what the manifest pins and is not committed yet. When ctx ends it
// commits what is scored and returns ctx's error; running again goes on. When
// it returns, nothing of it is left running.
func (r *Runner) Run(ctx context.Context) error {
	stop := r.watch()
	defer stop()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(r.cfg.Parallel)
	for _, part := range r.manifest.Partitions {
		g.Go(func() error {
			if err := gctx.Err(); err != nil {
				return err
			}
			return r.partition(gctx, part)
		})
	}
	return g.Wait()
}

// watch warns when nothing moves, with the reason as far as it is known, until
// stop is called.
func (r *Runner) watch() (stop func()) {
	ended, left := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(left)
		tick := time.NewTicker(stalledAfter)
		defer tick.Stop()
		for last := int64(-1); ; {
			select {
			case <-ended:
				return
			case <-tick.C:
			}
			p := r.Progress()
			if p.Done+p.Committed == last {
				r.log.Warn("the replay makes no progress", slog.Int64("offsets", p.Done), slog.Int64("of", p.Total),
					slog.String("message", cmp.Or(p.Message, "the topic gives no events: a transaction may be open")))
			}
			last = p.Done + p.Committed
		}
	}()
	return func() {
		close(ended)
		<-left
	}
}

func (r *Runner) partition(ctx context.Context, part Range) error {
	m, cfg := r.manifest, r.cfg.Score
	cfg.Pipeline, cfg.Generation, cfg.Topic, cfg.Partition, cfg.Prefix = m.Pipeline, m.Generation, m.Topic, part.Partition, r.prefix
	cfg.Outbox, cfg.Rows, cfg.Finished, cfg.Memory = nil, nil, nil, nil // the stream's own affairs
	cfg.Compaction = compact.Config{}
	cfg.OnLost = scorer.Fail
	cfg.MaxDeadRate = 0 // what a version makes of the events is what is to be seen
	cfg.Range = &scorer.Range{From: part.From, To: part.To, TopicID: m.TopicID, ScoredAtUS: m.BegunAtUS}
	s, err := scorer.New(r.source, r.bucket, r.models, r.log, cfg)
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.mu.scorers[part.Partition] = s
	r.mu.Unlock()
	err = s.Run(ctx)
	if lost := new(connectors.MissingRange); thalweg.Is(err, thalweg.Lost) && errors.As(err, &lost) {
		return &thalweg.Error{Op: "replay", Kind: thalweg.Lost, Subject: fmt.Sprintf("%s/%d", m.Topic, part.Partition), Err: lost,
			Hint: "the topic lost them after the replay began; what was committed stays, and a new replay can have the rest"}
	}
	if err != nil || s.Status().Committed >= part.To {
		return err
	}
	return ctx.Err() // it was stopped before the end
}

// Progress is how far a replay is.
type Progress struct {
	Done, Total int64  // offsets
	Committed   int64  // of Done
	Scored      int64  // rows committed
	Dead        int64  // dead letters committed
	Message     string // what a partition waits for
}

// Progress returns how far Run is. It may be called at any time.
func (r *Runner) Progress() Progress {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := Progress{Total: r.manifest.Events()}
	for _, part := range r.manifest.Partitions {
		s := r.mu.scorers[part.Partition]
		if s == nil {
			continue
		}
		status := s.Status()
		p.Done += max(0, min(status.Scored, part.To)-part.From)
		p.Committed += max(0, min(status.Committed, part.To)-part.From)
		p.Scored += status.Rows
		p.Dead += status.DeadLetters
		if status.Message != "" && status.State != thalweg.StreamStopped {
			p.Message = status.Message
		}
	}
	return p
}
