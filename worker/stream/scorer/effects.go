package scorer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"math/rand/v2"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/compact"
	"github.com/thalweg/thalweg/worker/stream/crash"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// commitTimeout bounds the writing of a group offset, which nothing waits for.
const commitTimeout = 10 * time.Second

// maxFetchWait bounds how long a fetch of a partition waits to which nothing comes.
const maxFetchWait = 10 * time.Second

// maxQuiet bounds the doublings of a fetch's wait.
const maxQuiet = 10

// keepEngines is how many versions are kept ready to score: the one in use, the one
// before it whose last rows are being committed, and one to recover with.
const keepEngines = 3

func newJitter() *rand.Rand { return rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())) }

// carryOut starts an effect, or does it at once where it only concerns the
// runner.
func (r *runner) carryOut(e effect) {
	switch e := e.(type) {
	case openLog:
		r.do(func(ctx context.Context) event {
			state, err := r.logbook.Open(ctx)
			r.finished(state, err)
			if err == nil && state.Pending != nil {
				err = r.cfg.Hook.Do(ctx, crash.Recover, func() error { return nil })
			}
			var generation thalweg.Generation
			if err == nil {
				generation, err = r.openedRows(ctx, state)
			}
			return logOpened{state, generation, err}
		})
	case findStart:
		at := e.at
		if at < 0 && r.cfg.Range != nil {
			at = r.cfg.Range.From
		}
		r.do(func(ctx context.Context) event {
			offset, topicID, err := r.findStart(ctx, at)
			if r.cfg.Range != nil && r.cfg.Range.TopicID != "" {
				topicID = r.cfg.Range.TopicID // a fetch tells if the name is another's by now
			}
			return startFound{offset, topicID, err}
		})
	case loadModel:
		r.load(e.model, e.claimed)
	case fetch:
		r.fetch(e)
	case cancelFetch:
		if r.cancelFetch != nil {
			r.cancelFetch()
		}
	case score:
		r.score(e)
	case reset:
		r.backlog.Reset()
		for _, job := range e.dropped {
			r.release(job)
		}
	case refetch:
		r.backlog.Reset()
	case commit:
		r.commit(e)
	case release:
		r.release(e.job)
	case commitOffset:
		r.do(func(ctx context.Context) event {
			ctx, cancel := context.WithTimeout(ctx, commitTimeout)
			defer cancel()
			return offsetCommitted{r.source.Commit(ctx, r.cfg.Partition, e.next)}
		})
	case readRuns:
		r.do(func(ctx context.Context) event {
			runs, err := compact.ReadTail(ctx, r.logbook, math.MaxUint64)
			return runsRead{e.epoch, runs, err}
		})
	case sweep:
		r.sweep(e)
	case reachRows:
		r.reachRows(e)
	case sendRows:
		r.sendRows(e)
	case forgetRows:
		for _, s := range []*span{r.machine.slots.open, r.machine.slots.closing} {
			if s != nil {
				s.outgoing.DropBefore(e.before)
			}
		}
	case stop:
		r.stopped, r.err = true, e.err
	}
}

// do has work done beside the loop whose outcome is an event alone.
func (r *runner) do(work func(ctx context.Context) event) {
	r.spawn(func(ctx context.Context) func() event {
		ev := work(ctx)
		return func() event { return ev }
	})
}

// finished tells who wants to know how many slots are finished.
func (r *runner) finished(state commitlog.State, err error) {
	if err == nil && r.cfg.Finished != nil {
		r.cfg.Finished(state.NextSeq)
	}
}

func (r *runner) load(m engine.Model, claimed bool) {
	ready := r.engines[m]
	r.spawn(func(ctx context.Context) func() event {
		var err error
		if ready == nil {
			ready, err = r.prepare(ctx, m)
		}
		if err == nil && !claimed {
			err = engine.Protects(ctx, r.models, m, r.cfg.Schema)
		}
		return func() event {
			if err == nil {
				maps.DeleteFunc(r.engines, func(old engine.Model, _ engine.Engine) bool {
					return len(r.engines) >= keepEngines && !r.machine.needs(old)
				})
				r.engines[m] = ready
				r.backlog.Want |= ready.Needs()
			}
			return modelLoaded{m, err, claimed}
		}
	})
}

func (r *runner) fetch(e fetch) {
	buffer := r.backlog.Buffer()
	buffer.TopicID, buffer.LeaderEpoch = e.topicID, e.leaderEpoch
	ctx, cancel := context.WithCancel(r.ctx)
	r.cancelFetch = cancel
	wait := min(r.cfg.FetchWait<<r.quiet, max(r.cfg.FetchWait, maxFetchWait))
	r.spawn(func(context.Context) func() event {
		began := r.traceClock()
		most, err := r.cfg.Memory.Reserve(ctx, r.cfg.FetchBytes)
		if err == nil {
			err = r.source.Fetch(ctx, r.cfg.Partition, e.from, wait, most, buffer)
		} else {
			buffer.Reset()
		}
		cancel()
		ended := r.traceClock()
		if err == nil {
			if wrong := buffer.CheckFrom(e.from); wrong != nil {
				err = &thalweg.Error{Op: "fetch", Kind: thalweg.Corrupt, Subject: fmt.Sprintf("%s/%d", r.cfg.Topic, r.cfg.Partition), Err: wrong}
			}
		}
		return func() event {
			ev := recordsFetched{epoch: e.epoch, records: buffer.Len(), bytes: int64(buffer.SizeBytes()), next: buffer.Next, end: buffer.End, leaderEpoch: buffer.LeaderEpoch, err: err}
			if thalweg.Is(err, thalweg.Lost) && e.epoch == r.machine.epoch { // the spec may let it go on
				r.log.Warn("the topic lost offsets", slog.Any(keyError, err))
			}
			if err != nil || e.epoch != r.machine.epoch {
				r.backlog.Recycle(buffer)
			} else {
				r.backlog.Add(buffer)
				r.traceFetch(fetched{began, ended, e.from, ev.next, int64(ev.records), ev.bytes})
			}
			r.quiet = min(r.quiet+1, maxQuiet)
			if err != nil || ev.next > e.from {
				r.quiet = 0
			}
			r.cfg.Memory.Fetched(ev.bytes, r.backlog.SizeBytes(), r.machine.source.bytes+ev.bytes)
			return ev
		}
	})
}

func (r *runner) score(e score) {
	s := e.span
	if s.rows == nil {
		s.rows = &engine.Rows{Topic: r.cfg.Topic, Partition: r.cfg.Partition, Generation: s.generation, PartitionBy: s.partitionBy, To: e.cut.From}
	}
	rows := s.rows
	if rows.Watch = r.cfg.Watch; r.cfg.Range != nil { // what is replayed was counted
		rows.Watch = nil
	}
	if rows.Model != s.model {
		rows.Model, rows.Engine = s.model, r.engines[s.model] // there are no events in it yet
	}
	rows.Settled = s.limit >= 0 || s.pinned()
	rows.Generation = s.generation // likewise: it changes with a pin that is over
	rows.Send = nil
	if s.sends {
		rows.Send = &engine.Outgoing{ScoredAt: s.scoredAt, From: max(r.machine.rows.sent, 0)}
	}
	b := r.backlog.Take(e.cut)
	r.scoring = s
	r.spawn(func(ctx context.Context) func() event {
		gaps, dead, candidate := len(rows.Gaps), rows.Rejected, rows.OfCandidate
		rows.Unfit, rows.Notes = nil, nil
		began := r.traceClock()
		var err error
		if rows.Engine == nil {
			err = &thalweg.Error{Op: "score", Subject: rows.Model.String(), Err: errors.New("the version is not loaded")}
		} else if err = rows.Engine.Prepare(ctx, b, r.cfg.Partition); err == nil { // which may wait, and holds no core
			err = r.cfg.Memory.Score(ctx, b.Bytes, func() error {
				return r.cfg.Hook.Do(ctx, crash.Score, func() error { return rows.Engine.Score(ctx, b, rows) })
			})
		}
		if err == nil {
			r.latency.observe(r.clock().UnixMicro(), b.Timestamps())
		}
		ended := r.traceClock()
		gaps, dead = len(rows.Gaps)-gaps, rows.Rejected-dead
		return func() event {
			r.scoring = nil
			r.backlog.GiveBack()
			if errors.Is(err, engine.ErrRefetch) {
				return batchScored{epoch: e.epoch, needsRefetch: true}
			}
			ev := batchScored{epoch: e.epoch, records: b.Len(), bytes: b.Bytes, to: b.To, leaderEpoch: b.LeaderEpoch, dead: int(dead), candidate: [2]int{int(rows.OfCandidate.Events - candidate.Events), int(rows.OfCandidate.Dead - candidate.Dead)}, why: rows.LastReason, unfit: rows.Unfit, notes: rows.Notes, gaps: gaps, cut: rows.Full, err: err}
			switch {
			case e.epoch != r.machine.epoch:
				s.rows.Release()
			case err == nil:
				r.traceScore(s, began, ended, e.cut.From, b.To, b.Len())
				if times := b.Timestamps(); len(times) > 0 {
					r.newest = times[len(times)-1]
				}
				r.backlog.Drop(ev.records)
				if rows.Send != nil {
					ev.unsent = rows.Send.Bytes
					s.outgoing.Append(rows.Send)
				}
				before := s.rowBytes
				s.rowBytes = rows.SizeBytes()
				r.cfg.Memory.Scored(b.Bytes, s.rowBytes-before)
				r.rate.n += ev.records
			}
			return ev
		}
	})
}

// findStart returns which topic there is, and where in it the stream begins,
// unless at says so.
func (r *runner) findStart(ctx context.Context, at int64) (offset int64, topicID string, err error) {
	if k, knows := r.source.(connectors.Keeper); knows {
		if err := k.CheckKept(ctx); err != nil {
			return 0, "", err
		}
	}
	topic, err := r.source.Topic(ctx)
	if err != nil || at >= 0 {
		return at, topic.ID, err
	}
	first, next, err := r.source.Bounds(ctx, r.cfg.Partition)
	if err != nil {
		return 0, "", err
	}
	// The bounds are those of whatever had the name just then.
	again, err := r.source.Topic(ctx)
	if err == nil && again.ID != topic.ID {
		err = &thalweg.Error{Op: "find start", Kind: thalweg.Unavailable, Subject: r.cfg.Topic, Err: errors.New("the topic is being made anew")}
	}
	if r.cfg.StartOffset == Latest {
		first = next
	}
	return first, topic.ID, err
}
