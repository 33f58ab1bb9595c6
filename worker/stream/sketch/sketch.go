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
	// maxDirBytes bounds what they take together, as few of them as that leaves.
	maxDirBytes = maxFiles * maxBytes
	// maxFileBytes bounds a file: that of a slot with as many windows of many features as a
	// sketch can have takes some 10 MiB.
	maxFileBytes = 64 << 20
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
	most   int // slots of a file
	// mostBytes of all files are kept, and the newest.
	mostBytes int64
	last      *file  // nil: none, or not known yet
	files     []kept // those that are known to be there, in order
}

// kept is a file that is there, by the slot that it is named after.
type kept struct {
	slot  uint64
	bytes int64
}

// NewStore returns the files of a partition.
func NewStore(bucket storage.Bucket, log commitlog.Config) *Store {
	return &Store{bucket: bucket, dir: Dir(log), most: maxSlots, mostBytes: maxDirBytes}
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
	if len(body) > maxFileBytes {
		return &thalweg.Error{Op: "keep counts", Kind: thalweg.Invalid, Subject: key(s.dir, slot), Err: fmt.Errorf("they take %d bytes, and a file has %d at most", len(body), maxFileBytes),
			Hint: "set a longer monitoring.drift.window, or drift.enabled: false"}
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
	s.last, s.files = won, append(s.files, kept{slot, int64(len(body))})
	if before != nil && won.First <= before.First {
		if err := s.delete(ctx, len(s.files)-2); err != nil {
			return err
		}
	}
	for total := s.sizeBytes(); len(s.files) > maxFiles || total > s.mostBytes && len(s.files) > 1; {
		total -= s.files[0].bytes
		if err := s.delete(ctx, 0); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) sizeBytes() (n int64) {
	for _, f := range s.files {
		n += f.bytes
	}
	return n
}

func (s *Store) delete(ctx context.Context, i int) error {
	if err := s.bucket.Delete(ctx, key(s.dir, s.files[i].slot)); err != nil {
		return err
	}
	s.files = slices.Delete(s.files, i, i+1)
	return nil
}

// catchUp learns of the files that are newer than those that are known.
func (s *Store) catchUp(ctx context.Context) error {
	for range lists {
		after := ""
		if n := len(s.files); n > 0 {
			after = key(s.dir, s.files[n-1].slot)
		}
		newer, err := list(ctx, s.bucket, s.dir, after)
		if err != nil || len(newer) == 0 {
			return err
		}
		last, err := read(ctx, s.bucket, s.dir, newer[len(newer)-1].slot)
		switch {
		case thalweg.Is(err, thalweg.NotFound): // replaced meanwhile
			continue
		case thalweg.Is(err, thalweg.Corrupt): // it stays, and another is begun
			last = nil
		case err != nil:
			return err
		}
		s.last, s.files = last, append(s.files, newer...)
		return nil
	}
	return moving(s.dir)
}

func moving(dir string) error {
	return &thalweg.Error{Op: "read counts", Kind: thalweg.Unavailable, Subject: dir, Err: errors.New("files are replaced faster than they are read")}
}

// list returns the files that are there, in order.
func list(ctx context.Context, bucket storage.Bucket, dir, after string) (files []kept, err error) {
	for info, err := range bucket.List(ctx, dir, after) {
		if err != nil {
			return nil, err
		}
		if slot, ok := slotOf(dir, info.Key); ok {
			files = append(files, kept{slot, info.SizeBytes})
		}
	}
	return files, nil
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

// Read returns what was counted of a partition, from the newest file back to the first after
// which there is enough, by the sum and what that file has of it.
func Read(ctx context.Context, bucket storage.Bucket, log commitlog.Config, enough func() func(sum, file *monitor.Sketch) bool) (*monitor.Sketch, error) {
	dir := Dir(log)
	for range lists {
		out, err := readAll(ctx, bucket, dir, enough())
		if !thalweg.Is(err, thalweg.NotFound) {
			return out, err
		}
	}
	return nil, moving(dir)
}

// readAll fails with NotFound where a file was replaced before it was read.
func readAll(ctx context.Context, bucket storage.Bucket, dir string, enough func(sum, file *monitor.Sketch) bool) (*monitor.Sketch, error) {
	files, err := list(ctx, bucket, dir, "")
	if err != nil {
		return nil, err
	}
	out := monitor.NewSum()
	before := uint64(math.MaxUint64) // slots from here on are in out
	for _, k := range slices.Backward(files) {
		if k.slot >= before { // left by somebody who was late
			continue
		}
		f, err := read(ctx, bucket, dir, k.slot)
		if err != nil {
			return nil, err
		}
		if err := out.Merge(f.Counts); err != nil {
			return nil, err
		}
		if before = f.First; enough(out, f.Counts) {
			break
		}
	}
	return out, nil
}
