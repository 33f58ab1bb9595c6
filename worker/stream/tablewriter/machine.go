package tablewriter

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/retry"
	"github.com/thalweg/thalweg/storage/table/delta"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/machine"
)

// Bounds of what is in memory, and of what a version of the table holds.
const (
	maxObjects  = 1024   // of slots that are read and not in the table, beyond which none are read
	maxSlots    = 512    // likewise
	maxMissing  = 20_000 // slots read past the bounds to find the compaction that replaced an object that is gone
	maxQuiet    = 8      // doublings of the pause between polls of a replay log
	readAtOnce  = 64     // slots of one source, so that none waits long for another
	maxRecent   = 50_000 // files changed since the checkpoint, beyond which one is due whatever the number of versions
	spareFiles  = 100    // files of the checkpoint for each version that may come before the next: a large one is rewritten less often
	maxVersions = 1000   // versions between two checkpoints, however large
)

// tableMachine decides everything about one table and does nothing: events tell
// it what happened, and it answers with at most one effect, whose answer it waits
// for. It reads no clock, draws jitter and ids from the generator that it is
// given, and is used by one goroutine.
type tableMachine struct {
	cfg   Config // with its defaults
	newID func() string
	machine.Ops[op]

	snapshot *delta.Snapshot // nil: to be opened
	behind   bool            // others have committed: catch up first
	sources  []*sourceCursor // in the order they were added
	pending  *plan           // under way: being inspected, or committed
	checked  bool            // a checkpoint of this version failed: not before the next one
	commits  int64
	lost     int64
}

// op is what may be under way: one effect, of whatever kind.
type op uint8

const (
	theEffect op = iota
	nOps
)

// sourceCursor is a source and what was read of it.
type sourceCursor struct {
	source             Source
	next               uint64 // slot to read next
	finished           uint64 // all slots below are known to be
	pollAt             time.Duration
	quiet              int // polls in a row that found nothing
	pending            []slot
	awaitingCompaction bool             // an object is gone: read on until the compaction that replaced it
	objects            map[string]*file // inspected, of pending slots
	refused            error            // its next slot cannot be in the table
	refusal            uint64           // that slot
	retry              machine.Retry
}

func newMachine(cfg Config, rng *rand.Rand, newID func() string) *tableMachine {
	return &tableMachine{cfg: cfg, newID: newID, Ops: machine.NewOps(nOps, retry.Backoff{Min: cfg.MinBackoff, Max: cfg.MaxBackoff}, rng)}
}

// step takes in what has happened, or only that time has passed, and returns what
// is to be done, nil if nothing is.
func (m *tableMachine) step(now machine.Instant, events ...event) effect {
	m.Now = now
	for _, ev := range events {
		m.handle(ev)
	}
	if m.Busy(theEffect) {
		return nil
	}
	e := m.advance()
	if e != nil {
		m.Begin(theEffect)
	}
	return e
}

func (m *tableMachine) handle(ev event) {
	switch ev := ev.(type) {
	case tableOpened:
		if m.Complete(theEffect, ev.err) {
			m.reset(ev.snapshot)
		}
	case slotsRead:
		m.Drop(theEffect)
		m.addSlots(ev)
	case inspected:
		if m.Complete(theEffect, ev.err) {
			m.addInspected(ev)
		}
	case committed:
		m.afterCommit(ev)
	case caughtUp:
		m.behind = !m.Complete(theEffect, ev.err)
		switch {
		case ev.err == nil:
			m.moved(ev.snapshot)
		case !isTransient(ev.err):
			m.snapshot = nil // the snapshot is wrong: load the table again
		}
	case checkpointed:
		m.checked = !m.Complete(theEffect, ev.err)
		if ev.err == nil {
			m.snapshot = ev.snapshot
		}
	case sourceAdded:
		if m.find(ev.source) == nil {
			m.sources = append(m.sources, m.newCursor(ev.source))
		} else {
			m.find(ev.source).refused = nil // the operator may have mended what it was
		}
	case sourceRemoved:
		m.sources = slices.DeleteFunc(m.sources, func(f *sourceCursor) bool { return f.source == ev.source })
		m.pending = nil
	case slotFinished:
		if f := m.find(ev.source); f != nil {
			f.finished = max(f.finished, ev.next)
		}
	}
}

func (m *tableMachine) find(s Source) *sourceCursor {
	for _, f := range m.sources {
		if f.source == s {
			return f
		}
	}
	return nil
}

func (m *tableMachine) newCursor(s Source) *sourceCursor {
	f := &sourceCursor{source: s, objects: map[string]*file{}, pollAt: m.Now.Mono}
	if m.snapshot != nil {
		f.next = m.after(s)
	}
	return f
}

func (m *tableMachine) after(s Source) uint64 {
	if v, ok := m.snapshot.Txns[s.AppID()]; ok && v >= 0 {
		return uint64(v) + 1
	}
	return 0
}

// fail has something that failed for a source tried again after a pause.
func (m *tableMachine) fail(f *sourceCursor, err error) {
	f.retry.Fail(m.Now.Mono, err, m.Backoff, m.Rand)
}

// nowMS is the wall clock in milliseconds since 1970 UTC, as tables have it.
func (m *tableMachine) nowMS() int64 { return m.Now.Wall / 1000 }

// isTransient reports whether what failed may work by itself later. The table goes
// on without end, so to it all is transient but what stays as it is: bytes,
// schemas and features.
func isTransient(err error) bool {
	switch thalweg.KindOf(err) {
	case thalweg.Corrupt, thalweg.Invalid, thalweg.Unsupported, thalweg.Conflict:
		return false
	}
	return true
}

// reset takes over a snapshot that was read again: slots that were read before it
// are read again from where it ends.
func (m *tableMachine) reset(s *delta.Snapshot) {
	m.snapshot, m.behind, m.checked = s, false, false
	m.pending = nil
	for _, f := range m.sources {
		f.refused = nil // what it was refused for may be another table's
		if after := m.after(f.source); len(f.pending) == 0 || f.pending[0].seq != after {
			f.next, f.pending = after, nil
			clear(f.objects)
		}
	}
}

// moved takes over a later snapshot of the same table: what it has of the slots
// that were read is dropped.
func (m *tableMachine) moved(s *delta.Snapshot) {
	m.snapshot, m.pending, m.checked = s, nil, false
	for _, f := range m.sources {
		f.drop(m.after(f.source))
	}
}

// drop forgets the slots below after, which are in the table.
func (f *sourceCursor) drop(after uint64) {
	n := 0
	for n < len(f.pending) && f.pending[n].seq < after {
		for _, o := range f.pending[n].objects {
			delete(f.objects, o.Key)
		}
		n++
	}
	f.pending = slices.Delete(f.pending, 0, n)
	if after > f.next {
		f.next, f.pending = after, nil
	}
	if after > f.refusal {
		f.refused = nil
	}
	f.awaitingCompaction = f.awaitingCompaction && len(f.pending) > 0
}

func (m *tableMachine) addSlots(ev slotsRead) {
	f := m.find(ev.source)
	if f == nil {
		return
	}
	for _, s := range ev.slots {
		if s.seq == f.next {
			f.pending = append(f.pending, s)
			f.next++
		}
	}
	if ev.err != nil {
		m.fail(f, ev.err)
		return
	}
	f.retry = machine.Retry{}
	f.quiet = min(f.quiet+1, maxQuiet)
	if len(ev.slots) > 0 {
		f.quiet = 0
	}
	if ev.end {
		f.pollAt = m.Now.Mono + m.pollEvery(f)
		if f.finished > f.next { // said to be finished since we looked, or wrongly
			f.finished, f.pollAt = f.next, m.Now.Mono+m.cfg.MinBackoff
		}
	}
	f.finished = max(f.finished, f.next)
	f.retryMissing(m)
}

// pollEvery is how often a source is polled: a main log reports its
// slots, and is polled only in case a report was lost. A replay log of which
// nothing comes is polled less and less.
func (m *tableMachine) pollEvery(f *sourceCursor) time.Duration {
	every := m.cfg.PollSlow
	if f.source.Replay {
		every = max(m.cfg.Poll, min(every/2, m.cfg.Poll<<f.quiet))
	}
	return every - time.Duration(m.Rand.Int64N(int64(every)/4+1))
}

// afterCommit continues from whatever the version is now.
func (m *tableMachine) afterCommit(ev committed) {
	p := m.pending
	m.pending = nil
	if !m.Complete(theEffect, ev.err) || p == nil {
		m.behind = true // it may have taken effect
		return
	}
	c := ev.winner
	if ev.won {
		c = p.commit
		m.commits++
	} else {
		m.lost++
		m.behind = true
	}
	if err := m.snapshot.Apply(c); err != nil {
		m.snapshot = nil
		m.Complete(theEffect, err)
		return
	}
	m.moved(m.snapshot)
}

// advance returns what can be done now, nil if nothing can.
func (m *tableMachine) advance() effect {
	if len(m.sources) == 0 || !m.Idle(theEffect) {
		return nil
	}
	if m.snapshot == nil {
		return openTable{}
	}
	if m.behind {
		return catchUp{m.snapshot}
	}
	if err := m.snapshot.Writable(); err != nil {
		m.Complete(theEffect, err)
		m.behind = true // another writer may take it back
		return nil
	}
	if m.checkpointDue() {
		return checkpoint{m.snapshot, m.nowMS() - m.cfg.Tombstones.Milliseconds()}
	}
	if f := m.toRead(); f != nil {
		most := m.readMax(f)
		if f.next < f.finished { // to look for the end of the log is one more request
			most = int(min(uint64(most), f.finished-f.next))
		}
		return readSlots{f.source, f.next, most}
	}
	return m.write()
}

// checkpointDue reports whether readers would have to read too many versions.
// The larger the checkpoint, the rarer it is written anew.
func (m *tableMachine) checkpointDue() bool {
	s := m.snapshot
	versions := s.Version - max(s.Checkpoint, -1)
	every := min(max(m.cfg.CheckpointEvery, s.CheckpointFiles/spareFiles), maxVersions)
	return s.Exists() && !m.checked && (versions >= every || len(s.Recent) >= maxRecent)
}

// toRead returns a source to read slots of: one that has some and room for
// them, the one with the fewest read first.
func (m *tableMachine) toRead() *sourceCursor {
	var best *sourceCursor
	for _, f := range m.sources {
		switch {
		case f.refused != nil || m.Now.Mono < f.retry.At || m.readMax(f) <= 0:
		case f.next >= f.finished && m.Now.Mono < f.pollAt:
		case best == nil || len(f.pending) < len(best.pending):
			best = f
		}
	}
	return best
}

// readMax returns how many slots of a source may be read.
func (m *tableMachine) readMax(f *sourceCursor) int {
	if f.awaitingCompaction && f.nextBatch() == nil {
		return min(readAtOnce, maxMissing-len(f.pending))
	}
	slots, objects := 0, 0
	for _, g := range m.sources {
		if g != f && g.awaitingCompaction {
			continue // it has a bound of its own, and may wait for ever
		}
		slots += len(g.pending)
		for _, s := range g.pending {
			objects += len(s.objects)
		}
	}
	if objects >= maxObjects {
		return 0
	}
	return min(readAtOnce, maxSlots-slots, max(1, (maxObjects-objects)/commitlog.MaxObjects))
}

// wake returns when there may be something to do without an event, and whether
// there ever is. What could be done at once is under way already.
func (m *tableMachine) wake() (at time.Duration, ok bool) {
	if m.Busy(theEffect) || len(m.sources) == 0 {
		return 0, false
	}
	at = m.Now.Mono + m.cfg.PollSlow
	for _, f := range m.sources {
		for _, t := range []time.Duration{m.Retry(theEffect).At, f.retry.At, f.pollAt} {
			if t > m.Now.Mono {
				at = min(at, t)
			}
		}
	}
	return at, true
}

// message says what keeps a source's slots out of the table, "" if nothing
// does.
func (m *tableMachine) message(f *sourceCursor) string {
	switch {
	case f.refused != nil:
		return f.refused.Error()
	case m.Retry(theEffect).Failures > 0:
		return tries(m.Retry(theEffect))
	case f.retry.Failures > 0:
		return tries(f.retry)
	}
	return ""
}

func tries(r machine.Retry) string { return fmt.Sprintf("%v (%d tries)", r.Err, r.Failures) }

// lag returns how many finished slots of a source are known not to be in the
// table.
func (m *tableMachine) lag(f *sourceCursor) int64 {
	if m.snapshot == nil {
		return int64(f.finished)
	}
	return max(0, int64(f.finished)-int64(m.after(f.source)))
}
