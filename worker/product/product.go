// Package product keeps what a run makes of a dataset as one table: Parquet files that
// follow from the shards and from what was done with them, and a Delta log that replaces
// all of them at once. A reader of the table never sees a part of a run.
//
// Below the prefix of a table are data/ with the files, _parts/ with what is known of
// each shard's, _rejects/ with rows that are in none, _delta_log/ and _table.json, which
// says whose it all is, and which run may replace it. A table of cleaned rows has a
// _manifest.json too: what it was made of.
package product

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/dataset"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

const (
	dataDir  = "data/"
	partsDir = "_parts/"
	// RejectsDir is where below a table the rejected rows are, a line of JSON each.
	RejectsDir = "_rejects/"

	// maxFileRows ends a file of a part; most shards have fewer rows.
	maxFileRows = 1 << 20
	// maxDays ends the files of a part, which are in memory: rows that do not come by
	// their days make more and smaller ones.
	maxDays = 400
	// maxPartFiles bounds the files of a part: rows of more than maxDays days in no order of
	// time would make one of each day and batch. Ten years in order of time are within it.
	maxPartFiles = 4000
	// maxRejectBytes ends an object of rejected rows, which are in memory.
	maxRejectBytes = 64 << 20
)

// What the rows of tables are.
const (
	ScoredRows  = "scored rows"
	CleanedRows = "cleaned rows"
)

// Table is the table below a prefix.
type Table struct {
	storage.Place
	Owner thalweg.PipelineName
	Use   string // what its rows are: ScoredRows or CleanedRows
	Run   thalweg.RunID
}

// owner is the object that says whose a table is.
type owner struct {
	Pipeline thalweg.PipelineName `json:"pipeline"`
	Use      string               `json:"use"`
	Run      thalweg.RunID        `json:"run,omitempty"` // the last that claimed it
}

// Claim makes sure that the prefix is the table's: nothing else is there, nor is it in
// the table or the sink of something else. Invalid says what is in the way. From then on
// no run that claimed it before can replace the table.
func (t *Table) Claim(ctx context.Context) error {
	taken := func(format string, args ...any) error {
		return &thalweg.Error{Op: "open table", Kind: thalweg.Invalid, Subject: t.String(), Err: fmt.Errorf(format, args...),
			Hint: "give it a prefix of its own, or delete what is there if nobody needs it"}
	}
	want, err := json.Marshal(owner{t.Owner, t.Use, t.Run})
	if err != nil {
		return err
	}
	have, err := t.owner(ctx)
	if thalweg.Is(err, thalweg.NotFound) {
		around, failed := commitlog.Around(ctx, t.Bucket, t.Prefix)
		if kind := thalweg.KindOf(failed); failed != nil && (kind.Transient() || kind == thalweg.Canceled) {
			return failed
		}
		if failed == nil && around != "" {
			return taken("it lies in another table or sink: %s is there", around)
		}
		for info, err := range t.Bucket.List(ctx, t.Prefix, "") {
			if err != nil {
				return err
			}
			return taken("other objects are there: %s", info.Key)
		}
		if _, err := t.Bucket.PutIfAbsent(ctx, t.Prefix+commitlog.TableMark, want); err != nil && !thalweg.Is(err, thalweg.Exists) {
			return err
		}
		have, err = t.owner(ctx)
	}
	switch {
	case thalweg.Is(err, thalweg.Corrupt):
		return taken("%v", err)
	case err != nil:
		return err
	case have.Pipeline != t.Owner || have.Use != t.Use:
		return taken("it is the table of %s of pipeline %s", have.Use, have.Pipeline)
	case have.Run != t.Run:
		_, err = t.Bucket.Put(ctx, t.Prefix+commitlog.TableMark, want)
	}
	return err
}

// owner reads whose the table is.
func (t *Table) owner(ctx context.Context) (o owner, err error) {
	key := t.Prefix + commitlog.TableMark
	body, _, err := t.Bucket.Get(ctx, key)
	if err != nil {
		return o, err
	}
	if err := json.Unmarshal(body, &o); err != nil {
		return o, &thalweg.Error{Kind: thalweg.Corrupt, Subject: key, Err: fmt.Errorf("cannot be read: %w", err)}
	}
	return o, nil
}

// fence fails unless the table is still that of the run which claimed it.
func (t *Table) fence(ctx context.Context) error {
	have, err := t.owner(ctx)
	if thalweg.Is(err, thalweg.NotFound) {
		return nil // it was not claimed
	}
	if err == nil && have.Run != t.Run {
		err = &thalweg.Error{Op: "replace table", Kind: thalweg.Conflict, Subject: t.String(), Err: fmt.Errorf("run %s has claimed it since run %s did", have.Run, t.Run),
			Hint: "submit the job again if its rows are those that the table is to have"}
	}
	return err
}

// Part is what became of a shard.
type Part struct {
	Name string `json:"name"`
	// Look is what was looked for in the rows besides, which their files do not depend on.
	Look  string `json:"look,omitempty"`
	Files []File `json:"files,omitempty"`
	// Report counts the rows; what it says of single ones is in Rejects, the first of
	// their objects, and those behind it, if there are any.
	Report  pipeline.Report `json:"report"`
	Rejects string          `json:"rejects,omitempty"`
	First   []Reject        `json:"first,omitempty"` // of them
	// Newest is the newest value of the column that the freshness of the rows goes by.
	Newest *int64 `json:"newest,omitempty"`
}

// File is an object of a table.
type File struct {
	Path      string `json:"path"` // from the table's prefix
	Day       string `json:"day,omitempty"`
	Rows      int64  `json:"rows"`
	SizeBytes int64  `json:"size_bytes"`
	SHA256    string `json:"sha256,omitempty"`
}

// Reject is a row that is not in the table though no cleaning step removed it.
type Reject struct {
	Object string `json:"object"`
	// Row is its number in the object, from 0. Line and Offset are where the record
	// begins in text.
	Row    int64  `json:"row"`
	Line   int64  `json:"line,omitempty"`
	Offset int64  `json:"offset,omitempty"`
	Stage  string `json:"stage"`
	Reason string `json:"reason"`
	Text   string `json:"text,omitempty"` // the record, or its beginning
	// Masked has the shapes of values instead where columns have pii.
	Masked map[string]string `json:"masked,omitempty"`
}

// shownRejects is how many a Part has.
const shownRejects = 3

// Find returns the part of a name in which the same was looked for, nil if it is not there
// whole.
func (t *Table) Find(ctx context.Context, name, look string) (*Part, error) {
	body, _, err := t.Bucket.Get(ctx, t.Prefix+partsDir+name+".json")
	if thalweg.Is(err, thalweg.NotFound) {
		return nil, nil
	}
	var part Part
	if err != nil {
		return nil, err
	}
	if json.Unmarshal(body, &part) != nil || part.Name != name || part.Look != look {
		return nil, nil // it is made again
	}
	for _, f := range part.Files {
		info, err := t.Bucket.Head(ctx, t.Prefix+f.Path)
		if thalweg.Is(err, thalweg.NotFound) || err == nil && info.SizeBytes != f.SizeBytes {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
	}
	return &part, nil
}

// Writer writes a part. One goroutine uses it.
type Writer struct {
	table   *Table
	part    Part
	cfg     dataset.WriterConfig
	by      string // the column whose days files are of, "" where rows are not partitioned
	days    map[string]bool
	files   engine.Files
	rows    int64 // in files
	flushed int
	rejects bytes.Buffer
	written int // objects of rejects
}

// Create returns a writer of the part of a name. Its objects have keys that follow from
// the name, and bytes that follow from the rows.
func (t *Table) Create(name, look, partitionBy string, cfg dataset.WriterConfig) *Writer {
	return &Writer{table: t, part: Part{Name: name, Look: look}, cfg: cfg, by: partitionBy, days: make(map[string]bool), files: engine.Files{Config: cfg}}
}

// Write adds rows of a day, "" where the table is not partitioned. They stay the
// caller's.
func (w *Writer) Write(ctx context.Context, day string, rows arrow.Record) error {
	for from, n := int64(0), rows.NumRows(); from < n; {
		to := min(n, from+maxFileRows-w.rows)
		some := rows.NewSlice(from, to)
		err := w.files.Write(day, some)
		some.Release()
		if err != nil {
			return err
		}
		w.rows += to - from
		if from = to; w.rows == maxFileRows || w.files.Open() > maxDays {
			if err := w.flush(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// flush writes the files that are open.
func (w *Writer) flush(ctx context.Context) error {
	files, err := w.files.Close()
	if err != nil {
		return err
	}
	for _, f := range files {
		w.days[f.Day] = true
	}
	if n := len(w.part.Files) + len(files); n > maxPartFiles { // one commit names the files of all parts
		return &thalweg.Error{Op: "partition rows", Kind: thalweg.Invalid, Subject: "column " + w.by,
			Err:  fmt.Errorf("a shard has rows of %d days in no order of time, or of too many: so far they make %d files, at most %d are written", len(w.days), n, maxPartFiles),
			Hint: fmt.Sprintf("leave out partition_by, name a column of fewer days, or sort the source by %s", w.by)}
	}
	for _, f := range files {
		path := dataDir
		if w.by != "" {
			path += commitlog.PartitionColumn(w.by) + "=" + f.Day + "/"
		}
		path += fmt.Sprintf("%s-%02d.parquet", w.part.Name, w.flushed)
		if _, err := w.table.Bucket.Put(ctx, w.table.Prefix+path, f.Body); err != nil {
			return err
		}
		w.part.Files = append(w.part.Files, File{Path: path, Day: f.Day, Rows: f.Rows, SizeBytes: int64(len(f.Body)), SHA256: storage.SHA256(f.Body)})
	}
	w.files, w.rows = engine.Files{Config: w.cfg}, 0
	w.flushed++
	return nil
}

// Reject keeps a rejected row.
func (w *Writer) Reject(ctx context.Context, r Reject) error {
	if len(w.part.First) < shownRejects {
		w.part.First = append(w.part.First, r)
	}
	e := json.NewEncoder(&w.rejects)
	e.SetEscapeHTML(false)
	if err := e.Encode(r); err != nil {
		return err
	}
	if w.rejects.Len() > maxRejectBytes {
		return w.flushRejects(ctx)
	}
	return nil
}

// flushRejects writes an object of the rejected rows so far.
func (w *Writer) flushRejects(ctx context.Context) error {
	key := fmt.Sprintf("%s%s-%02d.jsonl", RejectsDir, w.part.Name, w.written)
	if _, err := w.table.Bucket.Put(ctx, w.table.Prefix+key, w.rejects.Bytes()); err != nil {
		return err
	}
	w.part.Rejects = cmp.Or(w.part.Rejects, key)
	w.rejects.Reset()
	w.written++
	return nil
}

// Newest notes the newest value of the column that freshness goes by; nil: there is none.
func (w *Writer) Newest(us *int64) { w.part.Newest = us }

// Close writes what is left, and last the record that says that the part is whole.
func (w *Writer) Close(ctx context.Context, rep pipeline.Report) (*Part, error) {
	if w.rows > 0 {
		if err := w.flush(ctx); err != nil {
			return nil, err
		}
	}
	w.part.Report = rep
	if w.rejects.Len() > 0 {
		if err := w.flushRejects(ctx); err != nil {
			return nil, err
		}
	}
	if in, out := rep.RowsIn, w.part.rows()+rep.Rejected+sum(rep.Dropped); in != out || rep.RowsOut != w.part.rows() {
		return nil, &thalweg.Error{Op: "write part", Subject: w.part.Name, Err: fmt.Errorf("%d rows were read, %d are written, rejected or dropped", in, out)}
	}
	body, err := json.Marshal(w.part)
	if err != nil {
		return nil, err
	}
	_, err = w.table.Bucket.Put(ctx, w.table.Prefix+partsDir+w.part.Name+".json", body)
	return &w.part, err
}

func (p *Part) rows() (n int64) {
	for _, f := range p.Files {
		n += f.Rows
	}
	return n
}

func sum(counts map[string]int64) (n int64) {
	for _, v := range counts {
		n += v
	}
	return n
}

// Total is what became of all shards.
type Total struct {
	pipeline.Report
	Files, SizeBytes int64
	First            []Reject
	Rejects          string // the first object that has some
}

// Sum adds parts up.
func Sum(parts []*Part) (t Total) {
	for _, p := range parts {
		t.Merge(&p.Report)
		t.Files += int64(len(p.Files))
		for _, f := range p.Files {
			t.SizeBytes += f.SizeBytes
		}
		if p.Rejects != "" && t.Rejects == "" {
			t.Rejects = p.Rejects
		}
		t.First = append(t.First, p.First[:min(len(p.First), shownRejects-len(t.First))]...)
	}
	return t
}

// Balance is an error unless each of the rows of the dataset is in the table, rejected,
// or dropped.
func (t *Total) Balance(rows int64) error {
	if got := t.RowsOut + t.Rejected + sum(t.Dropped); t.RowsIn != rows || got != rows {
		return &thalweg.Error{Op: "count rows", Err: fmt.Errorf("of %d rows %d were read; %d are in the table, %d rejected and %d dropped", rows, t.RowsIn, t.RowsOut, t.Rejected, sum(t.Dropped))}
	}
	return nil
}

// names returns the names of parts, in order.
func names(parts []*Part) []string {
	var out []string
	for _, p := range parts {
		out = append(out, p.Name)
	}
	slices.Sort(out)
	return out
}
