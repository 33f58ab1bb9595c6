package dataset

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
)

// The kinds of messages that are read here (MessageHeader in Message.fbs); arrowEnd
// stands for the end.
const (
	arrowEnd        = 0
	arrowSchema     = 1
	arrowDictionary = 2
	arrowBatch      = 3
)

const (
	// arrowMagic begins files, with two bytes behind it, and ends them.
	arrowMagic = "ARROW1"
	// arrowMark begins a message since version 0.15; before, its length did.
	arrowMark = 0xFFFFFFFF
	// maxArrowMeta bounds what stands before the body of a message: some bytes a column.
	maxArrowMeta = 64 << 20
	// maxArrowRows bounds the rows of a record batch, of which those of nulls take no bytes.
	maxArrowRows = 1 << 31
	// maxArrowBytes bounds the body of a message together with the memory of its arrays, so
	// that no file takes more than 512 MB, arrowRatio what compressed bytes become (a block of
	// 128 KiB takes 4 bytes in zstd), and arrowSlack is beyond it.
	maxArrowBytes = 448 << 20
	arrowRatio    = 1 << 15
	arrowSlack    = 1 << 20
	// windowBytes is what is fetched at a time to look at messages.
	windowBytes = 64 << 10
	// blockBytes is how much of a file's dictionaries is fetched at a time.
	blockBytes = 8 << 20
)

var (
	errCutShort = errors.New("it is cut short")
	errLarge    = &thalweg.Error{Op: "read batch", Kind: thalweg.Exhausted, Err: fmt.Errorf("a record batch, or what it claims to be, has more than %d MiB", maxArrowBytes>>20), Hint: "write smaller record batches"}
)

// window is a part of an object, of which each is looked at once.
type window struct {
	size  int64 // without the footer of a file, once that is read
	fetch func(at int64, buf []byte) error
	at    int64
	bytes []byte
}

// read returns n bytes of the object.
func (w *window) read(at, n int64) ([]byte, error) {
	if at < 0 || n < 0 || at > w.size-n {
		return nil, errCutShort
	}
	if at < w.at || at+n > w.at+int64(len(w.bytes)) {
		w.at, w.bytes = at, make([]byte, max(n, min(windowBytes, w.size-at)))
		if err := w.fetch(at, w.bytes); err != nil {
			w.bytes = nil
			return nil, err
		}
	}
	return w.bytes[at-w.at:][:n], nil
}

// layout looks at an object's beginning and end.
func (w *window) layout() (l layout, err error) {
	head, err := w.read(0, min(8, w.size))
	switch {
	case err != nil:
		return l, err
	case len(head) == 8 && string(head[:len(arrowMagic)]) == arrowMagic:
		tail, err := w.read(max(0, w.size-10), 10)
		if err != nil {
			return l, err
		}
		n := int64(binary.LittleEndian.Uint32(tail))
		if string(tail[4:]) != arrowMagic || n > maxArrowMeta {
			return l, errCutShort
		}
		footer, err := w.read(w.size-10-n, n)
		if err != nil {
			return l, err
		}
		w.size -= 10 + n
		err = guard(func() (err error) {
			l, err = flat(footer).footer(w.size)
			return err
		})
		return l, err
	case len(head) == 8 && binary.LittleEndian.Uint32(head) == arrowMark:
		return l, nil
	}
	return l, &thalweg.Error{Op: "look at object", Kind: thalweg.Corrupt, Err: errors.New("it is no Arrow IPC"),
		Hint: "the first version of Feather, and files that are compressed as a whole, have to be written anew"}
}

// frame is a message without its body.
type frame struct {
	meta []byte // with what stands before it
	kind byte
	body int64
	rows int64 // of a record batch
	end  int64 // where the next message begins
	// has are the views of a schema; counts those of a batch, of the dictionary id.
	has    views
	counts int
	id     int64
}

// frame looks at the message that begins at a byte.
func (w *window) frame(at int64) (f frame, err error) {
	if at == w.size { // a stream may end so
		return frame{}, nil
	}
	mark, err := w.read(at, min(8, w.size-at))
	if err != nil {
		return f, err
	}
	n, before, err := metaLength(mark)
	if err != nil || n == 0 {
		return frame{}, err
	}
	if f.meta, err = w.read(at, before+n); err != nil {
		return f, err
	}
	err = guard(func() error { return f.parse(f.meta[before:]) })
	if f.end = at + before + n + f.body; err == nil && f.end > w.size {
		err = errCutShort
	}
	return f, err
}

// metaLength returns how many bytes a message has without its body, and how many stand
// before them; 0 where there is none.
func metaLength(mark []byte) (n, before int64, err error) {
	if len(mark) < 4 {
		return 0, 0, errCutShort
	}
	word := binary.LittleEndian.Uint32(mark)
	if before = 4; word == arrowMark {
		if before = 8; len(mark) < 8 {
			return 0, 0, errCutShort
		}
		word = binary.LittleEndian.Uint32(mark[4:])
	}
	if word > maxArrowMeta {
		return 0, 0, fmt.Errorf("a message of %d bytes before its body, the bound is %d", word, maxArrowMeta)
	}
	return int64(word), before, nil
}

// parse reads what a message says of itself (Message.fbs), and checks what arrow's reader
// would believe.
func (f *frame) parse(message []byte) (err error) {
	b := flat(message)
	root := b.ref(0)
	if p := b.field(root, 1); p > 0 {
		f.kind = b[p]
	}
	if p := b.field(root, 3); p > 0 {
		f.body = int64(binary.LittleEndian.Uint64(b[p:]))
	}
	p := b.field(root, 2)
	switch {
	case p == 0:
	case f.kind == arrowSchema:
		f.has, err = b.schema(b.ref(p))
	case f.kind == arrowBatch:
		f.rows, f.counts, err = b.batch(b.ref(p))
	case f.kind == arrowDictionary:
		f.id = b.id(b.ref(p))
		if p := b.field(b.ref(p), 1); p > 0 {
			_, f.counts, err = b.batch(b.ref(p))
		}
	}
	if err == nil && (p == 0 || f.body < 0 || f.rows < 0 || f.rows > maxArrowRows) {
		err = fmt.Errorf("a message of kind %d with %d rows in %d bytes", f.kind, f.rows, f.body)
	}
	return err
}

// arrowMessages yields the messages of an object, whose bodies are no longer than the
// bytes that are there. It implements ipc.MessageReader.
type arrowMessages struct {
	r      io.Reader
	left   int64
	memory *bounded // of what is made of a message; may be nil
	once   bool     // memory is that of all messages, else of each
	// behind is the bytes of r in which dictionaries are passed over: those of a file
	// come before.
	behind int64
	has    views // of the schema
}

// Retain implements ipc.MessageReader.
func (*arrowMessages) Retain() {}

// Release implements ipc.MessageReader.
func (*arrowMessages) Release() {}

// read returns the next n bytes.
func (m *arrowMessages) read(n int64) ([]byte, error) {
	if m.left -= n; m.left < 0 {
		return nil, errCutShort
	}
	b := make([]byte, n)
	_, err := io.ReadFull(m.r, b)
	return b, err
}

// Message implements ipc.MessageReader.
func (m *arrowMessages) Message() (*ipc.Message, error) {
	for {
		if message, err := m.next(); message != nil || err != nil {
			return message, err
		}
	}
}

// next returns the next message, nil for one that is passed over.
func (m *arrowMessages) next() (*ipc.Message, error) {
	if m.left == 0 {
		return nil, io.EOF
	}
	mark, err := m.read(4)
	if err != nil {
		return nil, err
	}
	if binary.LittleEndian.Uint32(mark) == arrowMark {
		more, err := m.read(4)
		if err != nil {
			return nil, err
		}
		mark = append(mark, more...)
	}
	n, _, err := metaLength(mark)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, io.EOF
	}
	var f frame
	if f.meta, err = m.read(n); err != nil {
		return nil, err
	}
	if err := guard(func() error { return f.parse(f.meta) }); err != nil {
		return nil, err
	}
	want := m.has.rows
	switch f.kind {
	case arrowSchema:
		m.has, want = f.has, 0
	case arrowDictionary:
		want = m.has.words[f.id]
	}
	if f.counts < want {
		return nil, errVector
	}
	if m.memory == nil { // nobody reads bodies
		f.body = 0
	}
	if f.body > maxArrowBytes {
		m.memory.exceeded = true
		return nil, errLarge
	}
	body, err := m.read(f.body)
	if err != nil {
		return nil, err
	}
	if f.kind == arrowDictionary && m.left < m.behind {
		return nil, nil
	}
	if m.memory != nil && !m.once {
		m.memory.left = min(maxArrowBytes-f.body, f.body*arrowRatio) + arrowSlack
	}
	return ipc.NewMessage(memory.NewBufferBytes(f.meta), memory.NewBufferBytes(body)), nil
}

// bounded gives so much memory, and panics when more is asked for.
type bounded struct {
	memory.GoAllocator
	left     int64
	exceeded bool
	// reserve reports whether there is room for so many bytes more; nil: there always is.
	reserve func(bytes int64) bool
	refused bool
}

// Allocate implements memory.Allocator.
func (b *bounded) Allocate(n int) []byte {
	b.take(n)
	return b.GoAllocator.Allocate(n)
}

// Reallocate implements memory.Allocator.
func (b *bounded) Reallocate(n int, old []byte) []byte {
	b.take(n - len(old))
	return b.GoAllocator.Reallocate(n, old)
}

func (b *bounded) take(n int) {
	if b.left -= int64(n); b.left < 0 || int64(n) > maxArrowBytes {
		b.exceeded = true
		panic("more memory than its bytes can hold")
	}
	if b.reserve != nil && n > 0 && !b.reserve(int64(n)) {
		b.refused = true
		panic("no room for its bytes")
	}
}

// blocks reads some parts of an object, one at a time.
type blocks struct {
	of    []block
	fetch func(at int64, buf []byte) error
	now   []byte
}

// Read implements io.Reader.
func (b *blocks) Read(p []byte) (int, error) {
	for len(b.now) == 0 {
		if len(b.of) == 0 {
			return 0, io.EOF
		}
		of := &b.of[0]
		b.now = make([]byte, min(of.size, blockBytes))
		if err := b.fetch(of.at, b.now); err != nil {
			return 0, err
		}
		of.at, of.size = of.at+int64(len(b.now)), of.size-int64(len(b.now))
		if of.size == 0 {
			b.of = b.of[1:]
		}
	}
	n := copy(p, b.now)
	b.now = b.now[n:]
	return n, nil
}
