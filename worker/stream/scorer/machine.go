package scorer

import (
	"math/rand/v2"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/retry"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/compact"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// phase is how far the machine has come. The order means progress.
type phase uint8

const (
	opening    phase = iota // reading the end of the log
	recovering              // carrying out a claim that was found unfinished
	starting                // looking for the first offset of a stream without a log
	running                 // scoring
	stopped
)

// machineConfig is what the machine needs of Config, with defaults applied.
type machineConfig struct {
	generation     thalweg.Generation
	partition      string // column by whose days rows are split
	batching       Limits
	rolling        Limits
	compaction     compact.Config
	backlogBytes   int64   // of records fetched and not scored, beyond which none are fetched
	backlogEvents  int     // likewise
	maxRate        float64 // share of events that may be dead letters, 0: any
	outbox         bool    // dead letters go to a topic too
	onLost         string  // Fail, Earliest or Latest
	pipeline       thalweg.PipelineName
	topicPartition int
	backoff        retry.Backoff
	until          int64 // offset before which everything is scored, and then no more; 0: no end
	scoredAt       int64 // of every claim instead of the clock; 0: the clock
}

// machine decides everything about one partition and does nothing: it is told
// what happened by events and answers with effects. It reads no clock, draws
// jitter from the generator that it is given, and is used by one goroutine.
// DESIGN.md has the diagram and the invariants.
type machine struct {
	cfg   machineConfig
	rng   *rand.Rand
	now   instant
	phase phase

	paused   bool
	short    bool // the open span is to be committed for its memory
	draining bool
	recent   window // of events scored, for the rate of dead letters
	tripped  string // why nothing is scored until the operator resumes, "" if something is

	candidates []engine.Candidate
	refused    map[engine.Model]string // why, of versions that cannot be loaded
	current    *engine.Candidate       // scores new spans
	next       *engine.Candidate       // is loaded and follows at the next boundary

	epoch     uint64
	spans     uint64            // made so far
	committed int64             // offset after the last finished slot, -1: not known
	position  int64             // offset that the next fetch asks for
	end       int64             // of the topic, -1: not known
	topicID   string            // which topic the offsets are of, empty: not known
	fresh     bool              // the log has no finished slot
	lost      *loss             // what the topic does not have any more
	word      Word              // what an operator said last
	lostFrom  int64             // where the loss begins that reaches up to committed, as a word about a claim has it
	doubted   string            // ID of the claim whose events were found missing
	cut       *[2]int64         // from and kept of the span that found its objects cut short
	pending   *commitlog.Intent // the claim being recovered
	ready     bool              // its model is loaded
	backlog   backlogState
	dayBatch  int   // events to score at once after a batch was cut, 0: any
	open      *span // is being scored into
	closing   *span // is being committed
	scoredAt  int64 // of the last claim
	totals    commitlog.Counts
	lag       int64 // group offset to write, -1: none
	compactor compactor

	busy     [nOps]bool
	troubles [nOps]trouble
	canceled bool // the fetch under way was told to end
	out      []effect
}

// backlogState counts what is fetched and not scored.
type backlogState struct {
	records int
	bytes   int64
	next    int64         // offset after the last of it
	since   time.Duration // when the oldest of it came
	asked   int64         // next, when the batch under way was asked for
	later   time.Duration // when the oldest of what came since then came
}

// span is a range of offsets that is being scored by one version and will be,
// or is, one slot of the log.
type span struct {
	id         uint64
	from, to   int64
	kept       int64 // from, or where in a claim being recovered the topic begins by now
	limit      int64 // end of the range of a claim being recovered, -1: none
	model      engine.Model
	registered int64 // when the model was
	generation thalweg.Generation
	partition  string
	events     int
	bytes      int64
	gaps       int
	cut        bool          // it can take no more days
	since      time.Duration // when its first event was scored
	scoredAt   int64
	dead       int // of the events
	stage      op  // opClaim, opPublish, opDeliver or opFinish: what it waits for while closing
	topicID    string
	skip       bool     // nothing is scored: offsets are given up
	missing    [2]int64 // of a skip
}

func newMachine(cfg machineConfig, rng *rand.Rand) *machine {
	return &machine{cfg: cfg, rng: rng, refused: make(map[engine.Model]string), committed: -1, end: -1, lag: -1, compactor: compactor{Planner: compact.Planner{Cfg: cfg.compaction}}}
}

// step takes in an event and returns what is to be done, in order. The slice
// is valid until the next step.
func (m *machine) step(now instant, ev event) []effect {
	m.now = now
	clear(m.out)
	m.out = m.out[:0]
	if m.phase == stopped {
		return nil
	}
	m.take(ev)
	m.advance()
	return m.out
}

// take records what happened.
func (m *machine) take(ev event) {
	switch ev := ev.(type) {
	case logOpened:
		m.takeOpened(ev)
	case startFound:
		if m.answered(opStart, ev.err) {
			m.committed, m.topicID, m.phase = ev.offset, ev.topicID, running
			m.follow(ev.offset)
		}
	case modelLoaded:
		m.takeLoaded(ev)
	case recordsFetched:
		m.takeFetched(ev)
	case batchScored:
		m.takeScored(ev)
	case slotClaimed:
		m.takeClaimed(ev)
	case objectsPublished:
		m.takePublished(ev)
	case lettersDelivered:
		if m.answered(opDeliver, ev.err) {
			m.closing.stage = opFinish
		}
	case slotFinished:
		m.takeFinished(ev)
	case offsetCommitted:
		m.answered(opCommit, ev.err)
	case runsRead:
		m.takeRuns(ev)
	case merged:
		m.takeMerged(ev)
	case swept:
		m.takeSwept(ev)
	case modelsOffered:
		m.candidates = ev.candidates
	case pauseAsked:
		if m.paused && !ev.on {
			clear(m.refused) // the operator may have mended what was damaged
		}
		m.paused = ev.on
	case resumeAsked:
		clear(m.refused)
		m.recent, m.tripped = window{}, ""
	case wordGiven:
		m.word = ev.word
	case memoryShort:
		m.short = true
	case drainAsked:
		m.draining = true
	}
}

// advance starts whatever can be started now.
func (m *machine) advance() {
	m.settleLoss()
	if m.phase == opening && m.idle(opOpen) && !m.draining {
		m.start(opOpen, openLog{})
	}
	if m.phase == starting && m.idle(opStart) && !m.draining {
		at := m.committed
		if m.fresh {
			at = -1
		}
		m.start(opStart, findStart{at})
	}
	if m.phase == recovering && m.pending.Action == commitlog.Score && !m.ready && m.idle(opLoad) {
		m.start(opLoad, loadModel{engine.ModelOf(m.pending)})
	}
	if m.phase == running {
		m.chooseModel()
	}
	if m.phase == recovering || m.phase == running {
		m.closeSpan()
		if !m.commitMerge() {
			m.commitSpan()
		}
		m.scoreMore()
		m.fetchMore()
		m.mergeMore()
	}
	if m.lag >= 0 && m.idle(opCommit) {
		m.start(opCommit, commitOffset{m.lag})
		m.lag = -1
	}
	if m.draining && m.drained() || m.phase == running && m.ended() && m.committed >= m.cfg.until {
		m.halt(nil)
	}
}

// drained reports whether a draining machine has nothing left to commit. What
// was claimed before this process may be left to a successor.
func (m *machine) drained() bool {
	switch {
	case m.phase == stopped || m.closing != nil || m.phase == running && m.merging():
		return false
	case m.phase != running:
		return true
	}
	return !m.busy[opScore] && m.blank() && (m.backlog.records == 0 || m.current == nil || m.tripped != "")
}

// ended reports whether everything that there is to score is in spans.
func (m *machine) ended() bool { return m.cfg.until > 0 && m.scoredTo() >= m.cfg.until }

// blank reports whether there is no event in the open span.
func (m *machine) blank() bool { return m.open == nil || m.open.events == 0 }

// halt stops the machine.
func (m *machine) halt(err error) {
	if m.phase != stopped {
		m.phase = stopped
		m.out = append(m.out, stop{err})
	}
}

// follow makes the machine go on at an offset with nothing fetched or scored.
func (m *machine) follow(offset int64) {
	m.epoch++
	m.stopFetching()
	m.position = offset
	m.backlog = backlogState{next: offset}
	m.open, m.closing = nil, nil
	m.compactor.Forget()
	m.compactor.job = nil
	m.compactor.epoch++
	m.out = append(m.out, reset{m.epoch})
}

// takeOpened learns the end of the log.
func (m *machine) takeOpened(ev logOpened) {
	if !m.answered(opOpen, ev.err) {
		return
	}
	m.totals, m.scoredAt = ev.totals, max(m.scoredAt, ev.scoredAt)
	m.committed, m.topicID = ev.next, ev.topicID
	m.fresh, m.lost, m.lostFrom = ev.next < 0, nil, ev.lostFrom
	if ev.pending != nil {
		m.lostFrom = ev.pending.From
	} else {
		m.cut = nil
	}
	switch {
	case ev.pending != nil && ev.pending.Action == commitlog.Skip:
		m.recoverSkip(ev.pending)
	case ev.pending != nil && ev.pending.Action == commitlog.Compact:
		m.phase, m.pending, m.ready = recovering, ev.pending, false
		m.committed, m.topicID = ev.pending.From, ev.pending.TopicID
		m.scoredAt = max(m.scoredAt, ev.pending.ScoredAtUS)
		m.follow(ev.pending.From)
		m.compactor.job = &merging{slots: ev.pending.Slots, committing: true, stage: opPublish}
	case ev.pending != nil && ev.pending.Action != commitlog.Score:
		m.halt(&thalweg.Error{Op: "carry out a claim", Kind: thalweg.Invalid, Subject: string(ev.pending.Action),
			Hint: "a newer build claimed the slot: let it finish, or upgrade this one"})
	case ev.pending != nil:
		m.phase, m.pending, m.ready = recovering, ev.pending, false
		m.committed, m.topicID = ev.pending.From, ev.pending.TopicID
		m.scoredAt = max(m.scoredAt, ev.pending.ScoredAtUS)
		m.follow(ev.pending.From)
		m.open = m.claimSpan(ev.pending.From)
	case ev.next < 0, ev.topicID == "":
		m.phase = starting
	default:
		m.phase = running
		m.follow(ev.next)
	}
}

// claimSpan begins the span of the claim that was found, of which the topic has
// what is from kept on.
func (m *machine) claimSpan(kept int64) *span {
	in := m.pending
	s := m.newSpan(engine.Candidate{Model: engine.ModelOf(in)}, in.SpecGeneration)
	s.to, s.kept = kept, kept
	s.limit, s.scoredAt, s.partition = in.To, in.ScoredAtUS, in.PartitionBy
	return s
}

// reopen gives everything up: nothing that this machine believes of the log may
// be true, so it reads the log again and goes on from where that stands.
func (m *machine) reopen() {
	m.phase = opening
	m.follow(m.committed)
}

// takeLoaded learns that a version can score, or why not.
func (m *machine) takeLoaded(ev modelLoaded) {
	refused := ev.err != nil && !passing(ev.err)
	if refused {
		m.busy[opLoad], m.troubles[opLoad] = false, trouble{}
	} else if !m.answered(opLoad, ev.err) {
		return
	}
	switch {
	case m.phase == recovering && ev.model == engine.ModelOf(m.pending):
		if refused {
			m.halt(&thalweg.Error{Op: "carry out a claim", Kind: thalweg.KindOf(ev.err), Subject: ev.model.String(), Err: ev.err,
				Hint: "the slot was claimed for this version and can be finished by no other: restore its checkpoint"})
			return
		}
		m.ready = true
	case refused:
		m.refused[ev.model] = ev.err.Error()
	default:
		if want := m.wanted(); want != nil && want.Model == ev.model {
			m.next = want
		}
	}
}

// wanted returns the first candidate that is not refused, nil if there is none.
func (m *machine) wanted() *engine.Candidate {
	for _, c := range m.candidates {
		if _, bad := m.refused[c.Model]; !bad {
			return &c
		}
	}
	return nil
}

// chooseModel loads the version to score with and puts it in place at a
// boundary between spans. The one before serves until then.
func (m *machine) chooseModel() {
	want := m.wanted()
	switch {
	case want == nil:
		return
	case m.current != nil && m.current.Model == want.Model:
		m.next = nil
		return
	case m.next == nil || m.next.Model != want.Model:
		m.next = nil
		if m.idle(opLoad) {
			m.start(opLoad, loadModel{want.Model})
		}
		return
	}
	if m.blank() && !m.busy[opScore] {
		m.current, m.next = m.next, nil
		if m.open != nil {
			m.open.model, m.open.registered = m.current.Model, m.current.RegisteredAtUS
		}
	}
}

// needs reports whether a version scores, or is about to.
func (m *machine) needs(model engine.Model) bool {
	return m.current != nil && m.current.Model == model || m.next != nil && m.next.Model == model ||
		m.open != nil && m.open.model == model || m.pending != nil && engine.ModelOf(m.pending) == model
}
