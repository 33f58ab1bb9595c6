package fsck

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/thalweg/thalweg"
)

// deltaTable is a Delta table as its versions, taken together, have it.
type deltaTable struct {
	version    int64 // -1: there is none
	base       int64 // of the checkpoint that it was read from, -1: from its first version
	cut        string
	files      map[string]deltaFile // by path
	txns       map[string]int64
	partitions []string
}

// deltaFile is an added file.
type deltaFile struct {
	Path            string             `json:"path" parquet:"path"`
	PartitionValues map[string]*string `json:"partitionValues" parquet:"partitionValues"`
	Size            int64              `json:"size" parquet:"size"`
	Stats           string             `json:"stats" parquet:"stats,optional"`
}

// deltaAction is one line of a version, or one row of a checkpoint, as far as
// rule 11 needs it.
type deltaAction struct {
	CommitInfo *struct {
		Sum string `json:"sum"`
	} `json:"commitInfo" parquet:"-"`
	Metadata *struct {
		PartitionColumns []string `json:"partitionColumns" parquet:"partitionColumns,list"`
	} `json:"metaData" parquet:"metaData,optional"`
	Txn *struct {
		AppID   string `json:"appId" parquet:"appId"`
		Version int64  `json:"version" parquet:"version"`
	} `json:"txn" parquet:"txn,optional"`
	Add    *deltaFile `json:"add" parquet:"add,optional"`
	Remove *struct {
		Path string `json:"path"`
	} `json:"remove" parquet:"-"`
}

func newTable() *deltaTable {
	return &deltaTable{version: -1, base: -1, files: map[string]deltaFile{}, txns: map[string]int64{}}
}

// readTable reads the table at the sink's root: all its versions, or where the
// first are gone, those behind its newest checkpoint. A checkpoint of versions
// that are all there must have the state that they make.
func (j *judge) readTable(ctx context.Context) (*deltaTable, error) {
	t := newTable()
	dir := j.prefix + "_delta_log/"
	versions, checkpoint := []int64{}, int64(-1)
	for info, err := range j.bucket.List(ctx, dir, "") {
		if err != nil {
			return nil, err
		}
		number, suffix, _ := strings.Cut(strings.TrimPrefix(info.Key, dir), ".")
		v, err := strconv.ParseInt(number, 10, 64)
		switch {
		case err != nil || len(number) != 20:
		case suffix == "json":
			versions = append(versions, v)
		case suffix == "checkpoint.parquet": // in one part
			checkpoint = max(checkpoint, v)
		}
	}
	checkpointKey := fmt.Sprintf("%s%020d.checkpoint.parquet", dir, checkpoint)
	var newest *deltaTable // as the checkpoint has it
	if checkpoint >= 0 {
		var why string
		var err error
		newest, why, err = j.readCheckpoint(ctx, checkpointKey, checkpoint)
		switch {
		case thalweg.Is(err, thalweg.NotFound):
			t.cut = "another writer removes its versions"
			return t, nil
		case err != nil:
			return nil, err
		case why != "":
			j.verdict.violate(11, checkpointKey, "%s", why)
			return t, nil
		}
	}
	if len(versions) == 0 || versions[0] != 0 {
		switch {
		case newest != nil:
			t = newest
			versions = slices.DeleteFunc(versions, func(v int64) bool { return v <= checkpoint })
		case len(versions) > 0:
			t.cut = fmt.Sprintf("another writer of the table removed its versions before %d, and there is no checkpoint in one part", versions[0])
			return t, nil
		}
	}
	for _, v := range versions {
		key := fmt.Sprintf("%s%020d.json", dir, v)
		if v != t.version+1 {
			j.verdict.violate(11, key, "version %d is missing before it", t.version+1)
			return t, nil
		}
		body, _, err := j.bucket.Get(ctx, key)
		if thalweg.Is(err, thalweg.NotFound) {
			t.cut = "another writer removes its versions"
			return t, nil
		}
		if err != nil {
			return nil, err
		}
		if why := t.apply(actionsOf(body)); why != "" {
			j.verdict.violate(11, key, "%s", why)
			return t, nil
		}
		if t.version = v; t.base < 0 && v == checkpoint {
			if why := t.differs(newest); why != "" {
				j.verdict.violate(11, checkpointKey, "%s", why)
			}
		}
	}
	return t, nil
}

// actionsOf yields the actions of a version, up to the first thing that is wrong.
func actionsOf(body []byte) iter.Seq2[*deltaAction, error] {
	return func(yield func(*deltaAction, error) bool) {
		first := true
		for line := range bytes.Lines(body) {
			if len(bytes.TrimSpace(line)) == 0 {
				continue
			}
			a := new(deltaAction)
			err := json.Unmarshal(line, a)
			switch {
			case err != nil:
				err = fmt.Errorf("a line is no action: %w", err)
			case first && a.CommitInfo != nil && a.CommitInfo.Sum != "" && sumOf(body[len(line):]) != a.CommitInfo.Sum:
				err = errors.New("its lines do not have the sum that the first one gives")
			}
			if first = false; !yield(a, err) || err != nil {
				return
			}
		}
	}
}

// apply takes in the actions of a version or of a checkpoint; it returns what is
// wrong with them, or "".
func (t *deltaTable) apply(actions iter.Seq2[*deltaAction, error]) string {
	removed := map[string]bool{}
	added := map[string]deltaFile{}
	for a, err := range actions {
		if err != nil {
			return err.Error()
		}
		switch {
		case a.Metadata != nil:
			t.partitions = a.Metadata.PartitionColumns
		case a.Txn != nil:
			if last, ok := t.txns[a.Txn.AppID]; ok && a.Txn.Version <= last && strings.HasPrefix(a.Txn.AppID, "thalweg/") {
				return fmt.Sprintf("%s goes back from slot %d to %d", a.Txn.AppID, last, a.Txn.Version)
			}
			t.txns[a.Txn.AppID] = a.Txn.Version
		case a.Add != nil:
			if _, twice := added[a.Add.Path]; twice || a.Add.Path == "" {
				return fmt.Sprintf("it adds %q twice, or a file without a name", a.Add.Path)
			}
			added[a.Add.Path] = *a.Add
		case a.Remove != nil:
			removed[a.Remove.Path] = true
		}
	}
	for path := range removed {
		delete(t.files, path)
	}
	maps.Copy(t.files, added)
	return ""
}

// checkTable holds the table against the logs.
func (j *judge) checkTable(t *deltaTable, walks []*walk) {
	j.verdict.TableVersion, j.verdict.TableBase, j.verdict.TableCut = t.version, t.base, t.cut
	if t.version < 0 || t.cut != "" {
		return
	}
	left := maps.Clone(t.files)
	apps := maps.Clone(t.txns)
	for _, w := range walks {
		delete(apps, w.app)
		finished := uint64(0)
		for finished < uint64(len(w.slots)) && w.slots[finished].finished {
			finished++
		}
		in := uint64(0)
		if v, ok := t.txns[w.app]; ok {
			in = uint64(v) + 1
		}
		if in > finished {
			j.verdict.violate(11, w.app, "slot %d is in the table, the log has %d finished slots", in-1, finished)
			continue
		}
		j.verdict.TableBehind += int64(finished - in)
		j.checkFiles(t, w, in, left)
	}
	for app := range apps {
		j.check(!strings.HasPrefix(app, "thalweg/"), 11, app, "is in the table, and there is no such log")
	}
	for _, path := range slices.Sorted(maps.Keys(left)) {
		if strings.HasPrefix(path, dataDir) { // others are other writers' own
			j.verdict.violate(11, j.prefix+path, "is in the table, and was not live after the slots that are")
		}
	}
	for _, f := range t.files {
		j.verdict.TableFiles++
		j.verdict.TableRows += rowsOf(f)
	}
}

// checkFiles removes from left the objects of a log that were live after its
// first n slots.
func (j *judge) checkFiles(t *deltaTable, w *walk, n uint64, left map[string]deltaFile) {
	replaced := map[uint64]bool{}
	for _, s := range w.slots[:n] {
		for _, in := range s.record.Inputs {
			replaced[in] = true
		}
	}
	for slot, s := range w.slots[:n] {
		if replaced[uint64(slot)] {
			continue
		}
		for _, o := range s.objects {
			path := strings.TrimPrefix(o.Key, j.prefix)
			f, ok := left[path]
			delete(left, path)
			switch {
			case !ok:
				j.verdict.violate(11, o.Key, "was live after slot %d, which is in the table, and is not", n-1)
			case f.Size != o.Size || rowsOf(f) != o.Rows:
				j.verdict.violate(11, o.Key, "has %d bytes and %d rows, the table says %d and %d", o.Size, o.Rows, f.Size, rowsOf(f))
			}
			for i, day := range t.daysOf(f) {
				column := t.partitions[i]
				if want := dayOf(o.Key, column); ok && day != want {
					j.verdict.violate(11, o.Key, "is of %s %s in the table, and lies in %s", column, day, want)
				}
			}
		}
	}
}

// daysOf returns the values of a file's partition columns.
func (t *deltaTable) daysOf(f deltaFile) (days []string) {
	for _, column := range t.partitions {
		day := unknownDay
		if v := f.PartitionValues[column]; v != nil {
			day = *v
		}
		days = append(days, day)
	}
	return days
}

// dayOf returns the day of the directory that an object lies in.
func dayOf(key, column string) string {
	day, ok := strings.CutPrefix(path.Base(path.Dir(key)), column+"=")
	if !ok {
		return unknownDay
	}
	return day
}

// rowsOf returns the number of rows that a file's statistics tell.
func rowsOf(f deltaFile) int64 {
	var stats struct {
		NumRecords int64 `json:"numRecords"`
	}
	if json.Unmarshal([]byte(f.Stats), &stats) != nil {
		return -1
	}
	return stats.NumRecords
}
