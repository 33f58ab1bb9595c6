package dataset

import (
	"context"
	"io"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
)

// streamBytes is what a stream asks for at a time; as much again is on its way.
const streamBytes = 4 << 20

// stream reads a range of an object from its beginning to its end.
type stream struct {
	parts  chan part
	cancel context.CancelFunc
	now    []byte // of the part that is read, what is left
	left   int64  // that parts have not given yet
	err    error
}

type part struct {
	bytes []byte
	err   error
}

// newStream starts reading bytes [from, to). Close must be called.
func newStream(ctx context.Context, b storage.Bucket, key string, from, to int64) *stream {
	ctx, cancel := context.WithCancel(ctx)
	s := &stream{parts: make(chan part), cancel: cancel, left: to - from}
	go func() {
		defer close(s.parts)
		var now, before []byte // being fetched or waiting, and being read
		for from < to {
			n := min(streamBytes, to-from)
			if now, before = before, now; int64(len(now)) < n {
				now = make([]byte, n)
			}
			p := part{bytes: now[:n]}
			p.err = b.GetRange(ctx, key, from, p.bytes)
			from += n
			select {
			case s.parts <- p:
			case <-ctx.Done():
				return
			}
			if p.err != nil {
				return
			}
		}
	}()
	return s
}

// Read implements io.Reader.
func (s *stream) Read(p []byte) (int, error) {
	for len(s.now) == 0 && s.err == nil {
		next, ok := <-s.parts
		switch {
		case next.err != nil:
			s.err = next.err
		case ok:
			s.now = next.bytes
			s.left -= int64(len(s.now))
		case s.left > 0:
			s.err = &thalweg.Error{Op: "fetch", Kind: thalweg.Canceled}
		default:
			s.err = io.EOF
		}
	}
	if len(s.now) == 0 {
		return 0, s.err
	}
	n := copy(p, s.now)
	s.now = s.now[n:]
	return n, nil
}

// Close stops reading, and waits for the end of it.
func (s *stream) Close() {
	s.cancel()
	for range s.parts {
	}
}
