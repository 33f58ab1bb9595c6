package scorer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/pipeline/rollout"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// simEngine scores an event to a line with its offset and the version.
type simEngine struct {
	sim   *sim
	model engine.Model
	lines map[*engine.Rows][]int64
}

// simArm returns the version that scores an event: of a rollout one of two, by the event alone.
func simArm(champion, candidate thalweg.ModelVersion, percent uint32, salt string, at int64) thalweg.ModelVersion {
	if candidate > 0 && rollout.NewHash(salt).Number(uint64(at)).Arm(percent) == rollout.Candidate {
		return candidate
	}
	return champion
}

// version is the one that scores an event.
func (e *simEngine) version(at int64) thalweg.ModelVersion {
	r := e.model.Rollout
	return simArm(e.model.Version, r.Candidate, r.Percent, r.Salt, at)
}

func (e *simEngine) Score(_ context.Context, b *engine.Batch, dst *engine.Rows) error {
	if !e.sim.calm && e.sim.rng.IntN(50) == 0 {
		return errors.New("scoring fails now and then")
	}
	var letters bytes.Buffer
	var lost []engine.Reject
	var good []int64
	for i, offset := range b.Offsets() {
		var kind simEvent
		var topic int
		if _, err := fmt.Sscan(string(b.Value(i)), &kind, &topic); err != nil {
			return err
		}
		at := e.sim.place(topic, offset)
		if kind == simPoison {
			fmt.Fprintf(&letters, "dead %d %d %d\n", at, e.version(at), dst.Generation)
			lost = append(lost, engine.Reject{Offset: offset})
		} else {
			good = append(good, at)
			if out := dst.Send; out != nil && offset >= out.From {
				out.Add(connectors.Message{Value: fmt.Appendf(nil, "row %d %d %d %d\n", at, e.version(at), dst.Generation, out.ScoredAt)}, offset, 1)
			}
		}
	}
	if err := dst.Add(b, nil, letters.Bytes(), lost); err != nil {
		return err
	}
	e.lines[dst] = append(e.lines[dst], good...)
	dst.Scored += int64(len(good))
	return nil
}

func (e *simEngine) Encode(in commitlog.Intent, r *engine.Rows) ([]engine.File, error) {
	var out bytes.Buffer
	for _, at := range e.lines[r] {
		fmt.Fprintf(&out, "row %d %d %d %d\n", at, e.version(at), in.SpecGeneration, in.ScoredAtUS)
	}
	return []engine.File{{Rows: r.Scored, Body: out.Bytes()}}, nil
}

func (e *simEngine) Stored(_ commitlog.ObjectKind, body []byte) iter.Seq2[engine.StoredRow, error] {
	return simStored(body)
}

func (e *simEngine) Needs() connectors.Fields { return 0 }

func (e *simEngine) Prepare(context.Context, *engine.Batch, int) error { return nil }

// simStored yields the lines of an object.
func simStored(body []byte) iter.Seq2[engine.StoredRow, error] {
	return func(yield func(engine.StoredRow, error) bool) {
		for line := range bytes.Lines(body) {
			at, _, _, _ := simLine(line)
			if !yield(engine.StoredRow{Offset: at & (1<<32 - 1), Text: string(line)}, nil) {
				return
			}
		}
	}
}
