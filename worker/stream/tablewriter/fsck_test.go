package tablewriter

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/memory"
	"github.com/thalweg/thalweg/storage/table/delta"
	"github.com/thalweg/thalweg/worker/stream/fsck"
)

// tableRule is fsck's rule about the table. The rows of these tests are no rows
// of a stream, which other rules say.
const tableRule = 11

func judgeTable(t *testing.T, b storage.Bucket) (*fsck.Verdict, []string) {
	t.Helper()
	v, err := fsck.Run(context.Background(), b, "p", prefix, nil)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, x := range v.Violations {
		if x.Rule == tableRule {
			found = append(found, fmt.Sprintf("%s: %s", x.Subject, x.Message))
		}
	}
	return v, found
}

// TestTheJudgeFindsWhatIsWrongWithATable has fsck, which shares no code with
// the writer, judge a good table and damaged ones.
func TestTheJudgeFindsWhatIsWrongWithATable(t *testing.T) {
	layout := delta.Layout(prefix)
	next := func(t *testing.T, b storage.Bucket, actions ...delta.Action) {
		t.Helper()
		table := delta.New(b, prefix)
		s, err := table.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c := &delta.Commit{Version: s.Version + 1, Actions: append([]delta.Action{{CommitInfo: &delta.CommitInfo{TxnID: "x"}}}, actions...)}
		if won, _, err := table.Commit(t.Context(), c); err != nil || !won {
			t.Fatal(won, err)
		}
	}
	edit := func(t *testing.T, b storage.Bucket, version int64, fn func([]byte) []byte) {
		t.Helper()
		body, _, err := b.Get(t.Context(), layout.CommitKey(version))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Put(t.Context(), layout.CommitKey(version), fn(body)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, want string
		do         func(t *testing.T, b storage.Bucket, a *author)
	}{
		{"nothing", "", func(*testing.T, storage.Bucket, *author) {}},
		{"behind", "", func(_ *testing.T, _ storage.Bucket, a *author) { a.slot(3, "2026-01-01") }},
		{"a file is removed", "is not", func(t *testing.T, b storage.Bucket, a *author) {
			next(t, b, delta.Action{Remove: &delta.Remove{Path: a.liveAfter(a.slots())[0]}})
		}},
		{"a file that is not live", "was not live", func(t *testing.T, b storage.Bucket, a *author) {
			next(t, b, delta.Action{Add: &delta.Add{Path: strings.TrimPrefix(a.removals[0], prefix), Size: 1}})
		}},
		{"a slot that is not finished", "the log has 6 finished slots", func(t *testing.T, b storage.Bucket, a *author) {
			next(t, b, delta.Action{Txn: &delta.Txn{AppID: flights.AppID(), Version: 6}})
		}},
		{"a slot twice", "goes back from slot 5 to 5", func(t *testing.T, b storage.Bucket, a *author) {
			next(t, b, delta.Action{Txn: &delta.Txn{AppID: flights.AppID(), Version: 5}})
		}},
		{"another log", "there is no such log", func(t *testing.T, b storage.Bucket, a *author) {
			next(t, b, delta.Action{Txn: &delta.Txn{AppID: "thalweg/boats/0", Version: 5}})
		}},
		{"another size", "bytes and", func(t *testing.T, b storage.Bucket, a *author) {
			_, files := tableOf(t, b, flights)
			wrong := *files[0]
			wrong.Size++
			next(t, b, delta.Action{Add: &wrong})
		}},
		{"another day", "in the table, and lies in 2026-01-01", func(t *testing.T, b storage.Bucket, a *author) {
			_, files := tableOf(t, b, flights)
			day := "2026-01-02"
			for _, f := range files {
				if strings.Contains(f.Path, "2026-01-01") {
					f.PartitionValues = map[string]*string{"date_date": &day}
					next(t, b, delta.Action{Add: f})
					return
				}
			}
		}},
		{"a version is missing", "version 1 is missing", func(t *testing.T, b storage.Bucket, a *author) {
			next(t, b)
			next(t, b)
			if err := b.Delete(t.Context(), layout.CommitKey(1)); err != nil {
				t.Fatal(err)
			}
		}},
		{"a bit is flipped", "sum", func(t *testing.T, b storage.Bucket, a *author) {
			edit(t, b, 0, func(body []byte) []byte { return bytes.Replace(body, []byte(`"version":`), []byte(`"version":1`), 1) })
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := memory.New()
			a := newAuthor(t, b, flights, 1)
			a.by = "date"
			for i := range 4 {
				a.slot(4, "2026-01-01", fmt.Sprintf("2026-02-%02d", i+1))
			}
			a.slot(0)
			a.body = func(_ int, from, to int64) ([]byte, int64) { return parquetFile(t, from, to), to - from }
			a.compact(0, 1)
			w := start(t, b, Config{}, flights)
			w.settle(a)
			w.stop()
			c.do(t, b, a)
			v, found := judgeTable(t, b)
			text := strings.Join(found, "\n")
			if c.want == "" && text != "" || !strings.Contains(text, c.want) {
				t.Errorf("fsck says %q, want %q", text, c.want)
			}
			if c.name == "behind" && v.TableBehind != 1 {
				t.Errorf("%d slots behind", v.TableBehind)
			}
		})
	}
}

// The newest checkpoint must be what the versions up to it make; where another
// writer cleaned those up, the table is judged from it.
func TestTheJudgeReadsCheckpoints(t *testing.T) {
	layout := delta.Layout(prefix)
	for name, tc := range map[string]struct {
		cleaned bool // versions up to the checkpoint are gone
		damage  func(s *delta.Snapshot)
		after   func(b storage.Bucket, key string)
		want    string
	}{
		"with its versions":         {},
		"without its versions":      {cleaned: true},
		"a file less":               {damage: dropFile, want: "files, the versions up to it"},
		"a file less, and no more":  {cleaned: true, damage: dropFile, want: "was live after slot"},
		"an earlier slot":           {damage: earlierSlot, want: "at slot 4, the versions up to it at 5"},
		"an earlier slot, no more":  {cleaned: true, damage: earlierSlot, want: "was not live after the slots"},
		"its bytes are others":      {cleaned: true, after: flip, want: "the sum that _last_checkpoint gives"},
		"no sum, and no checkpoint": {after: garbage, want: "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			b := memory.New()
			a := newAuthor(t, b, flights, 1)
			a.by = "date"
			for i := range 6 {
				a.slot(4, "2026-01-01", fmt.Sprintf("2026-02-%02d", i+1))
			}
			w := start(t, b, Config{}, flights)
			w.settle(a)
			w.stop()
			table := delta.New(b, prefix)
			s, err := table.Load(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if tc.damage != nil {
				tc.damage(s)
			}
			if _, err := table.WriteCheckpoint(t.Context(), s, 0); err != nil {
				t.Fatal(err)
			}
			if tc.damage == nil { // a writer would go on from the damage
				w = start(t, b, Config{}, flights)
				a.slot(2, "2026-03-01") // versions behind the checkpoint
				w.settle(a)
				w.stop()
			}
			for v := int64(0); tc.cleaned && v <= s.Version; v++ {
				if err := b.Delete(t.Context(), layout.CommitKey(v)); err != nil {
					t.Fatal(err)
				}
			}
			if tc.after != nil {
				tc.after(b, layout.CheckpointKey(s.Version))
			}
			v, found := judgeTable(t, b)
			text := strings.Join(found, "\n")
			if tc.want == "" && text != "" || !strings.Contains(text, tc.want) {
				t.Errorf("fsck says %q, want %q", text, tc.want)
			}
			if base := map[bool]int64{false: -1, true: s.Version}[tc.cleaned]; tc.want == "" && (v.TableBase != base || v.TableCut != "" || v.TableFiles == 0 || v.TableVersion <= s.Version) {
				t.Errorf("judged from %d, want %d: %s", v.TableBase, base, v)
			}
		})
	}
}

func dropFile(s *delta.Snapshot) {
	for path, change := range s.Recent {
		if change.Add != nil {
			delete(s.Recent, path)
			return
		}
	}
}

func earlierSlot(s *delta.Snapshot) { s.Txns[flights.AppID()]-- }

func flip(b storage.Bucket, key string) {
	body, _, _ := b.Get(context.Background(), key)
	body = bytes.Clone(body)
	body[len(body)/2] ^= 1
	_, _ = b.Put(context.Background(), key, body)
}

func garbage(b storage.Bucket, key string) {
	_ = b.Delete(context.Background(), delta.Layout(prefix).LastCheckpointKey())
	_, _ = b.Put(context.Background(), key, []byte("PAR1 and no more PAR1"))
}

// A checkpoint of delta-rs, with a layout of its own, is read as well.
func TestTheJudgeReadsTheCheckpointOfAnotherWriter(t *testing.T) {
	const name = "00000000000000000003.checkpoint.parquet"
	body, err := os.ReadFile("../../../storage/table/delta/testdata/delta-rs/_delta_log/" + name)
	if err != nil {
		t.Fatal(err)
	}
	b := memory.New()
	if _, err := b.Put(t.Context(), prefix+"_delta_log/"+name, body); err != nil {
		t.Fatal(err)
	}
	v, found := judgeTable(t, b)
	if v.TableBase != 3 || v.TableVersion != 3 || v.TableFiles != 2 || v.TableRows <= 0 || len(found) > 0 {
		t.Errorf("%v, violations %q", v, found)
	}
}
