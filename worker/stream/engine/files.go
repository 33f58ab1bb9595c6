package engine

import (
	"bytes"
	"errors"
	"maps"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg/storage/dataset"
)

// File is an object of scored rows: all of them, or those of a day.
type File struct {
	Day  string // "" where rows are not partitioned
	Rows int64
	Body []byte
}

// ErrOtherColumns says of rows that they have other columns than those before.
var ErrOtherColumns = errors.New("other columns than in the files before")

// Files makes Parquet files in memory, one for each day.
type Files struct {
	Config    dataset.WriterConfig
	RoomBytes int64 // what a file is to have about; 0: not known
	days      map[string]*openFile
}

type openFile struct {
	schema *arrow.Schema
	out    bytes.Buffer
	w      *dataset.Writer
	rows   int64
}

// Write appends rows to the file of a day.
func (f *Files) Write(day string, rec arrow.Record) (err error) {
	o := f.days[day]
	if o == nil {
		o = &openFile{schema: rec.Schema()}
		o.out.Grow(int(f.RoomBytes + f.RoomBytes/8))
		if o.w, err = dataset.NewWriter(&o.out, o.schema, f.Config); err != nil {
			return err
		}
		if f.days == nil {
			f.days = make(map[string]*openFile)
		}
		f.days[day] = o
	}
	if !o.schema.Equal(rec.Schema()) {
		return ErrOtherColumns
	}
	o.rows += rec.NumRows()
	return o.w.Write(rec)
}

// Open is how many files are open.
func (f *Files) Open() int { return len(f.days) }

// Close returns the files in the order of their days.
func (f *Files) Close() (files []File, err error) {
	for _, day := range slices.Sorted(maps.Keys(f.days)) {
		o := f.days[day]
		if err := o.w.Close(); err != nil {
			return nil, err
		}
		files = append(files, File{day, o.rows, o.out.Bytes()})
	}
	return files, nil
}
