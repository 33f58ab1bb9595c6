package clean

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
)

// hoarder is a step that learns a text of some bytes.
type hoarder struct {
	pipeline.Learner
	bytes int
}

func (h hoarder) Finish([][]byte) (json.RawMessage, error) {
	return json.Marshal(strings.Repeat("x", h.bytes))
}

func TestLearningEndsWhereAnArtifactCouldNotKeepWhatWasLearnt(t *testing.T) {
	frame := len(`{"1 hoard":""}`)
	for bytes, kept := range map[int]bool{pipeline.MaxLearntBytes - frame: true, pipeline.MaxLearntBytes - frame + 1: false} {
		plan := &pipeline.Plan{Steps: []pipeline.PlannedStep{{Name: "1 hoard", Training: hoarder{bytes: bytes}}}}
		learnt, err := FinishLearning(plan, nil)
		if (err == nil) != kept || !kept && !thalweg.Is(err, thalweg.Exhausted) {
			t.Errorf("%d bytes: %d steps, %v", bytes, len(learnt), err)
		}
	}
}
