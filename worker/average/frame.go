package average

import (
	"encoding/binary"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"math"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

// A body holds a stretch of the vectors of some replicas, all numbers little
// endian:
//
//	"TWX2", count, element uint32, sequence, from, to uint64
//	count times: replica, length of the note uint32, weight float64, note
//	chunk by chunk of [from, to): count times the elements of the chunk
//	CRC-32C of everything before, uint32
//
// The vectors are interleaved chunk by chunk so that a reader can add up the
// bodies of several peers in replica order with memory for one chunk.
const (
	magic       = "TWX2"
	headerBytes = 36
	entryBytes  = 16
	sumBytes    = 4

	// chunkBytes is how much of a vector is sent, and added up, at a time: it and
	// its sums stay in the second-level cache.
	chunkBytes = 64 << 10

	// maxNote bounds a note. The largest is the histogram of validation metrics:
	// 2 * 65536 bins of at most 11 bytes, in base64.
	maxNote = 4 << 20
	// maxElements bounds a vector, as model.MaxSize with Adam's state does.
	maxElements = 1 << 30
)

// element is the type of a vector's elements. The numbers are written.
type element uint32

const (
	noElement element = iota
	elementFloat32
	elementFloat64
	elementInt64
)

func elementOf(v kernel.Vector) element {
	switch {
	case v.Float32 != nil:
		return elementFloat32
	case v.Float64 != nil:
		return elementFloat64
	case v.Int64 != nil:
		return elementInt64
	}
	return noElement
}

// width returns the bytes of an element.
func (e element) width() int { return []int{0, 4, 8, 8}[e] }

// chunk returns how many elements are a chunk.
func (e element) chunk() int { return chunkBytes / max(e.width(), 1) }

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
		size += int64(entryBytes + len(e.note) + elementOf(e.vector).width()*e.vector.Len())
	}
	return size
}

// writeBody writes the entries, whose vectors are the elements [from, to) of
// the whole ones. alive is called before every write.
func writeBody(w io.Writer, sequence uint64, entries []entry, from, to int, alive func()) error {
	sum := crc32.New(castagnoli)
	// One buffer is filled and written when it holds a chunk: small bodies go out
	// in one piece, and large ones are not copied twice.
	out := make([]byte, 0, min(bodySize(entries), chunkBytes+headerBytes))
	flush := func() error {
		alive()
		sum.Write(out)
		_, err := w.Write(out)
		out = out[:0]
		return err
	}
	kind := elementOf(entries[0].vector)
	out = append(out, magic...)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(entries)))
	out = binary.LittleEndian.AppendUint32(out, uint32(kind))
	out = binary.LittleEndian.AppendUint64(out, sequence)
	out = binary.LittleEndian.AppendUint64(out, uint64(from))
	out = binary.LittleEndian.AppendUint64(out, uint64(to))
	for _, e := range entries {
		out = binary.LittleEndian.AppendUint32(out, uint32(e.replica))
		out = binary.LittleEndian.AppendUint32(out, uint32(len(e.note)))
		out = binary.LittleEndian.AppendUint64(out, math.Float64bits(e.weight))
		out = append(out, e.note...)
	}
	chunk := kind.chunk()
	for at := 0; at < to-from; at += chunk {
		end := min(at+chunk, to-from)
		for _, e := range entries {
			if len(out)+kind.width()*(end-at) > chunkBytes {
				if err := flush(); err != nil {
					return err
				}
			}
			out = appendVector(out, e.vector.Slice(at, end))
		}
	}
	sum.Write(out)
	out = binary.LittleEndian.AppendUint32(out, sum.Sum32())
	alive()
	_, err := w.Write(out)
	return err
}

// bodyReader reads a body as it comes, from a reader with a buffer of its own.
type bodyReader struct {
	in      io.Reader
	sum     hash.Hash32
	entries []entry // without vectors
	kind    element
	chunk   []byte
}

// readBody reads the head of a body and fails unless it is what was asked for.
func readBody(in io.Reader, sequence uint64, kind element, replicas []int, part stretch) (*bodyReader, error) {
	r := &bodyReader{in: in, sum: crc32.New(castagnoli), kind: kind}
	var header [headerBytes]byte
	if err := r.full(header[:]); err != nil {
		return nil, err
	}
	number := binary.LittleEndian.Uint64
	if string(header[:4]) != magic || int(binary.LittleEndian.Uint32(header[4:])) != len(replicas) ||
		binary.LittleEndian.Uint32(header[8:]) != uint32(kind) || number(header[12:]) != sequence ||
		number(header[20:]) != uint64(part.from) || number(header[28:]) != uint64(part.to) {
		return nil, corrupt(fmt.Errorf("the body's head %x is not of %d replicas, exchange %d, elements %d to %d of type %d",
			header, len(replicas), sequence, part.from, part.to, kind))
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
	r.chunk = make([]byte, min(kind.chunk(), part.to-part.from)*kind.width())
	return r, nil
}

// next reads the next n elements, of the next replica in the order of the body.
// They are valid until the next call.
func (r *bodyReader) next(n int) ([]byte, error) {
	part := r.chunk[:r.kind.width()*n]
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

// appendVector appends the elements of v.
func appendVector(dst []byte, v kernel.Vector) []byte {
	for _, x := range v.Float64 {
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(x))
	}
	for _, x := range v.Int64 {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(x))
	}
	return kernel.AppendFloats(dst, v.Float32)
}

// decodeVector sets v to the elements that appendVector wrote.
func decodeVector(v kernel.Vector, data []byte) {
	for i := range v.Float64 {
		v.Float64[i] = math.Float64frombits(binary.LittleEndian.Uint64(data[8*i:]))
	}
	for i := range v.Int64 {
		v.Int64[i] = int64(binary.LittleEndian.Uint64(data[8*i:]))
	}
	kernel.DecodeFloats(v.Float32, data)
}
