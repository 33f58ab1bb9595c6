package jobs

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/worker/stream/deadletter"
)

// ReplayLetters asks for dead letters to be scored again. Each becomes one row at most,
// however often it is asked for and by how many at once.
type ReplayLetters struct {
	Where string `json:"where,omitempty"` // an expression that is true for them
	Model string `json:"model"`           // the version that scores: a number or an alias
}

// maxLossesNamed is how many ranges of lost events are named; the others are counted.
const maxLossesNamed = 1000

// LettersReplayed answers ReplayLetters.
type LettersReplayed struct {
	deadletter.ReplaySummary
	Lost       []deadletter.Loss `json:"lost,omitempty"`
	LostOthers int64             `json:"lost_others,omitempty"` // events that were lost too
}

func (r *LettersReplayed) lose(l deadletter.Loss) {
	if len(r.Lost) < maxLossesNamed {
		r.Lost = append(r.Lost, l)
		return
	}
	r.LostOthers += l.Events
}

func runReplayLetters(ctx context.Context, j *Job, p ReplayLetters) error {
	if _, err := (Letters{Where: p.Where}).Selection(); err != nil {
		return err
	}
	s, err := j.OpenStream(ctx, j.Pipeline)
	if err != nil {
		return err
	}
	partitions, err := s.Partitions(ctx)
	if err != nil {
		return err
	}
	model, err := j.FindVersion(ctx, s.Spec.Spec.Registry.Model, p.Model)
	if err != nil {
		return err
	}
	if model.RegisteredAtUS == 0 {
		return &thalweg.Error{Op: "--model", Kind: thalweg.Invalid, Subject: fmt.Sprintf("%q", p.Model), Hint: "want a registered version: its rows become part of the results"}
	}
	models, err := j.Models(ctx)
	if err != nil {
		return err
	}
	if err := storage.Probe(ctx, s.Live.Bucket, rand.Uint64()); err != nil {
		return err
	}
	var out LettersReplayed
	out.ReplaySummary, err = deadletter.Replay(ctx, s.Live.Bucket, models, j.Log, deadletter.ReplayConfig{
		Pipeline: s.Config.Pipeline, Generation: s.Config.Generation, Topic: s.Config.Topic, Partitions: partitions, Prefix: s.Config.Prefix,
		Model: model, Where: p.Where, PartitionBy: s.Config.PartitionBy, Schema: s.Config.Schema, Compression: s.Config.Compression, MaxEventBytes: s.Config.MaxEventBytes,
		Source: s.Source, Lost: out.lose}, nil)
	if err != nil {
		return err
	}
	return j.Reply(out)
}
