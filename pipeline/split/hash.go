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
	seed := kernel.Mix(c.Seed + kernel.Golden)
	parts, err := resolve(batch, c.Column,
		func(s string) uint8 { return part(kernel.Mix(seed^murmur3.StringSum64(s)), validation, test) },
		func(v int64) uint8 { return part(kernel.Mix(seed^kernel.Mix(uint64(v))), validation, test) })
	copy(dst, parts)
	return err
}
