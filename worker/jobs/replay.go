package jobs

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/worker/stream/replay"
)

// maxParallel bounds the partitions that a replay scores at once: each has events and rows
// in memory, which the worker's streams and runs need too.
const maxParallel = 64

// Replay asks for a range of the topic to be scored again. It goes on where another with
// the same parameters was ended: names of objects follow from the claims of its log.
type Replay struct {
	Topic      string `json:"topic,omitempty"` // which the pipeline has to score
	From       string `json:"from"`            // bounds, as replay.ParseBound reads them
	To         string `json:"to"`
	Model      string `json:"model"`                // a version, an alias, or a checkpoint (key#sha256)
	Into       string `json:"into"`                 // s3://bucket/prefix/
	Connection string `json:"connection,omitempty"` // of that; default: the sink's
	Parallel   int    `json:"parallel"`             // partitions at once, from 1
}

// Replayed answers Replay.
type Replayed struct {
	Replay *replay.Manifest `json:"replay"`
	Into   string           `json:"into"`
	Scored int64            `json:"scored"`
	Dead   int64            `json:"dead"`
	TookMS int64            `json:"took_ms"`
}

func runReplay(ctx context.Context, j *Job, p Replay) error {
	from, err := replay.ParseBound("--from", p.From)
	if err != nil {
		return err
	}
	to, err := replay.ParseBound("--to", p.To)
	if err != nil {
		return err
	}
	if p.Parallel < 1 || p.Parallel > maxParallel {
		return &thalweg.Error{Op: "--parallel", Kind: thalweg.Invalid, Subject: fmt.Sprint(p.Parallel), Hint: fmt.Sprintf("want a number from 1 to %d", maxParallel)}
	}
	s, err := j.OpenStream(ctx, j.Pipeline)
	if err != nil {
		return err
	}
	if p.Topic != "" && p.Topic != s.Config.Topic {
		return &thalweg.Error{Op: "--topic", Kind: thalweg.Invalid, Subject: fmt.Sprintf("%q", p.Topic), Hint: fmt.Sprintf("want the topic of %s, %s", j.Pipeline, s.Config.Topic)}
	}
	into, err := s.Place(ctx, p.Connection, p.Into)
	if err != nil {
		return err
	}
	taken, err := j.Claims(ctx)
	if err != nil {
		return err
	}
	model, err := j.FindVersion(ctx, s.Spec.Spec.Registry.Model, p.Model)
	if err != nil {
		return err
	}
	source, err := s.Source()
	if err != nil {
		return err
	}
	defer source.Close()
	models, err := j.Models(ctx)
	if err != nil {
		return err
	}
	artifact, err := models.Load(ctx, model.Model)
	if err == nil {
		err = artifact.Protects(s.Spec.Spec.Schema)
	}
	if err != nil {
		return err
	}
	byTime, ok := source.(replay.Source)
	if !ok {
		return &thalweg.Error{Op: "replay", Kind: thalweg.Unsupported, Subject: s.Config.Topic, Hint: "its source cannot be read by time"}
	}
	m, err := replay.Open(ctx, byTime, replay.Request{Pipeline: s.Config.Pipeline, Generation: s.Config.Generation, Topic: s.Config.Topic, Model: model,
		From: from, To: to, Live: s.Live, Into: into, IntoConnection: cmp.Or(p.Connection, s.Sink().Connection),
		Taken: taken, Connections: j.Conns.Known(), NowUS: time.Now().UnixMicro()})
	if err != nil {
		return err
	}
	began := time.Now()
	runner := replay.New(m, source, into.Bucket, into.Prefix, artifact, j.Log, replay.Config{Parallel: p.Parallel, Score: s.Config})
	stop := j.watch(ctx, func() (done, total int64, message string) {
		p := runner.Progress()
		return p.Done, p.Total, p.Message
	})
	err = runner.Run(ctx)
	stop()
	if err != nil {
		return err
	}
	done := runner.Progress()
	return j.Reply(Replayed{Replay: m, Into: into.String(), Scored: done.Scored, Dead: done.Dead, TookMS: time.Since(began).Milliseconds()})
}
