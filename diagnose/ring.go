package diagnose

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
)

// Bounds of the log lines that are kept.
const (
	// ringBytes is what all lines take: hours of a steady cluster, and next to nothing of
	// a process.
	ringBytes = 512 << 10
	// lineBytes is how much of a line is kept.
	lineBytes = 8 << 10
)

// Ring keeps the newest lines of a log in memory. It may be used concurrently.
type Ring struct {
	mu struct {
		sync.Mutex
		lines [][]byte
		bytes int
	}
}

// Write takes a line, as slog's handlers write them.
func (r *Ring) Write(line []byte) (int, error) {
	kept := bytes.Clone(line)
	if len(kept) > lineBytes {
		kept = append(kept[:lineBytes:lineBytes], "…\n"...)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.lines = append(r.mu.lines, kept)
	r.mu.bytes += len(kept)
	for r.mu.bytes > ringBytes {
		r.mu.bytes -= len(r.mu.lines[0])
		r.mu.lines = r.mu.lines[1:]
	}
	return len(line), nil
}

// Lines returns the lines that are kept, the oldest first; they are not to be changed.
func (r *Ring) Lines() [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([][]byte(nil), r.mu.lines...)
}

// Keeping returns a logger that writes where log does, and into the ring what log writes,
// from Info on.
func (r *Ring) Keeping(log *slog.Logger) *slog.Logger {
	return slog.New(&both{log.Handler(), slog.NewTextHandler(r, nil)})
}

// both hands records to two handlers.
type both struct{ first, second slog.Handler }

func (b *both) Enabled(ctx context.Context, l slog.Level) bool {
	return b.first.Enabled(ctx, l) || b.second.Enabled(ctx, l)
}

func (b *both) Handle(ctx context.Context, r slog.Record) error {
	if b.second.Enabled(ctx, r.Level) {
		_ = b.second.Handle(ctx, r.Clone()) // a Ring takes everything
	}
	if !b.first.Enabled(ctx, r.Level) {
		return nil
	}
	return b.first.Handle(ctx, r)
}

func (b *both) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &both{b.first.WithAttrs(attrs), b.second.WithAttrs(attrs)}
}

func (b *both) WithGroup(name string) slog.Handler {
	return &both{b.first.WithGroup(name), b.second.WithGroup(name)}
}
