package deadletter

import (
	"bytes"
	"flag"
	"fmt"
	"iter"
	"strings"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

var (
	firstSeed = flag.Uint64("first-seed", 0, "first seed of the model test")
	seeds     = flag.Uint64("seeds", 0, "seeds of the model test; 0: a sample, or 1000 with EFFORT=full")
)

func simCandidate(version int, at int64) engine.Candidate {
	return engine.Candidate{Model: engine.Model{Name: "m", Version: thalweg.ModelVersion(version),
		Checkpoint: thalweg.CheckpointRef{Key: fmt.Sprintf("checkpoints/%d", version), SHA256: strings.Repeat("c", 64)}}, RegisteredAtUS: at}
}

// simLine reads one line of a simulated object.
func simLine(line []byte) (at int64, kind string, version, generation int) {
	fmt.Sscan(string(line), &kind, &at, &version, &generation)
	return at, kind, version, generation
}

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
