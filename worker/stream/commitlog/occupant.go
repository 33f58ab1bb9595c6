package commitlog

import (
	"context"
	"fmt"
	"strings"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
)

// ReplayMark is the object that says that the rows of a replay are under its prefix.
const ReplayMark = "_replay.json"

// TableMark is the object that says whose the table under its prefix is, which runs
// write whole.
const TableMark = "_table.json"

// logDir is where below a sink the logs are.
const logDir = "_log/"

// Around returns an object that makes a folder above a prefix the sink of a stream, of a
// replay or of a table; "" if there is none.
func Around(ctx context.Context, b storage.Bucket, prefix string) (key string, err error) {
	for above := prefix; above != ""; {
		above = above[:strings.LastIndexByte(strings.TrimSuffix(above, "/"), '/')+1]
		for _, mark := range []string{logDir, ReplayMark, TableMark} {
			for info, err := range b.List(ctx, above+mark, "") {
				return info.Key, err
			}
		}
	}
	return "", nil
}

// CheckSink makes sure that a prefix is in no other sink, and has no log of another
// pipeline, no replay and no table. Errors: Conflict naming what is there.
func CheckSink(ctx context.Context, b storage.Bucket, prefix string, pipeline thalweg.PipelineName) error {
	taken := func(format string, args ...any) error {
		return &thalweg.Error{Op: "open sink", Kind: thalweg.Conflict, Subject: prefix, Err: fmt.Errorf(format, args...),
			Hint: "give scoring.sink.s3.path a prefix of its own, or delete what is there if nobody needs it"}
	}
	key, err := Around(ctx, b, prefix)
	switch kind := thalweg.KindOf(err); {
	case kind.Transient() || kind == thalweg.Canceled:
		return err
	case err != nil: // who writes below a prefix need not have keys for what is above
	case key != "":
		return taken("it lies in another sink: %s is there", key)
	}
	for mark, what := range map[string]string{ReplayMark: "the rows of a replay are", TableMark: "a table that runs write is"} {
		for info, err := range b.List(ctx, prefix+mark, "") {
			if err != nil {
				return err
			}
			return taken("%s there: %s", what, info.Key)
		}
	}
	for info, err := range b.List(ctx, prefix+logDir, "") {
		if err != nil || !strings.HasSuffix(info.Key, intentSuffix) {
			if err != nil {
				return err
			}
			continue
		}
		body, _, err := b.Get(ctx, info.Key)
		if err != nil {
			return err
		}
		if in, err := DecodeIntent(body); err == nil && in.Pipeline != pipeline {
			return taken("pipeline %s has put its rows there: %s is of it", in.Pipeline, info.Key)
		}
		return nil // whoever opens a log finds out what is wrong with it
	}
	return nil
}
