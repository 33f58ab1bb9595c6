package engine

import (
	"fmt"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/monitor"
	"github.com/thalweg/thalweg/storage/memory"
	"github.com/thalweg/thalweg/worker/stream/budget"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

// What is published of a rollout is counted by version: all dead letters, also where there is
// nothing else, and the rows apart where a column decides which version has them.
func TestASlotOfARolloutIsCountedByVersion(t *testing.T) {
	t.Parallel()
	a := watched(t)
	models := both{a, a}
	cfg := &monitor.Config{Window: time.Hour, OneIn: 1}
	for name, c := range map[string]struct {
		pin      Model
		bad      int // of a hundred events
		by       string
		versions int
	}{
		"only dead letters": {pinOf(50, "", false), 100, "", 2},
		"by keys":           {pinOf(50, "", false), 10, "", 2},
		"by a column":       {pinOf(50, "origin", false), 10, "origin", 2},
		"all rows":          {pinOf(100, "origin", false), 10, "", 1},
		"a shadow":          {pinOf(50, "origin", true), 10, "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var events []string
			for i := range 100 {
				event := flight(i)
				if i%100 < c.bad {
					event = "no JSON"
				}
				events = append(events, event)
			}
			records := keyed(events)
			e, err := Open(t.Context(), models, c.pin, Config{Compression: "zstd", MaxEventBytes: 1 << 20})
			if err != nil {
				t.Fatal(err)
			}
			log, err := commitlog.New(memory.New(), commitlog.Config{Pipeline: "p", Topic: "flights"})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := log.Open(t.Context()); err != nil {
				t.Fatal(err)
			}
			r := &Rows{Topic: "flights", Generation: 1, Model: c.pin, Engine: e, Watch: cfg}
			before := r.SizeBytes()
			if err := e.Score(t.Context(), batchFrom(records, 0, records.Len()), r); err != nil {
				t.Fatal(err)
			}
			in := commitlog.Intent{ID: commitlog.NewID(), Pipeline: "p", Topic: "flights", To: r.To, Model: "m", ModelVersion: 1, Checkpoint: c.pin.Checkpoint, SpecGeneration: 1, ScoredAtUS: 1_700_000_000_000_000, Rollout: c.pin.Rollout}
			if won, _, err := log.Claim(t.Context(), in); err != nil || !won {
				t.Fatal(won, err)
			}
			share := budget.NewMemory(0, 2).Share()
			defer share.Close()
			if _, err := r.Publish(t.Context(), log, share); err != nil {
				t.Fatal(err)
			}
			counts, flaw := r.Counts()
			if flaw != nil {
				t.Fatal(flaw)
			}
			var rows, dead int64
			versions := make(map[thalweg.ModelVersion]bool)
			for _, w := range counts.Windows() {
				rows += w.Rows
				for _, n := range w.Dead {
					dead += n
				}
				versions[w.Version] = true
				if w.By != c.by {
					t.Errorf("version %d has rows by %q", w.Version, w.By)
				}
			}
			if dead != int64(c.bad) || rows != int64(100-c.bad) || len(versions) != c.versions {
				t.Errorf("%d dead letters, %d rows of versions %v", dead, rows, versions)
			}
			if held := r.SizeBytes() - before; held < counts.SizeBytes() || counts.SizeBytes() == 0 {
				t.Errorf("%d bytes are held, and counts take %d", held, counts.SizeBytes())
			}
		})
	}
}

// offered are the versions that events are scored with.
type offered struct {
	both
	candidates []Candidate
}

func (o offered) Candidates() ([]Candidate, <-chan struct{}) { return o.candidates, nil }

// The candidate of a rollout is found among the versions that score, as is the champion.
func TestTheCandidateOfARolloutIsFound(t *testing.T) {
	t.Parallel()
	models := offered{candidates: []Candidate{{Model: pinOf(50, "", false)}, {Model: Model{Name: "m", Version: 7}}}}
	var found []string
	for v := range thalweg.ModelVersion(9) {
		if m, ok := Find(models, v); ok {
			found = append(found, fmt.Sprint(m.Version, m.InRollout()))
		}
	}
	if want := "[1 false 2 false 7 false]"; fmt.Sprint(found) != want {
		t.Errorf("found %v, want %s", found, want)
	}
}
