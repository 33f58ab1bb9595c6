package dataset

import (
	"bytes"
	"context"
	"io"
	"unicode/utf8"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/records"
)

// Summary is what the footer of a Parquet object says of it.
type Summary struct {
	Rows   int64
	Schema *arrow.Schema
}

// Inspect reads the footer of an object of the given size, mostly by one
// request. Errors: NotFound, Corrupt naming the object.
func Inspect(ctx context.Context, b storage.Bucket, key string, sizeBytes int64) (*Summary, error) {
	file, err := readFooter(ctx, b, key, sizeBytes)
	if err != nil {
		return nil, err
	}
	return &Summary{Rows: file.Rows, Schema: arrow.NewSchema(fieldsOf(file), nil)}, nil
}

// Lines are the first lines of a dataset of text.
type Lines struct {
	Key  string // of the object
	Text [][]byte
	// Encoding is what their bytes say; empty: nothing, they may be UTF-8.
	Encoding string
}

// FirstLines reads up to n lines of the first object that a pattern names.
func FirstLines(ctx context.Context, b storage.Bucket, pattern string, n int) (first Lines, err error) {
	l, err := list(ctx, b, pattern, DiscoverConfig{})
	if err != nil {
		return first, err
	}
	info := l.infos[0]
	first.Key = info.Key
	mark := make([]byte, min(2, info.SizeBytes))
	if err := b.GetRange(ctx, info.Key, 0, mark); err != nil {
		return first, textFailure("read lines", info.Key, err)
	}
	if m := string(mark); m == "\xff\xfe" || m == "\xfe\xff" {
		first.Encoding = "utf-16"
	}
	from := newStream(ctx, b, info.Key, 0, info.SizeBytes)
	defer from.Close()
	r, err := records.Open(info.Key, info.SizeBytes, from, records.Format{Encoding: first.Encoding}, records.Place{})
	if err != nil {
		return first, textFailure("read lines", info.Key, err)
	}
	defer r.Close()
	var run records.Run
	if err := r.Next(&run, n); err != nil && err != io.EOF {
		return first, textFailure("read lines", info.Key, err)
	}
	for i := range run.Len() {
		line := bytes.TrimRight(run.Record(i), "\r\n")
		first.Text = append(first.Text, line)
		if first.Encoding == "" && !utf8.Valid(line) {
			first.Encoding = "windows-1252" // what most texts are that are no UTF-8, as ISO 8859-1 is
		}
	}
	return first, nil
}
