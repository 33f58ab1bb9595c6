package dataset

import (
	"context"
	"fmt"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/parquet/metadata"
)

// OpenShard opens one shard of m for reading the named columns, in that order;
// no names means all columns. A column that is not asked for is neither
// fetched, where that can be avoided, nor decoded. One that the object lacks, as
// others of the dataset have it, comes as nulls of type null.
//
// ctx bounds the whole reading, not only the opening. Errors: NotFound for an
// object that is gone, Conflict for an object that is not
// the one the manifest names any more, Corrupt naming object, row group and
// column where bytes are not Parquet as it should be.
func OpenShard(ctx context.Context, b storage.Bucket, m *Manifest, shard int, columns []string, cfg ReaderConfig) (*Reader, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	s, object, err := find(ctx, b, m, shard)
	if err != nil {
		return nil, err
	}
	var whole []byte
	var file *metadata.File
	if object.SizeBytes <= cfg.WholeObjectBytes && 2*s.Rows >= object.Rows { // most of a small object: one request
		whole = cfg.Pool.get(int(object.SizeBytes))
		if err = b.GetRange(ctx, object.Key, 0, whole); err != nil {
			err = &thalweg.Error{Op: "open shard", Subject: objectSubject(object.Key), Err: err}
		} else {
			file, err = parseFooter(object.Key, whole, object.SizeBytes)
		}
	} else {
		file, err = readFooter(ctx, b, object.Key, object.SizeBytes)
	}
	if err == nil {
		err = s.check(object, file)
	}
	var r *Reader
	if err == nil {
		r, err = newReader(object.Key, file, columns, true, cfg)
	}
	switch {
	case err != nil:
		cfg.Pool.put(whole)
		return nil, err
	case whole != nil:
		r.groups = &inMemory{data: whole, file: file, group: s.FirstRowGroup, end: s.EndRowGroup, release: func() { cfg.Pool.put(whole) }}
	default:
		r.groups = fetch(ctx, b, object.Key, file, r.chunks(), s.FirstRowGroup, s.EndRowGroup, cfg)
	}
	return r, nil
}

// find returns a shard and its object, which must be the one that the manifest names.
func find(ctx context.Context, b storage.Bucket, m *Manifest, shard int) (s Shard, object Object, err error) {
	if shard < 0 || shard >= len(m.Shards) || m.Shards[shard].Object >= len(m.Objects) {
		return s, object, &thalweg.Error{Op: "open shard", Kind: thalweg.NotFound, Subject: fmt.Sprintf("shard %d of %s", shard, m.Path),
			Hint: fmt.Sprintf("it has %d", len(m.Shards))}
	}
	s = m.Shards[shard]
	object = m.Objects[s.Object]
	return s, object, unchanged(ctx, b, object)
}

// OpenBytes opens a whole Parquet file that is in memory; name is what errors
// call it. data must not change before Close.
func OpenBytes(name string, data []byte, columns []string, cfg ReaderConfig) (*Reader, error) {
	return openBytes(name, data, columns, false, cfg)
}

// OpenSome is OpenBytes for columns that may be absent: they are of type null then.
func OpenSome(name string, data []byte, columns []string, cfg ReaderConfig) (*Reader, error) {
	return openBytes(name, data, columns, true, cfg)
}

func openBytes(name string, data []byte, columns []string, absent bool, cfg ReaderConfig) (*Reader, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	file, err := parseFooter(name, data, int64(len(data)))
	if err != nil {
		return nil, err
	}
	r, err := newReader(name, file, columns, absent, cfg.withDefaults())
	if err != nil {
		return nil, err
	}
	r.groups = &inMemory{data: data, file: file, end: len(file.RowGroups), release: func() {}}
	return r, nil
}

// inMemory yields row groups of an object that is in memory.
type inMemory struct {
	data       []byte
	file       *metadata.File
	group, end int
	release    func()
}

func (m *inMemory) next() *fetched {
	if m.group == m.end {
		return nil
	}
	chunks := m.file.RowGroups[m.group].Chunks
	got := &fetched{group: m.group, pages: make([][]byte, len(chunks)), release: func() {}}
	for i, c := range chunks {
		got.pages[i] = m.data[c.Offset:][:c.Size]
	}
	m.group++
	return got
}

func (m *inMemory) close() { m.release() }

// unchanged fails with Conflict if the object is not what the manifest says.
func unchanged(ctx context.Context, b storage.Bucket, o Object) error {
	info, err := b.Head(ctx, o.Key)
	if err != nil {
		return &thalweg.Error{Op: "open shard", Subject: objectSubject(o.Key), Err: err}
	}
	if info.SizeBytes != o.SizeBytes || (info.ETag != o.ETag && info.ETag != "" && o.ETag != "") {
		return replaced(o.Key, fmt.Errorf("%d bytes with ETag %s now, %d with %s in the manifest", info.SizeBytes, info.ETag, o.SizeBytes, o.ETag))
	}
	return nil
}

// check fails with Conflict if the footer has not what the shard says.
func (s Shard) check(o Object, file *metadata.File) error {
	if s.FirstRowGroup < 0 || s.FirstRowGroup > s.EndRowGroup || s.EndRowGroup > len(file.RowGroups) {
		return replaced(o.Key, fmt.Errorf("%d row groups, the shard is of [%d, %d)", len(file.RowGroups), s.FirstRowGroup, s.EndRowGroup))
	}
	var rows int64
	for _, g := range file.RowGroups[s.FirstRowGroup:s.EndRowGroup] {
		rows += g.Rows
	}
	if rows != s.Rows {
		return replaced(o.Key, fmt.Errorf("row groups [%d, %d) hold %d rows, not %d", s.FirstRowGroup, s.EndRowGroup, rows, s.Rows))
	}
	return nil
}

func replaced(key string, err error) error {
	return &thalweg.Error{Op: "open shard", Kind: thalweg.Conflict, Subject: objectSubject(key), Err: err,
		Hint: "the object was replaced after the dataset was looked at: start a new run"}
}
