package deadletter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/dataset"
	"github.com/thalweg/thalweg/worker/stream/budget"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// Bounds of one slot of a replay log: what is scored into it is in memory.
const (
	maxReplayEvents = 20_000
	maxReplayBytes  = 64 << 20 // of their events
)

// replayRaces bounds how often in a row a slot may be lost to others before a
// replay gives up: each time one of them has got on by a whole slot.
const replayRaces = 1000

// keepVersions is how many versions are kept ready: claims of others may be of
// any.
const keepVersions = 3

// ReplayConfig says which dead letters are scored again, and by what. All but
// the last five are required, and Where.
type ReplayConfig struct {
	Pipeline   thalweg.PipelineName
	Generation thalweg.Generation // of the spec in force
	Topic      string
	Partitions int    // of the topic
	Prefix     string // of the sink in its bucket: empty, or ending in a slash
	// Model scores the dead letters that nobody has begun to score again.
	Model engine.Candidate
	// Where selects them, as NewSelection has it; empty: all.
	Where string
	// PartitionBy is as Config has it.
	PartitionBy string
	// Schema has the columns with pii, which Model must protect. What is claimed already is
	// finished by the version that it was claimed for.
	Schema *pipeline.SchemaSpec
	// Compression of result files. Default zstd.
	Compression dataset.Compression
	// MaxEventBytes is as Config has it. Default 1 MiB.
	MaxEventBytes int
	// Source opens the topic, which has the events of dead letters that have none because
	// columns have pii; it is called for the first of these. Nil: they count as truncated.
	Source func() (connectors.Source, error)
	// Lost is told which of these the topic does not have any more either; nil: nobody asks.
	Lost func(Loss)
}

// ReplaySummary says what became of the dead letters that a replay selected:
// Selected is the sum of the next eight.
type ReplaySummary struct {
	Selected int64 `json:"selected"`
	Scored   int64 `json:"scored"`     // became rows
	Dead     int64 `json:"dead_again"` // could not be scored this time either, and stay dead letters
	// Truncated are those of which not all was kept that the version reads: their
	// beginning only, nothing because they could not be fetched, or not the key or
	// the headers of their records.
	Truncated int64 `json:"truncated"`
	Already   int64 `json:"already_replayed"` // had become rows by an earlier replay
	// Retention, Compaction and Recreation are those whose events neither the letters nor the
	// topic has any more, by what took them; the last since they were claimed.
	Retention  int64 `json:"lost_to_retention"`
	Compaction int64 `json:"lost_to_compaction"`
	Recreation int64 `json:"lost_to_recreation"`
	// Recovered are rows and dead letters of claims of others, or of an earlier
	// replay, that were found unfinished and carried out.
	Recovered int64 `json:"recovered"`
	Slots     int64 `json:"slots"` // of replay logs that were finished
}

// Replay scores dead letters again, beside the live stream. Kafka is asked only for
// events that are withheld. It lands each selected event that can be scored now in exactly one row,
// whoever else replays at the same time, and however often it dies and is run
// again. progress, which may be nil, is called after every slot.
func Replay(ctx context.Context, bucket storage.Bucket, models engine.Models, log *slog.Logger, cfg ReplayConfig, progress func(ReplaySummary)) (ReplaySummary, error) {
	if cfg.Compression == "" {
		cfg.Compression = dataset.Zstd
	}
	if cfg.MaxEventBytes == 0 {
		cfg.MaxEventBytes = engine.DefaultMaxEventBytes
	}
	selection, err := NewSelection(cfg.Where)
	if err == nil {
		err = engine.Protects(ctx, models, cfg.Model.Model, cfg.Schema)
	}
	if err != nil {
		return ReplaySummary{}, err
	}
	r := &replayer{bucket: bucket, cfg: cfg, selection: selection, log: log, progress: progress, newID: commitlog.NewID, compile: NewSelection, offsetsIn: offsetsIn,
		now: func() int64 { return time.Now().UnixMicro() },
		prepare: func(ctx context.Context, m engine.Model) (engine.Engine, error) {
			a, err := models.Load(ctx, m)
			if err != nil {
				return nil, err
			}
			return engine.New(m, a, engine.Config{Compression: cfg.Compression, MaxEventBytes: cfg.MaxEventBytes})
		}}
	defer func() {
		if r.topic != nil {
			_ = r.topic.source.Close() // it was only read
		}
	}()
	for p := range cfg.Partitions {
		if err := r.partition(ctx, p); err != nil {
			return r.summary, err
		}
	}
	return r.summary, nil
}

// replayer is one Replay. The last five fields are its seams.
type replayer struct {
	bucket    storage.Bucket
	cfg       ReplayConfig
	selection *Selection
	log       *slog.Logger
	summary   ReplaySummary
	engines   map[engine.Model]engine.Engine
	topic     *rereader // once it was needed

	progress  func(ReplaySummary)
	newID     func() string // of an intent
	now       func() int64  // microseconds since 1970 UTC
	prepare   func(ctx context.Context, m engine.Model) (engine.Engine, error)
	compile   func(where string) (*Selection, error)                                  // of another's claim
	offsetsIn func(name string, file []byte, to []int64) (offsets []int64, err error) // of the rows of a file
}

// partition replays the dead letters of one partition. What is claimed and not
// finished comes first, whoever claimed it and whatever it selects: only so it
// is known which events have been scored.
func (r *replayer) partition(ctx context.Context, partition int) error {
	main, again, err := openLogs(ctx, r.bucket, commitlog.Config{Prefix: r.cfg.Prefix, Pipeline: r.cfg.Pipeline, Topic: r.cfg.Topic, Partition: partition})
	if err != nil {
		return err
	}
	state := again.State()
	var at place // of the first dead letter that this replay has not dealt with
	history := newReplayHistory(r.bucket, again, r.offsetsIn)
	topics, err := newTopicIDs(ctx, main)
	if err != nil {
		return err
	}
	for races := 0; races < replayRaces; {
		if state.Pending != nil {
			done, _, _, err := r.carryOut(ctx, main, again, history, *state.Pending)
			if err != nil {
				return err
			}
			r.summary.Recovered += done.Scored + done.Dead
			r.finished()
			state = again.State()
			continue
		}
		chunk, err := r.plan(ctx, main, topics, history, state.NextSeq, at, place{})
		if err != nil {
			return err
		}
		if chunk.candidates == 0 {
			r.count(chunk)
			return nil
		}
		in := r.intent(state, partition, chunk)
		won, winner, err := again.Claim(ctx, in)
		if err != nil {
			return err
		}
		if !won {
			races++
			r.log.Info("another replay took the slot; carrying it out", slog.Int("partition", partition), slog.Uint64("slot", winner.Seq), slog.String("where", winner.Where))
			state = again.State()
			continue
		}
		races = 0
		done, cut, lost, err := r.carryOut(ctx, main, again, history, in)
		if err != nil {
			return err
		}
		if cut != (place{}) { // the rest is for the next slot
			if chunk, err = r.plan(ctx, main, topics, history, in.Seq, at, cut); err != nil {
				return err
			}
			chunk.next = cut
		}
		chunk.counts.Scored, chunk.counts.Dead = done.Scored, done.Dead
		if left := int64(chunk.candidates) - done.Scored - done.Dead; left > 0 { // taken since they were planned
			chunk.lost = append(chunk.lost, lost...)
			for _, l := range lost {
				chunk.counts.lose(l.Why, l.Events)
			}
		}
		r.count(chunk)
		r.finished()
		at, state = chunk.next, again.State()
	}
	return &thalweg.Error{Op: "replay dead letters", Kind: thalweg.Conflict, Subject: fmt.Sprintf("%s/%d", r.cfg.Topic, partition),
		Hint: "other replays keep taking the slots; run it again when they are through"}
}

// lose counts letters whose events are nowhere.
func (s *ReplaySummary) lose(why string, n int64) {
	switch why {
	case Retention:
		s.Retention += n
	case Compaction:
		s.Compaction += n
	default:
		s.Recreation += n
	}
}

// count adds what a chunk became.
func (r *replayer) count(chunk chunk) {
	c := chunk.counts
	r.summary.Selected += c.Selected
	r.summary.Scored += c.Scored
	r.summary.Dead += c.Dead
	r.summary.Truncated += c.Truncated
	r.summary.Already += c.Already
	r.summary.Retention += c.Retention
	r.summary.Compaction += c.Compaction
	r.summary.Recreation += c.Recreation
	if r.cfg.Lost != nil {
		for _, l := range chunk.lost {
			r.cfg.Lost(l)
		}
	}
}

func (r *replayer) finished() {
	r.summary.Slots++
	if r.progress != nil {
		r.progress(r.summary)
	}
}

// intent claims a chunk for the version of this replay. It is not dated before
// the version was registered.
func (r *replayer) intent(state commitlog.State, partition int, c chunk) commitlog.Intent {
	m := r.cfg.Model
	return commitlog.Intent{
		Seq: state.NextSeq, ID: r.newID(), Pipeline: r.cfg.Pipeline, Topic: r.cfg.Topic, Partition: partition, From: c.from, To: c.to,
		Model: m.Name, ModelVersion: m.Version, Checkpoint: m.Checkpoint, SpecGeneration: r.cfg.Generation,
		ScoredAtUS: max(r.now(), m.RegisteredAtUS), Previous: state.Previous, PartitionBy: r.cfg.PartitionBy,
		Action: commitlog.Replay, TopicID: c.topicID, Slots: c.slots, Where: r.cfg.Where, Reread: c.reread,
	}
}

// place is a position among the dead letters of a partition: in a slot of its
// main log, an offset.
type place struct {
	slot   uint64
	offset int64
}

func (p place) after(slot uint64, offset int64) bool {
	return slot < p.slot || slot == p.slot && offset < p.offset
}

// chunk is what one slot of a replay log will hold.
type chunk struct {
	slots      [2]uint64
	from, to   int64
	topicID    string
	reread     bool // the events are in the topic, not in the letters
	candidates int
	bytes      int
	counts     ReplaySummary // of all that was looked at to find them
	lost       losses        // among these
	next       place
}

// plan finds the next dead letters to score again, from a place on and, unless
// it is zero, up to another: as many as fit into one slot, of one topic, that all have
// their events or all have none.
func (r *replayer) plan(ctx context.Context, main *commitlog.Log, topics *topicIDs, history *replayHistory, before uint64, at, until place) (chunk, error) {
	c := chunk{next: at}
	needs, err := r.needs(ctx, r.cfg.Model.Model)
	if err != nil {
		return c, err
	}
	if err := history.read(ctx, before); err != nil {
		return c, err
	}
	for page, err := range r.selection.pages(ctx, r.bucket, main, at.slot, commitlog.MaxSeq+1) {
		if err != nil {
			return c, err
		}
		topicID, err := topics.of(ctx, page.slot)
		if err != nil || c.candidates > 0 && topicID != c.topicID {
			return c, err
		}
		scored, err := history.scored(ctx, page)
		if err != nil {
			return c, err
		}
		seq := page.slot.Seq
		gone, err := r.gone(ctx, page, topicID, needs, func(l *engine.DeadLetter) bool { return at.after(seq, l.Offset) || scored[l.Offset] })
		if err != nil {
			return c, err
		}
		adjacent := false
		for i := range page.letters {
			l := &page.letters[i]
			reread := l.Rereadable() && r.cfg.Source != nil
			why := gone[l.Offset]
			switch {
			case at.after(seq, l.Offset):
				continue
			case c.candidates == maxReplayEvents || c.bytes >= maxReplayBytes || until != (place{}) && !until.after(seq, l.Offset):
				return c, nil
			case scored[l.Offset]:
				c.counts.Already++
			case reread && why != "":
				c.lost.add(page.slot.Partition, l.Offset, why, adjacent)
				c.counts.lose(why, 1)
			case !reread && !l.Whole(needs):
				c.counts.Truncated++
			case c.candidates > 0 && c.reread != reread:
				return c, nil
			default:
				if c.candidates == 0 {
					c.slots[0], c.from, c.topicID, c.reread = seq, l.Offset, topicID, reread
				}
				c.slots[1], c.to = seq+1, l.Offset+1
				c.candidates++
				if c.bytes += len(l.Raw); reread {
					c.bytes += l.SizeBytes
				}
			}
			adjacent = why != ""
			c.counts.Selected++
			c.next = place{seq, l.Offset + 1}
		}
	}
	return c, nil
}

// carryOut scores exactly the events that an intent pins, by its version and
// its selection, and finishes its slot: what a claim means follows from the
// intent and what was committed before it, whoever carries it out. Where rows
// are partitioned by days it ends before the event that would be of one day too
// many, and tells where that is.
// Events that the topic has lost since the claim, or all of them if it was made anew, are
// left as they are, but for rows that another has made of them; those are told too.
func (r *replayer) carryOut(ctx context.Context, main, again *commitlog.Log, history *replayHistory, in commitlog.Intent) (_ commitlog.Done, cut place, lost losses, err error) {
	for tries := 1; ; tries++ {
		out, cut, lost, err := r.rescore(ctx, main, history, in)
		if err != nil {
			return commitlog.Done{}, cut, nil, err
		}
		done, err := out.Publish(ctx, again, budget.Unlimited())
		out.Release()
		if err == nil {
			_, done, err = again.Finish(ctx, done)
		}
		// Somebody whose topic had lost more of it may have been first: read it again.
		if in.Reread && thalweg.Is(err, thalweg.Conflict) && tries < rereadTries {
			continue
		}
		return done, cut, lost, err
	}
}

// rescore returns what the events that an intent pins become, and which of them the
// topic has lost.
func (r *replayer) rescore(ctx context.Context, main *commitlog.Log, history *replayHistory, in commitlog.Intent) (_ *engine.Rows, cut place, lost losses, err error) {
	selection := r.selection
	if in.Where != selection.where {
		if selection, err = r.compile(in.Where); err != nil {
			return nil, cut, nil, err
		}
	}
	needs, err := r.needs(ctx, engine.ModelOf(&in))
	if err != nil {
		return nil, cut, nil, &thalweg.Error{Op: "carry out a claim", Kind: thalweg.KindOf(err), Subject: engine.ModelOf(&in).String(), Err: err,
			Hint: "the slot was claimed for this version and can be finished by no other: restore its checkpoint"}
	}
	if err := history.read(ctx, in.Seq); err != nil {
		return nil, cut, nil, err
	}
	e := r.engines[engine.ModelOf(&in)]
	out := &engine.Rows{Topic: in.Topic, Partition: in.Partition, Generation: in.SpecGeneration, Model: engine.ModelOf(&in), Engine: e, Replay: in.ID, PartitionBy: in.PartitionBy, To: in.From}
	defer func() {
		if err != nil {
			out.Release()
		}
	}()
	for page, err := range selection.pages(ctx, r.bucket, main, in.Slots[0], in.Slots[1]) {
		if err != nil {
			return nil, cut, nil, err
		}
		scored, err := history.scored(ctx, page)
		if err != nil {
			return nil, cut, nil, err
		}
		letters := slices.DeleteFunc(page.letters, func(l engine.DeadLetter) bool {
			return l.Offset < in.From || l.Offset >= in.To || scored[l.Offset] || !in.Reread && !l.Whole(needs) || in.Reread && !l.Rereadable()
		})
		for len(letters) > 0 {
			events := eventsOf(letters)
			if in.Reread {
				if events, err = r.reread(ctx, in, needs, letters, out, &lost); err != nil {
					return nil, cut, nil, err
				}
			}
			if events.Len() == 0 {
				break
			}
			if err := e.Score(ctx, engine.BatchOf(events, out.To, letters[len(letters)-1].Offset+1), out); err != nil {
				return nil, cut, nil, err
			}
			if out.Full {
				cut, out.To = place{page.slot.Seq, out.To}, in.To
				return out, cut, lost, nil
			}
			letters = slices.DeleteFunc(letters, func(l engine.DeadLetter) bool { return l.Offset < out.To })
		}
	}
	out.To = in.To // what lies between is not its own
	return out, cut, lost, nil
}

// needs makes the engine of a version ready and returns what it reads of the
// records around events.
func (r *replayer) needs(ctx context.Context, m engine.Model) (connectors.Fields, error) {
	e := r.engines[m]
	if e == nil {
		var err error
		if e, err = r.prepare(ctx, m); err != nil {
			return 0, err
		}
		if r.engines == nil || len(r.engines) >= keepVersions {
			r.engines = make(map[engine.Model]engine.Engine)
		}
		r.engines[m] = e
	}
	return e.Needs(), nil
}

// gone returns which letters of a page have no event, neither with them nor in the
// topic, and why. Those of which skip is true are not looked for.
func (r *replayer) gone(ctx context.Context, p page, topicID string, needs connectors.Fields, skip func(*engine.DeadLetter) bool) (map[int64]string, error) {
	var letters []engine.DeadLetter
	for i := range p.letters {
		if l := &p.letters[i]; l.Rereadable() && !skip(l) {
			letters = append(letters, *l)
		}
	}
	if r.cfg.Source == nil || len(letters) == 0 {
		return nil, nil
	}
	out := make(map[int64]string)
	err := r.open()
	if err == nil {
		err = r.topic.each(ctx, p.slot.Partition, topicID, needs, letters, func(*engine.DeadLetter, *connectors.Records, int) {},
			func(l *engine.DeadLetter, why string) { out[l.Offset] = why })
	}
	return out, err
}

// reread returns the events of letters as the topic has them, and notes those that it
// has lost.
func (r *replayer) reread(ctx context.Context, in commitlog.Intent, needs connectors.Fields, letters []engine.DeadLetter, out *engine.Rows, lost *losses) (*connectors.Records, error) {
	if r.cfg.Source == nil {
		return nil, &thalweg.Error{Op: "carry out a claim", Kind: thalweg.Unavailable, Subject: fmt.Sprintf("%s/%d", in.Topic, in.Partition),
			Err: errors.New("its events are in the topic, which is not at hand")}
	}
	if err := r.open(); err != nil {
		return nil, err
	}
	events := &connectors.Records{Want: needs}
	why := make(map[int64]string)
	err := r.topic.each(ctx, in.Partition, in.TopicID, needs, letters, func(_ *engine.DeadLetter, from *connectors.Records, i int) {
		events.AppendRecords(from, i, i+1)
	}, func(l *engine.DeadLetter, reason string) { why[l.Offset] = reason })
	if errors.Is(err, errRecreated) { // the slot would stay claimed for good; what looked like one of these is none
		events, err = &connectors.Records{Want: needs}, nil
		for i := range letters {
			why[letters[i].Offset] = Recreation
		}
	}
	adjacent := false
	for i := range letters {
		at := letters[i].Offset
		if why[at] == "" {
			adjacent = false
			continue
		}
		if place, known := slices.BinarySearch(out.Missing, at); !known {
			out.Missing = slices.Insert(out.Missing, place, at)
			lost.add(in.Partition, at, why[at], adjacent)
		}
		adjacent = true
	}
	return events, err
}

// open opens the topic, if it is not.
func (r *replayer) open() error {
	if r.topic != nil {
		return nil
	}
	source, err := r.cfg.Source()
	if err == nil {
		r.topic = &rereader{source: source, topic: r.cfg.Topic}
	}
	return err
}

// eventsOf lays out the events of dead letters, which are whole, as they came from the
// topic.
func eventsOf(letters []engine.DeadLetter) *connectors.Records {
	r := &connectors.Records{Want: connectors.Keys | connectors.Headers}
	for i := range letters {
		l := &letters[i]
		for _, h := range l.Headers {
			r.AppendHeader(h.Name, h.Value)
		}
		r.Append(l.Offset, l.TimestampUS, l.Key, l.Raw)
	}
	return r
}
