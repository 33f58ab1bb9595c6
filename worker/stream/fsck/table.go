package fsck

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
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
		name := strings.TrimPrefix(info.Key, dir)
		if c, ok := checkpointVersion(name); ok {
			checkpoint = max(checkpoint, c)
		}
		name, ok := strings.CutSuffix(name, ".json")
		if v, err := strconv.ParseInt(name, 10, 64); ok && err == nil && len(name) == 20 {
			versions = append(versions, v)
		}
	}
	key := fmt.Sprintf("%s%020d.checkpoint.parquet", dir, checkpoint)
	var newest *deltaTable // as the checkpoint has it
	if checkpoint >= 0 {
		read, missing, why, err := j.readCheckpoint(ctx, key, checkpoint)
		switch {
		case err != nil:
			return nil, err
		case why != "":
			j.verdict.violate(11, key, "%s", why)
		case missing:
			t.cut = "another writer removes its versions"
		}
		if newest = read; why != "" || missing {
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
		if why := t.apply(body); why != "" {
			j.verdict.violate(11, key, "%s", why)
			return t, nil
		}
		if t.version = v; t.base < 0 && v == checkpoint {
			if why := t.differs(newest); why != "" {
				j.verdict.violate(11, dir+fmt.Sprintf("%020d.checkpoint.parquet", v), "%s", why)
			}
		}
	}
	return t, nil
}

// apply takes in a version; it returns what is wrong with it, or "".
func (t *deltaTable) apply(body []byte) string {
	removed := map[string]bool{}
	added := map[string]deltaFile{}
	first := true
	for line := range bytes.Lines(body) {
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		var a deltaAction
		if err := json.Unmarshal(line, &a); err != nil {
			return "a line is no action: " + err.Error()
		}
		if first && a.CommitInfo != nil && a.CommitInfo.Sum != "" {
			rest := sha256.Sum256(body[len(line):])
			if hex.EncodeToString(rest[:]) != a.CommitInfo.Sum {
				return "its lines do not have the sum that the first one gives"
			}
		}
		first = false
		switch {
		case a.Metadata != nil:
			t.partitions = a.Metadata.PartitionColumns
		case a.Txn != nil:
			if last, ok := t.txns[a.Txn.AppID]; ok && a.Txn.Version <= last && strings.HasPrefix(a.Txn.AppID, "thalweg/") {
				return fmt.Sprintf("%s goes back from slot %d to %d", a.Txn.AppID, last, a.Txn.Version)
			}
			t.txns[a.Txn.AppID] = a.Txn.Version
		case a.Add != nil:
			if _, twice := added[a.Add.Path]; twice {
				return "it adds " + a.Add.Path + " twice"
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

// checkTable holds the table against the logs, by topic/partition.
func (j *judge) checkTable(t *deltaTable, walks map[string]*walk) {
	j.verdict.TableVersion, j.verdict.TableBase, j.verdict.TableCut = t.version, t.base, t.cut
	if t.version < 0 || t.cut != "" {
		return
	}
	left := maps.Clone(t.files)
	apps := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(walks)) {
		w := walks[name]
		if w == nil {
			continue
		}
		app := appOf(name)
		apps[app] = true
		finished := uint64(0)
		for finished < uint64(len(w.slots)) && w.slots[finished].done {
			finished++
		}
		in := uint64(0)
		if v, ok := t.txns[app]; ok {
			in = uint64(v) + 1
		}
		if in > finished {
			j.verdict.violate(11, app, "slot %d is in the table, the log has %d finished slots", in-1, finished)
			continue
		}
		j.verdict.TableBehind += int64(finished - in)
		j.checkFiles(t, w, in, left)
	}
	for app := range t.txns {
		if strings.HasPrefix(app, "thalweg/") && !apps[app] {
			j.verdict.violate(11, app, "is in the table, and there is no such log")
		}
	}
	for _, path := range slices.Sorted(maps.Keys(left)) {
		if strings.HasPrefix(path, "data/") { // others are other writers' own
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
		for _, in := range s.inputs {
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
			for _, column := range t.partitions {
				day := "null"
				if v := f.PartitionValues[column]; v != nil {
					day = *v
				}
				if want := strings.Replace(dayOf(o.Key, column), unknownDay, "null", 1); ok && day != want {
					j.verdict.violate(11, o.Key, "is of %s %s in the table, and lies in %s", column, day, want)
				}
			}
		}
	}
}

// dayOf returns the day of the directory that an object lies in.
func dayOf(key, column string) string {
	parts := strings.Split(key, "/")
	if len(parts) < 2 {
		return unknownDay
	}
	day, ok := strings.CutPrefix(parts[len(parts)-2], column+"=")
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

// appOf returns what the txn actions of a log, named as topic/partition, are
// called: thalweg/<topic>/<partition, without zeros>, and /replay of a replay
// log.
func appOf(name string) string {
	topic, number, _ := strings.Cut(name, "/")
	number, replay := strings.CutSuffix(number, replaySuffix)
	n, err := strconv.Atoi(number)
	if err != nil {
		return ""
	}
	app := fmt.Sprintf("thalweg/%s/%d", topic, n)
	if replay {
		app += "/replay"
	}
	return app
}
