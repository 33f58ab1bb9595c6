package fsck

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/parquet-go/parquet-go"

	"github.com/thalweg/thalweg"
)

// checkpointVersion returns the version that a key below the log's directory is a
// checkpoint of in one part, as Delta calls them without anything between.
func checkpointVersion(name string) (int64, bool) {
	number, ok := strings.CutSuffix(name, ".checkpoint.parquet")
	v, err := strconv.ParseInt(number, 10, 64)
	return v, ok && err == nil && len(number) == 20
}

// readCheckpoint returns the table as the checkpoint of a version has it.
// missing: it is not there any more. why says what is wrong with it, or is "".
func (j *judge) readCheckpoint(ctx context.Context, key string, version int64) (t *deltaTable, missing bool, why string, err error) {
	body, _, err := j.bucket.Get(ctx, key)
	switch {
	case thalweg.Is(err, thalweg.NotFound):
		return nil, true, "", nil
	case err != nil:
		return nil, false, "", err
	}
	sum, err := j.checkpointSum(ctx, version)
	if err != nil {
		return nil, false, "", err
	}
	if have := sha256.Sum256(body); sum != "" && hex.EncodeToString(have[:]) != sum {
		return nil, false, "its bytes do not have the sum that _last_checkpoint gives", nil
	}
	t = newTable()
	t.version, t.base = version, version
	if err := t.decodeCheckpoint(body); err != nil {
		return nil, false, "the checkpoint cannot be read: " + err.Error(), nil
	}
	return t, false, "", nil
}

// checkpointSum returns the sha256 that the hint gives of a version's checkpoint,
// "" where it is of another or gives none. The hint may be stale or damaged.
func (j *judge) checkpointSum(ctx context.Context, version int64) (string, error) {
	body, _, err := j.bucket.Get(ctx, j.prefix+"_delta_log/_last_checkpoint")
	if thalweg.Is(err, thalweg.NotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	var hint struct {
		Version int64             `json:"version"`
		Tags    map[string]string `json:"tags"`
	}
	if json.Unmarshal(body, &hint) != nil || hint.Version != version {
		return "", nil
	}
	return hint.Tags["thalweg.sha256"], nil
}

// decodeCheckpoint takes in the rows of a checkpoint, each of which has one
// action, as far as rule 11 needs them. Removed files are in it for those who
// clean up, and no part of the state.
func (t *deltaTable) decodeCheckpoint(body []byte) error {
	f, err := openParquet(body)
	if err != nil {
		return err
	}
	var leaves []*field
	leaf := func(path string, nth int) *field {
		l := f.field(path, nth)
		leaves = append(leaves, l)
		return l
	}
	app, slot := leaf("txn.appId", 0), leaf("txn.version", 0)
	path, size, stats := leaf("add.path", 0), leaf("add.size", 0), leaf("add.stats", 0)
	keys, values := leaf("add.partitionValues.", 0), leaf("add.partitionValues.", 1)
	partitions := leaf("metaData.partitionColumns.", 0)
	if path.cells.leaf == nil {
		return errors.New("there is no column add")
	}
	for range f.rows {
		for _, l := range leaves {
			if err := l.take(); err != nil {
				return err
			}
		}
		if app.present() {
			t.txns[app.text()] = slot.number()
		}
		if partitions.present() {
			t.partitions = partitions.texts()
		}
		if !path.present() {
			continue
		}
		added := deltaFile{Path: path.text(), Size: size.number(), Stats: stats.text(), PartitionValues: make(map[string]*string)}
		for i, key := range keys.row {
			if !key.IsNull() && i < len(values.row) {
				added.PartitionValues[string(key.ByteArray())] = textOf(values.row[i])
			}
		}
		if _, twice := t.files[added.Path]; twice || added.Path == "" {
			return fmt.Errorf("file %q is there twice or has no name", added.Path)
		}
		t.files[added.Path] = added
	}
	return nil
}

// field is a column of a checkpoint, and its values in the row that was taken
// last; of a column that is not there it has none.
type field struct {
	cells    cells
	optional bool // the action that it is of
	row      []parquet.Value
}

// field returns the nth column whose path is, or where it ends in a dot begins
// with, path.
func (f *parquetFile) field(path string, nth int) *field {
	for _, c := range f.leaves {
		name := nameOf(c)
		if name != path && !(strings.HasSuffix(path, ".") && strings.HasPrefix(name, path)) {
			continue
		}
		if nth--; nth < 0 {
			return &field{cells: cells{leaf: c}, optional: !f.file.Root().Column(c.Path()[0]).Required()}
		}
	}
	return &field{}
}

// take takes the next row.
func (f *field) take() error {
	if f.cells.leaf == nil {
		return nil
	}
	if f.row = f.cells.row(); f.cells.err != nil || len(f.row) == 0 {
		return cmp.Or(f.cells.err, io.ErrUnexpectedEOF)
	}
	return nil
}

// present reports whether the row has the action that the field is of.
func (f *field) present() bool {
	return len(f.row) > 0 && (!f.optional || f.row[0].DefinitionLevel() > 0)
}

// text, number and texts return the field's values, or none where they are null
// or of another type.
func (f *field) text() string {
	if all := f.texts(); len(all) > 0 {
		return all[0]
	}
	return ""
}

func (f *field) texts() (all []string) {
	for _, v := range f.row {
		if s := textOf(v); s != nil {
			all = append(all, *s)
		}
	}
	return all
}

func (f *field) number() int64 {
	if len(f.row) == 0 || f.row[0].Kind() != parquet.Int64 {
		return 0
	}
	return f.row[0].Int64()
}

func textOf(v parquet.Value) *string {
	if v.Kind() != parquet.ByteArray {
		return nil
	}
	s := string(v.ByteArray())
	return &s
}

// differs says in what the state of a checkpoint is not t's, which its versions
// make, or returns "". Other writers may leave out txns that are not a log's.
func (t *deltaTable) differs(c *deltaTable) string {
	if len(c.files) != len(t.files) {
		return fmt.Sprintf("the checkpoint has %d files, the versions up to it %d", len(c.files), len(t.files))
	}
	for path, f := range t.files {
		switch g, ok := c.files[path]; {
		case !ok:
			return "the checkpoint does not have " + path
		case g.Size != f.Size || rowsOf(g) != rowsOf(f):
			return fmt.Sprintf("the checkpoint has %s with %d bytes and %d rows, the versions up to it with %d and %d", path, g.Size, rowsOf(g), f.Size, rowsOf(f))
		default:
			for _, column := range t.partitions {
				if a, b := f.PartitionValues[column], g.PartitionValues[column]; (a == nil) != (b == nil) || a != nil && *a != *b {
					return fmt.Sprintf("the checkpoint has %s with another %s", path, column)
				}
			}
		}
	}
	for app, v := range t.txns {
		if had, ok := c.txns[app]; strings.HasPrefix(app, "thalweg/") && (!ok || had != v) {
			return fmt.Sprintf("the checkpoint has %s at slot %d, the versions up to it at %d", app, had, v)
		}
	}
	if !slices.Equal(c.partitions, t.partitions) {
		return fmt.Sprintf("the checkpoint is partitioned by %v, the table by %v", c.partitions, t.partitions)
	}
	return ""
}
