package kafka

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/segmentio/kafka-go/compress"

	"github.com/thalweg/thalweg"
)

// inflater undoes the compression of record batches into one buffer that is
// used again.
type inflater struct {
	src bytes.Reader
	dst []byte

	pool  *Pool
	small int                   // bytes that may be inflated without asking
	large func(bytes int) error // asks for more
}

// borrow takes a buffer of the pool to work with, until returnBuffer.
func (f *inflater) borrow(pool *Pool, small int, large func(bytes int) error) {
	f.pool, f.small, f.large = pool, small, large
	f.dst = pool.get(0)
}

func (f *inflater) returnBuffer() {
	f.pool.put(f.dst)
	f.dst = nil
}

// inflate returns the records of a batch, uncompressed. whole is false if
// there are more than limit bytes, of which the first limit are returned. The
// result is valid until the next call. A panic of a codec on hostile bytes is
// an error.
func (f *inflater) inflate(data []byte, codec, limit int) (out []byte, whole bool, err error) {
	if codec == int(compress.None) {
		return data, true, nil
	}
	if codec >= len(compress.Codecs) {
		return nil, false, fmt.Errorf("unknown codec %d", codec)
	}
	defer func() {
		if p := recover(); p != nil {
			out, whole, err = nil, false, fmt.Errorf("codec %s panicked: %v", compress.Codecs[codec].Name(), p)
		}
	}()
	if f.pool == nil {
		f.pool = NewPool()
	}
	f.dst = f.dst[:0]
	if compress.Compression(codec) == compress.Snappy && snappyClaims(data) > uint64(limit) {
		return f.dst, false, nil
	}
	f.src.Reset(data)
	r, err := f.stream(codec, limit)
	if err != nil {
		return nil, false, err
	}
	defer r.Close()
	for {
		if len(f.dst) == cap(f.dst) {
			if len(f.dst) > limit {
				return f.dst[:limit], false, nil
			}
			size := min(limit+1, max(64<<10, 4*len(data), 2*cap(f.dst)))
			if f.large != nil && size > f.small {
				if err := f.large(size); err != nil {
					return nil, false, &thalweg.Error{Op: "wait for memory", Kind: thalweg.Canceled, Err: err}
				}
			}
			grown := make([]byte, len(f.dst), size)
			copy(grown, f.dst)
			f.dst = grown
		}
		n, err := r.Read(f.dst[len(f.dst):cap(f.dst)])
		f.dst = f.dst[:len(f.dst)+n]
		switch {
		case len(f.dst) > limit:
			return f.dst[:limit], false, nil
		case errors.Is(err, io.EOF):
			return f.dst, true, nil
		case exceedsWindow(err):
			return f.dst, false, nil
		case err != nil:
			return nil, false, err
		}
	}
}
