package product

import (
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/table/delta"
)

// maxViolations bounds what a verdict tells.
const maxViolations = 100

// Verdict is what Check finds of a table.
type Verdict struct {
	Table     string `json:"table"`
	Version   int64  `json:"version"`
	Objects   int    `json:"objects"` // that were read
	Files     int    `json:"files"`
	Rows      int64  `json:"rows"`
	SizeBytes int64  `json:"size_bytes"`
	// Replaced are other files: of versions before, which are there for their readers still,
	// and of runs that failed.
	Replaced   int      `json:"replaced"`
	Violations []string `json:"violations"`
}

// OK reports that nothing is wrong.
func (v *Verdict) OK() bool { return len(v.Violations) == 0 }

// String says it for people.
func (v *Verdict) String() string {
	text := fmt.Sprintf("%s version %d: %s rows in %s files of %s objects, %s bytes", v.Table, v.Version, humanize.Comma(v.Rows), humanize.Comma(int64(v.Files)), humanize.Comma(int64(v.Objects)), humanize.Comma(v.SizeBytes))
	if v.Replaced > 0 {
		text += fmt.Sprintf("; %s other files are there, of versions before or of runs that failed, until a run removes them", humanize.Comma(int64(v.Replaced)))
	}
	for _, violation := range v.Violations {
		text += "\nviolation: " + violation
	}
	if v.OK() {
		text += "\nok: the files are those of the log and of the manifest, with their sha256, and each row is counted once"
	}
	return text + "\n"
}

// Check holds a table of cleaned rows against its manifest: the version and files of the
// log, the sha256 of each file, and the counts of rows.
func (t *Table) Check(ctx context.Context) (*Verdict, error) {
	v := &Verdict{Table: t.String(), Version: -1, Violations: []string{}}
	wrong := func(format string, args ...any) {
		if len(v.Violations) < maxViolations {
			v.Violations = append(v.Violations, fmt.Sprintf(format, args...))
		}
	}
	switch have, err := t.owner(ctx); {
	case thalweg.Is(err, thalweg.NotFound):
		return nil, &thalweg.Error{Op: "check table", Kind: thalweg.NotFound, Subject: t.String(), Err: fmt.Errorf("no run has written it yet")}
	case thalweg.Is(err, thalweg.Corrupt):
		wrong("%v", err)
	case err != nil:
		return nil, err
	case have.Pipeline != t.Owner || have.Use != t.Use:
		wrong("it is the table of %s of pipeline %s", have.Use, have.Pipeline)
	}
	log := delta.New(t.Bucket, t.Prefix)
	snapshot, err := log.Load(ctx)
	if err != nil {
		return nil, err
	}
	v.Version = snapshot.Version
	m, err := t.Manifest(ctx)
	if err != nil {
		return nil, err
	}
	if m == nil {
		wrong("%s is missing or cannot be read: the next run writes it again", ManifestName)
		return v, nil
	}
	if m.Version != snapshot.Version {
		wrong("the manifest is that of version %d, the table is at version %d: the next run makes them one", m.Version, snapshot.Version)
	}
	v.Objects = len(m.Objects)
	parts := make(map[string]int)
	var read int64
	for _, o := range m.Objects {
		read += o.Rows
		for _, name := range o.Parts {
			parts[name]++
		}
	}
	files := make(map[string]File, len(m.Files))
	for _, f := range m.Files {
		if _, twice := files[f.Path]; twice {
			wrong("the manifest has %s twice", f.Path)
		}
		files[f.Path] = f
		name, _, _ := strings.Cut(path.Base(f.Path), "-")
		if n := parts[name]; n != 1 {
			wrong("file %s is of %d objects", f.Path, n)
		}
		v.Rows += f.Rows
		v.SizeBytes += f.SizeBytes
		switch body, _, err := t.Bucket.Get(ctx, t.Prefix+f.Path); {
		case thalweg.Is(err, thalweg.NotFound):
			wrong("file %s is missing: the next run writes it again", f.Path)
		case err != nil:
			return nil, err
		case storage.SHA256(body) != f.SHA256:
			wrong("file %s is another one: its sha256 is %s, not %s", f.Path, storage.SHA256(body), f.SHA256)
		}
	}
	v.Files = len(files)
	v.Replaced = -len(files)
	live := make(map[string]bool)
	for add, err := range log.Files(ctx, snapshot) {
		if err != nil {
			return nil, err
		}
		live[add.Path] = true
		if f, ok := files[add.Path]; !ok || f.SizeBytes != add.Size {
			wrong("the log has file %s of %d bytes, the manifest does not", add.Path, add.Size)
		}
	}
	for p := range files {
		if !live[p] {
			wrong("the manifest has file %s, the log does not", p)
		}
	}
	for _, err := range t.Bucket.List(ctx, t.Prefix+dataDir, "") {
		if err != nil {
			return nil, err
		}
		v.Replaced++
	}
	v.Replaced = max(v.Replaced, 0)
	out := m.Counts["rows_out"]
	for name, n := range m.Counts {
		if strings.HasPrefix(name, "dropped: ") {
			out += n
		}
	}
	if in := m.Counts["rows_in"]; m.Counts["rows_out"] != v.Rows || in != out || m.Counts["rows_rejected"] == 0 && in != read {
		wrong("the counts do not add up: of %d rows in the objects %d were read, %d dropped and %d written; the files have %d", read, in, out-m.Counts["rows_out"], m.Counts["rows_out"], v.Rows)
	}
	return v, nil
}
