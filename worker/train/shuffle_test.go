package train

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/thalweg/thalweg"
)

// newRecords returns n records of 12 bytes in the order of their ids.
func newRecords(n int) [][]byte {
	var records [][]byte
	for i := range n {
		r := binary.LittleEndian.AppendUint64(nil, rowID(shardID(42, 3), int64(i)))
		records = append(records, binary.LittleEndian.AppendUint32(r, uint32(i)))
	}
	return records
}

// shuffled passes records through a shuffler that has so many bytes of memory.
func shuffled(t *testing.T, records [][]byte, bytes int64) (order []uint32) {
	t.Helper()
	m := &memory{limit: bytes}
	s := &shuffler{layout: &layout{record: 12, head: idBytes}, space: space{memory: m, dir: t.TempDir()}}
	first, second := s.open(), s.open() // of two readers
	for i, r := range records {
		f := first
		if i%3 == 0 {
			f = second
		}
		f.records, f.rows = append(f.records, r...), f.rows+1
		if f.rows == 3000 {
			dealt, ends := f.deal(s.layout, nil)
			if err := s.add(dealt, ends, 3000); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.idle = append(s.idle, first, second)
	if err := s.complete(); err != nil {
		t.Fatal(err)
	}
	if s.records != len(records) {
		t.Errorf("%d rows", s.records)
	}
	if most := 12*int64(len(records)) + int64(len(s.chunks))*chunkOverhead; m.used.Load() > most {
		t.Errorf("%d bytes for %d records of 12", m.used.Load(), len(records))
	}
	if err := s.each(func(records []byte, sorted []int) error {
		for _, at := range sorted {
			order = append(order, binary.LittleEndian.Uint32(records[at+8:]))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if used := m.used.Load(); used != 0 {
		t.Errorf("%d bytes were not given back", used)
	}
	s.close()
	return order
}

func TestShuffledOrderDependsOnTheRecordsOnly(t *testing.T) {
	records := newRecords(20_000)
	want := shuffled(t, records, 1<<30)
	seen := slices.Clone(want)
	slices.Sort(seen)
	for i, v := range seen {
		if int(v) != i {
			t.Fatalf("record %d came out as %d", i, v)
		}
	}
	if slices.IsSorted(want) {
		t.Error("nothing was shuffled")
	}
	backwards := slices.Clone(records)
	slices.Reverse(backwards)
	for name, order := range map[string][]uint32{
		"backwards":    shuffled(t, backwards, 1<<30),
		"spilled":      shuffled(t, records, 0),
		"some on disk": shuffled(t, backwards, 20_000),
		"a chunk":      shuffled(t, records, 52_000),
		"the rest":     shuffled(t, records, 152_000),
	} {
		if !slices.Equal(order, want) {
			t.Errorf("%s: another order", name)
		}
	}
}

func TestChunksThatAreFilledAtOnceAreBounded(t *testing.T) {
	plain, long, tails := &layout{record: 12, head: idBytes}, &layout{record: 4000, head: idBytes}, &layout{record: 12, head: idBytes + countBytes}
	for _, c := range []struct {
		layout            *layout
		limit             int64
		replicas, readers int
		read, size        int
	}{
		{plain, 0, 4, 8, 8, chunkBytes},
		{long, 0, 4, 8, 8, chunkRows * 4000},
		{long, 0, 64, 16, 15, fillingBytes / 65 / 15},
		{plain, 4 << 30, 64, 16, 16, fillingBytes * 4 / 65 / 16},
		{tails, 0, 1024, 64, 1, fillingBytes / 1025},
	} {
		read, size := fillingSize(c.layout, c.limit, c.replicas, c.readers)
		if read != c.read || size != c.size {
			t.Errorf("%d replicas and %d readers: %d read chunks of %d bytes, want %d of %d", c.replicas, c.readers, read, size, c.read, c.size)
		}
	}
	f := new(filling)
	for room := f.room(tails, 1<<16); room > 0; room = f.room(tails, 1<<16) {
		f.records, f.rows = append(f.records, make([]byte, 512*room)...), f.rows+room
	}
	if len(f.records) > 1<<16 || len(f.records) < 1<<16-512 {
		t.Errorf("a chunk of 64 KiB has %d bytes of rows with tails", len(f.records))
	}
}

func TestShuffleSpreadsNeighbours(t *testing.T) {
	order := shuffled(t, newRecords(20_000), 1<<30)
	// The mean of the first tenth of a random order is within 5 deviations
	// (20000/sqrt(12*2000) each) of the middle.
	var sum float64
	for _, v := range order[:2000] {
		sum += float64(v)
	}
	if mean := sum / 2000; mean < 9355 || mean > 10645 {
		t.Errorf("the first tenth has mean %v", mean)
	}
}

func TestRecordsOfOneHashAreOrderedByContent(t *testing.T) {
	var records [][]byte
	for i := range 400 {
		r := binary.LittleEndian.AppendUint64(nil, 99)
		records = append(records, binary.LittleEndian.AppendUint32(r, uint32(i)))
	}
	random := rand.New(rand.NewPCG(1, 1))
	want := shuffled(t, records, 1<<30)
	random.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
	if !slices.Equal(shuffled(t, records, 0), want) {
		t.Error("the order depends on arrival")
	}
}

func TestDamagedSpillIsNoticed(t *testing.T) {
	s := &space{memory: new(memory), dir: t.TempDir()}
	defer s.close()
	if _, err := s.write([]byte("something before")); err != nil {
		t.Fatal(err)
	}
	at, err := s.write([]byte("rows"))
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, at.size)
	if err := s.read(at, buf); err != nil || !bytes.Equal(buf, []byte("rows")) {
		t.Fatalf("%q, %v", buf, err)
	}
	if _, err := s.mu.file.WriteAt([]byte("x"), at.offset+2); err != nil {
		t.Fatal(err)
	}
	if err := s.read(at, buf); !thalweg.Is(err, thalweg.Corrupt) {
		t.Errorf("changed byte: %v", err)
	}
	if err := s.mu.file.Truncate(at.offset + 1); err != nil {
		t.Fatal(err)
	}
	if err := s.read(at, buf); !thalweg.Is(err, thalweg.Unavailable) {
		t.Errorf("truncated: %v", err)
	}
}

func TestSpillLeavesNoFile(t *testing.T) {
	dir := t.TempDir()
	s := &space{memory: new(memory), dir: dir}
	if _, err := s.write([]byte("rows")); err != nil {
		t.Fatal(err)
	}
	s.close()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
