package scorer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact/artifacttest"
	"github.com/thalweg/thalweg/storage/checkpoint"
	bucketmem "github.com/thalweg/thalweg/storage/memory"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

// testBatch lays out events from offset 0 on.
func testBatch(events ...string) *batch {
	b := &batch{to: int64(len(events))}
	for i, e := range events {
		b.values = append(b.values, e...)
		b.ends = append(b.ends, len(b.values))
		b.offsets = append(b.offsets, int64(i))
		b.timestamps = append(b.timestamps, 1)
	}
	return b
}

func testEngine(t *testing.T) *artifactEngine {
	t.Helper()
	e, err := newEngine(Model{Name: "m", Version: 1}, trained(t, 1), EngineConfig{Compression: "zstd", MaxEventBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// moody is a predictor that fails on chosen offsets.
type moody struct {
	predictor
	fails  func(offset int64) bool
	panics bool
}

func (m moody) Score(ctx context.Context, rec arrow.Record, rep *pipeline.Report) (arrow.Record, []float32, error) {
	if slices.ContainsFunc(offsetsOf(rec), m.fails) {
		if m.panics {
			panic("a bug")
		}
		return nil, nil, errors.New("a bug")
	}
	return m.predictor.Score(ctx, rec, rep)
}

func TestARowThatTheCodeFailsOnIsADeadLetterAndTheOthersAreScored(t *testing.T) {
	var events []string
	for i := range 50 {
		events = append(events, goodEvent(i))
	}
	for _, panics := range []bool{false, true} {
		e := testEngine(t)
		e.scorer = moody{predictor: e.scorer, fails: func(o int64) bool { return o == 7 || o == 8 || o == 49 }, panics: panics}
		r := &rows{topic: topic}
		if err := e.score(t.Context(), testBatch(events...), r); err != nil {
			t.Fatal(err)
		}
		var offsets []int64
		for l, err := range e.stored(commitlog.Dead, r.dead.Bytes()) {
			if err != nil {
				t.Fatal(err)
			}
			offsets = append(offsets, l.offset)
		}
		if r.scored != 47 || !slices.Equal(offsets, []int64{7, 8, 49}) || !strings.Contains(r.dead.String(), `"stage":"score","reason":"`) {
			t.Errorf("panics %v: %d scored, dead letters of %d", panics, r.scored, offsets)
		}
		r.release()
	}
}

func TestAFaultOfTheCodeOnEveryRowIsNoReasonForDeadLetters(t *testing.T) {
	e := testEngine(t)
	e.scorer = moody{predictor: e.scorer, fails: func(int64) bool { return true }}
	r := &rows{topic: topic}
	if err := e.score(t.Context(), testBatch(goodEvent(1), goodEvent(2), goodEvent(3)), r); err == nil || r.lost > 0 || r.to != 0 {
		t.Errorf("%v, %d dead letters, up to %d", err, r.lost, r.to)
	}
}

func TestUnreadableAndNullRecordsAreDeadLetters(t *testing.T) {
	b := testBatch(goodEvent(1), "", "", goodEvent(2))
	b.nulls = []bool{false, true, false, false}
	b.unreadable = map[int]string{2: "the batch inflates beyond 1 byte"}
	r := &rows{topic: topic}
	if err := testEngine(t).score(t.Context(), b, r); err != nil {
		t.Fatal(err)
	}
	defer r.release()
	if text := r.dead.String(); r.scored != 2 || r.lost != 2 || !strings.Contains(text, `"stage":"fetch","reason":"the batch inflates`) || !strings.Contains(text, "null") {
		t.Errorf("%d scored, %d dead:\n%s", r.scored, r.lost, text)
	}
}

func TestARegistryLoadsEachArtifactOnceAndKeepsFew(t *testing.T) {
	ctx := t.Context()
	bucket := bucketmem.New()
	r := NewRegistry(bucket)
	var models []Model
	parts, err := trained(t, 1).Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	for v := range maxArtifacts + 2 {
		ref, err := checkpoint.Save(ctx, bucket, fmt.Sprintf("checkpoints/%d", v), parts)
		if err != nil {
			t.Fatal(err)
		}
		models = append(models, Model{Name: "m", Version: thalweg.ModelVersion(v + 1), Checkpoint: ref})
	}
	first, err := r.Load(ctx, models[0])
	if err != nil {
		t.Fatal(err)
	}
	if again, err := r.Load(ctx, models[0]); again != first || err != nil {
		t.Errorf("loaded twice: %v", err)
	}
	for _, m := range models[1:] {
		if _, err := r.Load(ctx, m); err != nil {
			t.Fatal(err)
		}
	}
	if again, err := r.Load(ctx, models[0]); again == first || err != nil {
		t.Errorf("more than %d are kept (%v)", maxArtifacts, err)
	}
	missing := Model{Name: "m", Version: 99, Checkpoint: thalweg.CheckpointRef{Key: "checkpoints/none/manifest.json", SHA256: strings.Repeat("0", 64)}}
	if _, err := r.Load(ctx, missing); !thalweg.Is(err, thalweg.NotFound) || !strings.Contains(err.Error(), "m 99") {
		t.Errorf("missing checkpoint: %v", err)
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := r.Load(canceled, missing); err == nil {
		t.Error("loaded without a checkpoint")
	}

	candidates, changed := r.Candidates()
	if len(candidates) != 0 {
		t.Error("candidates from nowhere")
	}
	r.Offer(nil)
	select {
	case <-changed:
		t.Error("nothing changed")
	default:
	}
	r.Offer([]Candidate{{Model: models[3]}})
	<-changed
}

func TestTheSpecSaysHowToScore(t *testing.T) {
	spec, err := pipeline.Parse("test.yaml", []byte(artifacttest.Flights))
	if err != nil {
		t.Fatal(err)
	}
	cfg, bucket, err := ConfigOf(spec, 3, 5)
	if err != nil {
		t.Fatal(err)
	}
	if bucket != "lake" || cfg.Prefix != "scored/" || cfg.Topic != topic || cfg.Partition != 5 || cfg.Generation != 3 || cfg.Pipeline != "flight-delays" {
		t.Errorf("%q, %+v", bucket, cfg)
	}
	if cfg.Compaction.on() {
		t.Error("files are merged although nobody asked for it")
	}
	spec.Spec.Scoring.Sink.Compaction = &pipeline.Compaction{MinFiles: 8, ByteSize: 1 << 20, Retention: pipeline.Duration(time.Minute)}
	if merging, _, err := ConfigOf(spec, 3, 5); err != nil || merging.Compaction != (Compaction{MinFiles: 8, Bytes: 1 << 20, Retention: time.Minute}) {
		t.Errorf("%+v, %v", merging.Compaction, err)
	}
	if err := cfg.Validate(); err != nil {
		t.Error(err)
	}
	spec.Spec.Scoring = nil
	if _, _, err := ConfigOf(spec, 3, 5); !thalweg.Is(err, thalweg.Invalid) {
		t.Errorf("a spec that scores nothing: %v", err)
	}
}

func TestBadConfigurationIsNamed(t *testing.T) {
	good := Config{Pipeline: "p", Generation: 1, Topic: "t", Prefix: "x/"}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for field, spoil := range map[string]func(*Config){
		"pipeline":          func(c *Config) { c.Pipeline = "" },
		"generation":        func(c *Config) { c.Generation = 0 },
		"topic":             func(c *Config) { c.Topic = "" },
		"partition":         func(c *Config) { c.Partition = -1 },
		"prefix":            func(c *Config) { c.Prefix = "x" },
		"start_offset":      func(c *Config) { c.StartOffset = "yesterday" },
		"batching count":    func(c *Config) { c.Batching.Count = -1 },
		"rolling byte_size": func(c *Config) { c.Rolling.Bytes = 1 << 40 },
		"drain timeout":     func(c *Config) { c.DrainTimeout = -1 },
	} {
		bad := good
		spoil(&bad)
		if err := bad.Validate(); !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}
