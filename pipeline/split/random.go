package split

import (
	"math"
	"path"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/twmb/murmur3"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/table"
)

// extensions of keys say how rows are kept, and not which.
var extensions = []string{".parquet", ".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".json", ".arrow", ".gz", ".zst"}

// assignRandom goes by the hashes of rows, so that a row's split is known without
// having seen any other row.
func assignRandom(c *Cuts, batch arrow.Record, from Origin, dst []uint8) error {
	rows, err := rowNumbers(batch)
	if err != nil {
		return err
	}
	validation, test := threshold(c.Bounds[0]), threshold(c.Bounds[1])
	hash := from.hash(c.Seed)
	for i, row := range rows {
		dst[i] = part(hash(row), validation, test)
	}
	return nil
}

// foldRandom goes by another hash of the same rows.
func foldRandom(c *Cuts, batch arrow.Record, from Origin, dst []uint8) error {
	rows, err := rowNumbers(batch)
	if err != nil {
		return err
	}
	hash := from.hash(c.Seed)
	for i, row := range rows {
		if dst[i] != Test {
			dst[i] = WithFold(dst[i], c.foldOf(hash(row)))
		}
	}
	return nil
}

// hash returns the hash of a row by its number in the shard: of a seed, its object's
// key and its place there. The same rows in another format have the same hashes.
func (o Origin) hash(seed uint64) func(row int64) uint64 {
	stem := o.Object
	for slices.Contains(extensions, path.Ext(stem)) {
		stem = strings.TrimSuffix(stem, path.Ext(stem))
	}
	base := kernel.Mix(seed ^ kernel.Mix(murmur3.StringSum64(stem)+kernel.Golden))
	first := o.First
	return func(row int64) uint64 { return kernel.Mix(base ^ uint64(first+row)) }
}

// Sample returns whether a share of all rows has a row, by its number in the shard: by
// another hash than that of a random split.
func (o Origin) Sample(seed uint64, share float64) func(row int64) bool {
	hash, below := o.hash(kernel.Mix(seed+kernel.Golden)), threshold(share)
	return func(row int64) bool { return hash(row) < below }
}

// Draw returns the hash of a row by its number in the shard, another one than those of a
// random split and of Sample.
func (o Origin) Draw(seed uint64) func(row int64) uint64 {
	return o.hash(kernel.Mix(kernel.Mix(seed + kernel.Golden)))
}

// Half returns the hash of a row by its number in the shard, another one than those above,
// whose highest bit says in which half of the validation rows it is.
func (o Origin) Half(seed uint64) func(row int64) uint64 {
	return o.hash(kernel.Mix(kernel.Mix(kernel.Mix(seed + kernel.Golden))))
}

// Held reports whether a hash of Half is of the half that is kept for what is made of the
// trained model.
func Held(half uint64) bool { return half>>63 == 1 }

// threshold maps a probability to the hash values below it; 1 maps to the
// largest, which leaves out one value in 2^64.
func threshold(p float64) uint64 {
	if p >= 1 {
		return math.MaxUint64
	}
	return uint64(p * (1 << 64))
}

func rowNumbers(batch arrow.Record) ([]int64, error) {
	last := int(batch.NumCols()) - 1
	if last < 0 || batch.ColumnName(last) != table.RowColumn {
		return nil, &thalweg.Error{Op: "split rows", Kind: thalweg.Invalid, Subject: table.RowColumn, Hint: "the batch has no row numbers"}
	}
	return batch.Column(last).(*array.Int64).Int64Values(), nil
}
