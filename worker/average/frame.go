package average

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/zeebo/xxh3"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

// A body holds a stretch of the vectors of some replicas, all numbers little
// endian:
//
//	"TWX4", count, element uint32, sequence, from, to uint64
//	count times: replica, length of the note uint32, weight float64, note
//	chunk by chunk of [from, to): count times the elements of the chunk; of integers, whose
//	sums have no order, once the sums of the count
//	the checksum, uint64: each part, which is a head, a note, a length or what is there of
//	a replica's chunk, has as its XXH3 that with the one before as seed, the first with 0
//
// The vectors are interleaved chunk by chunk so that a reader can add up the
// bodies of several peers in replica order with memory for one chunk.
//
// Where most elements are zero, as of a model of hashed features, the body begins with
// "TWZ4", and before the elements of a replica in a chunk is the length of what stands
// for them, uint32: themselves, or, where that is shorter, a bit for each element, low
// bits first, and those that are not zero.
const (
	magic       = "TWX4"
	magicSparse = "TWZ4"
	headerBytes = 36
	lengthBytes = 4
	entryBytes  = 16
	sumBytes    = 8

	// chunkBytes is how much of a vector is sent at a time. It is still in the
	// second-level cache for the system's copy when it has been summed up, and much
	// enough that the system wakes the other end seldom.
	chunkBytes = 256 << 10
	// bufferBytes is how much of a body is collected before it is sent.
	bufferBytes = 64 << 10

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

// entry is one replica's part of a body. Of integers the first has the sum of all vectors,
// and the others none.
type entry struct {
	replica int
	contribution
}

// bodyHead is how a body begins.
type bodyHead struct {
	Magic    [4]byte
	Count    uint32
	Kind     element
	Sequence uint64
	From, To uint64
}

func headOf(magic string, count int, kind element, sequence uint64, part stretch) bodyHead {
	return bodyHead{Magic: [4]byte([]byte(magic)), Count: uint32(count), Kind: kind,
		Sequence: sequence, From: uint64(part.from), To: uint64(part.to)}
}

// entryHead stands before the note of each entry.
type entryHead struct {
	Replica, NoteBytes uint32
	Weight             float64
}

// bodySize returns the length of a body that is not sparse.
func bodySize(entries []entry) int64 {
	size := int64(headerBytes + sumBytes)
	for _, e := range entries {
		size += int64(entryBytes + len(e.note) + elementOf(e.vector).width()*e.vector.Len())
	}
	return size
}

// bodyWriter sums up the parts of a body that are written.
type bodyWriter struct {
	*bufio.Writer
	sum uint64
}

// Write writes a part.
func (w *bodyWriter) Write(part []byte) (int, error) {
	w.sum = xxh3.HashSeed(part, w.sum)
	return w.Writer.Write(part)
}

// writeBody writes the entries, whose vectors are the part of the whole ones.
func writeBody(w io.Writer, sequence uint64, entries []entry, part stretch, sparse bool, p *packer) error {
	// Small bodies go out in one piece, and whole chunks, which have no room in the
	// buffer, without being copied.
	out := &bodyWriter{Writer: bufio.NewWriterSize(w, int(min(bodySize(entries), bufferBytes)))}
	magic := magic
	if sparse {
		magic = magicSparse
	}
	kind := elementOf(entries[0].vector)
	_ = binary.Write(out, binary.LittleEndian, headOf(magic, len(entries), kind, sequence, part)) // Flush returns the first error
	for _, e := range entries {
		_ = binary.Write(out, binary.LittleEndian, entryHead{uint32(e.replica), uint32(len(e.note)), e.weight})
		_, _ = out.Write(e.note)
	}
	size := part.to - part.from
	for at := 0; at < size; at += kind.chunk() {
		end := min(at+kind.chunk(), size)
		for _, e := range entries {
			if elementOf(e.vector) != kind {
				continue
			}
			elements := e.vector.Slice(at, end).Bytes()
			if sparse {
				elements = p.pack(elements, kind.width())
				_ = binary.Write(out, binary.LittleEndian, uint32(len(elements)))
			} else if out.Available() < len(elements) {
				if err := out.Flush(); err != nil {
					return err
				}
			}
			_, _ = out.Write(elements)
		}
	}
	_ = binary.Write(out.Writer, binary.LittleEndian, out.sum)
	return out.Flush()
}

// bodyReader reads a body as it comes, from a reader with a buffer of its own.
type bodyReader struct {
	in      io.Reader
	sum     uint64  // of the parts that were read
	entries []entry // without vectors
	kind    element
	left    int // elements to come
	chunk   []byte
	sparse  bool
}

// readBody reads the head of a body and fails unless it is what was asked for.
func readBody(in io.Reader, sequence uint64, kind element, replicas []int, part stretch) (*bodyReader, error) {
	r := &bodyReader{in: in, kind: kind, left: len(replicas) * (part.to - part.from)}
	if kind == elementInt64 {
		r.left = part.to - part.from
	}
	got, want := bodyHead{}, headOf(magic, len(replicas), kind, sequence, part)
	if err := r.decode(headerBytes, &got); err != nil {
		return nil, err
	}
	if r.sparse = string(got.Magic[:]) == magicSparse; r.sparse {
		want.Magic = got.Magic
	}
	if got != want {
		return nil, corrupt("the body's head is %v, not %v", got, want)
	}
	for _, replica := range replicas {
		var head entryHead
		if err := r.decode(entryBytes, &head); err != nil {
			return nil, err
		}
		if int(head.Replica) != replica || head.NoteBytes > maxNote || !(head.Weight >= 0) || math.IsInf(head.Weight, 1) {
			return nil, corrupt("replica %d, a note of %d bytes and weight %v where replica %d should be", head.Replica, head.NoteBytes, head.Weight, replica)
		}
		note, err := r.next(int(head.NoteBytes))
		if err != nil {
			return nil, err
		}
		r.entries = append(r.entries, entry{replica: replica, contribution: contribution{weight: head.Weight, note: bytes.Clone(note)}})
	}
	if r.left > 0 {
		return r, nil
	}
	return r, r.finish()
}

// read sets v to the next elements, of the next vector in the order of the body: those of
// a chunk, or all if the body is of one replica.
func (r *bodyReader) read(v kernel.Vector) error {
	for v.Len() > 0 {
		n := min(r.kind.chunk(), v.Len())
		if err := r.elements(v.Slice(0, n).Bytes()); err != nil {
			return err
		}
		v = v.Slice(n, v.Len())
		if r.left -= n; r.left == 0 {
			return r.finish()
		}
	}
	return nil
}

// elements sets the memory of elements to the next ones of one replica.
func (r *bodyReader) elements(memory []byte) error {
	if !r.sparse {
		return r.fill(memory)
	}
	head, err := r.next(lengthBytes)
	if err != nil {
		return err
	}
	length := int(binary.LittleEndian.Uint32(head))
	if length == len(memory) {
		return r.fill(memory)
	}
	if length > len(memory) {
		return corrupt("%d bytes stand for %d", length, len(memory))
	}
	packed, err := r.next(length)
	if err == nil && !unpack(memory, packed, r.kind.width()) {
		err = corrupt("%d bytes do not stand for %d", length, len(memory))
	}
	return err
}

// finish reads the checksum and fails unless it is that of what was read.
func (r *bodyReader) finish() error {
	want := r.sum
	sum, err := r.next(sumBytes)
	if err != nil {
		return err
	}
	if got := binary.LittleEndian.Uint64(sum); got != want {
		return corrupt("the body's checksum is %016x, not %016x", got, want)
	}
	if n, err := r.in.Read(sum[:1]); n != 0 || err != io.EOF {
		return corrupt("the body goes on after its checksum")
	}
	return nil
}

func (r *bodyReader) decode(size int, head any) error {
	data, err := r.next(size)
	if err != nil {
		return err
	}
	_, err = binary.Decode(data, binary.LittleEndian, head)
	return err
}

// next reads n bytes, which are valid until the next call.
func (r *bodyReader) next(n int) ([]byte, error) {
	r.chunk = slices.Grow(r.chunk[:0], n)[:n]
	return r.chunk, r.fill(r.chunk)
}

// fill reads what fills data, a part.
func (r *bodyReader) fill(data []byte) error {
	if _, err := io.ReadFull(r.in, data); err != nil {
		return fmt.Errorf("the body ends early: %w", err)
	}
	r.sum = xxh3.HashSeed(data, r.sum)
	return nil
}

func corrupt(format string, args ...any) error {
	return &thalweg.Error{Op: opExchange, Kind: thalweg.Corrupt, Err: fmt.Errorf(format, args...)}
}
