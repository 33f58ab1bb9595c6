package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/table"
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

// stripe returns how many rows of a split have one owner from the ordinal-th on.
func (d division) stripe(ordinal int64) int64 {
	if !d.striped() {
		return math.MaxInt64
	}
	return stripeRows - ordinal%stripeRows
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
		b.mu.shuffler = &shuffler{space: space{memory: memory, dir: config.Dir}, layout: layout,
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

	read    RowSet    // all training rows of the shard
	cursors [2]cursor // by split: Training, Validation
	records []byte
	entries []entry
}

// cursor is where the next row of a split goes.
type cursor struct {
	ordinal, left int64 // left rows have the owner of the last one
	share         *share
}

// share is a builder's part in a shard that is being read.
type share struct {
	*builder
	unit *unit
	// The rows of a batch by split: where they are in its block, and their hashes.
	rows   [2][]int32
	ids    [2][]uint64
	packer *packer
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
	rows := len(batch.Split)
	if len(batch.Row) != rows {
		return r.invalid(fmt.Errorf("%d splits of %d rows", rows, len(batch.Row)))
	}
	keep := r.deal(batch)
	if keep.Count() == 0 {
		return nil
	}
	if batch.Fill != nil {
		if err := batch.Fill(keep); err != nil {
			return err
		}
		rows = keep.Count()
	}
	if problem := r.layout.shape.Check(batch.Block); problem != "" {
		return r.invalid(errors.New(problem))
	}
	if batch.Block.Rows != rows || len(batch.Block.Labels) != rows {
		return r.invalid(fmt.Errorf("%d rows with %d splits and %d labels", batch.Block.Rows, rows, len(batch.Block.Labels)))
	}
	for _, s := range r.shares {
		if s == nil {
			continue
		}
		for split := range s.rows {
			if len(s.rows[split]) == 0 {
				continue
			}
			var bad int32
			var err error
			if r.records, bad, err = r.layout.appendRecords(r.records[:0], batch.Block, s.rows[split], s.ids[split]); err != nil {
				return r.invalid(fmt.Errorf("row %d: %w", batch.rowAt(keep, int(bad)), err))
			}
			if err := r.give(s, uint8(split), batch.Block.Labels); err != nil {
				return err
			}
			s.rows[split], s.ids[split] = s.rows[split][:0], s.ids[split][:0]
		}
	}
	return nil
}

// rowAt returns the name of the row at a place in the block.
func (b *Batch) rowAt(keep table.Mask, at int) int64 {
	if b.Fill == nil {
		return b.Row[at]
	}
	for i := range keep.Marked() {
		if at--; at < 0 {
			return b.Row[i]
		}
	}
	panic("train: a block has more rows than were marked")
}

// deal notes which rows of a batch go to which builder of this worker, and marks them.
func (r *shardReader) deal(batch *Batch) table.Mask {
	keep, shard, taken := table.NewMask(len(batch.Split)), shardID(r.shard), int32(0)
	for i, split := range batch.Split {
		if split != Training && split != Validation {
			continue
		}
		id := rowID(shard, batch.Row[i])
		if split == Training {
			r.read.add(id)
		}
		c := &r.cursors[split]
		if c.left == 0 {
			c.share, c.left = r.shares[r.division.replica(r.shard, c.ordinal)], r.division.stripe(c.ordinal)
		}
		c.left--
		c.ordinal++
		if c.share == nil {
			continue
		}
		keep.Set(i)
		at := int32(i)
		if batch.Fill != nil {
			at = taken
		}
		taken++
		c.share.rows[split] = append(c.share.rows[split], at)
		c.share.ids[split] = append(c.share.ids[split], id)
	}
	return keep
}

// give hands the records of a share's rows of one split on.
func (r *shardReader) give(s *share, split uint8, labels []float32) error {
	if split == Training {
		s.mu.Lock()
		defer s.mu.Unlock()
		shuffler, records := s.mu.shuffler, r.records
		for i, row := range s.rows[split] {
			// Row by row, so that the division in Add overlaps with the copy of a record.
			s.unit.Labels.Add(float64(labels[row]))
			if err := shuffler.add(records, shuffleKey(s.ids[split][i], shuffler.seed)); err != nil {
				return err
			}
			records = records[r.layout.size(records):]
		}
		return nil
	}
	r.entries = r.entries[:0]
	for at := 0; at < len(r.records); at += r.layout.size(r.records[at:]) {
		r.entries = append(r.entries, entry{at: at})
	}
	s.unit.Validation += int64(len(r.entries))
	return s.packer.each(r.records, r.entries, s.keep)
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
	if err := b.mu.shuffler.each(func(records []byte, sorted []entry) error {
		return packer.each(records, sorted, flush)
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
