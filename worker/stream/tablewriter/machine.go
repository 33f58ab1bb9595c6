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
)

// Bounds of what is in memory, and of what a version of the table holds.
const (
	maxObjects  = 1024   // of slots that are read and not in the table, beyond which none are read
	maxSlots    = 512    // likewise
	maxMissing  = 20_000 // slots read past the bounds to find the compaction that replaced an object that is gone
	readAtOnce  = 64     // slots of one source, so that none waits long for another
	maxRecent   = 50_000 // files changed since the checkpoint, beyond which one is due whatever the number of versions
	spareFiles  = 100    // files of the checkpoint for each version that may come before the next: a large one is rewritten less often
	maxVersions = 1000   // versions between two checkpoints, however large
)

// machineConfig is what the machine needs of Config, with defaults applied.
type machineConfig struct {
	prefix          string // of the sink
	checkpointEvery int64
	poll, pollSlow  time.Duration // of replay logs, and of logs that report their slots
	backoff         retry.Backoff
	tombstones      time.Duration
}

// machine decides everything about one table and does nothing: it is told what
// happened by events and answers with at most one effect, whose answer it waits
// for. It reads no clock, draws jitter and ids from the generator that it is
// given, and is used by one goroutine.
type machine struct {
	cfg   machineConfig
	rng   *rand.Rand
	newID func() string
	now   instant

	snapshot *delta.Snapshot // nil: to be opened
	behind   bool            // others have committed: catch up first
	sources  []*follow       // in the order they were added
	busy     bool
	retryAt  time.Duration
	trouble  trouble
	pending  *plan // under way: being inspected, or committed
	checked  bool  // a checkpoint of this version failed: not before the next one
	commits  int64
	lost     int64
}

// trouble is something that failed and is tried again.
type trouble struct {
	failures int
	err      error
}

// follow is a source and what was read of it.
type follow struct {
	source   Source
	next     uint64 // slot to read next
	finished uint64 // all slots below are known to be
	pollAt   time.Duration
	pending  []slot
	hungry   bool             // an object is gone: read on until the compaction that replaced it
	objects  map[string]*file // inspected, of pending slots
	refused  error            // its next slot cannot be in the table
	refusal  uint64           // that slot
	trouble  trouble
	retryAt  time.Duration
}

func newMachine(cfg machineConfig, rng *rand.Rand, newID func() string) *machine {
	return &machine{cfg: cfg, rng: rng, newID: newID}
}

// step takes in an event and returns what is to be done, nil if nothing is.
func (m *machine) step(now instant, ev event) effect {
	m.now = now
	m.take(ev)
	if m.busy {
		return nil
	}
	e := m.advance()
	m.busy = e != nil
	return e
}

func (m *machine) take(ev event) {
	switch ev := ev.(type) {
	case tableOpened:
		if m.answered(ev.err) {
			m.reset(ev.snapshot)
		}
	case slotsRead:
		m.busy = false
		m.takeSlots(ev)
	case inspected:
		if m.answered(ev.err) {
			m.takeInspected(ev)
		}
	case committed:
		m.takeCommitted(ev)
	case caughtUp:
		m.behind = !m.answered(ev.err)
		switch {
		case ev.err == nil:
			m.moved(ev.snapshot)
		case !passing(ev.err):
			m.snapshot = nil // what was believed of the table is wrong: read it anew
		}
	case checkpointed:
		m.checked = !m.answered(ev.err)
		if ev.err == nil {
			m.snapshot = ev.snapshot
		}
	case sourceAdded:
		if m.find(ev.source) == nil {
			m.sources = append(m.sources, m.newFollow(ev.source))
		} else {
			m.find(ev.source).refused = nil // the operator may have mended what it was
		}
	case sourceRemoved:
		m.sources = slices.DeleteFunc(m.sources, func(f *follow) bool { return f.source == ev.source })
		m.pending = nil
	case slotFinished:
		if f := m.find(ev.source); f != nil {
			f.finished = max(f.finished, ev.next)
		}
	}
}

func (m *machine) find(s Source) *follow {
	for _, f := range m.sources {
		if f.source == s {
			return f
		}
	}
	return nil
}

// newFollow begins after what the table has of a source.
func (m *machine) newFollow(s Source) *follow {
	f := &follow{source: s, objects: map[string]*file{}, pollAt: m.now.mono}
	if m.snapshot != nil {
		f.next = m.after(s)
	}
	return f
}

// after returns the first slot of a source that is not in the table.
func (m *machine) after(s Source) uint64 {
	if v, ok := m.snapshot.Txns[s.AppID()]; ok && v >= 0 {
		return uint64(v) + 1
	}
	return 0
}

// answered notes how an effect ended; false: it failed and is tried again.
func (m *machine) answered(err error) bool {
	m.busy = false
	if err == nil {
		m.trouble = trouble{}
		return true
	}
	m.retryAt = m.now.mono + m.trouble.note(err, m)
	return false
}

// note counts a failure and returns the pause before the next try.
func (t *trouble) note(err error, m *machine) time.Duration {
	t.failures++
	t.err = err
	return m.cfg.backoff.Delay(t.failures, m.rng)
}

// passing reports whether what failed may work by itself later. The table goes
// on without end, so to it all is transient but what stays as it is: bytes,
// schemas and features.
func passing(err error) bool {
	switch thalweg.KindOf(err) {
	case thalweg.Corrupt, thalweg.Invalid, thalweg.Unsupported, thalweg.Conflict:
		return false
	}
	return true
}

// reset believes a snapshot that was read anew: slots that were read before it
// are read again from where it ends.
func (m *machine) reset(s *delta.Snapshot) {
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

// moved believes a later snapshot of the same table: what it has of the slots
// that were read is dropped.
func (m *machine) moved(s *delta.Snapshot) {
	m.snapshot, m.pending, m.checked = s, nil, false
	for _, f := range m.sources {
		f.drop(m.after(f.source))
	}
}

// drop forgets the slots below after, which are in the table.
func (f *follow) drop(after uint64) {
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
	f.hungry = f.hungry && len(f.pending) > 0
}

// takeSlots takes in what was read of a source.
func (m *machine) takeSlots(ev slotsRead) {
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
		f.retryAt = m.now.mono + f.trouble.note(ev.err, m)
		return
	}
	f.trouble = trouble{}
	if ev.end {
		f.pollAt = m.now.mono + m.pollEvery(f)
		if f.finished > f.next { // said to be finished since we looked, or wrongly
			f.finished, f.pollAt = f.next, m.now.mono+m.cfg.backoff.Min
		}
	}
	f.finished = max(f.finished, f.next)
	f.starve(m)
}

// pollEvery is how often a source is asked unasked: a main log reports its
// slots, and is asked only in case a report was lost.
func (m *machine) pollEvery(f *follow) time.Duration {
	every := m.cfg.pollSlow
	if f.source.Replay {
		every = m.cfg.poll
	}
	return every - time.Duration(m.rng.Int64N(int64(every)/4+1))
}

// takeCommitted goes on from whatever the version is now.
func (m *machine) takeCommitted(ev committed) {
	p := m.pending
	m.pending = nil
	if !m.answered(ev.err) || p == nil {
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
		m.retryAt = m.now.mono + m.trouble.note(err, m)
		return
	}
	m.moved(m.snapshot)
}

// advance returns what can be done now, nil if nothing can.
func (m *machine) advance() effect {
	if len(m.sources) == 0 || m.now.mono < m.retryAt {
		return nil
	}
	if m.snapshot == nil {
		return openTable{}
	}
	if m.behind {
		return catchUp{m.snapshot}
	}
	if err := m.snapshot.Writable(); err != nil {
		m.retryAt = m.now.mono + m.trouble.note(err, m)
		m.behind = true // another writer may take it back
		return nil
	}
	if m.checkpointDue() {
		return checkpoint{m.snapshot, m.now.wall - m.cfg.tombstones.Milliseconds()}
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
func (m *machine) checkpointDue() bool {
	s := m.snapshot
	versions := s.Version - max(s.Checkpoint, -1)
	every := min(max(m.cfg.checkpointEvery, s.CheckpointFiles/spareFiles), maxVersions)
	return s.Exists() && !m.checked && (versions >= every || len(s.Recent) >= maxRecent)
}

// toRead returns a source to read slots of: one that has some and room for
// them, the one with the fewest read first.
func (m *machine) toRead() *follow {
	var best *follow
	for _, f := range m.sources {
		switch {
		case f.refused != nil || m.now.mono < f.retryAt || m.readMax(f) <= 0:
		case f.next >= f.finished && m.now.mono < f.pollAt:
		case best == nil || len(f.pending) < len(best.pending):
			best = f
		}
	}
	return best
}

// readMax returns how many slots of a source may be read.
func (m *machine) readMax(f *follow) int {
	if f.hungry && f.take() == nil {
		return min(readAtOnce, maxMissing-len(f.pending))
	}
	slots, objects := 0, 0
	for _, g := range m.sources {
		if g != f && g.hungry {
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
func (m *machine) wake() (at time.Duration, ok bool) {
	if m.busy || len(m.sources) == 0 {
		return 0, false
	}
	at = m.now.mono + m.cfg.pollSlow
	for _, f := range m.sources {
		for _, t := range []time.Duration{m.retryAt, f.retryAt, f.pollAt} {
			if t > m.now.mono {
				at = min(at, t)
			}
		}
	}
	return at, true
}

// message says what keeps a source's slots out of the table, "" if nothing
// does.
func (m *machine) message(f *follow) string {
	switch {
	case f.refused != nil:
		return f.refused.Error()
	case m.trouble.failures > 0:
		return fmt.Sprintf("%v (%d tries)", m.trouble.err, m.trouble.failures)
	case f.trouble.failures > 0:
		return fmt.Sprintf("%v (%d tries)", f.trouble.err, f.trouble.failures)
	}
	return ""
}

// lag returns how many finished slots of a source are known not to be in the
// table.
func (m *machine) lag(f *follow) int64 {
	if m.snapshot == nil {
		return int64(f.finished)
	}
	return max(0, int64(f.finished)-int64(m.after(f.source)))
}
