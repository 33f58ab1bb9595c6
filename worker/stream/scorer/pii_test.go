package scorer

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/thalweg/thalweg/pipeline/artifact/artifacttest"
	"github.com/thalweg/thalweg/pipeline/table"
)

// hashedFlights is artifacttest.Flights with a column that is hashed.
var hashedFlights = strings.Replace(artifacttest.Flights, "{name: origin,      type: string, nullable: true}", "{name: origin, type: string, nullable: true, pii: hash}", 1)

// A column gets pii: the version that leaves it as it is scores no more, and is not what a
// scorer without the key goes back to.
func TestNoVersionScoresThatLeavesValuesAsTheyAre(t *testing.T) {
	w := newWorld(t, 1)
	var key table.Key
	missing := errors.New("there is no such key")
	w.registry.Keys = func(string) (table.Key, error) { return key, missing }
	hashed := trainedBy(t, hashedFlights)
	w.produceGood(0, 50)
	private := func(c *Config) { c.Schema = hashed.Spec.Spec.Schema }
	w.promote(1)
	s := w.start(private)
	s.wait("a refusal", func(s Status) bool {
		return strings.Contains(s.Message, "column origin") && strings.Contains(s.Message, "without its pii: hash") && s.Scored <= 0
	})
	w.registerArtifact(2, hashed)
	w.promote(2, 1)
	s.wait("the key", func(s Status) bool {
		return strings.Contains(s.Message, "there is no such key") && strings.Contains(s.Message, "--connections") && s.Scored <= 0
	})
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	var err error
	if key, err = table.NewKey([]byte("the secret of the test")); err != nil {
		t.Fatal(err)
	}
	missing = nil
	s = w.start(private)
	s.waitCommitted(50)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if v := w.judge(); v.RowsByModel["flight-delays 2"] != 50 {
		t.Errorf("rows by model: %v", v.RowsByModel)
	}
	private(&w.config)
	if _, err := w.replay(1, ""); err == nil || !strings.Contains(err.Error(), "without its pii: hash") {
		t.Errorf("dead letters by the version: %v", err)
	}
	if _, err := w.replay(2, ""); err != nil {
		t.Error(err)
	}
}

// What was claimed for a version before its columns had pii is finished by it.
func TestAClaimOfAVersionThatProtectsLessIsFinished(t *testing.T) {
	w := newWorld(t, 1)
	w.promote(1)
	w.produceGood(0, 50)
	whole := w.sink
	w.sink = &broken{Bucket: whole, part: "data/"}
	s := w.start(func(c *Config) { c.DrainTimeout = time.Millisecond })
	s.wait("the broken store", func(s Status) bool { return s.Scored == 50 && strings.Contains(s.Message, "tries") })
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	w.sink = whole
	s = w.start(func(c *Config) { c.Schema = trainedBy(t, hashedFlights).Spec.Spec.Schema })
	s.waitCommitted(50)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	w.judge()
}

// A scorer whose key has another secret than that of the version waits for the right one.
func TestAnotherSecretUnderTheNameOfAKeyScoresNothing(t *testing.T) {
	w := newWorld(t, 1)
	secret, err := table.NewKey([]byte("the secret of the test"))
	if err != nil {
		t.Fatal(err)
	}
	rotated, err := table.NewKey([]byte("it was rotated under its name"))
	if err != nil {
		t.Fatal(err)
	}
	w.registry.Keys = func(string) (table.Key, error) { return rotated, nil }
	hashed := trainedBy(t, hashedFlights)
	hashed.Provenance.Key = secret.ID()
	w.registerArtifact(1, hashed)
	w.promote(1)
	w.produceGood(0, 50)
	s := w.start()
	s.wait("the key", func(s Status) bool { return strings.Contains(s.Message, "key pii") && s.Scored <= 0 })
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	w.registry.Keys = func(string) (table.Key, error) { return secret, nil }
	s = w.start()
	s.waitCommitted(50)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
}
