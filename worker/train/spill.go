package train

import (
	"fmt"
	"hash/crc32"
	"os"
	"sync"

	"github.com/thalweg/thalweg"
)

// castagnoli is the polynomial that processors have an instruction for.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// spill is a temporary file of checksummed pieces. It is unlinked as soon as it
// is open where the system allows, so that a killed worker leaves nothing
// behind. Its methods may be called concurrently.
type spill struct {
	file     *os.File
	unlinked bool

	mu struct {
		sync.Mutex
		size int64
	}
}

// piece is where a spill keeps some bytes, and their checksum.
type piece struct {
	offset int64
	size   int
	sum    uint32
}

func newSpill(dir, purpose string) (*spill, error) {
	file, err := os.CreateTemp(dir, "thalweg-"+purpose+"-*")
	if err != nil {
		return nil, &thalweg.Error{Op: opTrain, Kind: thalweg.Unavailable, Subject: "spill directory " + dir, Err: err,
			Hint: "give the worker a directory that it can write to"}
	}
	return &spill{file: file, unlinked: os.Remove(file.Name()) == nil}, nil
}

// write appends p.
func (s *spill) write(p []byte) (piece, error) {
	s.mu.Lock()
	at := piece{offset: s.mu.size, size: len(p)}
	s.mu.size += int64(len(p))
	s.mu.Unlock()
	at.sum = crc32.Checksum(p, castagnoli)
	if _, err := s.file.WriteAt(p, at.offset); err != nil {
		return piece{}, &thalweg.Error{Op: opTrain, Kind: thalweg.Exhausted, Subject: "spill file " + s.file.Name(), Err: err,
			Hint: "give the worker more disk or more memory"}
	}
	return at, nil
}

// read fills buf, of the piece's size, with its bytes.
func (s *spill) read(at piece, buf []byte) error {
	if _, err := s.file.ReadAt(buf, at.offset); err != nil {
		return &thalweg.Error{Op: opTrain, Kind: thalweg.Unavailable, Subject: "spill file " + s.file.Name(), Err: err}
	}
	if sum := crc32.Checksum(buf, castagnoli); sum != at.sum {
		return &thalweg.Error{Op: opTrain, Kind: thalweg.Corrupt, Subject: fmt.Sprintf("spill file %s at offset %d", s.file.Name(), at.offset),
			Err: fmt.Errorf("checksum is %08x, not %08x", sum, at.sum), Hint: "the worker's disk returns other bytes than were written"}
	}
	return nil
}

// close removes the file.
func (s *spill) close() {
	if s == nil {
		return
	}
	// A failure loses nothing: the bytes are not needed any more.
	s.file.Close()
	if !s.unlinked {
		os.Remove(s.file.Name())
	}
}
