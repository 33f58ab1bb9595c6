package deadletter

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/expression"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// columns are the fields of a dead letter that a selection may name.
var columns = table.Schema{Columns: []table.Column{
	{Name: "topic", Type: table.String},
	{Name: "partition", Type: table.Int64},
	{Name: "offset", Type: table.Int64},
	{Name: "timestamp", Type: table.Timestamp},
	{Name: "stage", Type: table.String},
	{Name: "reason", Type: table.String},
	{Name: "model", Type: table.String},
	{Name: "model_version", Type: table.Int64},
	{Name: "spec_generation", Type: table.Int64},
	{Name: "size", Type: table.Int64},
	{Name: "text", Type: table.String, Nullable: true},
	{Name: "truncated", Type: table.Bool},
}}

// Selection chooses dead letters by an expression over their fields, in the
// language of the spec.
type Selection struct {
	where   string
	program *expression.Program // nil: all
}

// NewSelection compiles an expression; the empty one selects all. Times are in
// UTC. Invalid where it is none, or yields anything but true and false.
func NewSelection(where string) (*Selection, error) {
	s := &Selection{where: where}
	if strings.TrimSpace(where) == "" {
		return s, nil
	}
	fail := func(err error, hint string) error {
		return &thalweg.Error{Op: "select dead letters", Kind: thalweg.Invalid, Subject: fmt.Sprintf("%.200q", where), Err: err, Hint: hint}
	}
	if len(where) > commitlog.MaxWhereBytes {
		return nil, fail(nil, fmt.Sprintf("at most %d bytes", commitlog.MaxWhereBytes))
	}
	var err error
	if s.program, err = expression.Compile(where, columns, nil); err != nil {
		return nil, fail(err, "")
	}
	if s.program.Type() != table.Bool {
		return nil, fail(nil, "it must be true or false of a dead letter, such as stage == 'decode'")
	}
	return s, nil
}

// keep returns the letters of which the selection is true, in the memory of
// letters.
func (s *Selection) keep(letters []engine.DeadLetter) ([]engine.DeadLetter, error) {
	if s.program == nil || len(letters) == 0 {
		return letters, nil
	}
	rec := recordOf(letters)
	defer rec.Release()
	chosen, err := s.program.Eval(rec)
	if err != nil {
		return nil, &thalweg.Error{Op: "select dead letters", Kind: thalweg.KindOf(err), Err: err}
	}
	defer chosen.Release()
	yes := chosen.(*array.Boolean)
	kept := letters[:0]
	for i := range letters {
		if yes.IsValid(i) && yes.Value(i) {
			kept = append(kept, letters[i])
		}
	}
	return kept, nil
}

func recordOf(letters []engine.DeadLetter) arrow.Record {
	mem := memory.DefaultAllocator
	var fields []arrow.Field
	for _, c := range columns.Columns {
		fields = append(fields, arrow.Field{Name: c.Name, Type: c.Type.ArrowType(), Nullable: c.Nullable})
	}
	b := array.NewRecordBuilder(mem, arrow.NewSchema(fields, nil))
	defer b.Release()
	text := func(i int) *array.BinaryDictionaryBuilder { return b.Field(i).(*array.BinaryDictionaryBuilder) }
	number := func(i int) *array.Int64Builder { return b.Field(i).(*array.Int64Builder) }
	for i := range letters {
		l := &letters[i]
		_ = text(0).AppendString(l.Topic) // a builder of strings takes any
		number(1).Append(int64(l.Partition))
		number(2).Append(l.Offset)
		b.Field(3).(*array.TimestampBuilder).Append(arrow.Timestamp(l.TimestampUS))
		_ = text(4).AppendString(l.Stage)
		_ = text(5).AppendString(l.Reason)
		_ = text(6).AppendString(string(l.Model))
		number(7).Append(int64(l.ModelVersion))
		number(8).Append(int64(l.SpecGeneration))
		number(9).Append(int64(l.SizeBytes))
		if l.Text == nil {
			text(10).AppendNull()
		} else {
			_ = text(10).AppendString(*l.Text)
		}
		b.Field(11).(*array.BooleanBuilder).Append(l.Truncated)
	}
	return b.NewRecord()
}

// page is some dead letters of a slot.
type page struct {
	slot    commitlog.Intent
	letters []engine.DeadLetter
}

// pages yields the dead letters of the finished slots [first, end) of a log that
// the selection chooses, in order, in pages that are not empty. It lists their
// objects and reads only the records of slots that have any.
func (s *Selection) pages(ctx context.Context, bucket storage.Bucket, log *commitlog.Log, first, end uint64) iter.Seq2[page, error] {
	return func(yield func(page, error) bool) {
		dir := log.Layout().DeadDir()
		after := dir
		if first > 0 {
			after = fmt.Sprintf("%s%012d~", dir, first-1) // beyond all names of the slot before
		}
		for info, err := range bucket.List(ctx, dir, after) {
			if err != nil {
				yield(page{}, err)
				return
			}
			digits, _, _ := strings.Cut(strings.TrimPrefix(info.Key, dir), "-")
			seq, err := strconv.ParseUint(digits, 10, 64)
			if err != nil {
				yield(page{}, &thalweg.Error{Op: "read dead letters", Kind: thalweg.Corrupt, Subject: info.Key, Hint: "the object is none of the stream's"})
				return
			}
			if seq >= end {
				return
			}
			entry, err := log.Entry(ctx, seq)
			if thalweg.Is(err, thalweg.NotFound) {
				return // the last slot, being written
			}
			if err != nil {
				yield(page{}, err)
				return
			}
			for _, o := range entry.Done.Objects {
				if o.Kind != commitlog.Dead || o.Key != info.Key {
					continue
				}
				for letters, err := range readPages(ctx, bucket, o) {
					if err == nil {
						letters, err = s.keep(letters)
					}
					if err == nil && len(letters) == 0 {
						continue
					}
					if !yield(page{entry.Intent, letters}, err) || err != nil {
						return
					}
				}
			}
		}
	}
}

// readPages reads an object of dead letters, verified against its record, and
// yields them in pages of at most pageLetters, which are the receiver's.
func readPages(ctx context.Context, bucket storage.Bucket, o commitlog.Object) iter.Seq2[[]engine.DeadLetter, error] {
	return func(yield func([]engine.DeadLetter, error) bool) {
		body, err := commitlog.ReadObject(ctx, bucket, o)
		if err != nil {
			yield(nil, err)
			return
		}
		var page []engine.DeadLetter
		for d, err := range engine.DeadLetters(body) {
			if err != nil {
				yield(nil, &thalweg.Error{Op: "read dead letters", Kind: thalweg.Corrupt, Subject: o.Key, Err: err})
				return
			}
			if page = append(page, d); len(page) == pageLetters {
				if !yield(page, nil) {
					return
				}
				page = nil
			}
		}
		if len(page) > 0 {
			yield(page, nil)
		}
	}
}

// pageLetters bounds the dead letters that are decoded at once.
const pageLetters = 1024
