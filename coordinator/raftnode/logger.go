package raftnode

import (
	"context"
	"io"
	"log/slog"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
)

// newLogger returns a logger for raft whose messages go to log.
func newLogger(log *slog.Logger, stopping *atomic.Bool) hclog.Logger {
	l := hclog.NewInterceptLogger(&hclog.LoggerOptions{Name: "raft", Level: hclog.Info, Output: io.Discard})
	l.RegisterSink(sink{log, stopping})
	return l
}

// sink receives raft's messages.
type sink struct {
	log      *slog.Logger
	stopping *atomic.Bool
}

// Accept passes one message on, a level lower than raft has it: an election is
// news to raft, and every lost connection an error, but of the coordinator they
// are details; once this node stops, all of it is.
func (s sink) Accept(_ string, level hclog.Level, msg string, args ...any) {
	to := slog.LevelDebug
	switch {
	case s.stopping.Load():
	case level == hclog.Warn:
		to = slog.LevelInfo
	case level == hclog.Error:
		to = slog.LevelWarn
	}
	s.log.Log(context.Background(), to, msg, args...)
}
