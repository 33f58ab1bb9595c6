package deadletter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"strings"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/integration/fault"
	"github.com/thalweg/thalweg/storage"
	bucketmem "github.com/thalweg/thalweg/storage/memory"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// replaySim is a world in which people replay the dead letters of one
// partition: each the real Replay, in a goroutine that runs only when it is its
// turn. Its turns are its requests to the store; who has one, who dies at it,
// before or after it took effect, and who stalls is drawn from a seed.
type replaySim struct {
	rng    *rand.Rand
	wrong  replayWrongness
	bucket *bucketmem.Bucket
	main   *commitlog.Log
	people []*replayPerson
	events []replayEvent // by offset
	ids    int
	failed error // of somebody whom nothing had happened to
}

// replayEvent is what became of an event in the main log.
type replayEvent struct {
	slot   uint64
	dead   bool
	whole  bool
	needs  int // the version that can score it; beyond simVersions: none can
	stage  string
	letter engine.DeadLetter
}

// simVersions is the newest version.
const simVersions = 4

// replayWrongness names a replay that is wrong in one way.
type replayWrongness string

const (
	replayRight      replayWrongness = ""
	replayTwice      replayWrongness = "replays again what was scored"
	replayOtherWhere replayWrongness = "carries a claim out with its own selection"
	replayOtherModel replayWrongness = "carries a claim out with its own version"
	replayCheckWrite replayWrongness = "has a store that checks and then writes"
	replayRemembers  replayWrongness = "remembers what was scored when it began, and no more"
)

// replayPerson is one who runs a replay.
type replayPerson struct {
	sim     *replaySim
	where   string
	version int
	bucket  storage.Bucket
	turn    chan fate     // given by the sim
	waits   chan struct{} // the person waits for a turn
	ended   chan error
	dead    bool
	over    bool
	asleep  int
	inside  bool // a request of theirs is under way
	summary ReplaySummary
	cancel  context.CancelFunc
}

// fate is what happens to a person at a request.
type fate uint8

const (
	lives fate = iota
	diesBefore
	diesAfter
)

func newReplaySim(seed uint64, wrong replayWrongness) *replaySim {
	s := &replaySim{rng: rand.New(rand.NewPCG(seed, 7)), wrong: wrong, bucket: bucketmem.New()}
	var err error
	if s.main, err = commitlog.New(s.bucket, replaySimLog(false)); err != nil {
		panic(err)
	}
	if _, err = s.main.Open(context.Background()); err != nil {
		panic(err)
	}
	for range 1 + s.rng.IntN(4) {
		s.grow()
	}
	return s
}

func replaySimLog(replay bool) commitlog.Config {
	return commitlog.Config{Prefix: "x/", Pipeline: "p", Topic: "t", Replay: replay, Attempts: 2, Backoff: 1}
}

func (s *replaySim) newID() string {
	s.ids++
	return fmt.Sprintf("%016x%016x", s.rng.Uint64(), s.ids)
}

// grow is the live stream: it finishes one more slot.
func (s *replaySim) grow() {
	ctx := context.Background()
	state := s.main.State()
	from := max(state.NextOffset, 0)
	n := 1 + s.rng.IntN(8)
	in := commitlog.Intent{Seq: state.NextSeq, ID: s.newID(), Pipeline: "p", Topic: "t", From: from, To: from + int64(n), Model: "m", ModelVersion: 1,
		Checkpoint: simCandidate(1, 0).Checkpoint, SpecGeneration: 1, ScoredAtUS: 1, Previous: state.Previous, TopicID: state.TopicID}
	if in.TopicID == "" && s.rng.IntN(3) == 0 {
		in.TopicID = strings.Repeat("a", 32) // the brokers tell from now on
	}
	if _, _, err := s.main.Claim(ctx, in); err != nil {
		panic(err)
	}
	var letters bytes.Buffer
	var rows, dead int64
	for at := in.From; at < in.To; at++ {
		e := replayEvent{slot: in.Seq, dead: s.rng.IntN(2) == 0, whole: s.rng.IntN(8) > 0, needs: 2 + s.rng.IntN(simVersions), stage: "decode"}
		if s.rng.IntN(3) == 0 {
			e.stage = "model"
		}
		if e.dead {
			text := fmt.Sprint(e.needs)
			e.letter = engine.DeadLetter{Topic: "t", Offset: at, TimestampUS: 1, Stage: e.stage, Reason: "r", Model: "m", ModelVersion: 1, SpecGeneration: 1,
				SizeBytes: 1, Raw: []byte(text), Text: &text, Truncated: !e.whole}
			if err := e.letter.AppendLine(&letters); err != nil {
				panic(err)
			}
			dead++
		} else {
			rows++
		}
		s.events = append(s.events, e)
	}
	var objects []commitlog.Object
	for kind, body := range map[commitlog.ObjectKind][]byte{commitlog.Scored: []byte("rows"), commitlog.Dead: letters.Bytes()} {
		count := map[commitlog.ObjectKind]int64{commitlog.Scored: rows, commitlog.Dead: dead}[kind]
		if count == 0 {
			continue
		}
		o, err := s.main.Publish(ctx, kind, "", count, body, nil)
		if err != nil {
			panic(err)
		}
		objects = append(objects, o)
	}
	done, err := s.main.Complete(commitlog.Done{Objects: objects})
	if err != nil {
		panic(err)
	}
	if _, _, err := s.main.Finish(ctx, done); err != nil {
		panic(err)
	}
}

// simWheres are selections that people make.
var simWheres = []string{"", "offset % 2 == 0", "stage == 'decode'", "text == '3'", "offset < 10 && reason == 'r'", "stage == 'nothing'"}

// begin lets somebody start a replay. calm: nothing happens to their requests
// by itself.
func (s *replaySim) begin(where string, version int, calm bool) *replayPerson {
	p := &replayPerson{sim: s, where: where, version: version, turn: make(chan fate), waits: make(chan struct{}), ended: make(chan error, 1)}
	var store storage.Bucket = s.bucket
	if s.wrong == replayCheckWrite {
		store = &replayCheckThenWrite{Bucket: s.bucket, person: p}
	}
	plan := fault.Plan{}
	if !calm {
		plan = fault.Plan{Seed: s.rng.Uint64(), Rules: []fault.Rule{{Fault: fault.LostReply, Ops: fault.PutIfAbsent, Rate: 0.1},
			{Fault: fault.Reply412, Ops: fault.PutIfAbsent, Rate: 0.05}, {Fault: fault.Late, Ops: fault.PutIfAbsent, Rate: 0.05}}}
	}
	p.bucket = fault.NewBucket(store, plan)
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	r := p.replayer()
	s.people = append(s.people, p)
	go func() {
		if <-p.turn == lives { // the first turn is to begin
			err := r.partition(ctx, 0)
			p.summary = r.summary
			p.ended <- err
		} else {
			p.ended <- errDied
		}
	}()
	return p
}

var errDied = &thalweg.Error{Op: "live", Kind: thalweg.Canceled, Err: errors.New("died")}

// replayer returns the real thing, bent where the sim is wrong.
func (p *replayPerson) replayer() *replayer {
	s := p.sim
	own, err := NewSelection(p.where)
	if err != nil {
		panic(err)
	}
	r := &replayer{bucket: &turnBucket{person: p}, selection: own, log: slog.New(slog.DiscardHandler),
		cfg:   ReplayConfig{Pipeline: "p", Generation: 2, Topic: "t", Partitions: 1, Prefix: "x/", Where: p.where, Model: simCandidate(p.version, 5)},
		newID: s.newID, now: func() int64 { return 10 }, compile: NewSelection,
		prepare: func(_ context.Context, m engine.Model) (engine.Engine, error) {
			return &replayEngine{version: int(m.Version), lines: map[*engine.Rows][]int64{}}, nil
		},
		offsetsIn: func(_ string, file []byte, to []int64) ([]int64, error) {
			for line := range bytes.Lines(file) {
				at, _, _, _ := simLine(line)
				to = append(to, at)
			}
			return to, nil
		}}
	switch s.wrong {
	case replayTwice:
		r.offsetsIn = func(_ string, _ []byte, to []int64) ([]int64, error) { return to, nil }
	case replayOtherWhere:
		r.compile = func(string) (*Selection, error) { return own, nil }
	case replayOtherModel:
		r.prepare = func(context.Context, engine.Model) (engine.Engine, error) {
			return &replayEngine{version: p.version, lines: map[*engine.Rows][]int64{}}, nil
		}
	case replayRemembers:
		sound, began := r.offsetsIn, s.replayed()
		r.offsetsIn = func(name string, file []byte, to []int64) ([]int64, error) {
			if !began[name] {
				return to, nil
			}
			return sound(name, file, to)
		}
	}
	return r
}

// replayed returns the objects of rows of the replay log.
func (s *replaySim) replayed() map[string]bool {
	found := make(map[string]bool)
	for info := range s.bucket.List(context.Background(), "x/data/t/00000-replay/", "") {
		found[info.Key] = true
	}
	return found
}

// replayEngine scores what its version can.
type replayEngine struct {
	version int
	lines   map[*engine.Rows][]int64
}

func (e *replayEngine) Score(_ context.Context, b *engine.Batch, dst *engine.Rows) error {
	var letters bytes.Buffer
	var lost []engine.Reject
	var good []int64
	for i, at := range b.Offsets() {
		var needs int
		fmt.Sscan(string(b.Value(i)), &needs)
		if needs <= e.version {
			good = append(good, at)
			continue
		}
		text := string(b.Value(i))
		l := engine.DeadLetter{Topic: "t", Offset: at, TimestampUS: b.Timestamps()[i], Stage: "decode", Reason: "again", Model: "m", ModelVersion: dst.Model.Version,
			SpecGeneration: dst.Generation, SizeBytes: 1, Raw: b.Value(i), Text: &text, Replay: dst.Replay}
		if err := l.AppendLine(&letters); err != nil {
			return err
		}
		lost = append(lost, engine.Reject{Offset: at})
	}
	if err := dst.Add(b, nil, letters.Bytes(), lost); err != nil {
		return err
	}
	e.lines[dst] = append(e.lines[dst], good...)
	dst.Scored += int64(len(good))
	return nil
}

func (e *replayEngine) Encode(in commitlog.Intent, r *engine.Rows) ([]engine.File, error) {
	var out bytes.Buffer
	for _, at := range e.lines[r] {
		fmt.Fprintf(&out, "row %d %d %d %d %s\n", at, e.version, in.SpecGeneration, in.ScoredAtUS, in.ID)
	}
	return []engine.File{{Rows: int64(len(e.lines[r])), Body: out.Bytes()}}, nil
}

func (e *replayEngine) Stored(_ commitlog.ObjectKind, body []byte) iter.Seq2[engine.StoredRow, error] {
	return simStored(body)
}

func (e *replayEngine) Needs() connectors.Fields { return 0 }

func (e *replayEngine) Prepare(context.Context, *engine.Batch, int) error { return nil }

// turnBucket makes each request a turn of its person.
type turnBucket struct{ person *replayPerson }

// at waits for the turn, makes the request and dies where it is to.
func (b *turnBucket) at(request func()) error {
	p := b.person
	if p.dead {
		return errDied
	}
	p.waits <- struct{}{}
	f := <-p.turn
	if f == diesBefore {
		p.dead = true
		return errDied
	}
	request()
	if f == diesAfter {
		p.dead = true
		return errDied
	}
	return nil
}

func (b *turnBucket) Get(ctx context.Context, key string) (body []byte, info storage.Info, err error) {
	if died := b.at(func() { body, info, err = b.person.bucket.Get(ctx, key) }); died != nil {
		return nil, info, died
	}
	return body, info, err
}

func (b *turnBucket) GetRange(ctx context.Context, key string, offset int64, buf []byte) (err error) {
	return errors.Join(b.at(func() { err = b.person.bucket.GetRange(ctx, key, offset, buf) }), err)
}

func (b *turnBucket) Put(ctx context.Context, key string, body []byte) (info storage.Info, err error) {
	died := b.at(func() { info, err = b.person.bucket.Put(ctx, key, body) })
	return info, errors.Join(died, err)
}

func (b *turnBucket) PutIfAbsent(ctx context.Context, key string, body []byte) (info storage.Info, err error) {
	if died := b.at(func() { info, err = b.person.bucket.PutIfAbsent(ctx, key, body) }); died != nil {
		return info, died
	}
	return info, err
}

func (b *turnBucket) Head(ctx context.Context, key string) (info storage.Info, err error) {
	if died := b.at(func() { info, err = b.person.bucket.Head(ctx, key) }); died != nil {
		return info, died
	}
	return info, err
}

func (b *turnBucket) List(ctx context.Context, prefix, after string) iter.Seq2[storage.Info, error] {
	return func(yield func(storage.Info, error) bool) {
		if died := b.at(func() {}); died != nil {
			yield(storage.Info{}, died)
			return
		}
		b.person.bucket.List(ctx, prefix, after)(yield)
	}
}

func (b *turnBucket) Delete(ctx context.Context, key string) (err error) {
	return errors.Join(b.at(func() { err = b.person.bucket.Delete(ctx, key) }), err)
}

// replayCheckThenWrite is a store whose conditional create is not atomic:
// somebody else has turns between the check and the write.
type replayCheckThenWrite struct {
	*bucketmem.Bucket
	person *replayPerson
}

func (c *replayCheckThenWrite) PutIfAbsent(ctx context.Context, key string, body []byte) (storage.Info, error) {
	if _, err := c.Bucket.Head(ctx, key); err == nil {
		return c.Bucket.PutIfAbsent(ctx, key, body)
	}
	s := c.person.sim
	for _, p := range s.people {
		if p != c.person && !p.over && p.asleep == 0 && !p.inside {
			c.person.inside = true
			for range s.rng.IntN(20) {
				if !p.over {
					s.step(p, lives)
				}
			}
			c.person.inside = false
			break
		}
	}
	return c.Bucket.Put(ctx, key, body)
}
