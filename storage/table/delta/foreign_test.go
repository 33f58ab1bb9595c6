package delta_test

import (
	"os"
	"strings"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage/memory"
	"github.com/thalweg/thalweg/storage/table/delta"
)

// TestACheckpointOfAnotherWriterIsRead reads what delta-rs 1.6.6 made: a table
// of three appends, partitioned by day, then OPTIMIZE and a checkpoint.
func TestACheckpointOfAnotherWriterIsRead(t *testing.T) {
	b := memory.New()
	const dir = "testdata/delta-rs/_delta_log/"
	for _, name := range []string{"00000000000000000003.checkpoint.parquet", "_last_checkpoint"} {
		body, err := os.ReadFile(dir + name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Put(t.Context(), "sink/_delta_log/"+name, body); err != nil {
			t.Fatal(err)
		}
	}
	table := delta.New(b, "sink/")
	s := load(t, table)
	if s.Version != 3 || s.CheckpointFiles != 2 || len(s.Metadata.PartitionColumns) != 1 || len(s.Schema) != 3 || s.Writable() != nil {
		t.Fatalf("%+v, %v", s, s.Writable())
	}
	days := map[string]int{}
	for a, err := range table.Files(t.Context(), s) {
		if err != nil {
			t.Fatal(err)
		}
		day := "null"
		if v := a.PartitionValues["day"]; v != nil {
			day = *v
		}
		days[day]++
		if a.Size == 0 || !strings.Contains(a.Stats, `"numRecords":3`) {
			t.Errorf("%+v", a)
		}
	}
	if days["x"] != 1 || days["null"] != 1 {
		t.Errorf("days %v", days)
	}
	// It goes on with our versions and our checkpoint.
	commit(t, table, 4, "ours", add("data/new.parquet", nil))
	if _, err := table.WriteCheckpoint(t.Context(), load(t, table), 0); err != nil {
		t.Fatal(err)
	}
	if got := load(t, table); got.Checkpoint != 4 || len(files(t, table, got)) != 3 {
		t.Errorf("after our checkpoint: %+v", got)
	}
}

func TestADamagedCheckpointIsRefused(t *testing.T) {
	const foreign = "sink/_delta_log/00000000000000000003.checkpoint.parquet"
	body, err := os.ReadFile("testdata/delta-rs/_delta_log/00000000000000000003.checkpoint.parquet")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 7, 100, len(body) - 1} {
		b := memory.New()
		if _, err := b.Put(t.Context(), foreign, body[:n]); err != nil {
			t.Fatal(err)
		}
		if _, err := delta.New(b, "sink/").Load(t.Context()); !thalweg.Is(err, thalweg.Corrupt) {
			t.Errorf("cut off after %d bytes: %v", n, err)
		}
	}
	// Ours has a sum, which is checked before a byte of it is decoded.
	b := memory.New()
	table := build(t, b, 5)
	if _, err := table.WriteCheckpoint(t.Context(), load(t, table), 0); err != nil {
		t.Fatal(err)
	}
	key := delta.Layout("sink/").CheckpointKey(4)
	ours, _, err := b.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	ours[len(ours)/2] ^= 1
	if _, err := b.Put(t.Context(), key, ours); err != nil {
		t.Fatal(err)
	}
	if _, err := table.Load(t.Context()); !thalweg.Is(err, thalweg.Corrupt) || !strings.Contains(err.Error(), "_last_checkpoint") {
		t.Errorf("a flipped bit in our checkpoint: %v", err)
	}
}
