package split

import (
	"math"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/table"
)

func finishRandom(*Cuts, [][]byte) error { return nil }

// assignRandom hashes seed, shard and row number, so that a row's split is
// known without having seen any other row.
func assignRandom(c *Cuts, batch arrow.Record, shard int, dst []uint8) error {
	rows, err := rowNumbers(batch)
	if err != nil {
		return err
	}
	validation, test := threshold(c.Bounds[0]), threshold(c.Bounds[1])
	base := kernel.Mix(c.Seed ^ kernel.Mix(uint64(shard)+kernel.Golden))
	for i, row := range rows {
		dst[i] = part(kernel.Mix(base^uint64(row)), validation, test)
	}
	return nil
}

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
