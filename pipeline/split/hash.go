package split

import (
	"github.com/apache/arrow/go/v15/arrow"
	"github.com/twmb/murmur3"

	"github.com/thalweg/thalweg/pipeline/kernel"
)

// assignHash goes by the hash of the seed and a row's value alone, so that all rows of a
// value are in one split, whatever other rows there are, and events are too. A row
// without a value is training, the zero split.
func assignHash(c *Cuts, batch arrow.Record, _ Origin, dst []uint8) error {
	validation, test := threshold(c.Bounds[0]), threshold(c.Bounds[1])
	parts, err := ofKeys(c, batch, func(hash uint64) uint8 { return part(hash, validation, test) })
	copy(dst, parts)
	return err
}

// foldHash goes by another hash of the same values. A row without a value is in no fold:
// nobody knows which rows are of the same key, so it is held out in none and trained on
// in all.
func foldHash(c *Cuts, batch arrow.Record, _ Origin, dst []uint8) error {
	folds, err := ofKeys(c, batch, c.foldOf)
	for i, fold := range folds {
		if dst[i] != Test {
			dst[i] = WithFold(dst[i], fold)
		}
	}
	return err
}

// ofKeys returns what of says of the hash of the seed and each row's value; zero of a row
// without one.
func ofKeys[T any](c *Cuts, batch arrow.Record, of func(hash uint64) T) ([]T, error) {
	seed := kernel.Mix(c.Seed + kernel.Golden)
	return resolve(batch, c.Column,
		func(s string) T { return of(kernel.Mix(seed ^ murmur3.StringSum64(s))) },
		func(v int64) T { return of(kernel.Mix(seed ^ kernel.Mix(uint64(v)))) })
}
