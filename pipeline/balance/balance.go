// Package balance makes the values of a column as frequent as one another among training
// rows: it counts them, and says how often each row is there, or how much it weighs.
package balance

import (
	"cmp"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
)

const (
	// MaxValues bounds the values of a column that rows are balanced by: counts of all are
	// in the report of each shard.
	MaxValues = 1000
	// MaxCopies bounds how often a row is repeated: with one row a thousand times, more
	// would say nothing new.
	MaxCopies = 1000
	// copyBits are those of a row's number below the number of its copy.
	copyBits = 40
)

const opBalance = "balance rows"

// Counts are training rows by value.
type Counts map[string]int64

// Observe counts rows that are marked.
func (c Counts) Observe(by string, batch arrow.Record, rows table.Mask) error {
	value, err := valuesOf(by, batch)
	if err != nil {
		return err
	}
	of := make(map[string]int64) // whose keys may be of the batch's memory
	for i := range rows.Marked() {
		if v, ok := value(i); ok {
			of[v]++
		}
	}
	for v, n := range of {
		c[strings.Clone(v)] += n
	}
	return c.check(by)
}

// Merge adds other counts.
func (c Counts) Merge(by string, other Counts) error {
	for v, n := range other {
		c[v] += n
	}
	return c.check(by)
}

// values lists the values, the most frequent first.
func (c Counts) values() []string {
	return slices.SortedFunc(maps.Keys(c), func(a, b string) int { return cmp.Or(cmp.Compare(c[b], c[a]), cmp.Compare(a, b)) })
}

func (c Counts) check(by string) error {
	if len(c) > MaxValues {
		return &thalweg.Error{Op: opBalance, Kind: thalweg.Invalid, Subject: "column " + by, Err: fmt.Errorf("it has more than %d values among the training rows", MaxValues),
			Hint: "balance by a column of fewer values, derived of it"}
	}
	return nil
}

// valuesOf returns the values of a batch in words; ok: a row has one.
func valuesOf(by string, batch arrow.Record) (value func(i int) (v string, ok bool), err error) {
	for _, at := range batch.Schema().FieldIndices(by) {
		switch a := batch.Column(at).(type) {
		case *array.Dictionary:
			words := a.Dictionary().(*array.String)
			return func(i int) (string, bool) {
				if a.IsNull(i) {
					return "", false
				}
				return strings.ToValidUTF8(words.Value(a.GetValueIndex(i)), "\uFFFD"), true // as JSON keeps it
			}, nil
		case *array.Int64:
			return func(i int) (string, bool) { return strconv.FormatInt(a.Value(i), 10), a.IsValid(i) }, nil
		case *array.Boolean:
			return func(i int) (string, bool) { return strconv.FormatBool(a.Value(i)), a.IsValid(i) }, nil
		}
	}
	return nil, &thalweg.Error{Op: opBalance, Kind: thalweg.Invalid, Subject: "column " + by, Hint: "it is not there, or of another type"}
}

// Rows says how often training rows are there. It is immutable.
type Rows struct {
	of     pipeline.Balance
	counts Counts
	shares map[string]share
	// Warnings say what cannot be balanced.
	Warnings []string
}

// share is how often the rows of a value are there: whole times, and once more those whose
// hash is below.
type share struct {
	whole uint32
	below uint64
}

// New returns what balances rows of which so many have each value.
func New(of pipeline.Balance, counts Counts) *Rows {
	r := &Rows{of: of, counts: counts, shares: make(map[string]share, len(counts))}
	least, most := int64(0), int64(0)
	for _, n := range counts {
		if least == 0 || n < least {
			least = n
		}
		most = max(most, n)
	}
	for _, v := range slices.Sorted(maps.Keys(counts)) {
		n, want := counts[v], least
		if of.Method == pipeline.Upsample {
			want = most
		}
		s := share{whole: uint32(min(want/n, MaxCopies))}
		if rest := want % n; rest > 0 && s.whole < MaxCopies {
			s.below, _ = bits.Div64(uint64(rest), 0, uint64(n)) // 2^64 rest / n
		}
		if r.shares[v] = s; want/n >= MaxCopies && want > n*MaxCopies {
			r.Warnings = append(r.Warnings, fmt.Sprintf("%s: %d rows have %s %q, and are repeated %d times: %d would make them as many as the others", of.Step, n, of.By, v, MaxCopies, want/n))
		}
	}
	return r
}

// Copies returns how often each row of a batch is there, in dst's memory, and the most of
// them: once, unless it is among the training rows, which are marked, and has a value. hash
// is that of a row by its number. It counts rows that are left out or repeated.
func (r *Rows) Copies(batch arrow.Record, training table.Mask, hash func(row int64) uint64, rep *pipeline.Report, dst []uint32) (copies []uint32, most uint32, err error) {
	value, err := valuesOf(r.of.By, batch)
	if err != nil {
		return nil, 0, err
	}
	n := int(batch.NumRows())
	copies, most = slices.Grow(dst[:0], n)[:n], 1
	for i := range copies {
		copies[i] = 1
	}
	var dropped []int64
	repeated, counts := int64(0), make(map[string]int64)
	rows := table.Rows(batch)
	for i := range training.Marked() {
		v, ok := value(i)
		s, known := r.shares[v]
		if !ok || !known {
			continue
		}
		copies[i] = s.whole
		if hash(rows[i]) < s.below {
			copies[i]++
		}
		most = max(most, copies[i])
		if counts[v] += int64(copies[i]); copies[i] == 0 {
			dropped = append(dropped, rows[i])
		} else {
			repeated += int64(copies[i]) - 1
		}
	}
	for v, n := range counts {
		rep.Balance(v, n)
	}
	rep.Repeat(r.of.Step, repeated)
	rep.DropRows(dropped, r.of.Step, r.of.Step+": not drawn by "+r.of.By)
	return copies, most, nil
}

// Round returns the rows of a batch that are there more than k times, with their splits. The
// numbers of copies, of which k is the number, are such as no row of the batch has. The
// caller releases them.
func Round(mem memory.Allocator, batch arrow.Record, splits []uint8, copies []uint32, k uint32) (arrow.Record, []uint8, error) {
	some := table.NewMask(len(copies))
	var of []uint8
	for i, n := range copies {
		if n > k {
			some.Set(i)
			of = append(of, splits[i])
		}
	}
	rows, err := table.Select(mem, batch, some)
	if err != nil || k == 0 {
		return rows, of, err
	}
	defer rows.Release()
	buf, numbers := table.Alloc(mem, len(of), arrow.Int64Traits)
	for i, row := range table.Rows(rows) {
		numbers[i] = row + int64(k)<<copyBits
	}
	columns := slices.Clone(rows.Columns())
	column := table.NewColumn(mem, table.Int64, len(of), buf, table.Mask{})
	defer column.Release()
	columns[len(columns)-1] = column
	return array.NewRecord(rows.Schema(), columns, rows.NumRows()), of, nil
}

// Original returns the number of the row that a number of Round is of.
func Original(row int64) int64 { return row & (1<<copyBits - 1) }

// Training marks the rows of a batch that are learned from: those of the training split that
// can be used.
func Training(parts []uint8, usable table.Mask) table.Mask {
	training := table.NewMask(len(parts))
	for i, part := range parts {
		if part == 0 {
			training.Set(i)
		}
	}
	training.And(usable)
	return training
}

// Table is the values, the most frequent first, with their training rows before and after.
func (r *Rows) Table(after map[string]int64) (rows [][]string) {
	rows = append(rows, []string{r.of.By, "rows", "balanced"})
	for _, v := range r.counts.values() {
		rows = append(rows, []string{v, strconv.FormatInt(r.counts[v], 10), strconv.FormatInt(after[v], 10)})
	}
	return rows
}
