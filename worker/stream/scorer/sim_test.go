package scorer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/thalweg/thalweg"
	bucketmem "github.com/thalweg/thalweg/storage/memory"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/engine"
	"github.com/thalweg/thalweg/worker/stream/machine"
)

// sim is a world without goroutines or clock: a topic, a store that fails,
// owners of the one partition, each the real machine with the real shell but
// for its seams, and other actors. What is done when, who dies, who stalls and
// who believes to be the owner is drawn from a seed, so a failure is run again
// by its number.
//
// sim_owner_test.go has the owners, sim_topic_test.go the topic,
// sim_engine_test.go what scores, sim_faults_test.go what fails,
// sim_wrong_test.go scorers that are wrong on purpose, model_test.go the judge.
type sim struct {
	rng    *rand.Rand
	seed   uint64
	wrong  *wrong // nil: as it should be
	bucket *bucketmem.Bucket
	owners []*simOwner // dead ones too: their last requests may still arrive
	actors []simActor
	now    machine.Instant

	events     []simEvent        // of the topic, by offset
	first      int64             // that the topic still has
	past       []simTopic        // that had the topic's name before
	authorized SkipAuthorization // what the operator said last
	group      int64             // offset as the dashboards see it
	candidates []engine.Candidate
	registered int // versions
	damaged    map[thalweg.ModelVersion]bool
	calm       bool // no more faults
	between    bool // others act in the middle of what is not atomic
	stopped    error
	letters    *simLetters
	rows       *simRows
	tally      map[string]int // of what happened, for the summary
}

// simActor is somebody besides the owners who acts in the sim: a reader, a
// compactor, an operator. Each is one file sim_<name>_test.go and one line in
// simActors. What it believes is in its own struct; what is true is in the
// sim's store and topic.
type simActor interface {
	// act does one thing, when the actor is drawn.
	act()
	// settle is called when the faults are over and every owner is dead: requests
	// under way arrive, and what the actor has begun is brought to its end.
	settle()
	// judge returns what is not as promised, given all objects of the store.
	judge(objects map[string][]byte) []string
}

// simActors is the table of those who act.
var simActors = []func(*sim) simActor{
	newSimReader,
	newSimLetters,
	newSimRows,
	newSimFollower,
	newSimOperator,
}

func newSim(seed uint64, wrong *wrong) *sim {
	s := &sim{rng: rand.New(rand.NewPCG(seed, 1)), seed: seed, wrong: wrong, bucket: bucketmem.New(),
		damaged: make(map[thalweg.ModelVersion]bool), tally: make(map[string]int)}
	s.now = machine.Instant{Mono: time.Second, Wall: 1_000_000}
	s.candidates, s.registered = []engine.Candidate{simCandidate(1, 1_000_000)}, 1
	for _, make := range simActors {
		s.actors = append(s.actors, make(s))
	}
	return s
}

func simCandidate(version int, at int64) engine.Candidate {
	return engine.Candidate{Model: engine.Model{Name: "m", Version: thalweg.ModelVersion(version),
		Checkpoint: thalweg.CheckpointRef{Key: fmt.Sprintf("checkpoints/%d", version), SHA256: strings.Repeat("c", 64)}}, RegisteredAtUS: at}
}

// live returns the owners that are not dead.
func (s *sim) live() []*simOwner {
	var live []*simOwner
	for _, o := range s.owners {
		if !o.dead {
			live = append(live, o)
		}
	}
	return live
}

// run plays steps turns with faults, then lets one owner finish in peace.
func (s *sim) run(steps int) {
	s.produce(3)
	if s.old() {
		s.begin()
		steps *= 2
	}
	s.spawn()
	for range steps {
		s.disturb()
		if live := s.live(); len(live) > 0 && s.stopped == nil {
			live[s.rng.IntN(len(live))].turn()
		}
	}
	s.settle()
}

// old reports whether the world begins with a log, lasts longer and has fewer
// owners: so that files are merged under faults.
func (s *sim) old() bool { return s.seed%4 == 1 }

// crowd draws how many may believe to be the owner at a time.
func (s *sim) crowd() int {
	if s.old() {
		return 1 + s.rng.IntN(2)
	}
	return 3
}

// begin has an owner commit some slots in peace.
func (s *sim) begin() {
	s.calm = true
	s.produce(20)
	o := s.spawn()
	for o.runner.machine.slots.committed < s.lastEvent() {
		s.pass(100 * time.Microsecond)
		o.turn()
	}
	o.dead, s.calm = true, false
}

// simDisturbances is what may happen to the world before a turn, in parts of 1000;
// mostly nothing does.
var simDisturbances = []struct {
	weight int
	what   string
	happen func(s *sim, live []*simOwner)
}{
	{400, "time passes", func(s *sim, _ []*simOwner) { s.pass(time.Duration(s.rng.Int64N(int64(time.Millisecond)))) }},
	{60, "events come", func(s *sim, _ []*simOwner) { s.produce(1 + s.rng.IntN(6)) }},
	{8, "an owner is killed", func(s *sim, live []*simOwner) { s.any(live).dead = true }}, // a request of its may be on the way
	{20, "an owner stalls", func(s *sim, live []*simOwner) { s.any(live).asleep = s.rng.IntN(60) }},
	{20, "late requests arrive", func(s *sim, _ []*simOwner) {
		s.owners[s.rng.IntN(len(s.owners))].bucket.Settle(context.Background())
	}},
	{20, "another believes to be the owner", func(s *sim, live []*simOwner) {
		if len(live) < s.crowd() {
			s.spawn()
		}
	}},
	{6, "a pause is asked for or ended", func(s *sim, live []*simOwner) {
		s.any(live).step(asked{paused: s.rng.IntN(3) == 0, skip: s.authorized})
	}},
	{4, "a drain is asked for", func(s *sim, live []*simOwner) { s.any(live).step(drainAsked{}) }},
	{10, "a version is registered", (*sim).register},
	{5, "a clock jumps", func(s *sim, live []*simOwner) { s.any(live).skew += s.rng.Int64N(200_000) - 100_000 }},
	{4, "retention deletes records", (*sim).retain},
	{12, "retention deletes records of a claim", (*sim).retainClaimed},
	{3, "the topic is made anew", (*sim).remake},
	{40, "others act", func(s *sim, _ []*simOwner) { s.actors[s.rng.IntN(len(s.actors))].act() }},
}

// disturb does to the world what worlds do.
func (s *sim) disturb() {
	if len(s.live()) == 0 {
		s.spawn()
	}
	n := s.rng.IntN(1000)
	for _, t := range simDisturbances {
		if n -= t.weight; n < 0 {
			s.tally[t.what]++
			t.happen(s, s.live())
			break
		}
	}
	if len(s.live()) == 0 {
		s.spawn()
	}
}

// any draws one of the owners that live; before a disturbance there is one.
func (s *sim) any(live []*simOwner) *simOwner { return live[s.rng.IntN(len(live))] }

func (s *sim) pass(d time.Duration) {
	s.now.Mono += d
	s.now.Wall += d.Microseconds()
}

func (s *sim) register(live []*simOwner) {
	first := s.candidates[0]
	switch {
	case first.InRollout():
		s.candidates = slices.Clone(s.candidates[1:]) // rolled back, unless
		switch s.rng.IntN(3) {
		case 0:
			first.Rollout.Percent = min(100, first.Rollout.Percent+40)
			s.candidates = slices.Insert(s.candidates, 0, first)
		case 1:
			s.candidates = slices.Insert(s.candidates, 0, simCandidate(int(first.Rollout.Candidate), first.RegisteredAtUS))
		}
	case s.registered >= 6:
		return
	default:
		s.registered++
		next := simCandidate(s.registered, s.now.Wall+s.rng.Int64N(100_000))
		s.damaged[next.Version] = s.rng.IntN(4) == 0
		if s.rng.IntN(2) == 0 {
			both := first
			both.Rollout = commitlog.Rollout{Candidate: next.Version, Checkpoint: next.Checkpoint, Percent: 20, Salt: fmt.Sprint("s", next.Version)}
			both.RegisteredAtUS = max(first.RegisteredAtUS, next.RegisteredAtUS)
			next = both
		}
		s.candidates = append([]engine.Candidate{next}, s.candidates...)
	}
	for _, o := range live {
		o.step(modelsOffered{s.candidates})
	}
}

// settle ends the faults: everybody dies, late requests arrive, and a new
// owner on a store that works scores what is left.
func (s *sim) settle() {
	s.calm = true
	for _, o := range s.owners {
		o.dead = true
	}
	for _, o := range s.owners {
		o.bucket.Settle(context.Background())
		for f, n := range o.bucket.Injected() {
			s.tally["fault of the store: "+f.String()] += n
		}
		for f, n := range o.source.Injected() {
			s.tally["fault of the topic: "+f.String()] += n
		}
	}
	for _, a := range s.actors {
		a.settle()
	}
	for info := range s.bucket.List(context.Background(), "x/_log/", "") {
		if strings.HasSuffix(info.Key, ".done.json") {
			s.tally["slots finished under faults"]++
		}
	}
	if s.stopped != nil {
		return
	}
	s.produce(2)
	o := s.spawn()
	finished := func() bool {
		m := o.runner.machine
		return m.slots.claim == nil && m.source.topicID == simTopicID(len(s.past)) && m.slots.committed >= s.lastEvent()
	}
	for turns := 0; !finished(); turns++ {
		if o.dead && s.stopped == nil && turns <= 20_000 {
			s.operator().speak(s.operator().reported) // what is lost is lost
			o = s.spawn()
		}
		if turns > 20_000 || o.dead {
			s.stopped = errors.Join(s.stopped, fmt.Errorf("the last owner does not finish: %s, committed %d of %d", o.runner.machine.message(), o.runner.machine.slots.committed, s.lastEvent()))
			return
		}
		s.pass(100 * time.Microsecond)
		o.turn()
	}
	// For a while it only merges, sweeps and is read.
	for turns := range 150 {
		s.pass(100 * time.Microsecond)
		o.turn()
		if turns%10 == 0 {
			for _, a := range s.actors {
				a.act()
			}
		}
	}
}
