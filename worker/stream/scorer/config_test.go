package scorer

import (
	"strings"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact/artifacttest"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/worker/stream/compact"
)

func TestTheSpecSaysHowToScore(t *testing.T) {
	spec, err := pipeline.Parse(catalog.All(), "test.yaml", []byte(artifacttest.Flights))
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
	if cfg.Compaction.On() {
		t.Error("files are merged although nobody asked for it")
	}
	spec.Spec.Scoring.Sink.Compaction = &pipeline.Compaction{MinFiles: 8, ByteSize: 1 << 20, Retention: pipeline.Duration(time.Minute)}
	if merging, _, err := ConfigOf(spec, 3, 5); err != nil || merging.Compaction != (compact.Config{MinFiles: 8, Bytes: 1 << 20, Retention: time.Minute}) {
		t.Errorf("%+v, %v", merging.Compaction, err)
	}
	spec.Spec.Scoring = nil
	if _, _, err := ConfigOf(spec, 3, 5); !thalweg.Is(err, thalweg.Invalid) {
		t.Errorf("a spec that scores nothing: %v", err)
	}
}

func TestBadConfigurationIsNamed(t *testing.T) {
	good := Config{Pipeline: "p", Generation: 1, Topic: "t", Prefix: "x/"}
	configure := func(c Config) error {
		_, err := New(nil, nil, nil, slogDiscard(), c)
		return err
	}
	if err := configure(good); err != nil {
		t.Fatal(err)
	}
	for field, spoil := range map[string]func(*Config){
		"pipeline":  func(c *Config) { c.Pipeline = "" },
		"topic":     func(c *Config) { c.Topic = "" },
		"partition": func(c *Config) { c.Partition = -1 },
		"prefix":    func(c *Config) { c.Prefix = "x" },
	} {
		bad := good
		spoil(&bad)
		if err := configure(bad); !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}
