// Package purge removes what a pipeline's streams have left below a sink: the
// table, rows, dead letters and logs, in this order, so that the logs tell whose it
// all is until it is gone. A purge that was killed is continued by another.
package purge

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/table/delta"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

// The names that streams give to directories and objects. Nothing else is removed,
// whatever lies beside it.
var (
	logName    = regexp.MustCompile(`^[^/]+/\d{5}(?:-replay)?/\d{12}\.(?:intent|done)\.json$`)
	countsName = regexp.MustCompile(`^\d{12}\.json$`)
	slotName   = regexp.MustCompile(`^\d{12}-\d{19}-\d{19}-[0-9a-f]{32}-\d\d(?:\.parquet|\.jsonl|/[^/]+/rows\.parquet)$`)
)

// first is the record that tells whose a log is, the last that is removed.
const first = "000000000000.intent.json"

// Sink removes what a pipeline has written below a prefix (empty, or ending in a
// slash). It removes nothing there if any of the logs is not the pipeline's
// (Conflict), or does not say whose it is (Corrupt).
func Sink(ctx context.Context, b storage.Bucket, prefix string, pipeline thalweg.PipelineName) (done storage.Removed, err error) {
	logs, err := logsOf(ctx, b, prefix, pipeline)
	if err != nil || len(logs) == 0 {
		return done, err
	}
	remove := func(below string, chosen func(name string) bool) {
		if err != nil {
			return
		}
		var removed storage.Removed
		removed, err = storage.Remove(ctx, b, below, func(key string) bool { return chosen(key[len(below):]) })
		done.Add(removed)
	}
	remove(delta.Layout(prefix).LogDir(), func(string) bool { return true })
	for _, kind := range []string{"data/", "_dead/"} {
		for _, log := range logs {
			remove(prefix+kind+log, slotName.MatchString)
		}
	}
	for _, log := range logs {
		remove(prefix+"_monitor/"+log, countsName.MatchString)
	}
	isRecord := func(log string, last bool) func(string) bool {
		return func(name string) bool { return logName.MatchString(log+name) && (name == first) == last }
	}
	for _, log := range logs {
		remove(prefix+"_log/"+log, isRecord(log, false))
		remove(prefix+"_log/"+log, isRecord(log, true))
	}
	return done, err
}

// logsOf returns the directories of the logs below a prefix, <topic>/<partition>/.
func logsOf(ctx context.Context, b storage.Bucket, prefix string, pipeline thalweg.PipelineName) (logs []string, err error) {
	below := prefix + "_log/"
	for after := ""; ; {
		log := ""
		for info, err := range b.List(ctx, below, after) {
			if err != nil {
				return nil, err
			}
			if name := info.Key[len(below):]; logName.MatchString(name) {
				log = name[:strings.LastIndexByte(name, '/')+1]
				break
			}
		}
		if log == "" {
			return logs, nil
		}
		if err := checkOwner(ctx, b, below+log, pipeline); err != nil {
			return nil, err
		}
		logs = append(logs, log)
		after = strings.TrimSuffix(below+log, "/") + "/~" // behind all its records
	}
}

// checkOwner reports whether a log is the pipeline's.
func checkOwner(ctx context.Context, b storage.Bucket, log string, pipeline thalweg.PipelineName) error {
	body, _, err := b.Get(ctx, log+first)
	if err != nil && !thalweg.Is(err, thalweg.NotFound) {
		return err
	}
	intent, damaged := commitlog.DecodeIntent(body)
	switch {
	case err != nil || damaged != nil:
		return &thalweg.Error{Op: "purge", Kind: thalweg.Corrupt, Subject: log + first, Err: fmt.Errorf("the log does not tell whose it is"),
			Hint: "`thalweg fsck` says what is wrong; what is below its sink has to be removed by hand"}
	case intent.Pipeline != pipeline:
		return &thalweg.Error{Op: "purge", Kind: thalweg.Conflict, Subject: log, Err: fmt.Errorf("the log is that of pipeline %s", intent.Pipeline),
			Hint: "nothing of a sink that another pipeline writes to is removed"}
	}
	return nil
}
