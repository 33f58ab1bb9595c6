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
	now := time.Now()
	enough := func() func(sum, file *monitor.Sketch) bool { return settled(time.Duration(want.Window), windows, now) }
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
	all := monitor.NewSum()
	for _, part := range parts {
		if err := all.Merge(part); err != nil {
			return nil, err
		}
	}
	known := make(map[thalweg.ModelVersion]func() (*monitor.Reference, error))
	ahead := all.DropAhead(now)
	report := monitor.Judge(all, want, windows, func(v thalweg.ModelVersion) (*monitor.Reference, error) {
		if known[v] == nil {
			known[v] = sync.OnceValues(func() (*monitor.Reference, error) { return of(v) })
		}
		return known[v]()
	})
	report.Ahead = ahead
	return report, nil
}

const (
	// quietFiles is how many files, one after the other, have no row of the newest windows
	// before it is taken that older ones have none: rows by event time come late.
	quietFiles = 2
	// deadWindows is after how many times the wanted windows it is not looked further for rows
	// where there are only dead letters.
	deadWindows = 16
)

// settled returns what tells, file by file, when older files add nothing to the newest windows.
func settled(width time.Duration, windows int, now time.Time) func(sum, file *monitor.Sketch) bool {
	quiet := 0
	return func(sum, file *monitor.Sketch) bool {
		from, ok := sum.Newest(width, windows, now)
		if !ok {
			return sum.Spans(width) > deadWindows*windows
		}
		if newest, has := file.Newest(width, 1, now); has && newest >= from {
			quiet = 0
		} else {
			quiet++
		}
		return quiet >= quietFiles
	}
}
