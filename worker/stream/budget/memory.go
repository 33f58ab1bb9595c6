// Package budget shares the memory and the cores of one process between the
// partitions that it scores: who wants to fetch reserves room first, and where
// there is none, the largest open files are committed early. It knows bytes and
// turns, and nothing of what they are for.
package budget

import (
	"cmp"
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage/dataset"
)

// DefaultMemory is what the streams of a process hold together by default. With
// the runtime's own, garbage, models and one response that is larger than it
// should be, a process stays below 512 MB.
const DefaultMemory = 256 << 20

// The parts of a Memory: five eighths are what is fetched, scored and not
// committed yet; an eighth is what batches and files take while they are scored
// and encoded; a quarter is a merged file in the making. A partition is guaranteed
// half of an equal share of the first; what is left of all shares goes to whoever
// needs it.
const (
	heldEighths     = 5
	workShare       = 8  // of all memory
	maxMergeShare   = 6  // of all memory: what one merged file may have; one that is read comes beside it
	idleShare       = 32 // of all memory: what is kept to write files with while none is written
	maxSpanShare    = 8  // of what is held: what one span may take, as its encoding takes as much again
	fetchShare      = 16 // of what is held: what one fetch of each partition asks for together
	fetchesAhead    = 3  // fetches whose records may lie unscored
	minFetchBytes   = 64 << 10
	growth          = 4   // of what a fetch asks for after one that came full
	scoringPerByte  = 3   // bytes that scoring takes for each byte of a batch
	maxRowsPerByte  = 6.0 // bytes of rows, for each byte of an event, that are reserved at most
	initialPerByte  = 1.0
	reclaimingShare = 8        // of what is held: what is committed early at once, at most
	keepBytes       = 32 << 20 // the largest buffer that is kept: one odd fetch must not hold memory for good
)

// Memory is what the scorers of one process share: the bytes that are fetched,
// scored and not committed yet, and the cores. A Scorer asks for room before
// it fetches; where there is none, it waits, and the largest open files are
// committed early to make some. It is safe for concurrent use.
type Memory struct {
	all      int64 // bytes
	limit    int64 // of what is held
	work     int64 // of what is worked with
	scoring  turns
	encoding turns         // on fewer cores, so that files being written leave some to score
	large    chan struct{} // the turn to hold more than was asked for
	merging  chan struct{} // the turn to have a merged file in memory
	pool     *dataset.Pool // of what files are written with
	began    time.Time     // when the first window of batch work opened
	late     atomic.Int32  // partitions that are

	mu struct {
		sync.Mutex
		shares  []*Share
		waiting []*Share // whose fetch waits for room
		level   int64    // what one fetch asks for at most
		worked  int64    // bytes that are worked with
		peak    int64    // the most that was filled since some was given back
		soft    softLimit
		pools   []*dataset.Pool
	}
}

// Share is one partition's part of a Memory.
type Share struct {
	memory     *Memory
	onPressure func() // asks the scorer to commit its open file early
	onWait     func() // asks it to give up what it keeps for later

	// Guarded by memory.mu.
	hold     Holding
	need     int64         // what its next fetch can use
	asked    int64         // what the fetch under way asks for
	most     int64         // what a fetch may ask for
	fetching int64         // reserved by it
	granted  chan struct{} // closed when the fetch that waits has room
	signaled uint64        // the span that shall be committed early
	perByte  float64
	large    bool // has the turn to hold more
	oversize bool // the fetch under way made use of it
	merged   bool // has the turn to have a merged file
	late     bool
}

// NewMemory returns a Memory of limit bytes (0: DefaultMemory) for a process
// that runs on so many cores.
func NewMemory(limit int64, cores int) *Memory {
	if limit <= 0 {
		limit = DefaultMemory
	}
	cores = max(1, cores)
	work := max(2, limit/workShare)
	return &Memory{all: limit, limit: limit / 8 * heldEighths, work: work, scoring: newTurns(cores, work/2), encoding: newTurns(max(1, cores/2), work/2),
		large: make(chan struct{}, 1), merging: make(chan struct{}, 1), pool: dataset.NewPool(max(1, limit/idleShare)), began: time.Now()}
}

// Share adds a partition. Close removes it.
func (m *Memory) Share() *Share {
	s := &Share{memory: m, perByte: initialPerByte, need: minFetchBytes}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.shares = append(m.mu.shares, s)
	if len(m.mu.shares) == 1 {
		m.tuneLocked()
	}
	m.levelLocked()
	return s
}

// Unlimited returns a Share that bounds nothing but the cores.
func Unlimited() *Share { return NewMemory(1<<60, runtime.GOMAXPROCS(0)).Share() }

// with runs work on the Share.
func (s *Share) with(work func(m *Memory)) {
	s.memory.mu.Lock()
	defer s.memory.mu.Unlock()
	work(s.memory)
}

// Attach tells the Share whom to ask for an early commit, and for what is kept for
// later when a fetch waits for room. Neither may block.
func (s *Share) Attach(commit, trim func()) {
	s.with(func(*Memory) { s.onPressure, s.onWait = commit, trim })
}

// Detach forgets what a scorer held that has ended.
func (s *Share) Detach() {
	s.with(func(m *Memory) {
		s.onPressure, s.onWait, s.fetching, s.oversize = nil, nil, 0, false
		s.hold = Holding{Span: s.hold.Span}
		s.giveTurnsLocked()
		m.serveLocked()
	})
}

// Waits reports whether a fetch of the partition waits for room.
func (s *Share) Waits() (waits bool) {
	s.with(func(m *Memory) { waits = slices.Contains(m.mu.waiting, s) })
	return waits
}

// Close gives everything back.
func (s *Share) Close() {
	s.with(func(m *Memory) {
		m.mu.shares = slices.DeleteFunc(m.mu.shares, func(o *Share) bool { return o == s })
		if len(m.mu.shares) == 0 {
			m.tuneLocked()
		}
		m.levelLocked()
		s.giveTurnsLocked()
		if m.serveLocked(); s.late {
			s.late = false
			m.countLate(false)
		}
	})
}

// Used returns the bytes that are taken and the bound. Beyond it goes nothing but
// what one partition at a time was given the turn for by Large.
func (m *Memory) Used() (bytes, limit int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.usedLocked(), m.all
}

func (m *Memory) usedLocked() (bytes int64) {
	bytes = m.mu.worked
	for _, s := range m.mu.shares {
		bytes += s.held()
		if s.merged {
			bytes += m.all - m.limit - m.work
		}
	}
	return bytes
}

// held is what a partition takes, with the rows that its events are going to be.
func (s *Share) held() int64 {
	rows := int64(float64(s.hold.Unscored) * min(s.perByte, maxRowsPerByte))
	return s.fetching + s.hold.Backlog + rows + s.hold.Open + s.hold.Closing
}

// levelLocked shares what fetches ask for by need: who needs less than an equal
// part leaves the rest to the others.
func (m *Memory) levelLocked() {
	needs := make([]int64, 0, len(m.mu.shares))
	for _, s := range m.mu.shares {
		needs = append(needs, s.need)
	}
	slices.Sort(needs)
	left := m.limit / fetchShare
	m.mu.level = max(minFetchBytes, left)
	for i, need := range needs {
		if equal := left / int64(len(needs)-i); need > equal {
			m.mu.level = max(minFetchBytes, equal)
			return
		}
		left -= need
	}
}

// aheadLocked is how much of a partition may lie unscored before it fetches more.
func (m *Memory) aheadLocked() int64 { return fetchesAhead * m.mu.level }

func (s *Share) fetchBytes() int64 { return min(s.need, s.memory.mu.level) }

// wanted is what a fetch can come to hold.
func (s *Share) wanted() int64 { return s.perFetch(s.fetchBytes()) }

// perFetch is what so many bytes come to: the response, its records, and the rows
// that these become.
func (s *Share) perFetch(bytes int64) int64 {
	return int64(float64(bytes) * (2 + min(s.perByte, maxRowsPerByte)))
}

// Spare returns how large a buffer may be to be kept for another fetch: 0 while
// one waits for room.
func (s *Share) Spare() (spare int64) {
	s.with(func(m *Memory) {
		if !slices.Contains(m.mu.waiting, s) {
			spare = min(2*s.fetchBytes(), keepBytes)
		}
	})
	return spare
}

// Reserve waits until there is room for one more fetch and returns how much it
// may ask for.
func (s *Share) Reserve(ctx context.Context, most int) (fetchBytes int, err error) {
	granted := make(chan struct{})
	s.with(func(m *Memory) {
		s.granted, s.most = granted, int64(most)
		m.mu.waiting = append(m.mu.waiting, s)
		m.serveLocked()
		if s.onWait != nil && slices.Contains(m.mu.waiting, s) {
			s.onWait()
		}
	})
	select {
	case <-granted:
	case <-ctx.Done():
	}
	s.with(func(m *Memory) {
		if i := slices.Index(m.mu.waiting, s); i >= 0 {
			m.mu.waiting = slices.Delete(m.mu.waiting, i, i+1)
			err = &thalweg.Error{Op: "wait for memory", Kind: thalweg.Canceled, Err: ctx.Err()}
		} else {
			s.asked = min(s.most, s.fetchBytes())
			fetchBytes = int(s.asked)
		}
	})
	return fetchBytes, err
}

// Fetched ends a reservation: so many bytes of events came, and the backlog
// takes that much by now, with what came. A partition of which a fetch comes full
// asks for more the next time, one of which little comes for less: it leaves the
// room to others.
func (s *Share) Fetched(events, backlog, unscored int64) {
	s.with(func(m *Memory) {
		s.fetching, s.hold.Backlog, s.hold.Unscored, s.oversize = 0, backlog, unscored, false
		need := s.need
		switch {
		case events >= s.asked/2:
			need = max(need, growth*s.asked)
		case events < s.asked/growth:
			need = s.asked / 2
		}
		if need = max(minFetchBytes, min(need, s.most)); need != s.need {
			s.need = need
			m.levelLocked()
		}
	})
}

// Scored learns what so many bytes of events have become.
func (s *Share) Scored(eventBytes, rowBytes int64) {
	if eventBytes <= 0 {
		return
	}
	s.with(func(*Memory) {
		now := float64(rowBytes) / float64(eventBytes)
		s.perByte = max(now, s.perByte+(now-s.perByte)/16) // quick to rise, slow to fall
	})
}

// Holding is what a scorer holds at a moment, besides what it is fetching.
type Holding struct {
	Backlog, Unscored int64  // memory of the backlog; bytes of the events in it
	Span              uint64 // the open one, 0: none
	Open, Closing     int64  // memory of the rows of two spans
	Stuck             bool   // closing fails: nobody knows when it ends
	Recovering        bool   // the open span has a given end, it cannot be committed early
}

// Settle notes what the scorer holds now, and serves those who wait.
func (s *Share) Settle(h Holding) {
	s.with(func(m *Memory) {
		s.hold = h
		m.mu.peak = max(m.mu.peak, m.filledLocked())
		if s.large && !s.oversize && s.hold.Unscored <= m.aheadLocked() {
			giveTurnLocked(m.large, &s.large)
		}
		if s.hold.Open > m.limit/maxSpanShare {
			s.signalPressureLocked()
		}
		m.serveLocked()
	})
}

func (s *Share) signalPressureLocked() {
	if s.signaled != s.hold.Span && !s.hold.Recovering && s.onPressure != nil {
		s.signaled = s.hold.Span
		s.onPressure()
	}
}

// serveLocked lets fetch whoever may, those who hold least first, and has files
// committed early for those who may not.
func (m *Memory) serveLocked() {
	if len(m.mu.waiting) == 0 {
		return
	}
	slices.SortStableFunc(m.mu.waiting, func(a, b *Share) int { return cmp.Compare(a.held(), b.held()) })
	short := int64(0)
	still := m.mu.waiting[:0]
	for _, s := range m.mu.waiting {
		want := s.wanted()
		switch {
		case s.hold.Unscored > m.aheadLocked(): // scoring makes room
		case m.fitsLocked(s, want) || s.hold.Recovering && s.takeTurnLocked():
			s.fetching = want
			close(s.granted)
			continue
		default:
			short += want
		}
		still = append(still, s)
	}
	clear(m.mu.waiting[len(still):])
	m.mu.waiting = still
	if short > 0 {
		m.reclaimLocked(short)
	}
}

// fitsLocked reports whether s may hold so much more: within what it is
// guaranteed, or within what the others do not hold and are not guaranteed.
func (m *Memory) fitsLocked(s *Share, want int64) bool {
	guaranteed := m.limit / int64(2*len(m.mu.shares))
	if s.held()+want <= guaranteed {
		return true
	}
	taken := want + s.held()
	for _, o := range m.mu.shares {
		if o != s {
			taken += max(o.held(), guaranteed)
		}
	}
	return taken <= m.limit
}

// reclaimLocked has the largest open files committed, until enough is on its
// way.
func (m *Memory) reclaimLocked(short int64) {
	short = min(short, m.limit/reclaimingShare)
	var open []*Share
	for _, s := range m.mu.shares {
		switch {
		case s.hold.Closing > 0 && !s.hold.Stuck:
			short -= s.hold.Closing
		case s.hold.Open > 0 && s.signaled == s.hold.Span:
			short -= s.hold.Open
		case s.hold.Open > 0 && s.hold.Closing == 0 && !s.hold.Recovering:
			open = append(open, s)
		}
	}
	slices.SortFunc(open, func(a, b *Share) int { return cmp.Compare(b.hold.Open, a.hold.Open) })
	for _, s := range open {
		if short <= 0 {
			return
		}
		short -= s.hold.Open
		s.signalPressureLocked()
	}
}

// Large makes room for a fetch that takes so many bytes, more than it asked for: a
// batch comes whole. Where there is no room it waits for the turn to go beyond the
// bound, which one partition of the process has, until what it read is scored:
// whoever has the turn waits for no other partition. Under a context that has
// ended it says at once whether there is room. It is called before the memory is
// allocated.
func (s *Share) Large(ctx context.Context, bytes int) error {
	fits := false
	s.with(func(m *Memory) {
		more := s.perFetch(int64(bytes)) - s.fetching
		if fits = s.large || more <= 0 || m.fitsLocked(s, more); fits {
			s.fetching += max(0, more)
		}
		s.oversize = s.oversize || s.large || !fits && ctx.Err() == nil
	})
	if fits {
		return nil
	}
	return s.await(ctx, s.memory.large, &s.large)
}

// AwaitMerge waits for the turn to have a merged file in memory, of which those
// who share a process have one. It is had until GiveMerge.
func (s *Share) AwaitMerge(ctx context.Context) error {
	return s.await(ctx, s.memory.merging, &s.merged)
}

// GiveMerge gives that turn back, if it is had.
func (s *Share) GiveMerge() { s.with(func(m *Memory) { giveTurnLocked(m.merging, &s.merged) }) }

// await waits for a turn, which has tells of, unless it is had already.
func (s *Share) await(ctx context.Context, turn chan struct{}, has *bool) error {
	had := false
	if s.with(func(*Memory) { had = *has }); had {
		return nil
	}
	if ctx.Err() == nil {
		select {
		case turn <- struct{}{}:
			s.with(func(*Memory) { *has = true })
			return nil
		case <-ctx.Done():
		}
	}
	return &thalweg.Error{Op: "wait for memory", Kind: thalweg.Canceled, Err: ctx.Err()}
}

func (s *Share) takeTurnLocked() bool {
	if s.large {
		return true
	}
	select {
	case s.memory.large <- struct{}{}:
		s.large = true
	default:
	}
	return s.large
}

func giveTurnLocked(turn chan struct{}, has *bool) {
	if *has {
		*has = false
		<-turn
	}
}

func (s *Share) giveTurnsLocked() {
	giveTurnLocked(s.memory.large, &s.large)
	giveTurnLocked(s.memory.merging, &s.merged)
}

// MaxMerged returns how large a merged file may be.
func (s *Share) MaxMerged() int64 { return s.memory.all / maxMergeShare }

// Writers returns the pool of what files are written with.
func (s *Share) Writers() *dataset.Pool { return s.memory.pool }

// Score runs work on a batch of so many bytes when there is room and a core free
// for it.
func (s *Share) Score(ctx context.Context, bytes int64, work func() error) error {
	return s.memory.do(ctx, &s.memory.scoring, scoringPerByte*bytes, work)
}

// Encode runs work that makes files of rows of so many bytes when there is room
// and a core free for it.
func (s *Share) Encode(ctx context.Context, bytes int64, work func() error) error {
	return s.memory.do(ctx, &s.memory.encoding, bytes, work)
}

// turns are the turns to work: to so many bytes at a time, on so many cores. First
// come, first served: no partition has two turns while another waits.
type turns struct {
	most         int64
	bytes, cores *semaphore.Weighted
}

func newTurns(cores int, bytes int64) turns {
	return turns{bytes, semaphore.NewWeighted(bytes), semaphore.NewWeighted(int64(cores))}
}

// do runs work that takes so many bytes. What takes more than there are runs alone.
// Whoever has room waits for a core, and whoever has a core for nothing.
func (m *Memory) do(ctx context.Context, turns *turns, bytes int64, work func() error) error {
	bytes = min(max(bytes, 1), turns.most)
	if err := turns.bytes.Acquire(ctx, bytes); err != nil {
		return &thalweg.Error{Op: "wait for memory", Kind: thalweg.Canceled, Err: err}
	}
	defer turns.bytes.Release(bytes)
	if err := turns.cores.Acquire(ctx, 1); err != nil {
		return &thalweg.Error{Op: "wait for a core", Kind: thalweg.Canceled, Err: err}
	}
	defer turns.cores.Release(1)
	m.addWork(bytes)
	defer m.addWork(-bytes)
	return work()
}

func (m *Memory) addWork(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.worked += bytes
	m.mu.peak = max(m.mu.peak, m.filledLocked())
}
