package replay

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thalweg/thalweg/connectors"
	bucketmem "github.com/thalweg/thalweg/storage/memory"
	"github.com/thalweg/thalweg/worker/stream/engine"
	"github.com/thalweg/thalweg/worker/stream/scorer"
)

// silent is a topic whose events are there and do not come, as behind an open
// transaction.
type silent struct{ connectors.Source }

func (silent) Topic(context.Context) (connectors.Topic, error) {
	return connectors.Topic{Partitions: 1}, nil
}
func (silent) Bounds(context.Context, int) (int64, int64, error) { return 0, 10, nil }
func (silent) Fetch(_ context.Context, _ int, offset int64, wait time.Duration, _ int, dst *connectors.Records) error {
	time.Sleep(wait) // virtual
	dst.Reset()
	dst.Next, dst.End = offset, 10
	return nil
}

func TestAReplayThatMakesNoProgressSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		m := &Manifest{Pipeline: "p", Generation: 1, Topic: topic, Candidate: engine.Candidate{Model: engine.Model{Name: "m", Version: 1}}, Partitions: []Range{{To: 10}}, BegunAtUS: 1}
		r := New(m, silent{}, bucketmem.New(), "r/", trained(t, 1), slog.New(slog.NewTextHandler(&log, nil)), Config{Score: scorer.Config{DrainTimeout: time.Second}})
		ctx, stop := context.WithTimeout(t.Context(), 25*time.Second)
		defer stop()
		if err := r.Run(ctx); err == nil {
			t.Error("it ended well")
		}
		if n := strings.Count(log.String(), "makes no progress"); n != 1 || !strings.Contains(log.String(), "a transaction may be open") {
			t.Errorf("it said so %d times:\n%s", n, &log)
		}
	})
}
