package scorer

import (
	"time"

	"github.com/thalweg/thalweg/tracing"
)

// maxFetches bounds the fetches that are kept until their records are scored; of more,
// the oldest are in no trace.
const maxFetches = 64

// fetched is a fetch that brought records.
type fetched struct {
	began, ended   time.Time
	from, next     int64
	records, bytes int64
}

// slotSpan is what all spans of a slot are children of.
const slotSpan = "slot"

// traceOf returns the trace of a slot, which whoever carries out its claim finds too.
func (r *runner) traceOf(s *span) tracing.TraceID {
	return tracing.TraceOf(slotSpan, r.cfg.Pipeline, r.cfg.Topic, s.topicID, r.cfg.Partition, s.from)
}

// traceClock returns the time where there are traces, which is when they need it.
func (r *runner) traceClock() (now time.Time) {
	if r.cfg.Traces != nil {
		now = r.clock()
	}
	return now
}

// traceFetch keeps a fetch until its records are scored, since it is not known before of
// which slot they are.
func (r *runner) traceFetch(f fetched) {
	if r.cfg.Traces == nil || f.records == 0 {
		return
	}
	if len(r.fetches) == maxFetches {
		r.fetches = append(r.fetches[:0], r.fetches[1:]...)
	}
	r.fetches = append(r.fetches, f)
}

// traceScore sends the span of a micro-batch, and those of the fetches before it.
func (r *runner) traceScore(s *span, began, ended time.Time, from, to int64, events int) {
	if r.cfg.Traces == nil {
		return
	}
	for _, f := range r.fetches {
		if s.began.IsZero() {
			s.began = f.began
		}
		r.traceStep(s, "fetch", f.began, f.ended, nil, tracing.FromOffset.Int(f.from), tracing.ToOffset.Int(f.next), tracing.Events.Int(f.records), tracing.Bytes.Int(f.bytes))
	}
	r.fetches = r.fetches[:0]
	if s.began.IsZero() {
		s.began = began
	}
	r.traceStep(s, "score", began, ended, nil, tracing.FromOffset.Int(from), tracing.ToOffset.Int(to), tracing.Events.Int(int64(events)))
}

// traceCommit sends the span of a step of a slot's commit. The last one ends the slot.
func (r *runner) traceCommit(job slotJob, name string, began time.Time, err error) {
	s, scored := job.(*span)
	if r.cfg.Traces == nil || !scored {
		return
	}
	r.traceStep(s, name, began, r.clock(), err)
	if name != commitStep || err != nil {
		return
	}
	of := r.traceOf(s)
	if s.began.IsZero() {
		s.began = began
	}
	r.cfg.Traces.Record(tracing.Span{Trace: of, ID: tracing.SpanOf(of, slotSpan), Name: slotSpan, From: s.began, To: r.clock(), Attributes: append(r.attributesOf(s),
		tracing.FromOffset.Int(s.from), tracing.ToOffset.Int(s.to), tracing.Rows.Int(s.done.Scored))})
}

// commitStep is the name of the last step of a commit.
const commitStep = "commit"

func (r *runner) traceStep(s *span, name string, began, ended time.Time, err error, attributes ...tracing.Attribute) {
	of, failure := r.traceOf(s), ""
	if err != nil {
		failure = err.Error()
	}
	r.cfg.Traces.Record(tracing.Span{Trace: of, Parent: tracing.SpanOf(of, slotSpan), Name: name, From: began, To: ended, Err: failure, Attributes: append(r.attributesOf(s), attributes...)})
}

func (r *runner) attributesOf(s *span) []tracing.Attribute {
	return []tracing.Attribute{tracing.Pipeline.String(string(r.cfg.Pipeline)), tracing.Topic.String(r.cfg.Topic), tracing.Partition.Int(int64(r.cfg.Partition)),
		tracing.Version.Int(int64(s.model.Version))}
}
