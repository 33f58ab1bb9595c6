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
	chunk   int // the size of a full one
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
	labels     labelMoments
	weights    weightSums
	facts      // Rows and Blocks are known when the rows are shuffled, Labels when the shard was read
}

// build reads the shards that the given replicas need, each once, and returns
// the replicas' matrices in the same order. Every row is checked to be of the
// model's shape.
func build(ctx context.Context, job *Job, config *Config, memory *memory, replicas []int) (_ []*matrix, err error) {
	layout := newLayout(job.Model, job.weighs())
	division := division{shards: job.Shards, replicas: int(job.Trainer.Distributed.Replicas)}
	readable, chunk := fillingSize(layout, memory.limit, len(replicas), config.Parallelism)
	builders := make([]*builder, len(replicas))
	for i, replica := range replicas {
		b := &builder{replica: replica, chunk: chunk, store: &store{layout: layout, space: space{memory: memory, dir: config.Dir}}, units: make([]unit, job.Shards)}
		b.mu.shuffler = &shuffler{space: space{memory: memory, dir: config.Dir}, layout: layout}
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
	readers.SetLimit(readable)
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
	dealt   []byte    // a chunk on its way to a shuffler
	records []byte    // of validation rows
	places  []int
	rows    []int32 // of a batch that are in one split
	ranks   []int32 // of the rows of a batch, among those that are kept
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
	rows    [2][]int32
	ids     [2][]uint64
	packer  *packer // of validation rows; nil before the first
	filling *filling
}

// readShard gives the rows of a shard to the builders they belong to.
func readShard(ctx context.Context, job *Job, layout *layout, division division, builders []*builder, shard int) error {
	r := &shardReader{job: job, layout: layout, division: division, shard: shard, shares: make([]*share, division.replicas)}
	for _, b := range builders {
		if division.reads(b.replica, shard) {
			b.mu.Lock()
			filling := b.mu.shuffler.open()
			b.mu.Unlock()
			r.shares[b.replica] = &share{builder: b, unit: &b.units[shard], filling: filling}
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
		s.unit.Read, s.unit.Labels, s.unit.Weights = r.read, s.unit.labels.moments(), s.unit.weights
		s.mu.Lock()
		s.mu.shuffler.idle = append(s.mu.shuffler.idle, s.filling)
		s.mu.Unlock()
		if s.packer != nil && s.packer.rows > 0 {
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
	if !r.deal(batch) {
		return nil
	}
	var keep table.Mask
	if batch.Fill != nil {
		keep = r.keep(rows)
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
	if len(batch.Block.Weights) != rows && r.layout.weighs {
		return r.invalid(fmt.Errorf("%d rows with %d weights", rows, len(batch.Block.Weights)))
	}
	for _, s := range r.shares {
		if s == nil {
			continue
		}
		for split := range s.rows {
			if len(s.rows[split]) == 0 {
				continue
			}
			give := r.shuffle
			if split == int(Validation) {
				give = r.validate
			}
			if bad, err := give(s, batch.Block); err != nil && bad >= 0 {
				return r.invalid(fmt.Errorf("row %d: %w", batch.rowAt(keep, int(bad)), err))
			} else if err != nil {
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

// deal notes which rows of a batch go to which builder of this worker, and reports whether any do.
func (r *shardReader) deal(batch *Batch) (any bool) {
	shard := shardID(r.job.Trainer.Seed, r.shard)
	for split := range r.cursors {
		r.rows = appendRows(r.rows[:0], batch.Split, uint8(split))
		c := &r.cursors[split]
		for rows := r.rows; len(rows) > 0; {
			if c.left == 0 {
				c.share, c.left = r.shares[r.division.replica(r.shard, c.ordinal)], r.division.stripe(c.ordinal)
			}
			n := int(min(c.left, int64(len(rows))))
			stripe := rows[:n]
			rows, c.left, c.ordinal = rows[n:], c.left-int64(n), c.ordinal+int64(n)
			var ids []uint64
			if s := c.share; s != nil {
				any = true
				s.rows[split] = append(s.rows[split], stripe...)
				from := len(s.ids[split])
				s.ids[split] = slices.Grow(s.ids[split], n)[:from+n]
				ids = s.ids[split][from:]
			}
			set := rowSet(ids, shard, batch.Row, stripe)
			if split == int(Training) {
				r.read.Add(set)
			}
		}
	}
	return any
}

// appendRows appends which rows are in a split.
func appendRows(dst []int32, splits []uint8, split uint8) []int32 {
	dst = slices.Grow(dst, len(splits)+1)[:len(splits)+1]
	n := 0
	for i, s := range splits { // without a branch: the split of a row is not to be guessed
		dst[n] = int32(i)
		d := uint32(s ^ split)
		n += int((d - 1) >> 31)
	}
	return dst[:n]
}

// rowSet returns the set of some rows of a batch. Unless it is empty, it fills ids with their IDs.
func rowSet(ids []uint64, shard uint64, names []int64, rows []int32) RowSet {
	digest := uint64(0)
	if len(ids) > 0 {
		ids = ids[:len(rows)]
		for i, row := range rows {
			id := rowID(shard, names[row])
			ids[i] = id
			digest += id
		}
	} else {
		for _, row := range rows {
			digest += rowID(shard, names[row])
		}
	}
	return RowSet{Rows: int64(len(rows)), Digest: Digest(digest)}
}

// keep marks the rows of a batch that were dealt, and makes the rows of each share places among them.
func (r *shardReader) keep(rows int) table.Mask {
	keep := table.NewMask(rows)
	r.ranks = slices.Grow(r.ranks[:0], rows)[:rows]
	clear(r.ranks)
	for _, s := range r.shares {
		if s != nil {
			for _, rows := range s.rows {
				for _, row := range rows {
					r.ranks[row] = 1
				}
			}
		}
	}
	taken := int32(0)
	for w := range keep.Words {
		word := uint64(0)
		for i, dealt := range r.ranks[w*64 : min(w*64+64, rows)] {
			word |= uint64(dealt) << i
			r.ranks[w*64+i] = taken
			taken += dealt
		}
		keep.Words[w] = word
	}
	for _, s := range r.shares {
		if s != nil {
			for _, rows := range s.rows {
				for i, row := range rows {
					rows[i] = r.ranks[row]
				}
			}
		}
	}
	return keep
}

// shuffle gives the training rows of a share to its shuffler. Of a row that the model cannot take
// it returns the place in the block, else -1.
func (r *shardReader) shuffle(s *share, block *kernel.Block) (bad int32, err error) {
	f, rows, ids := s.filling, s.rows[Training], s.ids[Training]
	for len(rows) > 0 {
		n := min(f.room(r.layout, s.chunk), len(rows))
		if n == 0 {
			count := f.rows
			var ends [buckets]uint32
			r.dealt, ends = f.deal(r.layout, r.dealt)
			s.mu.Lock()
			err := s.mu.shuffler.add(r.dealt, ends, count)
			s.mu.Unlock()
			if err != nil {
				return -1, err
			}
			continue
		}
		var ones int64
		if f.records, ones, bad, err = r.layout.appendRecords(f.records, block, rows[:n], ids[:n]); err != nil {
			return bad, err
		}
		f.rows += n
		if r.layout.weighs {
			s.unit.weights.add(block, rows[:n], r.layout.classes)
		}
		if r.layout.binary {
			s.unit.labels.addBinary(int64(n), ones)
		} else {
			s.unit.labels.add(block.Labels, rows[:n])
		}
		rows, ids = rows[n:], ids[n:]
	}
	return -1, nil
}

// validate packs the validation rows of a share, and returns what shuffle does.
func (r *shardReader) validate(s *share, block *kernel.Block) (bad int32, err error) {
	if r.records, _, bad, err = r.layout.appendRecords(r.records[:0], block, s.rows[Validation], s.ids[Validation]); err != nil {
		return bad, err
	}
	r.places = r.places[:0]
	for at := 0; at < len(r.records); at += r.layout.size(r.records[at:]) {
		r.places = append(r.places, at)
	}
	s.unit.Validation += int64(len(r.places))
	if s.packer == nil {
		s.packer = newPacker(r.layout, validationRows)
	}
	return -1, s.packer.each(r.records, r.places, s.keep)
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
	shuffler := b.mu.shuffler
	if err := shuffler.complete(); err != nil {
		return nil, err
	}
	packer := newPacker(layout, max(min(int(job.Trainer.BatchSize), shuffler.records), 1))
	if layout.head == idBytes { // else the terms of the rows are not counted
		packer.slab = newSlab(shuffler.records * layout.row())
	}
	flush := func() error {
		if err := ctx.Err(); err != nil {
			return err
		}
		m.facts.Rows.Add(packer.set)
		stored, err := b.store.put(packer)
		m.training = append(m.training, stored)
		return err
	}
	if err := shuffler.each(func(records []byte, sorted []int) error {
		return packer.each(records, sorted, flush)
	}); err != nil {
		return nil, err
	}
	if packer.rows > 0 {
		if err := flush(); err != nil {
			return nil, err
		}
	}
	packer.slab.filled()
	m.facts.Blocks = len(m.training)
	for _, u := range b.units {
		m.validation = append(m.validation, u.validation...)
		m.facts.Validation += u.Validation
		m.facts.Labels.Merge(u.Labels)
		m.facts.Weights.merge(u.Weights)
		m.facts.Read.Add(u.Read)
	}
	return m, nil
}
