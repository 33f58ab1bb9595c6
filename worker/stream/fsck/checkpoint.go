package fsck

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage/parquet/guard"
)

// readCheckpoint returns the table as the checkpoint of a version has it, or what
// is wrong with it. NotFound: it is not there any more.
func (j *judge) readCheckpoint(ctx context.Context, key string, version int64) (t *deltaTable, why string, err error) {
	body, _, err := j.bucket.Get(ctx, key)
	if err != nil {
		return nil, "", err
	}
	sum, err := j.checkpointSum(ctx, version)
	if err != nil {
		return nil, "", err
	}
	if sum != "" && sumOf(body) != sum {
		return nil, "its bytes do not have the sum that _last_checkpoint gives", nil
	}
	t = newTable()
	t.version, t.base = version, version
	return t, t.decodeCheckpoint(body), nil
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
// action, as far as rule 11 needs them; it returns what is wrong with them, or
// "". Removed files are in it for those who clean up, and no part of the state.
func (t *deltaTable) decodeCheckpoint(body []byte) string {
	file, err := guard.Open(body)
	if err != nil {
		return "the checkpoint cannot be read: " + err.Error()
	}
	if _, ok := file.Schema().Lookup("add", "path"); !ok {
		return "the checkpoint cannot be read: there is no column add"
	}
	return t.apply(guard.Rows[deltaAction](file))
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
		case !slices.Equal(t.daysOf(g), t.daysOf(f)):
			return fmt.Sprintf("the checkpoint has %s with %s of %v, the versions up to it of %v", path, t.partitions, t.daysOf(g), t.daysOf(f))
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
