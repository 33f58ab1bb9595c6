package engine

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage/dataset"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

// scoredAt is the column that is the same in all rows of a slot: to partition
// by it splits nothing.
const scoredAt = "_scored_at"

// MaxDays is how many days the rows of a span may have: each becomes an object
// of its own, and the dead letters one more.
const MaxDays = commitlog.MaxObjects - 1

// MinDayBatch is the least that is scored at once after a batch had to be cut.
const MinDayBatch = 64

// noDay stands for rows without a day: the column is null, or is none of the
// version's, or the year is none of 0 to 9999.
const noDay = math.MinInt64

const (
	dayUS   = int64(24 * time.Hour / time.Microsecond)
	firstUS = -719_528 * dayUS  // of the year 0
	endUS   = 2_932_897 * dayUS // of the year 10000
)

// dayOf returns the number of the UTC day of a time in microseconds since 1970.
func dayOf(us int64) int64 {
	if us < firstUS || us >= endUS {
		return noDay
	}
	return (us-firstUS)/dayUS + firstUS/dayUS
}

func dayName(day int64) string {
	if day == noDay {
		return commitlog.Unknown
	}
	return time.Unix(day*24*60*60, 0).UTC().Format(time.DateOnly)
}

// daysOf returns the day of each row of cleaned by the named column.
func daysOf(cleaned arrow.Record, by string) []int64 {
	days := make([]int64, cleaned.NumRows())
	var column *array.Timestamp
	if at := cleaned.Schema().FieldIndices(by); len(at) == 1 {
		column, _ = cleaned.Column(at[0]).(*array.Timestamp)
	}
	for i := range days {
		if days[i] = noDay; column != nil && column.IsValid(i) {
			days[i] = dayOf(int64(column.Value(i)))
		}
	}
	return days
}

// limitDays takes the days of a batch's rows into the span's, and cuts the
// batch before the first row that would bring one too many: the span is full
// then. A claim that is carried out again has the days that it had.
func (r *Rows) limitDays(b *Batch, pieces []piece, lost []Reject) ([]piece, []Reject) {
	if r.PartitionBy == "" || r.PartitionBy == scoredAt {
		return pieces, lost
	}
	if r.days == nil {
		r.days = make(map[int64]struct{})
	}
	for n, p := range pieces {
		for i, day := range daysOf(p.cleaned, r.PartitionBy) {
			if _, known := r.days[day]; known {
				continue
			}
			if len(r.days) < MaxDays {
				r.days[day] = struct{}{}
				continue
			}
			r.Full = true
			cut := offsetsOf(p.cleaned)[i]
			lost = b.cut(cut, lost)
			head := piece{cleaned: p.cleaned.NewSlice(0, int64(i)), predictions: slices.Clone(p.of(0, i))}
			releaseAll(pieces[n:])
			return append(pieces[:n], head), lost
		}
	}
	return pieces, lost
}

// cut ends the batch before the record of an offset that is in it, and returns
// which of the events lost are still in it.
func (b *Batch) cut(offset int64, lost []Reject) []Reject {
	b.n, _ = slices.BinarySearch(b.Offsets(), offset)
	b.Bytes = 0
	for i := range b.n {
		b.Bytes += int64(b.Records.SizeOf(b.first + i))
	}
	b.Gaps = slices.DeleteFunc(b.Gaps, func(g commitlog.Gap) bool { return g[0] >= offset })
	b.To, b.LeaderEpoch = offset, 0 // the records may be of several leaders: not known
	return slices.DeleteFunc(lost, func(c Reject) bool { return c.Offset >= offset })
}

func (e *artifactEngine) Encode(in commitlog.Intent, r *Rows) ([]File, error) {
	from := artifact.Origin{Topic: in.Topic, Partition: in.Partition, Version: in.ModelVersion, Generation: in.SpecGeneration, ScoredAt: in.ScoredAtUS}
	if in.Action == commitlog.Replay {
		from.Replay = in.ID
	}
	files := Files{Config: dataset.WriterConfig{Compression: e.cfg.Compression, Pool: e.cfg.Pool}}
	write := func(day string, p piece) error {
		rec, err := e.output.Output(p.cleaned, p.predictions, from)
		if err != nil {
			return err
		}
		defer rec.Release()
		return files.Write(day, rec)
	}
	for _, p := range r.pieces {
		var err error
		switch in.PartitionBy {
		case "":
			err = write("", p)
		case scoredAt:
			err = write(dayName(dayOf(in.ScoredAtUS)), p)
		default:
			err = p.eachDay(in.PartitionBy, write)
		}
		if err != nil {
			return nil, err
		}
	}
	return files.Close()
}

// EachDay calls fn with the rows of each UTC day of a timestamp column, the earliest day
// first; the rows are its only until it returns.
func EachDay(rows arrow.Record, by string, fn func(day string, rows arrow.Record) error) error {
	days := daysOf(rows, by)
	masks := masksOf(days)
	for _, day := range slices.Sorted(maps.Keys(masks)) {
		some, err := table.Select(memory.DefaultAllocator, rows, masks[day])
		if err != nil {
			return fmt.Errorf("select the rows of %s: %w", dayName(day), err)
		}
		err = fn(dayName(day), some)
		some.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// masksOf marks the rows of each day.
func masksOf(days []int64) map[int64]table.Mask {
	masks := make(map[int64]table.Mask)
	for i, day := range days {
		m, ok := masks[day]
		if !ok {
			m = table.NewMask(len(days))
			masks[day] = m
		}
		m.Set(i)
	}
	return masks
}

func (p piece) eachDay(by string, fn func(day string, p piece) error) error {
	days := daysOf(p.cleaned, by)
	masks := masksOf(days)
	if len(masks) == 1 {
		return fn(dayName(days[0]), p)
	}
	for day, keep := range masks {
		rows, err := table.Select(memory.DefaultAllocator, p.cleaned, keep)
		if err != nil {
			return fmt.Errorf("select the rows of %s: %w", dayName(day), err)
		}
		var predictions []float32
		for i, d := range days {
			if d == day {
				predictions = append(predictions, p.of(i, i+1)...)
			}
		}
		err = fn(dayName(day), piece{cleaned: rows, predictions: predictions})
		rows.Release()
		if err != nil {
			return err
		}
	}
	return nil
}
