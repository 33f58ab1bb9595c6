package average

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"math"

	"github.com/thalweg/thalweg"
)

// A body holds a stretch of the vectors of some replicas, all numbers little
// endian:
//
//	"TWX1", count uint32, sequence, from, to uint64
//	count times: replica, length of the note uint32, weight float64, note
//	chunk by chunk of [from, to): count times the elements of the chunk, float32
//	CRC-32C of everything before, uint32
//
// The vectors are interleaved chunk by chunk so that a reader can add up the
// bodies of several peers in replica order with memory for one chunk.
const (
	magic       = "TWX1"
	headerBytes = 32
	entryBytes  = 16
	sumBytes    = 4

	// chunkFloats is how many elements of a vector are sent, and added up, at a
	// time: they and their sums stay in the second-level cache.
	chunkFloats = 16384
	chunkBytes  = 4 * chunkFloats

	// maxNote bounds a note. The largest is the histogram of validation metrics:
	// 2 * 65536 bins of at most 11 bytes, in base64.
	maxNote = 4 << 20
	// maxFloats bounds a vector, as model.MaxSize with Adam's state does.
	maxFloats = 1 << 30
)

// castagnoli is the polynomial that processors have an instruction for.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// entry is one replica's part of a body.
type entry struct {
	replica int
	contribution
}

// bodySize returns the length of a body.
func bodySize(entries []entry) int64 {
	size := int64(headerBytes + sumBytes)
	for _, e := range entries {
		size += int64(entryBytes + len(e.note) + 4*len(e.vector))
	}
	return size
}

// writeBody writes the entries, whose vectors are the elements [from, to) of
// the whole ones. alive is called before every chunk.
func writeBody(w io.Writer, sequence uint64, entries []entry, from, to int, alive func()) error {
	sum := crc32.New(castagnoli)
	buffered := bufio.NewWriterSize(w, chunkBytes)
	out := io.MultiWriter(buffered, sum)
	header := append(make([]byte, 0, headerBytes), magic...)
	header = binary.LittleEndian.AppendUint32(header, uint32(len(entries)))
	header = binary.LittleEndian.AppendUint64(header, sequence)
	header = binary.LittleEndian.AppendUint64(header, uint64(from))
	header = binary.LittleEndian.AppendUint64(header, uint64(to))
	for _, e := range entries {
		header = binary.LittleEndian.AppendUint32(header, uint32(e.replica))
		header = binary.LittleEndian.AppendUint32(header, uint32(len(e.note)))
		header = binary.LittleEndian.AppendUint64(header, math.Float64bits(e.weight))
		header = append(header, e.note...)
	}
	if _, err := out.Write(header); err != nil {
		return err
	}
	chunk := make([]byte, min(chunkBytes, 4*(to-from)))
	for at := 0; at < to-from; at += chunkFloats {
		end := min(at+chunkFloats, to-from)
		alive()
		for _, e := range entries {
			part := chunk[:4*(end-at)]
			encodeFloats(part, e.vector[at:end])
			if _, err := out.Write(part); err != nil {
				return err
			}
		}
	}
	if _, err := buffered.Write(binary.LittleEndian.AppendUint32(nil, sum.Sum32())); err != nil {
		return err
	}
	return buffered.Flush()
}

// bodyReader reads a body as it comes.
type bodyReader struct {
	in      io.Reader
	sum     hash.Hash32
	entries []entry // without vectors
	chunk   []byte
}

// readBody reads the head of a body and fails unless it is what was asked for.
func readBody(in io.Reader, sequence uint64, replicas []int, from, to int) (*bodyReader, error) {
	r := &bodyReader{in: bufio.NewReaderSize(in, chunkBytes), sum: crc32.New(castagnoli)}
	var header [headerBytes]byte
	if err := r.full(header[:]); err != nil {
		return nil, err
	}
	if string(header[:4]) != magic || int(binary.LittleEndian.Uint32(header[4:])) != len(replicas) ||
		binary.LittleEndian.Uint64(header[8:]) != sequence ||
		binary.LittleEndian.Uint64(header[16:]) != uint64(from) || binary.LittleEndian.Uint64(header[24:]) != uint64(to) {
		return nil, corrupt(fmt.Errorf("the body's head %x is not of %d replicas, exchange %d, elements %d to %d", header, len(replicas), sequence, from, to))
	}
	for _, replica := range replicas {
		var head [entryBytes]byte
		if err := r.full(head[:]); err != nil {
			return nil, err
		}
		size := binary.LittleEndian.Uint32(head[4:])
		weight := math.Float64frombits(binary.LittleEndian.Uint64(head[8:]))
		if int(binary.LittleEndian.Uint32(head[:])) != replica || size > maxNote || !(weight >= 0) || math.IsInf(weight, 1) {
			return nil, corrupt(fmt.Errorf("replica %d, a note of %d bytes and weight %v where replica %d should be", binary.LittleEndian.Uint32(head[:]), size, weight, replica))
		}
		e := entry{replica: replica, contribution: contribution{weight: weight, note: make([]byte, size)}}
		if err := r.full(e.note); err != nil {
			return nil, err
		}
		r.entries = append(r.entries, e)
	}
	r.chunk = make([]byte, min(chunkBytes, 4*(to-from)))
	return r, nil
}

// next reads the next n elements, of the next replica in the order of the body.
// They are valid until the next call.
func (r *bodyReader) next(n int) ([]byte, error) {
	part := r.chunk[:4*n]
	return part, r.full(part)
}

// end reads the checksum and fails unless it is that of what was read.
func (r *bodyReader) end() error {
	want := r.sum.Sum32()
	var sum [sumBytes]byte
	if err := r.full(sum[:]); err != nil {
		return err
	}
	if got := binary.LittleEndian.Uint32(sum[:]); got != want {
		return corrupt(fmt.Errorf("the body's checksum is %08x, not %08x", got, want))
	}
	if n, err := r.in.Read(sum[:1]); n != 0 || err != io.EOF {
		return corrupt(fmt.Errorf("the body goes on after its checksum"))
	}
	return nil
}

func (r *bodyReader) full(p []byte) error {
	if _, err := io.ReadFull(r.in, p); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	r.sum.Write(p)
	return nil
}

func corrupt(err error) error {
	return &thalweg.Error{Op: opExchange, Kind: thalweg.Corrupt, Err: err}
}

// encodeFloats sets dst, of 4*len(v) bytes, to the elements of v.
func encodeFloats(dst []byte, v []float32) {
	dst = dst[:4*len(v)]
	for i, x := range v {
		binary.LittleEndian.PutUint32(dst[4*i:4*i+4], math.Float32bits(x))
	}
}

// decodeFloats is the inverse of encodeFloats.
func decodeFloats(dst []float32, v []byte) {
	v = v[:4*len(dst)]
	for i := range dst {
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(v[4*i : 4*i+4]))
	}
}

// accumulate does sum[i] += weight*v[i], v being encoded.
func accumulate(sum []float64, v []byte, weight float64) {
	v = v[:4*len(sum)]
	for i := range sum {
		x := math.Float32frombits(binary.LittleEndian.Uint32(v[4*i : 4*i+4]))
		sum[i] += float64(weight * float64(x))
	}
}
