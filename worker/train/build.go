package train

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/metric"
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

	mu struct {
		sync.Mutex
		shuffler *shuffler
		units    map[int]*unit // by shard
	}
}

// unit is what one shard gives to one replica, besides shuffled rows. One
// goroutine fills it.
type unit struct {
	records    []byte // training rows not yet given to the shuffler
	packer     *packer
	validation []block
	rows       int64 // of validation
	labels     metric.Moments
	read       RowSet
}

// build reads the shards that the given replicas need, each once, and returns
// the replicas' matrices in the same order. Every row is checked to be of the
// model's shape.
func build(ctx context.Context, job *Job, config *Config, memory *memory, replicas []int) ([]*matrix, error) {
	layout := newLayout(job.Model)
	division := division{shards: job.Shards, replicas: job.Trainer.Distributed.Replicas}
	builders := make([]*builder, len(replicas))
	for i, replica := range replicas {
		b := &builder{replica: replica, store: &store{layout: layout, memory: memory, dir: config.Dir}}
		b.mu.shuffler = &shuffler{record: layout.record(), seed: mix(job.Trainer.Seed) + uint64(replica), memory: memory, dir: config.Dir}
		b.mu.units = make(map[int]*unit)
		builders[i] = b
	}
	matrices, err := buildAll(ctx, job, config, layout, division, builders)
	for _, b := range builders {
		b.mu.shuffler.close()
		if err != nil {
			b.store.close()
		}
	}
	return matrices, err
}

func buildAll(ctx context.Context, job *Job, config *Config, layout *layout, division division, builders []*builder) ([]*matrix, error) {
	readers, readCtx := errgroup.WithContext(ctx)
	readers.SetLimit(config.Parallelism)
	for shard := range job.Shards {
		needed := slices.ContainsFunc(builders, func(b *builder) bool { return division.reads(b.replica, shard) })
		if !needed {
			continue
		}
		readers.Go(func() error { return readShard(readCtx, job, layout, division, builders, shard) })
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
	if err := finishers.Wait(); err != nil {
		return nil, err
	}
	return matrices, nil
}

// readShard gives the rows of a shard to the builders they belong to.
func readShard(ctx context.Context, job *Job, layout *layout, division division, builders []*builder, shard int) error {
	r := &shardReader{job: job, layout: layout, division: division, shard: shard, owners: make([]*builder, division.replicas), units: make([]*unit, division.replicas)}
	for _, b := range builders {
		if division.reads(b.replica, shard) {
			r.owners[b.replica] = b
			r.units[b.replica] = &unit{packer: newPacker(layout, validationRows)}
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
	for replica, u := range r.units {
		if u == nil {
			continue
		}
		b := r.owners[replica]
		if u.packer.rows > 0 {
			stored, err := b.store.put(u.packer)
			if err != nil {
				return err
			}
			u.validation = append(u.validation, stored)
		}
		u.packer, u.records, u.read = nil, nil, r.read
		b.mu.Lock()
		b.mu.units[shard] = u
		b.mu.Unlock()
	}
	return nil
}

// shardReader is the state of reading one shard.
type shardReader struct {
	job      *Job
	layout   *layout
	division division
	shard    int
	owners   []*builder // by replica; nil where this worker does not build it
	units    []*unit    // likewise

	read       RowSet // all training rows of the shard
	training   int64  // ordinal of the next row of each split
	validation int64
	record     []byte
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
		switch split {
		case Training:
			if err := r.trainingRow(batch, i); err != nil {
				return err
			}
		case Validation:
			if err := r.validationRow(batch, i); err != nil {
				return err
			}
		}
	}
	for replica, u := range r.units {
		if u == nil || len(u.records) == 0 {
			continue
		}
		b := r.owners[replica]
		b.mu.Lock()
		err := b.mu.shuffler.add(u.records)
		b.mu.Unlock()
		if err != nil {
			return err
		}
		u.records = u.records[:0]
	}
	return nil
}

func (r *shardReader) trainingRow(batch *Batch, i int) error {
	id := rowID(r.shard, batch.Row[i])
	r.read.add(id)
	u := r.units[r.division.replica(r.shard, r.training)]
	r.training++
	if u == nil {
		return nil
	}
	var err error
	if u.records, err = r.layout.appendRecord(u.records, batch.Block, i, id); err != nil {
		return r.invalid(fmt.Errorf("row %d: %w", batch.Row[i], err))
	}
	if !r.layout.binary {
		u.labels.Add(float64(batch.Block.Labels[i]))
	}
	return nil
}

func (r *shardReader) validationRow(batch *Batch, i int) error {
	replica := r.division.replica(r.shard, r.validation)
	r.validation++
	u := r.units[replica]
	if u == nil {
		return nil
	}
	var err error
	if r.record, err = r.layout.appendRecord(r.record[:0], batch.Block, i, 0); err != nil {
		return r.invalid(fmt.Errorf("row %d: %w", batch.Row[i], err))
	}
	u.packer.add(r.record)
	u.rows++
	if u.packer.full() {
		stored, err := r.owners[replica].store.put(u.packer)
		if err != nil {
			return err
		}
		u.validation = append(u.validation, stored)
	}
	return nil
}

func (r *shardReader) invalid(err error) error {
	return &thalweg.Error{Op: opTrain, Kind: thalweg.Invalid, Subject: fmt.Sprintf("run %s: shard %d", r.job.Run, r.shard), Err: err}
}

// finish shuffles the rows that the shards gave and returns the matrix.
func (b *builder) finish(ctx context.Context, job *Job, layout *layout) (*matrix, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := &matrix{store: b.store, epoch: -1}
	packer := newPacker(layout, max(min(job.Trainer.BatchSize, b.mu.shuffler.rows()), 1))
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
	for shard := range job.Shards {
		u := b.mu.units[shard]
		if u == nil {
			continue
		}
		m.validation = append(m.validation, u.validation...)
		m.facts.Validation += u.rows
		m.facts.Labels.Merge(u.labels)
		m.facts.Read.Add(u.read)
	}
	return m, nil
}
