package train

import (
	"fmt"
	"hash/crc32"
	"sync"
	"sync/atomic"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/disk"
)

// castagnoli is the polynomial that processors have an instruction for.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// memory is a bound on bytes that several spaces share. Reserving is a promise,
// not an allocation: whoever is refused writes to disk instead.
type memory struct {
	limit int64
	used  atomic.Int64
	peak  atomic.Int64 // the most that was in use
}

// space is what one owner takes: memory as far as the bound allows, else a
// temporary file of checksummed pieces. The file is unlinked as soon as it is open
// where the system allows, so that a killed worker leaves nothing behind. Its
// methods may be called concurrently.
type space struct {
	memory *memory
	dir    string

	mu struct {
		sync.Mutex
		reserved int64
		file     *disk.Temp // nil until the first write
		size     int64
	}
}

// piece is where a space's file keeps some bytes, and their checksum.
type piece struct {
	offset int64
	size   int
	sum    uint32
}

// reserve takes n bytes of memory, or reports that they are not there.
func (s *space) reserve(n int64) bool {
	used := s.memory.used.Add(n)
	if used > s.memory.limit {
		s.memory.used.Add(-n)
		return false
	}
	for peak := s.memory.peak.Load(); used > peak && !s.memory.peak.CompareAndSwap(peak, used); peak = s.memory.peak.Load() {
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.reserved += n
	return true
}

// release gives n bytes back that were reserved.
func (s *space) release(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.reserved -= n
	s.memory.used.Add(-n)
}

// extend makes room for n bytes in the file.
func (s *space) extend(n int) (file *disk.Temp, offset int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.file == nil {
		if s.mu.file, err = disk.NewTemp(opTrain, s.dir, "thalweg-rows-*"); err != nil {
			return nil, 0, err
		}
	}
	offset = s.mu.size
	s.mu.size += int64(n)
	return s.mu.file, offset, nil
}

// write appends p to the file.
func (s *space) write(p []byte) (piece, error) {
	file, offset, err := s.extend(len(p))
	if err != nil {
		return piece{}, err
	}
	return writeAt(file, offset, p)
}

// writeParts appends p to the file, as pieces that each end at one of the given places.
func (s *space) writeParts(p []byte, ends []int) (pieces []piece, err error) {
	file, offset, err := s.extend(len(p))
	if err != nil {
		return nil, err
	}
	if _, err := file.WriteAt(p, offset); err != nil {
		return nil, err
	}
	from := 0
	for _, to := range ends {
		pieces = append(pieces, pieceOf(offset+int64(from), p[from:to]))
		from = to
	}
	return pieces, nil
}

// rewrite replaces a piece, for which there is room in the file, or appends p where that
// is too little.
func (s *space) rewrite(at piece, room int, p []byte) (piece, int, error) {
	if len(p) <= room {
		file, _, err := s.extend(0)
		if err == nil {
			at, err = writeAt(file, at.offset, p)
		}
		return at, room, err
	}
	room = len(p) + len(p)/4
	file, offset, err := s.extend(room)
	if err == nil {
		at, err = writeAt(file, offset, p)
	}
	return at, room, err
}

func writeAt(file *disk.Temp, offset int64, p []byte) (piece, error) {
	_, err := file.WriteAt(p, offset)
	return pieceOf(offset, p), err
}

func pieceOf(offset int64, p []byte) piece {
	return piece{offset: offset, size: len(p), sum: crc32.Checksum(p, castagnoli)}
}

// read fills buf, of the piece's size, with its bytes.
func (s *space) read(at piece, buf []byte) error {
	file, _, err := s.extend(0)
	if err != nil {
		return err
	}
	if _, err := file.ReadAt(buf, at.offset); err != nil {
		return &thalweg.Error{Op: opTrain, Kind: thalweg.Unavailable, Subject: "spill file " + file.Name(), Err: err}
	}
	if sum := crc32.Checksum(buf, castagnoli); sum != at.sum {
		return &thalweg.Error{Op: opTrain, Kind: thalweg.Corrupt, Subject: fmt.Sprintf("spill file %s at offset %d", file.Name(), at.offset),
			Err: fmt.Errorf("checksum is %08x, not %08x", sum, at.sum), Hint: "the worker's disk returns other bytes than were written"}
	}
	return nil
}

// close gives back memory and disk.
func (s *space) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.memory.used.Add(-s.mu.reserved)
	s.mu.reserved = 0
	if s.mu.file == nil {
		return
	}
	// A failure loses nothing: the bytes are not needed any more.
	_ = s.mu.file.Close()
	s.mu.file = nil
}
