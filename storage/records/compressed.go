package records

import (
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/thalweg/thalweg"
)

const (
	// maxRatio is how many bytes of text a compressed byte stands for at most, beyond
	// freeBytes: no gzip has more, and no rows come near.
	maxRatio  = 1100
	freeBytes = 64 << 20
	// maxWindow bounds what a decompressor looks back on: what zstd --ultra -22 writes.
	maxWindow = 128 << 20
)

// uncompressed returns the text of an object that is compressed as its name says.
func uncompressed(from io.Reader, key string, sizeBytes int64) (io.Reader, func(), error) {
	most := freeBytes + maxRatio*sizeBytes
	switch Compression(key) {
	case gzipped:
		z, err := gzip.NewReader(from) // goes on with the next member
		if errors.Is(err, gzip.ErrHeader) {
			return nil, nil, &thalweg.Error{Op: "read text", Kind: thalweg.Corrupt, Err: errors.New("it is not compressed with gzip, as its name says")}
		}
		if err != nil {
			return nil, nil, damaged(err)
		}
		return &bounded{z, most}, func() {}, nil
	case zstandard:
		z, err := zstd.NewReader(from, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, nil, damaged(err)
		}
		return &bounded{z, most}, z.Close, nil
	}
	return from, func() {}, nil
}

// bounded fails after so many bytes.
type bounded struct {
	io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (n int, err error) {
	n, err = b.Reader.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, &thalweg.Error{Op: "decompress", Kind: thalweg.Exhausted, Err: fmt.Errorf("it has more than %d times as many bytes as are compressed", maxRatio)}
	}
	return n, err
}

// damaged is the error of bytes that cannot be had: that of a store as it is.
func damaged(err error) error {
	if of := new(thalweg.Error); err == nil || errors.As(err, &of) {
		return err
	}
	return &thalweg.Error{Op: "read text", Kind: thalweg.Corrupt, Err: err}
}
