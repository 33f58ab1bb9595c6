package crashtest

import (
	"context"
	"errors"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
)

// Source returns s as the process sees it.
func (g *Gate) Source(s connectors.Source) connectors.Source {
	if g == nil {
		return s
	}
	return &source{s, g}
}

type source struct {
	connectors.Source
	gate *Gate
}

// damaged is what a reader makes of bytes whose checksum is not theirs.
func damaged() error {
	return &thalweg.Error{Op: "fetch", Kind: thalweg.Corrupt, Err: errors.New("a batch's checksum is not that of its bytes")}
}

// Topic implements connectors.Source.
func (s *source) Topic(ctx context.Context) (topic connectors.Topic, err error) {
	err = s.gate.call(ctx, Call{Op: "topic"}, nil, step{seam: ofTopic,
		effect: func(ctx context.Context) (err error) { topic, err = s.Source.Topic(ctx); return err }})
	return topic, err
}

// Bounds implements connectors.Source.
func (s *source) Bounds(ctx context.Context, partition int) (first, next int64, err error) {
	err = s.gate.call(ctx, Call{Op: "bounds"}, nil, step{seam: ofTopic,
		effect: func(ctx context.Context) (err error) { first, next, err = s.Source.Bounds(ctx, partition); return err }})
	return first, next, err
}

// Fetch implements connectors.Source.
func (s *source) Fetch(ctx context.Context, partition int, offset int64, maxWait time.Duration, maxBytes int, dst *connectors.Records) error {
	return s.gate.call(ctx, Call{Op: "fetch"}, nil, step{seam: ofTopic, spoil: damaged,
		effect: func(ctx context.Context) error { return s.Source.Fetch(ctx, partition, offset, maxWait, maxBytes, dst) }})
}

// Commit implements connectors.Source.
func (s *source) Commit(ctx context.Context, partition int, next int64) error {
	return s.gate.call(ctx, Call{Op: "commit"}, nil, step{seam: ofTopic,
		effect: func(ctx context.Context) error { return s.Source.Commit(ctx, partition, next) },
		late: func() {
			// Nobody is left to be told, nor, maybe, to close what this opens.
			_ = s.Source.Commit(context.WithoutCancel(ctx), partition, next)
			_ = s.Close()
		}})
}
