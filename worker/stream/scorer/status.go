package scorer

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// Status is where a Scorer stands. Offsets are -1 while they are not known.
type Status struct {
	State     string
	Committed int64 // next offset after the last finished slot
	Scored    int64 // next offset after the last scored event
	End       int64 // next offset of the topic, while the scorer rests too
	// Oldest is the timestamp of the first event that is not scored, as its topic has it,
	// microseconds since 1970 UTC; 0: all are scored, -1: not known.
	Oldest int64

	Rows        int64  // committed since the log began
	DeadLetters int64  // likewise
	Missing     int64  // offsets given up, likewise
	TopicID     string // which topic the offsets are of; empty: not known
	// Lost is the authorization that would give up what is lost, nil if nothing is.
	Lost *SkipAuthorization

	RowsPerSecond float64
	Model         engine.Model // that scores new events; zero if none does yet
	Partitions    int          // of the topic; 0: not known
	// Refusals are the candidates that cannot be loaded, the best first.
	Refusals []Refusal
	// Tripped says why the scorer rests until Resume: too many events were dead
	// letters. Empty if it does not.
	Tripped string
	// Begun says that the log is read, and that no claim found in it is unfinished.
	Begun bool
	// Message says why it waits, what keeps failing, or why it stopped.
	Message string
	// P50 and P99 are quantiles of the time from an event's timestamp to its
	// prediction, since Run began, to within 10 %.
	P50, P99 time.Duration
	// RowsTopic is the topic that rows are sent to, empty for none, and Sent how many are
	// there since Run began. SentP50 and SentP99 are quantiles of the time from an event's
	// timestamp to when its row was committed there.
	RowsTopic        string
	Sent             int64
	SentP50, SentP99 time.Duration
}

// Refusal is a version that was not taken, and why.
type Refusal struct {
	Model  engine.Model
	Reason string
	// Champion: in a rollout it is the champion that cannot be loaded, no fault of the candidate.
	Champion bool
}

// Status returns where the scorer stands. It may be called at any time.
func (s *Scorer) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	status := s.mu.status
	status.Refusals = slices.Clone(status.Refusals)
	status.P50, status.P99 = s.latency.quantile(0.5), s.latency.quantile(0.99)
	if s.cfg.Rows != nil {
		status.RowsTopic, status.Sent = s.cfg.Rows.Topic, s.sent.rows.Load()
		status.SentP50, status.SentP99 = s.sent.latency.quantile(0.5), s.sent.latency.quantile(0.99)
	}
	return status
}

// report publishes the status after a step and logs what has changed.
func (r *runner) report(before *engine.Candidate) {
	m := r.machine
	end, unknown := r.end()
	waits := ""
	if r.cfg.Memory.Waits() {
		waits = "fetching waits for memory"
	}
	status := Status{State: thalweg.StreamRunning, Committed: m.slots.committed, Scored: m.slots.scoredTo(), End: end, Oldest: r.oldest(end), Rows: m.slots.totals.Scored, DeadLetters: m.slots.totals.Dead,
		Missing: m.slots.totals.Missing, TopicID: m.source.topicID,
		RowsPerSecond: r.rate.perSecond(r.clock()), Partitions: r.partitions, Tripped: m.rate.tripped, Begun: m.running() && !m.halted, Message: m.message(waits, unknown)}
	if m.versions.current != nil {
		status.Model = m.versions.current.Model
	}
	if in := m.slots.claim; in != nil && in.Action == commitlog.Score {
		status.Model = engine.ModelOf(in)
	}
	if m.loss.found != nil && m.skippable() {
		lost := m.missing()
		status.Lost = &lost
	}
	switch {
	case m.halted:
		status.State = thalweg.StreamStopped
	case m.recovering():
	case m.running() && (m.paused || m.rate.tripped != ""):
		status.State = thalweg.StreamPaused
	case !m.running() || m.versions.current == nil:
		status.State = thalweg.StreamWaiting
	}
	for _, c := range m.versions.candidates {
		if r, bad := m.versions.refused[c.Model]; bad {
			status.Refusals = append(status.Refusals, Refusal{c.Model, r.why, r.champion})
		}
	}
	if m.versions.current != nil && (before == nil || before.Model != m.versions.current.Model) {
		r.log.Info("scoring with a new model version", slog.String(keyModel, m.versions.current.String()), slog.Int64(keyFrom, m.slots.scoredTo()))
	}
	for o := range nOps {
		t := m.Retry(o)
		if failing := t.Failures > 0; failing != r.failing[o] {
			r.failing[o] = failing
			if failing {
				r.log.Warn("trying again until it works", slog.String(keyOp, o.String()), slog.Any(keyError, t.Err))
			} else {
				r.log.Info("works again", slog.String(keyOp, o.String()))
			}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.asked.resumed {
		status.Tripped = "" // whoever called Resume must not take it for a new one
	}
	r.mu.status = status
}

// message says what keeps the machine from scoring, or will, and what more there
// is to say.
func (m *partition) message(more ...string) string {
	var parts []string
	in := m.slots.claim
	switch {
	case m.halted:
	case !m.slots.opened && m.Retry(opOpen).Failures == 0:
		parts = append(parts, "reading the log")
	case in != nil && in.Action == commitlog.Compact:
		parts = append(parts, fmt.Sprintf("finishing the compaction of slots [%d, %d)", in.Slots[0], in.Slots[1]))
	case in != nil:
		parts = append(parts, fmt.Sprintf("carrying out the claim of offsets [%d, %d) with %s", in.From, in.To, engine.ModelOf(in)))
	case m.running() && m.versions.current == nil && len(m.versions.candidates) == 0:
		parts = append(parts, "no model version is registered yet")
	case m.running() && m.versions.current == nil && m.versions.wanted() == nil:
		parts = append(parts, "no registered model version can be loaded: "+m.versions.refused[m.versions.candidates[0].Model].why+m.again())
	}
	if m.rate.tripped != "" {
		parts = append(parts, m.rate.tripped)
	}
	if m.rate.tripped == "" {
		parts = append(parts, m.yield.messages(m.slots.totals.Scored)...)
	}
	if err := m.merges.failed; err != nil {
		parts = append(parts, "files are not merged: "+err.Error())
	}
	for o := range nOps {
		if t := m.Retry(o); t.Failures > 0 && o != opCommit {
			text := t.Err.Error()
			if thalweg.Is(t.Err, thalweg.NotFound) && (o == opStart || o == opFetch) {
				text = "waiting for the topic: " + text
			}
			parts = append(parts, fmt.Sprintf("%s (%d tries)", text, t.Failures))
		}
	}
	if want := m.versions.wanted(); len(m.versions.candidates) > 0 && want != nil && want.Model != m.versions.candidates[0].Model {
		parts = append(parts, fmt.Sprintf("%s is refused, %s serves: %s%s", m.versions.candidates[0].Model, want.Model, m.versions.refused[m.versions.candidates[0].Model].why, m.again()))
	}
	text := strings.Join(parts, "; ")
	for _, part := range more {
		// A cause that stands there already is not told again.
		if _, cause, _ := strings.Cut(part, ": "); part != "" && (cause == "" || !strings.Contains(text, cause)) {
			text = strings.TrimPrefix(text+"; "+part, "; ")
		}
	}
	return text
}

// again says what becomes of a refused version.
func (m *partition) again() string {
	if m.versions.gaveUp(m.versions.candidates[0].Model) {
		return fmt.Sprintf(" (it is tried again by `thalweg stream resume %s`)", m.cfg.Pipeline)
	}
	return fmt.Sprintf(" (it is tried again every %v at most, and at once by `thalweg stream resume %s`)", maxRefusalPauses*m.cfg.MaxBackoff, m.cfg.Pipeline)
}

// rate measures events a second over windows of a second or more.
type rate struct {
	began time.Time
	n     int
	last  float64
}

func (r *rate) perSecond(now time.Time) float64 {
	if r.began.IsZero() {
		r.began = now
	}
	if d := now.Sub(r.began); d >= time.Second {
		r.last = float64(r.n) / d.Seconds()
		r.began, r.n = now, 0
	}
	return r.last
}
