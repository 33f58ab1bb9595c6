// Package sketch keeps what was counted of a stream's rows beside them, below the sink's
// prefix: _monitor/<topic>/<partition>/<slot>.json is the sum of the slots from its first to
// the one in its name, which it is written for before that is finished. So a slot's rows are
// counted once, whoever carries its claim out, and whatever dies.
package sketch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/monitor"
	"github.com/thalweg/thalweg/retry"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

const (
	// maxSlots and maxBytes are how far a file is extended before another is begun: each slot
	// writes it anew.
	maxSlots = 256
	maxBytes = 128 << 10
	// maxFiles bounds the files of a partition; the oldest are deleted. At a slot a minute they
	// reach back half a year.
	maxFiles = 1024
	// maxFileBytes bounds a file that is read: that of a slot with as many windows as there can
	// be, of many features.
	maxFileBytes = 256 << 20
	// lists bounds how often a directory is listed again because a file in it was replaced
	// before it was read.
	lists = 10
)

// format is the first field of a file.
const format = "thalweg.monitor/v1"

// file is the sum of what was counted in slots [First, Last], of which so many had rows.
type file struct {
	Format string          `json:"format"`
	First  uint64          `json:"first"`
	Last   uint64          `json:"last"`
	Slots  int             `json:"slots"`
	Counts *monitor.Sketch `json:"windows"`
}

// Dir returns the prefix of a partition's files.
func Dir(log commitlog.Config) string {
	return fmt.Sprintf("%s_monitor/%s/%05d/", log.Prefix, log.Topic, log.Partition)
}

const suffix = ".json"

func key(dir string, slot uint64) string { return fmt.Sprintf("%s%012d%s", dir, slot, suffix) }

// slotOf is the inverse of key.
func slotOf(dir, k string) (slot uint64, ok bool) {
	_, err := fmt.Sscanf(strings.TrimPrefix(k, dir), "%012d.json", &slot)
	return slot, err == nil && k == key(dir, slot)
}

// Store is the files of a partition that its owner writes. It is for one goroutine.
type Store struct {
	bucket storage.Bucket
	dir    string
	most   int      // slots of a file
	last   *file    // nil: none, or not known yet
	keys   []uint64 // of the files that are known to be there, in order
}

// NewStore returns the files of a partition.
func NewStore(bucket storage.Bucket, log commitlog.Config) *Store {
	return &Store{bucket: bucket, dir: Dir(log), most: maxSlots}
}

// tries bounds those of a write whose outcome is not known.
const tries = 4

// Add adds what was counted of a slot that is claimed and not finished; the slots before it
// are. The same slot may be added again, by whoever carries the claim out.
func (s *Store) Add(ctx context.Context, slot uint64, counts *monitor.Sketch) error {
	if counts.Empty() {
		return nil
	}
	// Others may have been the owner since.
	if err := s.catchUp(ctx); err != nil {
		return err
	}
	before := s.last
	if before != nil && before.Last >= slot {
		return nil
	}
	next := &file{Format: format, First: slot, Last: slot, Slots: 1, Counts: new(monitor.Sketch)}
	if err := next.Counts.Merge(counts); err != nil {
		return err
	}
	body, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if before != nil && before.Slots < s.most {
		more := &file{Format: format, First: before.First, Last: slot, Slots: before.Slots + 1, Counts: new(monitor.Sketch)}
		err := more.Counts.Merge(before.Counts)
		if err == nil {
			err = more.Counts.Merge(counts)
		}
		var longer []byte
		if err == nil {
			longer, err = json.Marshal(more)
		}
		// What does not add up begins anew: the old file stays.
		if err == nil && len(longer) <= maxBytes {
			next, body = more, longer
		}
	}
	k := key(s.dir, slot)
	won := next
	policy := retry.Policy{Attempts: tries, Backoff: retry.Backoff{Min: 50 * time.Millisecond, Max: time.Second}}
	err = storage.Create(ctx, s.bucket, policy, "keep counts", k, body, func() error {
		theirs, err := read(ctx, s.bucket, s.dir, slot)
		if err == nil {
			won = theirs
		}
		return err
	})
	if err != nil {
		return err
	}
	s.last, s.keys = won, append(s.keys, slot)
	if before != nil && won.First <= before.First {
		if err := s.delete(ctx, len(s.keys)-2); err != nil {
			return err
		}
	}
	for len(s.keys) > maxFiles {
		if err := s.delete(ctx, 0); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) delete(ctx context.Context, i int) error {
	if err := s.bucket.Delete(ctx, key(s.dir, s.keys[i])); err != nil {
		return err
	}
	s.keys = slices.Delete(s.keys, i, i+1)
	return nil
}

// catchUp learns of the files that are newer than those that are known.
func (s *Store) catchUp(ctx context.Context) error {
	for range lists {
		after := ""
		if n := len(s.keys); n > 0 {
			after = key(s.dir, s.keys[n-1])
		}
		newer, err := list(ctx, s.bucket, s.dir, after)
		if err != nil || len(newer) == 0 {
			return err
		}
		last, err := read(ctx, s.bucket, s.dir, newer[len(newer)-1])
		switch {
		case thalweg.Is(err, thalweg.NotFound): // replaced meanwhile
			continue
		case thalweg.Is(err, thalweg.Corrupt): // it stays, and another is begun
			last = nil
		case err != nil:
			return err
		}
		s.last, s.keys = last, append(s.keys, newer...)
		return nil
	}
	return moving(s.dir)
}

func moving(dir string) error {
	return &thalweg.Error{Op: "read counts", Kind: thalweg.Unavailable, Subject: dir, Err: errors.New("files are replaced faster than they are read")}
}

// list returns the slots that files are named after, in order.
func list(ctx context.Context, bucket storage.Bucket, dir, after string) (slots []uint64, err error) {
	for info, err := range bucket.List(ctx, dir, after) {
		if err != nil {
			return nil, err
		}
		if slot, ok := slotOf(dir, info.Key); ok {
			slots = append(slots, slot)
		}
	}
	return slots, nil
}

func read(ctx context.Context, bucket storage.Bucket, dir string, slot uint64) (*file, error) {
	k := key(dir, slot)
	fail := func(err error) (*file, error) {
		return nil, &thalweg.Error{Op: "read counts", Kind: thalweg.Corrupt, Subject: k, Err: err}
	}
	body, _, err := bucket.Get(ctx, k)
	if err != nil {
		return nil, err
	}
	if len(body) > maxFileBytes {
		return fail(fmt.Errorf("%d bytes", len(body)))
	}
	f := new(file)
	if err := thalweg.DecodeStrict(body, f); err != nil {
		return fail(err)
	}
	if f.Format != format || f.Last != slot || f.First > f.Last || f.Slots < 1 || f.Counts == nil {
		return fail(fmt.Errorf("format %.40q, slots %d to %d", f.Format, f.First, f.Last))
	}
	return f, nil
}

// Read returns what was counted of a partition, from the newest file back to where there is
// enough.
func Read(ctx context.Context, bucket storage.Bucket, log commitlog.Config, enough func(*monitor.Sketch) bool) (*monitor.Sketch, error) {
	dir := Dir(log)
	for range lists {
		out, err := readAll(ctx, bucket, dir, enough)
		if !thalweg.Is(err, thalweg.NotFound) {
			return out, err
		}
	}
	return nil, moving(dir)
}

// readAll fails with NotFound where a file was replaced before it was read.
func readAll(ctx context.Context, bucket storage.Bucket, dir string, enough func(*monitor.Sketch) bool) (*monitor.Sketch, error) {
	slots, err := list(ctx, bucket, dir, "")
	if err != nil {
		return nil, err
	}
	out := new(monitor.Sketch)
	before := uint64(math.MaxUint64) // slots from here on are in out
	for _, slot := range slices.Backward(slots) {
		if slot >= before { // left by somebody who was late
			continue
		}
		f, err := read(ctx, bucket, dir, slot)
		if err != nil {
			return nil, err
		}
		if err := out.Merge(f.Counts); err != nil {
			return nil, err
		}
		if before = f.First; enough(out) {
			break
		}
	}
	return out, nil
}
