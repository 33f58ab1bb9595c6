package delta_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/memory"
	"github.com/thalweg/thalweg/storage/table/delta"
)

var rowSchema = delta.Schema{
	{Name: "origin", Type: delta.String, Nullable: true},
	{Name: "_offset", Type: delta.Long, Nullable: true},
	{Name: "day", Type: delta.Date, Nullable: true},
}

func creation(id string) []delta.Action {
	created := int64(1)
	return []delta.Action{
		{CommitInfo: &delta.CommitInfo{Timestamp: 1, Operation: "WRITE", TxnID: id}},
		{Protocol: &delta.Protocol{MinReaderVersion: 1, MinWriterVersion: 2}},
		{Metadata: &delta.Metadata{ID: "00000000-0000-4000-8000-000000000001", Format: delta.Format{Provider: "parquet", Options: map[string]string{}},
			SchemaString: rowSchema.String(), PartitionColumns: []string{"day"}, CreatedTime: &created, Configuration: map[string]string{}}},
	}
}

func add(path string, day *string) delta.Action {
	return delta.Action{Add: &delta.Add{Path: path, PartitionValues: map[string]*string{"day": day}, Size: 10, ModificationTime: 1, DataChange: true, Stats: `{"numRecords":3}`}}
}

func commit(t *testing.T, table *delta.Table, version int64, id string, actions ...delta.Action) {
	t.Helper()
	if len(actions) == 0 || actions[0].CommitInfo == nil {
		actions = append([]delta.Action{{CommitInfo: &delta.CommitInfo{TxnID: id}}}, actions...)
	}
	won, _, err := table.Commit(t.Context(), &delta.Commit{Version: version, Actions: actions})
	if err != nil || !won {
		t.Fatalf("commit %d: won %v, %v", version, won, err)
	}
}

func files(t *testing.T, table *delta.Table, s *delta.Snapshot) []string {
	t.Helper()
	var paths []string
	for a, err := range table.Files(t.Context(), s) {
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, a.Path)
	}
	slices.Sort(paths)
	return paths
}

func load(t *testing.T, table *delta.Table) *delta.Snapshot {
	t.Helper()
	s, err := table.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func day(s string) *string { return &s }

// build makes a table of n versions, each of which adds a file and, from the
// third on, now and then removes one.
func build(t *testing.T, b storage.Bucket, n int64) *delta.Table {
	t.Helper()
	table := delta.New(b, "sink/")
	for v := range n {
		actions := []delta.Action{{CommitInfo: &delta.CommitInfo{TxnID: fmt.Sprint("v", v)}}}
		if v == 0 {
			actions = creation("v0")
		}
		d := day(fmt.Sprintf("2026-01-%02d", v%28+1))
		if v%5 == 4 {
			d = nil
		}
		actions = append(actions, add(fmt.Sprintf("data/t/00000/%03d/day=x/rows.parquet", v), d), delta.Action{Txn: &delta.Txn{AppID: "thalweg/t/0", Version: v}})
		if v > 2 && v%3 == 0 {
			actions = append(actions, delta.Action{Remove: &delta.Remove{Path: fmt.Sprintf("data/t/00000/%03d/day=x/rows.parquet", v-2), DeletionTimestamp: v}})
		}
		commit(t, table, v, "", actions...)
	}
	return table
}

func TestSnapshotIsTheSameWithAndWithoutCheckpoints(t *testing.T) {
	plain := build(t, memory.New(), 40)
	want := load(t, plain)
	b := memory.New()
	table := build(t, b, 40)
	for _, at := range []int64{10, 25} {
		s := delta.NewSnapshot()
		for v := range at + 1 {
			c, err := table.Read(t.Context(), v)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Apply(c); err != nil {
				t.Fatal(err)
			}
		}
		next, err := table.WriteCheckpoint(t.Context(), s, 12)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := files(t, table, next), files(t, table, s); !slices.Equal(got, want) {
			t.Fatalf("files at %d: %v, want %v", at, got, want)
		}
		if next.CheckpointFiles != int64(len(files(t, table, s))) {
			t.Fatalf("%d files in the checkpoint, %d live", next.CheckpointFiles, len(files(t, table, s)))
		}
		got := load(t, table)
		if got.Checkpoint != at {
			t.Fatalf("based on checkpoint %d, want %d", got.Checkpoint, at)
		}
		if !slices.Equal(files(t, table, got), files(t, plain, want)) {
			t.Fatalf("files %v, want %v", files(t, table, got), files(t, plain, want))
		}
		if !maps.Equal(got.Txns, want.Txns) || got.Schema.String() != want.Schema.String() || got.Version != want.Version || got.Metadata.ID != want.Metadata.ID {
			t.Fatalf("snapshot %+v, want %+v", got, want)
		}
	}
	// With the versions that the checkpoint stands for gone, it alone is enough.
	layout := delta.Layout("sink/")
	for v := range int64(20) {
		if err := b.Delete(t.Context(), layout.CommitKey(v)); err != nil {
			t.Fatal(err)
		}
	}
	for a, err := range table.Files(t.Context(), load(t, table)) {
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(a.Path, "/004/day=x/rows.parquet") && a.PartitionValues["day"] != nil {
			t.Error("a null partition value came back as one")
		}
		if strings.HasSuffix(a.Path, "/005/day=x/rows.parquet") && (a.PartitionValues["day"] == nil || *a.PartitionValues["day"] != "2026-01-06" || a.Stats == "") {
			t.Errorf("file came back as %+v", a)
		}
	}
	// The hint at a checkpoint that is gone is no help, and no harm.
	if err := b.Delete(t.Context(), layout.CheckpointKey(10)); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Put(t.Context(), layout.LastCheckpointKey(), []byte(`{"version":10,"size":1}`)); err != nil {
		t.Fatal(err)
	}
	if got := load(t, table); got.Checkpoint != 25 || got.Version != 39 {
		t.Errorf("with a stale hint: version %d from checkpoint %d", got.Version, got.Checkpoint)
	}
}

func TestMissingVersionIsDamageAndNotTheEnd(t *testing.T) {
	b := memory.New()
	table := build(t, b, 6)
	if err := b.Delete(t.Context(), delta.Layout("sink/").CommitKey(3)); err != nil {
		t.Fatal(err)
	}
	if _, err := table.Load(t.Context()); !thalweg.Is(err, thalweg.Corrupt) || !strings.Contains(err.Error(), "00000000000000000003.json") {
		t.Errorf("got %v, want Corrupt naming version 3", err)
	}
}

func TestLoserOfAVersionLearnsTheWinner(t *testing.T) {
	b := memory.New()
	table := build(t, b, 1)
	mine := &delta.Commit{Version: 1, Actions: []delta.Action{{CommitInfo: &delta.CommitInfo{TxnID: "mine"}}, add("a", nil)}}
	commit(t, table, 1, "other", add("b", nil))
	won, winner, err := table.Commit(t.Context(), mine)
	if err != nil || won || winner.TxnID() != "other" {
		t.Fatalf("won %v, winner %v, %v", won, winner, err)
	}
	mine.Version = 2
	if won, _, err := table.Commit(t.Context(), mine); !won || err != nil {
		t.Fatalf("won %v, %v", won, err)
	}
	// A 412 for a version that is ours is our success.
	if won, _, err := table.Commit(t.Context(), mine); !won || err != nil {
		t.Fatalf("again: won %v, %v", won, err)
	}
}

// lossy loses every answer of PutIfAbsent after it took effect.
type lossy struct{ storage.Bucket }

func (l lossy) PutIfAbsent(ctx context.Context, key string, body []byte) (storage.Info, error) {
	if info, err := l.Bucket.PutIfAbsent(ctx, key, body); err != nil {
		return info, err
	}
	return storage.Info{}, &thalweg.Error{Op: "put", Kind: thalweg.Unavailable, Subject: key}
}

func TestLostReplyIsNoLoss(t *testing.T) {
	table := build(t, lossy{memory.New()}, 3)
	if s := load(t, table); s.Version != 2 || s.Txns["thalweg/t/0"] != 2 {
		t.Errorf("version %d, txns %v", s.Version, s.Txns)
	}
}

func TestCommitsOfOtherWritersAreRead(t *testing.T) {
	b := memory.New()
	table := build(t, b, 1)
	foreign := `{"commitInfo":{"timestamp":1,"operation":"OPTIMIZE","operationParameters":["any","thing"],"engineInfo":7}}
{"domainMetadata":{"domain":"x","configuration":"{}","removed":false}}
{"someday":{"unheard":"of"}}

{"add":{"path":"z%20.parquet","partitionValues":{"day":null},"size":1,"modificationTime":1,"dataChange":false,"unheard":[1]}}
{"remove":{"path":"data/t/00000/000/day=x/rows.parquet","dataChange":false}}
`
	if _, err := b.Put(t.Context(), delta.Layout("sink/").CommitKey(1), []byte(foreign)); err != nil {
		t.Fatal(err)
	}
	s := load(t, table)
	if got := files(t, table, s); !slices.Equal(got, []string{"z%20.parquet"}) {
		t.Errorf("files %v", got)
	}
	if err := s.Writable(); err != nil {
		t.Errorf("not writable: %v", err)
	}
}

func TestDamagedVersionIsRefusedByLine(t *testing.T) {
	for name, body := range map[string]string{
		"cut off":        `{"commitInfo":{}}` + "\n" + `{"add":{"path":"a"`,
		"no path":        `{"commitInfo":{}}` + "\n" + `{"add":{"size":1}}`,
		"two actions":    `{"commitInfo":{}}` + "\n" + `{"add":{"path":"a"},"remove":{"path":"b"}}`,
		"wrong type":     `{"commitInfo":{}}` + "\n" + `{"txn":{"appId":"x","version":"three"}}`,
		"null":           `{"commitInfo":{}}` + "\n" + `{"add":null}`,
		"other format":   `{"commitInfo":{}}` + "\n" + `{"metaData":{"id":"x","schemaString":"{}","format":{"provider":"orc"}}}`,
		"no json at all": "\x00\n\x01",
	} {
		_, err := delta.DecodeCommit(7, []byte(body))
		if !thalweg.Is(err, thalweg.Corrupt) || !strings.Contains(err.Error(), "version 7, line ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTableThatDemandsMoreIsNotWrittenTo(t *testing.T) {
	table := build(t, memory.New(), 1)
	s := load(t, table)
	s.Protocol = delta.Protocol{MinReaderVersion: 3, MinWriterVersion: 7, ReaderFeatures: []string{"deletionVectors"}, WriterFeatures: []string{"deletionVectors"}}
	if err := s.Writable(); !thalweg.Is(err, thalweg.Unsupported) || !strings.Contains(err.Error(), "deletionVectors") {
		t.Errorf("got %v, want Unsupported naming the feature", err)
	}
	s = load(t, table)
	s.Schema[0].Metadata = map[string]any{"delta.invariants": "x"}
	if err := s.Writable(); !thalweg.Is(err, thalweg.Unsupported) || !strings.Contains(err.Error(), "origin") {
		t.Errorf("got %v, want Unsupported naming the column", err)
	}
}

func TestSchemaGrowsByColumnsAndRefusesATypeByName(t *testing.T) {
	file := delta.Schema{{Name: "origin", Type: delta.String, Nullable: true}, {Name: "weather", Type: delta.Double, Nullable: true}}
	got, changed, err := rowSchema.With(file, 1)
	if err != nil || !changed {
		t.Fatalf("changed %v, %v", changed, err)
	}
	var names []string
	for _, f := range got {
		names = append(names, f.Name)
	}
	if want := []string{"origin", "_offset", "weather", "day"}; !slices.Equal(names, want) {
		t.Errorf("columns %v, want %v", names, want)
	}
	if _, changed, err := got.With(file, 1); changed || err != nil {
		t.Errorf("a second time: changed %v, %v", changed, err)
	}
	_, _, err = rowSchema.With(delta.Schema{{Name: "_offset", Type: delta.String, Nullable: true}}, 1)
	if !thalweg.Is(err, thalweg.Conflict) || !strings.Contains(err.Error(), "column _offset") {
		t.Errorf("got %v, want Conflict naming the column", err)
	}
	for _, file := range []delta.Schema{
		{{Name: "Origin", Type: delta.String, Nullable: true}},
		{{Name: "DAY", Type: delta.Date, Nullable: true}},
		{{Name: "b", Type: delta.Long, Nullable: true}, {Name: "B", Type: delta.Long, Nullable: true}},
	} {
		name := file[len(file)-1].Name
		if _, _, err := rowSchema.With(file, 1); !thalweg.Is(err, thalweg.Conflict) || !strings.Contains(err.Error(), "column "+name+": it differs from column "+strings.ToLower(name)) {
			t.Errorf("got %v, want Conflict naming %s and the other", err, name)
		}
	}
	parsed, err := delta.ParseSchema(got.String())
	if err != nil || parsed.String() != got.String() {
		t.Errorf("parsed to %v, %v", parsed, err)
	}
}

func TestSchemaOfAFile(t *testing.T) {
	s, err := delta.SchemaOf(arrow.NewSchema([]arrow.Field{
		{Name: "a", Type: &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.BinaryTypes.String}},
		{Name: "b", Type: arrow.FixedWidthTypes.Timestamp_us},
		{Name: "c", Type: arrow.PrimitiveTypes.Int32},
		{Name: "d", Type: arrow.PrimitiveTypes.Float32},
		{Name: "e", Type: arrow.ListOf(arrow.PrimitiveTypes.Float64)},
	}, nil))
	want := `{"type":"struct","fields":[{"name":"a","type":"string","nullable":true,"metadata":{}},{"name":"b","type":"timestamp","nullable":true,"metadata":{}},` +
		`{"name":"c","type":"integer","nullable":true,"metadata":{}},{"name":"d","type":"float","nullable":true,"metadata":{}},` +
		`{"name":"e","type":{"type":"array","elementType":"double","containsNull":true},"nullable":true,"metadata":{}}]}`
	if err != nil || s.String() != want {
		t.Errorf("%s, %v", s, err)
	}
	// Whoever wrote the schema last: the column has the same type.
	theirs, err := delta.ParseSchema(strings.Replace(want, `{"type":"array","elementType":"double","containsNull":true}`, `{ "containsNull": true, "elementType": "double", "type": "array" }`, 1))
	if err != nil {
		t.Fatal(err)
	}
	if _, changed, err := theirs.With(s, 0); changed || err != nil {
		t.Errorf("a list that another writer wrote: changed %v, %v", changed, err)
	}
	_, err = delta.SchemaOf(arrow.NewSchema([]arrow.Field{{Name: "nested", Type: arrow.ListOf(arrow.ListOf(arrow.PrimitiveTypes.Float64))}}, nil))
	if !thalweg.Is(err, thalweg.Unsupported) || !strings.Contains(err.Error(), "column nested") {
		t.Errorf("a list of lists: %v", err)
	}
	_, err = delta.SchemaOf(arrow.NewSchema([]arrow.Field{{Name: "when", Type: &arrow.TimestampType{Unit: arrow.Microsecond}}}, nil))
	if !thalweg.Is(err, thalweg.Unsupported) || !strings.Contains(err.Error(), "column when") {
		t.Errorf("a timestamp without a zone: %v", err)
	}
}
