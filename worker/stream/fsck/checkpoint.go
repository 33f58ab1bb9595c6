package fsck

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/pqarrow"

	"github.com/thalweg/thalweg"
)

// checkpointLeaves are the columns of a checkpoint that rule 11 needs. Removed
// files are in it for those who clean up, and no part of the state.
var checkpointLeaves = []string{
	"txn.appId", "txn.version", "add.path", "add.partitionValues.", "add.size", "add.stats", "metaData.partitionColumns.",
}

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
	if err := t.decodeCheckpoint(ctx, body); err != nil {
		return nil, false, "the checkpoint cannot be read: " + err.Error(), ctx.Err()
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

// decodeCheckpoint takes in the rows of a checkpoint.
func (t *deltaTable) decodeCheckpoint(ctx context.Context, body []byte) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("decoder panicked: %v", p)
		}
	}()
	pf, err := file.NewParquetReader(bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer pf.Close()
	var leaves, groups []int
	for i := range pf.MetaData().Schema.NumColumns() {
		path := pf.MetaData().Schema.Column(i).Path()
		if slices.ContainsFunc(checkpointLeaves, func(leaf string) bool {
			return path == leaf || strings.HasSuffix(leaf, ".") && strings.HasPrefix(path, leaf)
		}) {
			leaves = append(leaves, i)
		}
	}
	for i := range pf.NumRowGroups() {
		groups = append(groups, i)
	}
	r, err := pqarrow.NewFileReader(pf, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		return err
	}
	rows, err := r.ReadRowGroups(ctx, leaves, groups)
	if err != nil {
		return err
	}
	defer rows.Release()
	batches := array.NewTableReader(rows, 0)
	defer batches.Release()
	for batches.Next() {
		if err := t.takeActions(batches.Record()); err != nil {
			return err
		}
	}
	return batches.Err()
}

// takeActions takes in a batch of a checkpoint's rows, each of which has one
// action.
func (t *deltaTable) takeActions(batch arrow.Record) error {
	txn, add, metadata := structOf(batch, "txn"), structOf(batch, "add"), structOf(batch, "metaData")
	if add == nil {
		return errors.New("there is no column add")
	}
	for i := range int(batch.NumRows()) {
		if txn != nil && txn.IsValid(i) {
			t.txns[textAt(txn, "appId", i)] = numberAt(txn, "version", i)
		}
		if metadata != nil && metadata.IsValid(i) {
			t.partitions = textsAt(metadata, "partitionColumns", i)
		}
		if !add.IsValid(i) {
			continue
		}
		f := deltaFile{Path: textAt(add, "path", i), Size: numberAt(add, "size", i), Stats: textAt(add, "stats", i), PartitionValues: valuesAt(add, "partitionValues", i)}
		if _, twice := t.files[f.Path]; twice || f.Path == "" {
			return fmt.Errorf("file %q is there twice or has no name", f.Path)
		}
		t.files[f.Path] = f
	}
	return nil
}

func structOf(batch arrow.Record, name string) *array.Struct {
	at := batch.Schema().FieldIndices(name)
	if len(at) != 1 {
		return nil
	}
	s, _ := batch.Column(at[0]).(*array.Struct)
	return s
}

func fieldOf(s *array.Struct, name string) arrow.Array {
	at, ok := s.DataType().(*arrow.StructType).FieldIdx(name)
	if !ok {
		return nil
	}
	return s.Field(at)
}

// textAt, numberAt, textsAt and valuesAt return a field of a struct, or nothing
// where it is null or of another type.
func textAt(s *array.Struct, name string, i int) string {
	if a, ok := fieldOf(s, name).(*array.String); ok && a.IsValid(i) {
		return a.Value(i)
	}
	return ""
}

func numberAt(s *array.Struct, name string, i int) int64 {
	if a, ok := fieldOf(s, name).(*array.Int64); ok && a.IsValid(i) {
		return a.Value(i)
	}
	return 0
}

func textsAt(s *array.Struct, name string, i int) []string {
	var out []string
	a, ok := fieldOf(s, name).(*array.List)
	if !ok || a.IsNull(i) {
		return nil
	}
	items, ok := a.ListValues().(*array.String)
	for from, to := a.ValueOffsets(i); ok && from < to; from++ {
		out = append(out, items.Value(int(from)))
	}
	return out
}

func valuesAt(s *array.Struct, name string, i int) map[string]*string {
	a, ok := fieldOf(s, name).(*array.Map)
	if !ok || a.IsNull(i) {
		return nil
	}
	out := make(map[string]*string)
	keys, isText := a.Keys().(*array.String)
	items, _ := a.Items().(*array.String)
	for from, to := a.ValueOffsets(i); isText && items != nil && from < to; from++ {
		k := int(from)
		if items.IsNull(k) {
			out[keys.Value(k)] = nil
			continue
		}
		v := items.Value(k)
		out[keys.Value(k)] = &v
	}
	return out
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
