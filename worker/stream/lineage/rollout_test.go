package lineage

import (
	"slices"
	"testing"

	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// TestARowOfARolloutIsMadeAgainByTheVersionThatScoredIt: the document names that, and another
// pin would have had others.
func TestARowOfARolloutIsMadeAgainByTheVersionThatScoredIt(t *testing.T) {
	for name, pin := range map[string]commitlog.Rollout{
		"canary by key":    {Percent: 40, Salt: "a"},
		"canary by column": {Percent: 60, Salt: "b", By: "distance"},
		"shadow":           {Percent: 50, Salt: "c", By: "carrier", Shadow: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, true)
			w.produce(64)
			both := w.versions[1]
			pin.Candidate, pin.Checkpoint = w.versions[2].Version, w.versions[2].Checkpoint
			both.Rollout = pin
			w.registry.Offer([]engine.Candidate{both})
			w.stream()
			arms, others := make(map[string]int), 0
			for _, offset := range w.topic.all.Offsets {
				doc := w.trace(offset, false)
				arms[doc.Model.Arm+" "+doc.Outcome]++
				if v := verify(t, w, doc, nil); !v.OK || v.Object != "equal" {
					t.Fatalf("offset %d: %+v", offset, v)
				}
				if want := map[string]int{"champion": 1, "candidate": 2}[doc.Model.Arm]; doc.Model.Checkpoint != w.versions[want].Checkpoint || len(doc.Notes) > 0 {
					t.Fatalf("offset %d is of the %s: %+v, %v", offset, doc.Model.Arm, doc.Model, doc.Notes)
				}
				if offset%4 > 0 {
					continue
				}
				doc.Slot.Intent.Rollout.Salt = "another"
				if v := verify(t, w, doc, nil); !v.OK && slices.ContainsFunc(v.Differences, func(m Mismatch) bool {
					return m.Name == "_model_version" || m.Name == "model" || m.Name == "outcome" || m.Name == "_shadow_version"
				}) {
					others++
				}
			}
			if arms["champion scored"] == 0 || arms["champion dead"] == 0 || pin.Shadow != (arms["candidate scored"] == 0) || others == 0 {
				t.Errorf("%v; with another salt %d are of another version", arms, others)
			}
		})
	}
}
