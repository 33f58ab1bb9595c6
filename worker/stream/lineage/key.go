package lineage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/spelling"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// Key is a value that a column of scored rows has: of all rows of one flight, say.
type Key struct{ Column, Value string }

// ParseKey reads COLUMN=VALUE.
func ParseKey(text string) (k Key, err error) {
	var ok bool
	if k.Column, k.Value, ok = strings.Cut(text, "="); !ok || k.Column == "" {
		return k, &thalweg.Error{Op: "read key", Kind: thalweg.Invalid, Subject: fmt.Sprintf("%.80q", text), Hint: "COLUMN=VALUE of scored rows, as in flight_id=4711"}
	}
	return k, nil
}

// AsOf asks for the row with a key that was scored last, at a time or before.
type AsOf struct {
	Key
	AtUS int64 // microseconds since 1970 UTC
}

func (a AsOf) String() string {
	return fmt.Sprintf("%s=%s as of %s", a.Column, a.Value, time.UnixMicro(a.AtUS).UTC().Format(time.RFC3339Nano))
}

// Latest finds the event of the row that a asks for among all partitions, the rows of
// replayed dead letters among them, and calls at with how many objects of how many have
// been read. Of q it takes pipeline and topic. Rows are read from the newest on, and none
// that were scored before the newest one that was found. Dead letters have no columns, so
// that an event which could not be scored is not found by its key.
func Latest(ctx context.Context, sink storage.Place, q Query, partitions int, a AsOf, at func(done, total int64)) (Query, error) {
	entries, err := entriesUntil(ctx, sink, q, partitions, a.AtUS)
	if err != nil {
		return q, err
	}
	s := keySearch{AsOf: a, found: Query{Offset: -1}}
	for i, e := range entries {
		if e.Intent.ScoredAtUS < s.scoredAtUS {
			break
		}
		at(int64(i), int64(len(entries)))
		for _, o := range e.Done.Objects {
			if o.Kind != commitlog.Scored {
				continue
			}
			body, err := commitlog.ReadObject(ctx, sink.Bucket, o)
			if err == nil {
				err = s.in(e, o.Key, body)
			}
			if err != nil {
				return q, err
			}
		}
	}
	if s.found.Offset >= 0 {
		s.found.Pipeline, s.found.Topic = q.Pipeline, q.Topic
		return s.found, nil
	}
	missing := &thalweg.Error{Op: "find row", Kind: thalweg.NotFound, Subject: a.String(), Err: fmt.Errorf("no row of %d objects has it", s.objects),
		Hint: "an event that could not be scored has no row: thalweg dlq list"}
	if len(entries) == 0 {
		missing.Err = errors.New("no row was scored by then")
	}
	if !s.known && len(s.columns) > 0 {
		missing.Err, missing.Hint = fmt.Errorf("scored rows have no column %q", a.Column), cmp.Or(spelling.Hint(a.Column, slices.Values(s.columns)), "one of "+strings.Join(s.columns, ", "))
	}
	return q, missing
}

// entriesUntil returns the entries that have rows of a time or before, the newest first.
// A compaction has rows of before it was claimed, and of those only.
func entriesUntil(ctx context.Context, sink storage.Place, q Query, partitions int, atUS int64) (entries []commitlog.Entry, err error) {
	for p := range partitions {
		q.Partition = p
		f := &finder{sink, q}
		for _, replay := range []bool{false, true} {
			log, err := f.log(replay)
			if err != nil {
				return nil, err
			}
			for e, err := range commitlog.Live(log.ReadBack(ctx)) {
				if err != nil {
					return nil, err
				}
				if e.Intent.Action == commitlog.Compact || e.Intent.ScoredAtUS <= atUS {
					entries = append(entries, e)
				}
			}
		}
	}
	slices.SortStableFunc(entries, func(a, b commitlog.Entry) int { return cmp.Compare(b.Intent.ScoredAtUS, a.Intent.ScoredAtUS) })
	return entries, nil
}

// keySearch is a search for the newest row with a key.
type keySearch struct {
	AsOf
	found      Query // its offset is -1 until there is one
	scoredAtUS int64 // when its row was scored
	objects    int
	known      bool     // an object has the column
	columns    []string // of an object that has it not
}

// in looks at the rows of an object.
func (s *keySearch) in(e commitlog.Entry, name string, body []byte) error {
	s.objects++
	for batch, err := range engine.ReadRows(name, body) {
		if err != nil {
			return err
		}
		column, typ, ok := batch.Schema.Lookup(s.Column)
		if !ok { // rows of a generation that had it not
			s.columns = slices.Collect(batch.Schema.Names())
			return nil
		}
		s.known = true
		has, err := s.match(typ.Type, batch.Rows.Column(column))
		if err != nil {
			return err
		}
		times, err := system[*array.Timestamp](batch, name, "_scored_at")
		if err != nil {
			return err
		}
		offsets, err := system[*array.Int64](batch, name, "_offset")
		if err != nil {
			return err
		}
		for i := range int(batch.Rows.NumRows()) {
			if !has(i) {
				continue
			}
			us, offset := int64(times.Value(i)), offsets.Value(i)
			if us <= s.AtUS && (us > s.scoredAtUS || us == s.scoredAtUS && offset > s.found.Offset) {
				s.scoredAtUS = us
				s.found = Query{TopicID: e.Intent.TopicID, Partition: e.Intent.Partition, Offset: offset}
			}
		}
	}
	return nil
}

// match returns what reports whether a value of a column is the key's. The error is
// Invalid where no value of the type can be.
func (s *keySearch) match(t table.Type, column arrow.Array) (func(i int) bool, error) {
	no := func(want string) error {
		return &thalweg.Error{Op: "read key", Kind: thalweg.Invalid, Subject: fmt.Sprintf("%s=%.80q", s.Column, s.Value), Hint: fmt.Sprintf("the column is %s: %s", t, want)}
	}
	switch a := column.(type) {
	case *array.Dictionary:
		texts, ok := a.Dictionary().(*array.String)
		if !ok {
			break
		}
		for index := range texts.Len() {
			if texts.Value(index) == s.Value {
				return func(i int) bool { return a.IsValid(i) && a.GetValueIndex(i) == index }, nil
			}
		}
		return func(int) bool { return false }, nil
	case *array.Int64:
		n, err := strconv.ParseInt(s.Value, 10, 64)
		if err != nil {
			return nil, no("a whole number")
		}
		return func(i int) bool { return a.IsValid(i) && a.Value(i) == n }, nil
	case *array.Float64:
		n, err := strconv.ParseFloat(s.Value, 64)
		if err != nil {
			return nil, no("a number")
		}
		return func(i int) bool { return a.IsValid(i) && a.Value(i) == n }, nil
	case *array.Boolean:
		b, err := strconv.ParseBool(s.Value)
		if err != nil {
			return nil, no("true or false")
		}
		return func(i int) bool { return a.IsValid(i) && a.Value(i) == b }, nil
	case *array.Timestamp:
		us, ok := table.ParseTime(s.Value, time.UTC)
		if !ok {
			return nil, no("a time such as 2026-01-31T12:00:00Z")
		}
		return func(i int) bool { return a.IsValid(i) && int64(a.Value(i)) == us }, nil
	}
	return nil, no("rows are not found by such")
}

// system returns a column that each scored row has.
func system[A arrow.Array](batch engine.RowBatch, object, name string) (column A, err error) {
	i, _, ok := batch.Schema.Lookup(name)
	if ok {
		column, ok = batch.Rows.Column(i).(A)
	}
	if !ok {
		err = &thalweg.Error{Op: "read row", Kind: thalweg.Corrupt, Subject: object, Err: errors.New("it has no column " + name + " as scored rows have it")}
	}
	return column, err
}
