// Package backup writes the coordinators' state to a file and reads it back.
package backup

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/state"
)

const (
	// firstLine begins a backup; then come the sum of the rest, a line's end, and
	// the rest: a snapshot in zstd.
	firstLine = "thalweg backup 1 sha256 "
	// maxBytes bounds what a backup may grow to when it is read.
	maxBytes = 1 << 30
	// ahead is by how much the log of a restored cluster is ahead of its
	// backup: what the lost cluster gave by index afterwards, such as the tokens of
	// leases, is not given again.
	ahead = 1 << 32
)

// Write returns the state as a file that Read reads.
func Write(s *state.State) ([]byte, error) {
	data, err := s.Encode()
	if err != nil {
		return nil, err
	}
	zip, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer zip.Close()
	body := zip.EncodeAll(data, nil)
	return append(fmt.Appendf(nil, "%s%x\n", firstLine, sha256.Sum256(body)), body...), nil
}

// Read returns the state of a backup, for a cluster that knows nothing yet. Its
// index is far ahead of the backup's.
func Read(backup []byte) (*state.State, error) {
	flawed := func(err error) (*state.State, error) {
		return nil, &thalweg.Error{Op: "read backup", Kind: thalweg.Corrupt, Subject: fmt.Sprintf("file of %d bytes", len(backup)),
			Hint: "take another one: nothing was restored", Err: err}
	}
	head, body, ok := bytes.Cut(backup, []byte("\n"))
	sum, known := bytes.CutPrefix(head, []byte(firstLine))
	switch {
	case !ok || !known:
		return flawed(fmt.Errorf("it does not begin with %q", firstLine))
	case string(sum) != fmt.Sprintf("%x", sha256.Sum256(body)):
		return flawed(errors.New("its bytes are not those that were written"))
	}
	unzip, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxBytes))
	if err != nil {
		return nil, err
	}
	defer unzip.Close()
	data, err := unzip.DecodeAll(body, nil)
	if err != nil {
		return flawed(err)
	}
	s, err := state.Decode(data)
	if err != nil {
		return nil, err
	}
	s.Skip(ahead)
	return s, nil
}
