package fsck

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage/parquet/guard"
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
	file, err := guard.Open(body)
	if err != nil {
		return err
	}
	if _, ok := file.Schema().Lookup("add", "path"); !ok {
		return errors.New("there is no column add")
	}
	for a, err := range guard.Rows[deltaAction](file) {
		if err != nil {
			return err
		}
		if a.Txn != nil {
			t.txns[a.Txn.AppID] = a.Txn.Version
		}
		if a.Metadata != nil {
			t.partitions = a.Metadata.PartitionColumns
		}
		if a.Add == nil {
			continue
		}
		if _, twice := t.files[a.Add.Path]; twice || a.Add.Path == "" {
			return fmt.Errorf("file %q appears twice or has no name", a.Add.Path)
		}
		t.files[a.Add.Path] = *a.Add
	}
	return nil
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
