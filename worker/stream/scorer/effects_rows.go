package scorer

import (
	"context"
	"sync/atomic"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// sentRows counts what got to the topic of rows since Run began.
type sentRows struct {
	rows    atomic.Int64
	latency latency // from an event's timestamp to when its row was committed there
}

// openedRows learns what the log tells of rows in a topic: the line that they are
// sent in and, where they go to another topic than the spec has, which generation
// sends them.
func (r *runner) openedRows(ctx context.Context, state commitlog.State) (generation thalweg.Generation, err error) {
	ours := ""
	if r.cfg.Rows != nil {
		ours = r.cfg.Rows.Topic
		r.line.Store(nil)
		switch {
		case state.NextSeq > 0:
			first, err := r.logbook.Entry(ctx, 0)
			if err != nil {
				return 0, err
			}
			r.line.Store(&first.Intent.ID)
		case state.Pending != nil:
			r.line.Store(&state.Pending.ID)
		}
	}
	if state.RowsTopic == ours || state.RowsTopic == "" {
		return 0, nil
	}
	for seq := state.NextSeq; seq > 0; seq-- {
		e, err := r.logbook.Entry(ctx, seq-1)
		if err != nil || e.Intent.Action == commitlog.Score {
			return e.Intent.SpecGeneration, err
		}
	}
	return 0, nil
}

func (r *runner) reachRows(e reachRows) {
	r.do(func(ctx context.Context) event {
		line := r.line.Load()
		if line == nil {
			return rowsReached{epoch: e.epoch, err: &thalweg.Error{Op: "learn which rows are in their topic", Kind: thalweg.Unavailable, Hint: "the log has no claim yet"}}
		}
		at, err := r.cfg.Rows.Appender.Begin(ctx, *line)
		return rowsReached{e.epoch, at, r.cfg.Rows.Group + "-" + (*line)[:min(len(*line), 16)], err}
	})
}

func (r *runner) sendRows(e sendRows) {
	var out engine.Outgoing
	if e.span != nil {
		out = e.span.outgoing // what is scored meanwhile is appended behind
	}
	r.do(func(ctx context.Context) event {
		err := r.cfg.Rows.Appender.Append(ctx, e.to, out.Messages)
		if err == nil {
			r.sent.rows.Add(int64(len(out.Messages)))
			r.sent.latency.observe(r.clock().UnixMicro(), out.Timestamps)
		}
		return rowsSent{e.epoch, err}
	})
}
