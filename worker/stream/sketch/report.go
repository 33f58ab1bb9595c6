package sketch

import (
	"context"
	"sync"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/monitor"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

// readers is how many partitions are read at once.
const readers = 8

// Report says what the newest so many windows of all partitions of a stream come to.
func Report(ctx context.Context, bucket storage.Bucket, logs []commitlog.Config, want pipeline.Drift, windows int, of monitor.References) (*monitor.Report, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// One more tells that those before are complete.
	enough := func(s *monitor.Sketch) bool { return s.Spans(time.Duration(want.Window)) > windows }
	parts := make([]*monitor.Sketch, len(logs))
	var work sync.WaitGroup
	turns := make(chan struct{}, readers)
	for i, log := range logs {
		turns <- struct{}{}
		work.Go(func() {
			defer func() { <-turns }()
			var err error
			if parts[i], err = Read(ctx, bucket, log, enough); err != nil {
				cancel(err)
			}
		})
	}
	work.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	all := new(monitor.Sketch)
	for _, part := range parts {
		if err := all.Merge(part); err != nil {
			return nil, err
		}
	}
	known := make(map[thalweg.ModelVersion]func() (*monitor.Reference, error))
	return monitor.Judge(all, want, windows, func(v thalweg.ModelVersion) (*monitor.Reference, error) {
		if known[v] == nil {
			known[v] = sync.OnceValues(func() (*monitor.Reference, error) { return of(v) })
		}
		return known[v]()
	}), nil
}
