//go:build integration

package integration

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	apache "github.com/thalweg/thalweg/integration/kafka"
	"github.com/thalweg/thalweg/integration/process"
)

// TestALogThatWasCutIsToldByItsRange cuts a log below what was read, as an unclean election does
// that makes a replica the leader which lacks the last records. The log then grows past where it
// was, so that nothing but the leaders' terms tells its records from those that were read.
func TestALogThatWasCutIsToldByItsRange(t *testing.T) {
	const topic = "cut"
	cluster := apache.Start(t, apache.Config{})
	cluster.CreateTopic(t, topic, 1, nil)
	source := newSource(t, cluster, topic, "")
	named, err := source.Topic(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r := connectors.Records{TopicID: named.ID}
	fetch := func(at int64, term int32) (err error) { // what no broker has answered is asked again
		t.Helper()
		r.LeaderEpoch = term
		process.Until(t, "an answer", func(ctx context.Context) error {
			if err = source.Fetch(ctx, 0, at, time.Second, 1<<20, &r); err != nil && thalweg.KindOf(err).Transient() {
				return err
			}
			return nil
		})
		return err
	}
	client := newFranz(t, cluster, topic)
	franzWrites(t, client, numbered("kept", 20)...)
	if err := fetch(0, 0); err != nil || r.Next != 20 || r.LeaderEpoch < 1 {
		t.Fatalf("up to %d, of term %d, %v", r.Next, r.LeaderEpoch, err)
	}
	term := r.LeaderEpoch
	kept := cluster.LogBytes(t, 0, topic)
	franzWrites(t, client, numbered("lost", 10)...)
	if err := fetch(20, term); err != nil || r.Next != 30 || r.LeaderEpoch != term {
		t.Fatalf("up to %d, of term %d, %v", r.Next, r.LeaderEpoch, err)
	}

	cluster.Kill(0)
	cluster.CutLog(t, 0, topic, kept)
	cluster.Restart(t, 0)
	cluster.WaitReady(t)
	franzWrites(t, newFranz(t, cluster, topic), numbered("other", 15)...)

	err = fetch(30, term)
	missing := new(connectors.MissingRange)
	if !thalweg.Is(err, thalweg.Lost) || !errors.As(err, &missing) {
		t.Fatalf("%d records, %v", r.Len(), err)
	}
	if want := (connectors.MissingRange{Topic: topic, From: 20, To: 30, Cut: true, Next: 35}); *missing != want {
		t.Errorf("%+v, want %+v", *missing, want)
	}
	t.Log(err)
	// Whoever has read what is left goes on.
	if err := fetch(20, term); err != nil || r.Len() == 0 || r.Offsets[0] != 20 || string(r.Value(0)) != `{"other":0}` || r.LeaderEpoch <= term {
		t.Errorf("%d records of term %d, %v", r.Len(), r.LeaderEpoch, err)
	}
	// Whoever does not know the term takes them for what follows.
	if err := fetch(30, 0); err != nil || r.Len() != 5 {
		t.Errorf("%d records, %v", r.Len(), err)
	}
}
