package train

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/optim"
	"github.com/thalweg/thalweg/pipeline/privacy"
)

// Run trains a job's model, computing the replicas that exchange says this
// worker holds, until training ends. It fails with Fenced when the worker holds
// no replica any more, with Canceled when ctx ends, with Invalid where trying
// again cannot help (the spec, the rows, divergence), and with the error of the
// Checkpoint hook. All memory and disk is given back when it returns.
func Run(ctx context.Context, job Job, exchange Exchange, hooks Hooks, config Config) (*Result, error) {
	if err := job.Validate(); err != nil {
		return nil, err
	}
	if share := config.CheckpointShare; config.MemoryBytes < 0 || config.Parallelism < 0 || !(share >= 0 && share < 1) {
		return nil, invalid("memory_bytes is %d, parallelism %d, the share of checkpoints %v", config.MemoryBytes, config.Parallelism, share)
	}
	config = config.withDefaults()
	t, err := newTrainer(&job, config)
	if err != nil {
		return nil, err
	}
	t.exchange, t.hooks = exchange, hooks
	defer func() {
		for _, m := range t.matrices {
			m.close()
		}
	}()
	for range config.Parallelism {
		t.lanes <- t.newLane()
	}
	if job.Resume != nil {
		s, err := t.load(job.Resume[PartState])
		if err != nil {
			return nil, err
		}
		t.move(s)
		if s.Stopped != "" {
			return t.result() // the checkpoint was the last one
		}
	}
	for t.state.Stopped == "" {
		if hooks.Ready != nil {
			hooks.Ready(ctx)
		}
		if err := t.turn(ctx); err != nil {
			return nil, err
		}
	}
	exchange.Finish(ctx)
	return t.result()
}

// quickRound is how long a round may take for peers to be asked for their part of the next
// one before this worker's is computed: it hides the way there, but a peer that is done first
// waits with its answer for the reader.
const quickRound = time.Second

// trainer carries a job out on one worker, whatever its algorithm.
type trainer struct {
	job       *Job
	algorithm optim.Algorithm
	layout    *layout
	params    int // of the model
	exchange  Exchange
	hooks     Hooks
	config    Config
	log       *slog.Logger
	memory    *memory
	lanes     chan *lane // those that are free

	matrices map[int]*matrix // by replica held
	state    *state
	offered  map[int]bool // the replicas whose contribution to the next exchange was offered
	quick    bool         // the last round took less than quickRound
	saved    time.Time    // when this worker saved its last checkpoint
	saving   time.Duration
}

func newTrainer(job *Job, config Config) (*trainer, error) {
	algorithm, err := optim.New(job.Model, &job.Trainer)
	if err != nil {
		return nil, err
	}
	if p, ok := algorithm.(optim.Private); ok && job.Noise != (privacy.Source{}) {
		algorithm = p.With(job.Noise)
	}
	if w, ok := algorithm.(optim.Weighing); ok && job.weighs() {
		algorithm = w.Weigh(job.MostWeight)
	}
	return &trainer{
		job: job, algorithm: algorithm, layout: newLayout(job.Model, job.weighs()), params: job.Model.Size(), config: config,
		log: config.Logger, lanes: make(chan *lane, config.Parallelism), memory: &memory{limit: config.MemoryBytes},
		matrices: make(map[int]*matrix), offered: make(map[int]bool), state: &state{position: position{Format: formatVersion, Fingerprint: job.Fingerprint()}},
	}, nil
}

// load decodes a state and checks that training can go on from it.
func (t *trainer) load(data []byte) (*state, error) {
	s, err := decodeState(data, t.state.Fingerprint, int(t.job.Trainer.Distributed.Replicas), t.params, t.algorithm.Size())
	if err != nil {
		return nil, err
	}
	p := &s.position
	if s.plan, err = newPlan(t.job, t.algorithm, p.Facts); err != nil {
		return nil, err
	}
	what, at := s.upcoming()
	epochs := at.Epoch // in the ledger
	if at.Index > 0 {
		epochs++
	}
	if len(p.Ledger.Epochs) != epochs || p.Ledger.Expected != s.plan.expected || p.Ledger.Passes != s.plan.schedule.Passes || what == evaluate && p.Blended == 0 {
		return nil, &thalweg.Error{Op: "resume training", Kind: thalweg.Corrupt, Subject: PartState,
			Err: fmt.Errorf("the position contradicts itself: exchange %d, %d epochs in the ledger, %d parameters in the candidate", p.Sequence, len(p.Ledger.Epochs), p.Blended)}
	}
	return s, nil
}

// move makes s the state, and offers it to workers that are behind.
func (t *trainer) move(s *state) {
	t.state = s
	clear(t.offered)
	params := t.params
	t.exchange.Advance(s.Sequence, func() ([]byte, error) { return s.encode(params) })
}

// turn brings the state one exchange further, or finds the assignment changed.
func (t *trainer) turn(ctx context.Context) error {
	if ctx.Err() != nil {
		return canceled(ctx)
	}
	held, _ := t.exchange.Held()
	if len(held) == 0 {
		return &thalweg.Error{Op: opTrain, Kind: thalweg.Fenced, Subject: fmt.Sprintf("run %s", t.job.Run),
			Err: fmt.Errorf("this worker holds no replica any more")}
	}
	if err := t.prepare(ctx, held); err != nil {
		return err
	}
	reduced, notes, newer, err := t.swap(ctx, held)
	switch {
	case thalweg.Is(err, thalweg.Conflict):
		return nil // the assignment changed
	case err != nil:
		return err
	case newer != nil:
		return t.adopt(newer)
	}
	return t.apply(ctx, reduced, notes)
}

// swap offers what the held replicas contribute to the next exchange and collects it.
func (t *trainer) swap(ctx context.Context, held []int) (reduced kernel.Vector, notes [][]byte, newer []byte, err error) {
	what, at := t.state.upcoming()
	if what == learn {
		reduced = t.algorithm.Zeros(&t.state.State, at)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	offered := make(chan struct{})
	collect := func() { notes, newer, err = t.exchange.Collect(ctx, t.state.Sequence, reduced, offered) }
	var collecting sync.WaitGroup
	early := t.quick
	if early {
		collecting.Go(collect)
		runtime.Gosched() // where there is one processor, too, peers are asked first
	}
	began := time.Now()
	if failed := t.contribute(ctx, held); failed != nil {
		cancel()
		collecting.Wait()
		return reduced, nil, nil, failed
	}
	close(offered)
	if what == learn {
		t.quick = time.Since(began) < quickRound
	}
	if !early {
		collect()
	}
	collecting.Wait()
	return reduced, notes, newer, err
}

// prepare builds the matrices of replicas newly held and drops those of
// replicas that are another worker's now.
func (t *trainer) prepare(ctx context.Context, held []int) error {
	for replica, m := range t.matrices {
		if !slices.Contains(held, replica) {
			m.close()
			delete(t.matrices, replica)
		}
	}
	var missing []int
	for _, replica := range held {
		if t.matrices[replica] == nil {
			missing = append(missing, replica)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	t.report(held, "reading rows")
	begun := time.Now()
	matrices, err := build(ctx, t.job, &t.config, t.memory, missing)
	if ctx.Err() != nil {
		return canceled(ctx)
	}
	if err != nil {
		return err
	}
	var rows int64
	for i, replica := range missing {
		t.matrices[replica] = matrices[i]
		rows += matrices[i].facts.Rows.Rows
	}
	if err := t.sameRows(); err != nil {
		return err
	}
	t.log.Debug("rows read", "replicas", missing, "rows", rows, "took", time.Since(begun))
	t.report(held, t.describe())
	return nil
}

// sameRows fails if a replica's rows are not those that training began with.
func (t *trainer) sameRows() error {
	if t.state.plan == nil {
		return nil
	}
	for replica, m := range t.matrices {
		if have, want := m.facts, t.state.Facts[replica]; !reflect.DeepEqual(have, want) {
			return &thalweg.Error{Op: opTrain, Kind: thalweg.Corrupt, Subject: fmt.Sprintf("run %s: replica %d", t.job.Run, replica),
				Err:  fmt.Errorf("read %d training rows (%s) where training began with %d (%s)", have.Rows.Rows, have.Rows.Digest, want.Rows.Rows, want.Rows.Digest),
				Hint: "the dataset changed since the run began: start another run"}
		}
	}
	return nil
}

// contribute offers what the held replicas contribute to the next exchange,
// unless that was offered before.
func (t *trainer) contribute(ctx context.Context, held []int) error {
	sequence := t.state.Sequence
	what, at := t.state.upcoming()
	var params []float32
	if what == evaluate {
		params = t.inUnits(t.state.Candidate)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(cap(t.lanes))
	for _, replica := range held {
		if t.offered[replica] {
			continue
		}
		t.offered[replica] = true
		m := t.matrices[replica]
		group.Go(func() error {
			ln := <-t.lanes
			defer func() { t.lanes <- ln }()
			var c contribution
			var err error
			switch what {
			case gather:
				c, err = note(m.facts)
			case learn:
				c, err = t.learn(ctx, ln, m, replica, at)
			case evaluate:
				c, err = t.evaluate(ctx, ln, m, replica, at.Epoch, params)
			}
			if err == nil {
				t.exchange.Offer(sequence, replica, c.weight, c.vector, c.note)
			}
			return err
		})
	}
	return group.Wait()
}

// adopt takes the state of a worker that is ahead.
func (t *trainer) adopt(snapshot []byte) error {
	s, err := t.load(snapshot)
	if err != nil {
		return err
	}
	if s.Sequence <= t.state.Sequence {
		return &thalweg.Error{Op: opTrain, Kind: thalweg.Corrupt, Subject: fmt.Sprintf("run %s", t.job.Run),
			Err: fmt.Errorf("was sent back from exchange %d to %d", t.state.Sequence, s.Sequence)}
	}
	t.log.Debug("state adopted", "from", t.state.Sequence, "to", s.Sequence)
	t.move(s)
	return t.sameRows()
}

// apply makes the next state of what an exchange gave, and reports it.
func (t *trainer) apply(ctx context.Context, reduced kernel.Vector, notes [][]byte) error {
	what, at := t.state.upcoming()
	next, due, err := t.next(what, at, reduced, notes)
	if err != nil {
		return err
	}
	t.move(next)
	if what == evaluate {
		var best []any
		for _, name := range slices.Sorted(maps.Keys(next.Metrics)) {
			best = append(best, slog.Float64(name, next.Metrics[name]))
		}
		t.log.Debug("epoch done", "epoch", at.Epoch+1, "training_loss", next.Loss/float64(next.Ledger.Expected.Rows), "best_epoch", next.Best, slog.Group("best", best...))
	}
	held, _ := t.exchange.Held()
	t.report(held, t.describe())
	if !due || !slices.Contains(held, 0) || t.hooks.Checkpoint == nil || what == evaluate && !t.worthSaving() {
		return nil
	}
	began := time.Now()
	checkpoint, err := t.checkpoint()
	if err == nil {
		err = t.hooks.Checkpoint(ctx, checkpoint)
	}
	t.saved = time.Now()
	t.saving = t.saved.Sub(began)
	return err
}

// worthSaving reports whether an epoch that has ended is worth a checkpoint: where epochs take
// less time than one, most are not.
func (t *trainer) worthSaving() bool {
	share := t.config.CheckpointShare
	return share == 0 || t.state.Stopped != "" || t.job.Trainer.StepsPerCheckpoint > 0 ||
		time.Since(t.saved).Seconds() >= t.saving.Seconds()*(1/share-1)
}

// describe says where training stands, for people.
func (t *trainer) describe() string {
	s := t.state
	if s.plan == nil {
		return "reading rows"
	}
	_, at := s.upcoming()
	message := fmt.Sprintf("epoch %d/%d", at.Epoch+1, t.job.Trainer.Epochs)
	if s.Stopped != "" {
		message = fmt.Sprintf("%s, best epoch %d", s.Stopped, s.Best)
	}
	name := t.job.Trainer.ValidationMetric
	if value, measured := s.Metrics[name]; measured {
		message += fmt.Sprintf(", validation %s %.4f", name, value)
	}
	return message
}

// report tells the progress of the replicas held.
func (t *trainer) report(held []int, message string) {
	if t.hooks.Progress == nil {
		return
	}
	progress := Progress{Message: message, Exchange: t.state.Sequence}
	for _, replica := range held {
		r := ReplicaProgress{Replica: replica}
		if t.state.plan != nil {
			r.RowsTotal = t.state.Facts[replica].Rows.Rows * int64(t.job.Trainer.Epochs)
			r.RowsDone = t.state.rowsDone(replica)
		}
		progress.Replicas = append(progress.Replicas, r)
	}
	t.hooks.Progress(progress)
}

// checkpoint returns the state as a checkpoint.
func (t *trainer) checkpoint() (*Checkpoint, error) {
	s := t.state
	encoded, err := s.encode(t.params)
	if err != nil {
		return nil, err
	}
	c := &Checkpoint{Parts: map[string][]byte{PartState: encoded}, Finished: s.Stopped != "", Metrics: maps.Clone(s.Metrics), Ledger: s.Ledger}
	c.Ledger.Epochs = slices.Clone(c.Ledger.Epochs)
	_, at := s.upcoming()
	c.Epochs = at.Epoch
	c.Rounds = thalweg.Round(at.Epoch*at.Count + at.Index)
	params := s.best
	if params == nil {
		params = s.Candidate
	}
	if params == nil {
		params = s.Vector[:t.params]
	}
	c.Params, c.LabelMeans = t.inUnits(params), s.plan.means
	if p, ok := t.algorithm.(optim.Private); ok {
		spent := p.Spent(s.Ledger.Expected.Rows, int64(c.Rounds))
		c.Spent = &spent
	}
	return c, nil
}

// result returns what training found.
func (t *trainer) result() (*Result, error) {
	c, err := t.checkpoint()
	if err != nil {
		return nil, err
	}
	s := t.state
	return &Result{Checkpoint: *c, BestEpoch: s.Best, Improving: s.Stale == 0 && !s.plan.schedule.Anneals, Curve: s.Curve, Stopped: s.Stopped}, nil
}
