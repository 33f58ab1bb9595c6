package product

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/dataset"
	"github.com/thalweg/thalweg/storage/table/delta"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

// ManifestName is the object below a table's prefix that says what it was made of.
const ManifestName = "_manifest.json"

// Manifest says what a version of a table was made of, and which files it has. It is
// written once the version is there: until then it is that of the one before.
type Manifest struct {
	// Version is that of the table's log.
	Version    int64                `json:"version"`
	Pipeline   thalweg.PipelineName `json:"pipeline"`
	Generation thalweg.Generation   `json:"generation"` // of the spec
	Run        thalweg.RunID        `json:"run"`
	// Made names all that the rows follow from: the spec, the build and the objects. It is
	// empty where the store does not tell whether an object is the same one.
	Made string `json:"made,omitempty"`
	// Source is what named the objects, s3://bucket/pattern.
	Source  string   `json:"source"`
	Objects []Source `json:"objects"`
	// Skipped are the parts of the objects that were left out.
	Skipped []dataset.Skipped `json:"skipped,omitempty"`
	// Tables are those that rows were joined to.
	Tables []Joined `json:"tables,omitempty"`
	// Counts say what became of the rows: rows_in, rows_out, rows_rejected, and by step.
	Counts map[string]int64 `json:"counts"`
	Files  []File           `json:"files"`
}

// Source is an object that was read, and which parts its rows are in, by their names.
type Source struct {
	dataset.Object
	Parts []string `json:"parts"`
}

// Joined is a table that rows were joined to.
type Joined struct {
	Name   string `json:"name"`
	Rows   int    `json:"rows"`
	SHA256 string `json:"sha256"` // of what it held
}

// Parts are the parts of the manifest's files, without what they report.
func (m *Manifest) Parts() (parts []*Part) {
	for _, o := range m.Objects {
		for _, name := range o.Parts {
			parts = append(parts, &Part{Name: name})
		}
	}
	return append(parts, &Part{Files: m.Files})
}

// Describe writes the manifest of the contents that Replace made. Conflict: a later run
// has claimed the table.
func (t *Table) Describe(ctx context.Context, m *Manifest) error {
	body, err := json.MarshalIndent(m, "", " ")
	if err == nil {
		err = t.fence(ctx)
	}
	if err == nil {
		_, err = t.Bucket.Put(ctx, t.Prefix+ManifestName, append(body, '\n'))
	}
	return err
}

// Manifest reads the manifest; nil where there is none that can be read.
func (t *Table) Manifest(ctx context.Context) (*Manifest, error) {
	body, _, err := t.Bucket.Get(ctx, t.Prefix+ManifestName)
	if thalweg.Is(err, thalweg.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	m := new(Manifest)
	if json.Unmarshal(body, m) != nil {
		return nil, nil
	}
	return m, nil
}

// Current returns the manifest of the table's newest version if all its files are there,
// else nil.
func (t *Table) Current(ctx context.Context) (*Manifest, error) {
	m, err := t.Manifest(ctx)
	if m == nil || err != nil {
		return nil, err
	}
	snapshot, err := delta.New(t.Bucket, t.Prefix).Load(ctx)
	if err != nil || snapshot.Version != m.Version {
		return nil, err
	}
	missing := make(map[string]int64, len(m.Files))
	for _, f := range m.Files {
		missing[t.Prefix+f.Path] = f.SizeBytes
	}
	for info, err := range t.Bucket.List(ctx, t.Prefix+dataDir, "") {
		if err != nil {
			return nil, err
		}
		if size, ok := missing[info.Key]; ok && size == info.SizeBytes {
			delete(missing, info.Key)
		}
	}
	if len(missing) > 0 {
		return nil, nil
	}
	return m, nil
}

// Purge removes a table and all that is known of it, the mark that says whose it is last.
// It removes nothing where the prefix has no such mark. Conflict: it is the table of
// something else.
func Purge(ctx context.Context, at storage.Place, pipeline thalweg.PipelineName, use string) (done storage.Removed, err error) {
	t := &Table{Place: at, Owner: pipeline, Use: use}
	have, err := t.owner(ctx)
	if thalweg.Is(err, thalweg.NotFound) {
		return done, nil
	}
	if err == nil && (have.Pipeline != pipeline || have.Use != use) {
		err = &thalweg.Error{Op: "purge", Kind: thalweg.Conflict, Subject: t.String(), Err: fmt.Errorf("it is the table of %s of pipeline %s", have.Use, have.Pipeline),
			Hint: "nothing of a table of another is removed"}
	}
	if err != nil {
		return done, err
	}
	for _, name := range []string{delta.Layout(t.Prefix).LogDir()[len(t.Prefix):], dataDir, partsDir, RejectsDir, ManifestName, commitlog.TableMark} {
		removed, err := storage.Remove(ctx, t.Bucket, t.Prefix+name, func(string) bool { return true })
		done.Add(removed)
		if err != nil {
			return done, err
		}
	}
	return done, nil
}
