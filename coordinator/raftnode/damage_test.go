package raftnode

import (
	"bytes"
	"cmp"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/integration/effort"
)

// logOf writes a log like one of a member that lived a while: entries of all
// sizes, votes, a truncation at either end.
func logOf(t *testing.T, path string) {
	t.Helper()
	s, err := openStore(path, "", func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	check := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	var logs []*raft.Log
	for i := range uint64(60) {
		size := 10 * (i % 9)
		if i == 40 {
			size = 5000 // overflows its page
		}
		logs = append(logs, &raft.Log{Index: i + 1, Term: 1 + i/25, Type: raft.LogCommand, Data: bytes.Repeat([]byte{byte(i)}, int(size))})
	}
	check(s.StoreLogs(logs[:35]))
	check(s.StoreLogs(logs[35:]))
	check(s.SetUint64([]byte("CurrentTerm"), 3))
	check(s.Set([]byte("LastVoteCand"), []byte("127.0.0.1:4321")))
	check(s.DeleteRange(1, 10))
	check(s.DeleteRange(58, 60))
	check(s.StoreLogs([]*raft.Log{{Index: 58, Term: 4, Data: []byte("last")}}))
	check(s.Close())
}

// contents is what a log says, or why it is refused.
func contents(data []byte) (string, error) {
	var entries strings.Builder
	h, err := verify(bytes.NewReader(data), int64(len(data)), func(l *raft.Log) { fmt.Fprintln(&entries, l.Index, l.Term, l.Type, l.AppendedAt, string(l.Data)) })
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%+v\n%s", *h, entries.String()), nil
}

// readLog returns the bytes of a log as logOf writes it, and what it says.
func readLog(t *testing.T) (data []byte, whole string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), logFile)
	logOf(t, path)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if whole, err = contents(data); err != nil {
		t.Fatal(err)
	}
	return data, whole
}

func TestEachByteOfTheLogThatCountsIsVerified(t *testing.T) {
	t.Parallel()
	data, whole := readLog(t)
	refused, tried := 0, 0
	for at, b := range data {
		if !effort.Takes(at, 19) { // which is no multiple of what the log is laid out by
			continue
		}
		tried++
		data[at] = b ^ 1<<(at%8)
		switch got, err := contents(data); {
		case err != nil:
			refused++
		case got != whole:
			t.Fatalf("byte %d: %#x for %#x changes what is read without an error", at, data[at], b)
		}
		data[at] = b
	}
	if refused < 5000*tried/len(data) { // of the pages in use, less the room that is left in them
		t.Errorf("%d of %d bytes are verified", refused, tried)
	}
}

func TestLogOfAnyBytesIsRefusedWithoutAPanic(t *testing.T) {
	t.Parallel()
	data, whole := readLog(t)
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 5000 {
		damaged := bytes.Clone(data)
		switch n := random.IntN(len(data)); round % 3 {
		case 0:
			damaged = damaged[:n]
		case 1: // a sector of zeros
			clear(damaged[n : n+min(512, len(data)-n)])
		case 2: // some bytes at the beginning of a page, where its structure is
			for range 1 + random.IntN(8) {
				damaged[min(len(data)-1, n&^4095+random.IntN(64))] = byte(random.Uint32())
			}
		}
		if got, err := contents(damaged); err == nil && got != whole {
			t.Fatalf("round %d: other contents without an error", round)
		}
	}
}

// lived returns a stopped single member that has a snapshot and entries after it.
func lived(t *testing.T) *group {
	g := newGroup(t, "a")
	g.commit("one", "two", "three")
	if err := g.leader().Snapshot(); err != nil {
		t.Fatal(err)
	}
	g.commit("the payload of an entry", "five")
	g.stop("a")
	return g
}

// reopen tries to start the member on what is in its directory.
func (g *group) reopen() (*list, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	machine := &list{}
	node, err := Open(slog.New(slog.DiscardHandler), l, machine, g.config("a"))
	if err != nil {
		return nil, err
	}
	node.close()
	return machine, nil
}

func TestDamagedStateRefusesToStart(t *testing.T) {
	t.Parallel()
	g := lived(t)
	dir := g.config("a").Dir
	if _, err := g.reopen(); err != nil {
		t.Fatal(err)
	}
	saved := os.DirFS(dir)
	first := t.TempDir()
	if err := os.CopyFS(first, saved); err != nil {
		t.Fatal(err)
	}
	found, err := fs.Glob(saved, "snapshots/*/meta.json")
	if err != nil || len(found) != 1 {
		t.Fatalf("%d snapshots: %v", len(found), err)
	}
	snapshot := filepath.Dir(found[0])
	meta, body := snapshot+"/meta.json", snapshot+"/state.bin"
	at := func(file, text string) func() error {
		return func() error {
			path := filepath.Join(dir, file)
			data, err := os.ReadFile(path)
			i := bytes.LastIndex(data, []byte(text))
			if err != nil || i < 0 {
				return fmt.Errorf("%q in %s: %w", text, file, err)
			}
			data[i+len(text)-1] ^= 1
			return os.WriteFile(path, data, 0o600)
		}
	}
	size := func(file string, n int64) func() error {
		return func() error { return os.Truncate(filepath.Join(dir, file), n) }
	}
	remove := func(file string) func() error {
		return func() error { return os.RemoveAll(filepath.Join(dir, file)) }
	}
	for name, c := range map[string]struct {
		damage func() error
		says   []string
	}{
		"entry's payload":        {at("log.db", "the payload"), []string{"log.db", "entry 7", "not those that were written"}},
		"term":                   {at("log.db", `"CurrentTerm":"`), []string{"log.db", "the record of term and vote"}},
		"vote":                   {at("log.db", `"LastVoteCand":"`), []string{"log.db", "the record of term and vote"}},
		"log cut off":            {size("log.db", 20000), []string{"log.db"}},
		"log cut to a byte":      {size("log.db", 1), []string{"log.db"}},
		"log emptied":            {size("log.db", 0), []string{"log.db", "empty"}},
		"log gone":               {remove("log.db"), []string{"log.db", "missing", "the term and the vote"}},
		"snapshot's index":       {at(meta, `"Index":6`), []string{"meta.json", "not those that were written"}},
		"snapshot's members":     {at(meta, `"ID":"a`), []string{"meta.json"}},
		"snapshot's sum":         {at(meta, `"CRC":"a`[:7]), []string{"meta.json"}},
		"snapshot's description": {remove(meta), []string{"meta.json"}},
		"description emptied":    {size(meta, 0), []string{"meta.json"}},
		"snapshot's body":        {at(body, "two"), []string{"state.bin"}},
		"body cut off":           {size(body, 4), []string{"state.bin"}},
		"body emptied":           {size(body, 0), []string{"state.bin"}},
		"body gone":              {remove(body), []string{"state.bin"}},
		"snapshot gone":          {remove(snapshot), []string{"meta.json", "no such file"}},
		"snapshots gone":         {remove("snapshots"), []string{"meta.json", "no such file"}},
		"a snapshot from nowhere": {func() error {
			return os.CopyFS(filepath.Join(dir, "snapshots/9-900-1"), os.DirFS(filepath.Join(dir, snapshot)))
		}, []string{"9-900-1", "does not know"}},
	} {
		if err := c.damage(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_, err := g.reopen()
		if !thalweg.Is(err, thalweg.Corrupt) {
			t.Errorf("%s: %v", name, err)
		} else {
			for _, says := range append(c.says, "put a copy of "+dir+" back") {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("%s: %q does not say %q", name, err, says)
				}
			}
			if strings.Contains(err.Error(), "newer build") {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(dir, os.DirFS(first)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := g.reopen(); err != nil {
		t.Error(err)
	}
}

func TestLogDamagedBeneathARunningNodeIsNotRead(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(file *os.File, data []byte) error{
		"payload": func(file *os.File, data []byte) error {
			_, err := file.WriteAt([]byte{0}, int64(bytes.LastIndex(data, bytes.Repeat([]byte{40}, 4000))))
			return err
		},
		"pages": func(file *os.File, data []byte) error {
			_, err := file.WriteAt(make([]byte, len(data)-8192), 8192)
			return err
		},
		"cut off": func(file *os.File, _ []byte) error { return file.Truncate(8192) },
	} {
		path := filepath.Join(t.TempDir(), logFile)
		logOf(t, path)
		var failed error
		s, err := openStore(path, "do this", func(err error) { failed = cmp.Or(failed, err) })
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := damage(file, data); err != nil {
			t.Fatal(err)
		}
		done, returned := make(chan struct{}), false
		go func() {
			defer close(done)
			_ = s.GetLog(41, new(raft.Log))
			returned = true
		}()
		<-done
		if returned || !thalweg.Is(failed, thalweg.Corrupt) || !strings.Contains(failed.Error(), path) || !strings.Contains(failed.Error(), "do this") {
			t.Errorf("%s: %v, %v", name, returned, failed)
		}
		if name == "payload" && !strings.Contains(failed.Error(), "entry 41") {
			t.Errorf("%s: %v", name, failed)
		}
		file.Close()
		if err := s.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNodeDoesNotApplyAnEntryThatWasDamagedWhileItRan(t *testing.T) {
	t.Parallel()
	g := newGroup(t, "a", "b", "c")
	g.commit("one", "the payload of an entry", "three")
	g.await(3)
	for _, id := range []string{"a", "b", "c"} {
		g.stop(id)
	}
	start := func(id string) {
		i := slices.IndexFunc(g.peers, func(p Peer) bool { return p.ID == id })
		l, err := net.Listen("tcp", g.peers[i].Address)
		if err != nil {
			t.Fatal(err)
		}
		g.start(id, l, &list{})
	}
	// Alone it does not know what is committed, so it applies nothing yet.
	start("a")
	m := g.members["a"]
	path := filepath.Join(g.config("a").Dir, logFile)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for at := 0; ; at++ { // bbolt may have left older copies behind
		next := bytes.Index(data[at:], []byte("the payload"))
		if next < 0 {
			break
		}
		at += next
		if _, err := file.WriteAt([]byte("T"), int64(at)); err != nil {
			t.Fatal(err)
		}
	}
	start("b")
	start("c")
	err = <-m.done
	m.done <- nil // for the clean-up
	if !thalweg.Is(err, thalweg.Corrupt) {
		t.Fatalf("the node ended with %v", err)
	}
	for _, says := range []string{path, "entry ", "while the other members run, move " + g.config("a").Dir + " away"} {
		if !strings.Contains(err.Error(), says) {
			t.Errorf("%q does not say %q", err, says)
		}
	}
	if strings.Contains(fmt.Sprint(m.machine.Entries), "payload") {
		t.Errorf("applied: %v", m.machine.Entries)
	}

	// What the hint says works.
	g.stop("a")
	if err := os.Rename(g.config("a").Dir, filepath.Join(g.dir, "away")); err != nil {
		t.Fatal(err)
	}
	start("a")
	g.await(3)
	if got := fmt.Sprint(g.members["a"].machine.Entries); got != "[one the payload of an entry three]" {
		t.Errorf("after the node joined again it has %s", got)
	}
}

func TestSnapshotDamagedBeneathARunningLeaderIsNotSent(t *testing.T) {
	t.Parallel()
	g := newSteadyGroup(t, 2*time.Second, "a", "b", "c") // another leader would send its own
	g.commit("one")
	g.await(1)
	leader := g.leader()
	id := leader.cfg.ID
	behind := "a"
	if id == "a" {
		behind = "b"
	}
	g.stop(behind)
	g.commit("two", "three", "four")
	if g.leader() != leader {
		t.Fatal("the leader changed")
	}
	if err := leader.Snapshot(); err != nil {
		t.Fatal(err)
	}
	bodies, err := filepath.Glob(filepath.Join(g.config(id).Dir, "snapshots/*/state.bin"))
	if err != nil || len(bodies) != 1 {
		t.Fatalf("%d snapshots: %v", len(bodies), err)
	}
	if err := os.WriteFile(bodies[0], []byte(`["one","TWO","three","four"]`), 0o600); err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(g.peers, func(p Peer) bool { return p.ID == behind })
	l, err := net.Listen("tcp", g.peers[i].Address)
	if err != nil {
		t.Fatal(err)
	}
	g.start(behind, l, &list{})
	select {
	case err = <-leader.done:
	case <-time.After(time.Minute):
		t.Fatal("the leader has not read its snapshot")
	}
	leader.done <- nil // for the clean-up
	if !thalweg.Is(err, thalweg.Corrupt) || !strings.Contains(err.Error(), bodies[0]) {
		t.Errorf("the node ended with %v", err)
	}
}

func TestCrashBetweenTheStepsOfASnapshotIsNoDamage(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(dir string, s *store) error{
		"while the snapshot is written": func(dir string, _ *store) error {
			return os.MkdirAll(filepath.Join(dir, "snapshots/3-50-1.tmp"), 0o700)
		},
		"before log.db knows it": func(dir string, s *store) error {
			if err := os.MkdirAll(filepath.Join(dir, "snapshots/3-50-1"), 0o700); err != nil {
				return err
			}
			return s.update("", func(_ *bbolt.Tx, h *head) error {
				h.Writing = "3-50-1"
				return nil
			})
		},
		"before the log behind an installed one is dropped": func(dir string, s *store) error {
			return s.update("", func(_ *bbolt.Tx, h *head) error {
				h.Snapshot.Index = h.Last + 10
				return nil
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := lived(t)
			dir := g.config("a").Dir
			s, err := openStore(filepath.Join(dir, logFile), "", func(err error) { t.Error(err) })
			if err != nil {
				t.Fatal(err)
			}
			if err := cmp.Or(leave(dir, s), s.Close()); err != nil {
				t.Fatal(err)
			}
			machine, err := g.reopen()
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(machine.Entries[:3]); got != "[one two three]" {
				t.Errorf("it holds %s", got)
			}
		})
	}
}

func TestFirstLogThatACrashLeftHalfIsBuiltAnew(t *testing.T) {
	t.Parallel()
	g := newGroup(t, "a")
	g.stop("a")
	dir := g.config("a").Dir
	if err := cmp.Or(os.RemoveAll(dir), os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, newFile), []byte("half"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := g.reopen(); err != nil {
		t.Error(err)
	}
}

func TestLogOfAnotherFormIsNamedSo(t *testing.T) {
	t.Parallel()
	g := newGroup(t, "a")
	g.stop("a")
	dir := g.config("a").Dir
	if err := cmp.Or(os.RemoveAll(dir), os.Mkdir(dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(filepath.Join(dir, logFile), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("conf"))
		return cmp.Or(err, b.Put([]byte("CurrentTerm"), make([]byte, 8)))
	})
	if err := cmp.Or(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := g.reopen(); !thalweg.Is(err, thalweg.Unsupported) || !strings.Contains(err.Error(), "older build") {
		t.Error(err)
	}
}
