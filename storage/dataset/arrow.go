package dataset

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
)

// DiscoverArrow is Discover for objects of Arrow IPC, in its file format or that of
// streams. It reads what stands before each record batch, which counts as a row group.
// An object whose dictionaries change between its batches is one shard.
func DiscoverArrow(ctx context.Context, b storage.Bucket, pattern string, cfg DiscoverConfig) (*Manifest, *arrow.Schema, error) {
	return discover(ctx, b, pattern, cfg, func(ctx context.Context, _ *listing, info storage.Info, versioned bool) (discovered, error) {
		d, err := inspectArrow(ctx, b, info, versioned)
		return d, arrowFailure("discover", info.Key, err)
	})
}

// inspectArrow finds the batches of an object.
func inspectArrow(ctx context.Context, b storage.Bucket, info storage.Info, versioned bool) (d discovered, err error) {
	if d.object, err = object(ctx, b, info, versioned); err != nil {
		return d, err
	}
	w := &window{size: d.object.SizeBytes, fetch: func(at int64, buf []byte) error { return b.GetRange(ctx, info.Key, at, buf) }}
	l, err := w.layout()
	at := int64(0)
	if err == nil && l.schema != nil {
		if at = w.size; len(l.batches) > 0 {
			at = l.batches[0]
		}
		d.fields, err = arrowFields(l.schema)
	}
	if err != nil {
		return d, err
	}
	late := false
	for {
		f, err := w.frame(at)
		if err != nil {
			return d, err
		}
		if f.kind == arrowEnd {
			break
		}
		if f.body > maxArrowBytes {
			return d, errLarge
		}
		if f.kind == arrowSchema && d.fields == nil {
			if d.fields, err = arrowFields(f.meta); err != nil {
				return d, err
			}
		}
		if f.kind == arrowBatch {
			d.begins = append(d.begins, at)
			d.rows = append(d.rows, f.rows)
			d.object.Rows += f.rows
			d.end = f.end
		}
		late = late || f.kind == arrowDictionary && d.begins != nil && l.schema == nil
		at = f.end
	}
	if l.schema != nil && !slices.Equal(l.batches, d.begins) {
		return d, errors.New("its footer names other record batches than those that are there, one behind the other")
	}
	if d.fields == nil {
		return d, errors.New("it has no schema")
	}
	if late {
		d.rows, d.begins = []int64{d.object.Rows}, d.begins[:1]
	}
	d.object.RowGroups = len(d.rows)
	return d, nil
}

// arrowFields returns the fields that a schema's message has.
func arrowFields(meta []byte) (fields []arrow.Field, err error) {
	err = guard(func() error {
		r, err := ipc.NewReaderFromMessageReader(&arrowMessages{r: bytes.NewReader(meta), left: int64(len(meta))})
		if err != nil {
			return err
		}
		fields = make([]arrow.Field, 0, r.Schema().NumFields())
		for _, f := range r.Schema().Fields() {
			fields = append(fields, arrow.Field{Name: f.Name, Type: withoutViews(f.Type), Nullable: f.Nullable})
		}
		return nil
	})
	return fields, err
}

// arrowFailure is the error of an object that could not be read.
func arrowFailure(op, key string, err error) error {
	switch {
	case err == nil || err == io.EOF:
		return err
	case thalweg.KindOf(err) != thalweg.Other:
		return &thalweg.Error{Op: op, Kind: thalweg.KindOf(err), Subject: objectSubject(key), Err: err}
	}
	return &thalweg.Error{Op: op, Kind: thalweg.Corrupt, Subject: objectSubject(key), Err: err}
}

// ArrowReader yields the rows of a shard of Arrow IPC, in the order of the object. One
// goroutine uses it at a time.
type ArrowReader struct {
	key     string
	streams []*stream
	memory  *bounded
	r       *ipc.Reader
	schema  *arrow.Schema
	places  []int // by field of schema: the object's, or -1 where all rows are null
	batch   int64 // the most rows of one that Next yields
	group   int   // of record
	record  arrow.Record
	from    int64 // row of record that the next batch begins with
	first   int64 // row of the object that the last batch begins with
	next    int64
	left    int64 // rows of the shard
	err     error
}

// OpenArrow opens a shard of what DiscoverArrow found. Columns and errors are those of
// OpenShard.
func OpenArrow(ctx context.Context, b storage.Bucket, m *Manifest, shard int, columns []string, cfg ReaderConfig) (*ArrowReader, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	s, object, err := find(ctx, b, m, shard)
	if err != nil {
		return nil, err
	}
	origin := m.Origin(shard)
	out := &ArrowReader{key: object.Key, batch: int64(cfg.BatchRows), group: s.FirstRowGroup - 1, next: origin.First, left: s.Rows, memory: new(bounded)}
	head := s.Offset // of what stands before the first batch
	for i := shard; i >= 0 && m.Shards[i].Object == s.Object; i-- {
		head = m.Shards[i].Offset
	}
	w := &window{size: object.SizeBytes, fetch: func(at int64, buf []byte) error { return b.GetRange(ctx, object.Key, at, buf) }}
	l, err := w.layout()
	if err == nil {
		messages := &arrowMessages{memory: out.memory, left: s.End - s.Offset}
		out.streams = []*stream{newStream(ctx, b, object.Key, s.Offset, s.End)}
		before := io.Reader(&blocks{of: l.dictionaries, fetch: w.fetch})
		if l.schema != nil {
			messages.behind = messages.left
			for _, d := range l.dictionaries {
				messages.left += d.size
			}
		} else {
			out.streams = append(out.streams, newStream(ctx, b, object.Key, 0, head))
			before = out.streams[1]
			messages.left += head
		}
		messages.left += int64(len(l.schema))
		messages.r = io.MultiReader(bytes.NewReader(l.schema), before, out.streams[0])
		err = out.open(messages, columns)
	}
	if err != nil {
		_ = out.Close() // never fails
		return nil, arrowFailure("open shard", object.Key, err)
	}
	return out, nil
}

// open reads the schema and finds the columns.
func (r *ArrowReader) open(messages *arrowMessages, columns []string) error {
	err := guard(func() (err error) {
		r.r, err = ipc.NewReaderFromMessageReader(messages, ipc.WithAllocator(r.memory))
		return err
	})
	if err != nil {
		return err
	}
	fields := make([]arrow.Field, len(columns))
	for i, name := range columns {
		found := r.r.Schema().FieldIndices(name)
		switch len(found) {
		case 0:
			fields[i] = arrow.Field{Name: name, Type: arrow.Null, Nullable: true}
			r.places = append(r.places, -1)
		case 1:
			fields[i] = r.r.Schema().Field(found[0])
			fields[i].Type = withoutViews(fields[i].Type)
			r.places = append(r.places, found[0])
		default:
			return &thalweg.Error{Op: "open shard", Kind: thalweg.Unsupported, Subject: fmt.Sprintf("column %q", name), Err: errors.New("the object has two columns of the name")}
		}
	}
	r.schema = arrow.NewSchema(fields, nil)
	return nil
}

// Next returns the next batch, which the caller releases, or io.EOF after the last.
// After an error the Reader gives the same error again.
func (r *ArrowReader) Next() (arrow.Record, error) {
	for r.err == nil && (r.record == nil || r.from == r.record.NumRows()) {
		r.err = r.nextRecord()
	}
	if r.err != nil {
		return nil, r.err
	}
	n := min(r.batch, r.record.NumRows()-r.from)
	rows := r.record.NewSlice(r.from, r.from+n)
	r.from += n
	r.first, r.next = r.next, r.next+n
	return rows, nil
}

// nextRecord goes to the next batch of the object.
func (r *ArrowReader) nextRecord() error {
	if r.record != nil {
		r.record.Release()
		r.record = nil
	}
	r.from = 0
	r.group++
	err := guard(func() error {
		rec, err := r.r.Read()
		if err != nil {
			return err
		}
		columns := make([]arrow.Array, len(r.places))
		for i, at := range r.places {
			if at < 0 {
				columns[i] = array.NewNull(int(rec.NumRows()))
				continue
			}
			if columns[i], err = (sounder{memory: r.memory, repair: true}).sound(rec.Column(at), int(rec.NumRows())); err != nil {
				return fmt.Errorf("column %q: %w", rec.ColumnName(at), err)
			}
		}
		r.record = array.NewRecord(r.schema, columns, rec.NumRows())
		return nil
	})
	if r.memory.exceeded {
		err = errLarge
	}
	if err == nil {
		r.left -= r.record.NumRows()
	}
	if err == nil && r.left < 0 || err == io.EOF && r.left > 0 {
		return replaced(r.key, errors.New("the shard has another number of rows"))
	}
	if err != nil && err != io.EOF && thalweg.KindOf(err) == thalweg.Other {
		err = fmt.Errorf("record batch %d: %w", r.group, err)
	}
	return arrowFailure("read shard", r.key, err)
}

// Place returns where the last batch is, as that of Reader.
func (r *ArrowReader) Place() (object string, rowGroup int, row int64) {
	return r.key, r.group, r.first
}

// Close stops reading and gives memory back.
func (r *ArrowReader) Close() error {
	if r.record != nil {
		r.record.Release()
		r.record = nil
	}
	r.err = io.EOF
	for _, s := range r.streams {
		s.Close()
	}
	return nil
}
