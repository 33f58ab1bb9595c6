package dataset

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/records"
)

const (
	// maxTextShardBytes is from where on a shard of an object of text ends.
	maxTextShardBytes = 64 << 20
	// maxHeaders bounds the headers that objects of a dataset differ in, and maxHeaderBytes
	// one of them and all together: they are kept in the manifest.
	maxHeaders     = 1000
	maxHeaderBytes = 8 << 20
	// textsAtOnce bounds the objects whose records are looked for at a time.
	textsAtOnce = 4
	// scannedAtOnce is the most records that are looked at together.
	scannedAtOnce = 64 << 10
)

// DiscoverText is Discover for objects of text: it reads them once, to find where
// records begin, and cuts them into shards of as many rows as those of Parquet. An
// object that is not Seekable is one shard. Rows counts records, bad ones too.
func DiscoverText(ctx context.Context, b storage.Bucket, pattern string, f records.Format, cfg DiscoverConfig) (*Manifest, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	l, err := list(ctx, b, pattern, cfg)
	if err != nil {
		return nil, err
	}
	versioned, err := l.versioned(ctx)
	if err != nil {
		return nil, err
	}
	texts := make([]text, len(l.infos))
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(textsAtOnce)
	for i, info := range l.infos {
		group.Go(func() error {
			skipped, err := l.cfg.look(func() (err error) {
				texts[i], err = scan(gctx, b, info, versioned, f, l.cfg)
				return textFailure("look for records", info.Key, err)
			})
			if skipped != "" {
				var d discovered
				d, err = leftOut(gctx, b, info, versioned, skipped)
				texts[i] = text{object: d.object}
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	m := &Manifest{Path: pattern, PassedOver: l.passedOver, Objects: []Object{}, Shards: []Shard{}}
	headers, headerBytes := make(map[string]int), 0
	for i, t := range texts {
		if t.header != "" {
			if _, known := headers[t.header]; !known {
				if headerBytes += len(t.header); headerBytes > maxHeaderBytes {
					return nil, &thalweg.Error{Op: "discover", Kind: thalweg.Exhausted, Subject: objectSubject(t.object.Key),
						Err:  fmt.Errorf("the headers of the objects up to it, as far as they differ, have more than %d bytes", maxHeaderBytes),
						Hint: "if the objects have none, write header: false"}
				}
				m.Headers = append(m.Headers, t.header)
				headers[t.header] = len(m.Headers)
			}
			t.object.Header = headers[t.header]
		}
		m.Objects = append(m.Objects, t.object)
		m.SizeBytes += t.object.SizeBytes
		for _, s := range t.shards {
			s.Object, s.FirstRow = i, m.Rows
			m.Shards = append(m.Shards, s)
			m.Rows += s.Rows
		}
	}
	if len(m.Headers) > maxHeaders {
		return nil, &thalweg.Error{Op: "discover", Kind: thalweg.Exhausted, Subject: pattern, Err: fmt.Errorf("the objects have %d different headers, at most %d are read", len(m.Headers), maxHeaders),
			Hint: "if the objects have none, write header: false"}
	}
	if m.Rows == 0 {
		no := fmt.Sprintf("no record in %d objects", len(l.infos))
		for _, s := range m.Skipped() {
			no += fmt.Sprintf(", and %s is left out: %s", s.Place, s.Reason)
		}
		if len(m.Headers) > 0 && !cfg.Private {
			no += fmt.Sprintf(", but headers: the first is %.80q", m.Headers[0])
		}
		return nil, &thalweg.Error{Op: "discover", Kind: thalweg.Invalid, Subject: pattern, Err: errors.New(no)}
	}
	return m, m.partitioned()
}

// text is what was found in an object of text.
type text struct {
	object Object
	header string
	shards []Shard
}

// scan finds the records of an object.
func scan(ctx context.Context, b storage.Bucket, info storage.Info, versioned bool, f records.Format, cfg DiscoverConfig) (t text, err error) {
	if t.object, err = object(ctx, b, info, versioned); err != nil {
		return t, err
	}
	sizeBytes := t.object.SizeBytes
	if sizeBytes == 0 {
		return t, nil
	}
	from := newStream(ctx, b, info.Key, 0, sizeBytes)
	defer from.Close()
	r, err := records.Open(info.Key, sizeBytes, from, f, records.Place{})
	if err != nil {
		return t, err
	}
	defer r.Close()
	var run records.Run
	first, seekable := f.Header, f.Seekable(info.Key)
	only := "" // the first row, where there is no header
	for {
		if err := r.Next(&run, scannedAtOnce); err == io.EOF {
			break
		} else if err != nil {
			return t, err
		}
		for i, at := range run.Places {
			if first {
				first = false
				if t.header = string(run.Record(i)); run.Bad[i] != "" {
					return t, cmp.Or[error](noLineFeeds(t.header, f), &thalweg.Error{Op: "read header", Kind: thalweg.Invalid, Err: errors.New(run.Bad[i])})
				}
				continue
			}
			if t.object.Rows == 0 && !f.Header && f.Delimiter != 0 && run.Bad[i] == "" {
				only = string(run.Record(i))
			}
			last := len(t.shards) - 1
			if last < 0 || seekable && (t.shards[last].Rows >= cfg.ShardRows || at.Offset-t.shards[last].Offset >= maxTextShardBytes) {
				if last >= 0 {
					t.shards[last].End = at.Offset
				}
				t.shards = append(t.shards, Shard{FirstRowGroup: last + 1, EndRowGroup: last + 2, Offset: at.Offset, Line: at.Line})
				last++
			}
			t.shards[last].Rows++
			t.object.Rows++
		}
	}
	if last := len(t.shards) - 1; last >= 0 {
		t.shards[last].End = r.Where().Offset
	}
	t.object.RowGroups = len(t.shards)
	switch t.object.Rows {
	case 0:
		return t, noLineFeeds(t.header, f)
	case 1:
		return t, noLineFeeds(only, f)
	}
	return t, nil
}

// noLineFeeds is the error of a first record that took in all others, nil if it did not.
func noLineFeeds(record string, f records.Format) error {
	if before, _, within := strings.Cut(strings.TrimRight(record, "\r\n"), "\r"); !within || f.Quote != 0 && strings.IndexByte(before, f.Quote) >= 0 {
		return nil
	}
	return &thalweg.Error{Op: "read lines", Kind: thalweg.Invalid, Err: errors.New("lines end with carriage returns alone"), Hint: `write line feeds: tr '\r' '\n'`}
}

// TextReader yields the records of a shard, in the order of the object. One goroutine
// uses it at a time.
type TextReader struct {
	object Object
	from   *stream
	r      *records.Reader
	batch  int
	rows   int64 // of the shard, not yet read
}

// OpenText opens a shard of what DiscoverText found. ctx bounds the whole reading.
// Errors are those of OpenShard.
func OpenText(ctx context.Context, b storage.Bucket, m *Manifest, shard int, f records.Format, cfg ReaderConfig) (*TextReader, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s, object, err := find(ctx, b, m, shard)
	if err != nil {
		return nil, err
	}
	begin, end := int64(0), object.SizeBytes
	if f.Seekable(object.Key) {
		begin, end = s.Offset, min(end, s.End)
	}
	from := newStream(ctx, b, object.Key, begin, end)
	r, err := records.Open(object.Key, object.SizeBytes, from, f, records.Place{Line: s.Line, Offset: s.Offset})
	if err != nil {
		from.Close()
		return nil, textFailure("open shard", object.Key, err)
	}
	return &TextReader{object: object, from: from, r: r, batch: cfg.withDefaults().BatchRows, rows: s.Rows}, nil
}

// Next reads the next records into a run, whose memory is used again; io.EOF after the
// last.
func (t *TextReader) Next(run *records.Run) error {
	err := t.r.Next(run, t.batch)
	if t.rows -= int64(run.Len()); err == nil && t.rows < 0 || err == io.EOF && t.rows > 0 {
		return replaced(t.object.Key, errors.New("the shard has another number of records"))
	}
	return textFailure("read shard", t.object.Key, err)
}

// Close stops reading and gives memory back.
func (t *TextReader) Close() error {
	t.r.Close()
	t.from.Close()
	return nil
}

// textFailure names the object of an error.
func textFailure(op, key string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &thalweg.Error{Op: op, Kind: thalweg.KindOf(err), Subject: objectSubject(key), Err: err}
}
