package scorer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

// simEngine scores an event to a line with its offset and the version.
type simEngine struct {
	sim     *sim
	version thalweg.ModelVersion
	lines   map[*rows][]int64
}

func (e *simEngine) score(_ context.Context, b *batch, dst *rows) error {
	if !e.sim.calm && e.sim.rng.IntN(50) == 0 {
		return errors.New("scoring fails now and then")
	}
	var letters bytes.Buffer
	var lost []casualty
	var good []int64
	for i, offset := range b.offsets {
		var kind simEvent
		var topic int
		if _, err := fmt.Sscan(string(b.value(i)), &kind, &topic); err != nil {
			return err
		}
		at := e.sim.place(topic, offset)
		if kind == simPoison {
			fmt.Fprintf(&letters, "dead %d %d %d\n", at, e.version, dst.generation)
			lost = append(lost, casualty{offset: offset})
		} else {
			good = append(good, at)
		}
	}
	if err := dst.add(b, nil, letters.Bytes(), lost); err != nil {
		return err
	}
	e.lines[dst] = append(e.lines[dst], good...)
	dst.scored += int64(len(good))
	return nil
}

func (e *simEngine) encode(in commitlog.Intent, r *rows) ([]encodedFile, error) {
	var out bytes.Buffer
	for _, at := range e.lines[r] {
		fmt.Fprintf(&out, "row %d %d %d %d\n", at, e.version, in.SpecGeneration, in.ScoredAtUS)
	}
	return []encodedFile{{rows: r.scored, body: out.Bytes()}}, nil
}

func (e *simEngine) stored(_ commitlog.ObjectKind, body []byte) iter.Seq2[storedRow, error] {
	return simStored(body)
}

func (e *simEngine) needs() connectors.Fields { return 0 }

// simStored yields the lines of an object.
func simStored(body []byte) iter.Seq2[storedRow, error] {
	return func(yield func(storedRow, error) bool) {
		for line := range bytes.Lines(body) {
			at, _, _, _ := simLine(line)
			if !yield(storedRow{at & (1<<32 - 1), string(line)}, nil) {
				return
			}
		}
	}
}
