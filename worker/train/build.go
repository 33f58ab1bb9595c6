package train

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

const (
	// stripeRows is how many consecutive rows of a shard go to one replica before
	// the next one's turn.
	stripeRows = 1024
	// validationRows is the size of a block of validation rows.
	validationRows = 1024
	// shardsPerReplica is the least count of shards for each replica at which whole
	// shards are assigned. With fewer the replicas would be too uneven, so each shard
	// is cut into stripes, one for each replica.
	shardsPerReplica = 16
)

// division is the fixed cut of the dataset into replicas.
type division struct{ shards, replicas int }

// striped reports whether every shard is cut into stripes.
func (d division) striped() bool { return d.shards < shardsPerReplica*d.replicas }

// replica returns the owner of the ordinal-th row, of one split, of a shard. A
// unit (shard, stripe) is number shard*stripes+stripe and goes to that number
// modulo replicas; with one stripe per replica that is the stripe.
func (d division) replica(shard int, ordinal int64) int {
	if !d.striped() {
		return shard % d.replicas
	}
	return int((ordinal/stripeRows + int64(shard)) % int64(d.replicas))
}

// reads reports whether a replica has rows in a shard.
func (d division) reads(replica, shard int) bool {
	return d.striped() || shard%d.replicas == replica
}

// builder makes the matrix of one replica.
type builder struct {
	replica int
	store   *store
	units   []unit // by shard; who reads the shard fills it

	mu struct {
		sync.Mutex
		shuffler *shuffler
	}
}

// unit is what one shard gives to one replica, besides shuffled rows.
type unit struct {
	validation []block
	facts      // Rows and Blocks are known when the rows are shuffled
}

// build reads the shards that the given replicas need, each once, and returns
// the replicas' matrices in the same order. Every row is checked to be of the
// model's shape.
func build(ctx context.Context, job *Job, config *Config, memory *memory, replicas []int) (_ []*matrix, err error) {
	layout := newLayout(job.Model)
	division := division{shards: job.Shards, replicas: int(job.Trainer.Distributed.Replicas)}
	builders := make([]*builder, len(replicas))
	for i, replica := range replicas {
		b := &builder{replica: replica, store: &store{layout: layout, space: space{memory: memory, dir: config.Dir}}, units: make([]unit, job.Shards)}
		b.mu.shuffler = &shuffler{space: space{memory: memory, dir: config.Dir}, record: layout.record(),
			seed: kernel.Mix(job.Trainer.Seed) + uint64(replica)}
		builders[i] = b
	}
	defer func() {
		for _, b := range builders {
			b.mu.shuffler.close()
			if err != nil {
				b.store.close()
			}
		}
	}()
	readers, readCtx := errgroup.WithContext(ctx)
	readers.SetLimit(config.Parallelism)
	for shard := range job.Shards {
		if slices.ContainsFunc(builders, func(b *builder) bool { return division.reads(b.replica, shard) }) {
			readers.Go(func() error { return readShard(readCtx, job, layout, division, builders, shard) })
		}
	}
	if err := readers.Wait(); err != nil {
		return nil, err
	}
	matrices := make([]*matrix, len(builders))
	finishers, finishCtx := errgroup.WithContext(ctx)
	finishers.SetLimit(config.Parallelism)
	for i, b := range builders {
		finishers.Go(func() (err error) {
			matrices[i], err = b.finish(finishCtx, job, layout)
			return err
		})
	}
	return matrices, finishers.Wait()
}

// shardReader is the state of reading one shard.
type shardReader struct {
	job      *Job
	layout   *layout
	division division
	shard    int
	shares   []*share // by replica; nil where this worker does not build it

	read     RowSet   // all training rows of the shard
	ordinals [2]int64 // of the next row of each split
	record   []byte
}

// share is a builder's part in a shard that is being read.
type share struct {
	*builder
	unit    *unit
	records []byte // training rows not yet given to the shuffler
	packer  *packer
}

// readShard gives the rows of a shard to the builders they belong to.
func readShard(ctx context.Context, job *Job, layout *layout, division division, builders []*builder, shard int) error {
	r := &shardReader{job: job, layout: layout, division: division, shard: shard, shares: make([]*share, division.replicas)}
	for _, b := range builders {
		if division.reads(b.replica, shard) {
			r.shares[b.replica] = &share{builder: b, unit: &b.units[shard], packer: newPacker(layout, validationRows)}
		}
	}
	for batch, err := range job.Rows.Read(ctx, shard) {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = r.batch(batch)
		}
		if err != nil {
			return err
		}
	}
	for _, s := range r.shares {
		if s == nil {
			continue
		}
		s.unit.Read = r.read
		if s.packer.rows > 0 {
			if err := s.keep(); err != nil {
				return err
			}
		}
	}
	return nil
}

// batch gives the rows of a batch to their builders.
func (r *shardReader) batch(batch *Batch) error {
	if problem := r.layout.shape.Check(batch.Block); problem != "" {
		return r.invalid(fmt.Errorf("%s", problem))
	}
	rows := batch.Block.Rows
	if len(batch.Split) != rows || len(batch.Row) != rows || len(batch.Block.Labels) != rows {
		return r.invalid(fmt.Errorf("%d rows with %d splits, %d names and %d labels", rows, len(batch.Split), len(batch.Row), len(batch.Block.Labels)))
	}
	for i, split := range batch.Split {
		if split == Training || split == Validation {
			if err := r.row(batch, i, split); err != nil {
				return err
			}
		}
	}
	for _, s := range r.shares {
		if s == nil || len(s.records) == 0 {
			continue
		}
		s.mu.Lock()
		err := s.mu.shuffler.add(s.records)
		s.mu.Unlock()
		if err != nil {
			return err
		}
		s.records = s.records[:0]
	}
	return nil
}

// row gives a row to its builder, if this worker has that.
func (r *shardReader) row(batch *Batch, i int, split uint8) error {
	id := rowID(r.shard, batch.Row[i])
	if split == Training {
		r.read.add(id)
	}
	s := r.shares[r.division.replica(r.shard, r.ordinals[split])]
	r.ordinals[split]++
	if s == nil {
		return nil
	}
	into := &s.records
	if split == Validation {
		r.record = r.record[:0]
		into = &r.record
	}
	record, err := r.layout.appendRecord(*into, batch.Block, i, id)
	if err != nil {
		return r.invalid(fmt.Errorf("row %d: %w", batch.Row[i], err))
	}
	*into = record
	if split == Training {
		s.unit.Labels.Add(float64(batch.Block.Labels[i]))
		return nil
	}
	s.packer.add(record)
	s.unit.Validation++
	if s.packer.full() {
		return s.keep()
	}
	return nil
}

// keep stores the validation rows that were packed.
func (s *share) keep() error {
	stored, err := s.store.put(s.packer)
	s.unit.validation = append(s.unit.validation, stored)
	return err
}

func (r *shardReader) invalid(err error) error {
	return &thalweg.Error{Op: opTrain, Kind: thalweg.Invalid, Subject: fmt.Sprintf("run %s: shard %d", r.job.Run, r.shard), Err: err}
}

// finish shuffles the rows that the shards gave and returns the matrix.
func (b *builder) finish(ctx context.Context, job *Job, layout *layout) (*matrix, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := &matrix{store: b.store, epoch: -1}
	packer := newPacker(layout, max(min(int(job.Trainer.BatchSize), b.mu.shuffler.rows()), 1))
	flush := func() error {
		if err := ctx.Err(); err != nil {
			return err
		}
		m.facts.Rows.Add(packer.set)
		stored, err := b.store.put(packer)
		m.training = append(m.training, stored)
		return err
	}
	if err := b.mu.shuffler.each(func(record []byte) error {
		packer.add(record)
		if packer.full() {
			return flush()
		}
		return nil
	}); err != nil {
		return nil, err
	}
	if packer.rows > 0 {
		if err := flush(); err != nil {
			return nil, err
		}
	}
	m.facts.Blocks = len(m.training)
	for _, u := range b.units {
		m.validation = append(m.validation, u.validation...)
		m.facts.Validation += u.Validation
		m.facts.Labels.Merge(u.Labels)
		m.facts.Read.Add(u.Read)
	}
	return m, nil
}
