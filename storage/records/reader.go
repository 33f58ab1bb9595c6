package records

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/transform"

	"github.com/thalweg/thalweg"
)

const (
	// runBytes is about what a run has, and what is read at a time.
	runBytes = 2 << 20
	// headBytes is what is kept of a record that is too large.
	headBytes = 1 << 10
)

// Run is records that follow each other: record i is Values[Ends[i-1]:Ends[i]], in
// UTF-8 with its line end.
type Run struct {
	Values []byte
	Ends   []int
	// Places are where the records begin.
	Places []Place
	// Bad says, by index, why a record cannot be read, and BadLines how many lines it has
	// where an open quote may have taken in other records. Nil: none is bad.
	Bad      map[int]string
	BadLines map[int]int64

	own []byte // Values, where they do not lie together in what was read
}

// Place is where a record begins: its line from 1, and its byte in the object or,
// where that is not Seekable, in its text.
type Place struct{ Line, Offset int64 }

// Len returns the number of records.
func (r *Run) Len() int { return len(r.Ends) }

// Record returns the bytes of record i.
func (r *Run) Record(i int) []byte {
	if i == 0 {
		return r.Values[:r.Ends[0]]
	}
	return r.Values[r.Ends[i-1]:r.Ends[i]]
}

// reset empties the run.
func (r *Run) reset() {
	*r = Run{Values: nil, Ends: r.Ends[:0], Places: r.Places[:0], own: r.own[:0]}
}

// values adds a record to Values. Records that follow each other in a buffer are not
// copied, if it stays as it is.
func (r *Run) values(record []byte, stays bool) {
	n := len(r.Values)
	switch {
	case n == 0 && stays:
		r.Values = record
	case len(r.own) == 0 && stays && n < cap(r.Values) && &r.Values[:n+1][n] == &record[0]:
		r.Values = r.Values[:n+len(record)]
	default:
		if len(r.own) == 0 {
			r.own = append(r.own, r.Values...)
		}
		r.own = append(r.own, record...)
		r.Values = r.own
	}
}

func (r *Run) add(record []byte, stays bool, at Place, bad string) {
	r.values(record, stays)
	r.Ends, r.Places = append(r.Ends, len(r.Values)), append(r.Places, at)
	if bad != "" {
		if r.Bad == nil {
			r.Bad = make(map[int]string)
		}
		r.Bad[len(r.Ends)-1] = bad
	}
}

// addLines notes the lines of the last record, which is bad.
func (r *Run) addLines(lines int64) {
	if r.BadLines == nil {
		r.BadLines = make(map[int]int64)
	}
	r.BadLines[len(r.Ends)-1] = lines
}

// Reader reads the records of one object, or of a part that begins with one. One
// goroutine uses it at a time.
type Reader struct {
	from  io.Reader
	split splitter
	bytes *charmap.Charmap // of an encoding of single bytes; nil: from yields UTF-8
	// recoded: the text came by way of a decoder, which writes U+FFFD for what it does
	// not know.
	recoded bool
	most    int // one more than the bytes that from yields, math.MaxInt where that is not known
	close   func()

	decoded    []byte // a record
	buf        []byte
	start, end int // of what is not yet in a run
	eof        bool
	place      Place // of start
}

// Open returns a reader of an object's text. from gives all bytes of it, or those of a
// Seekable object from a record on; at is where the first record to read begins, the
// zero Place at the beginning of the object. sizeBytes is that of the object, as it is.
func Open(key string, sizeBytes int64, from io.Reader, f Format, at Place) (*Reader, error) {
	all, single, err := f.charset()
	if err != nil {
		return nil, err
	}
	r := &Reader{split: newSplitter(f), bytes: single, recoded: all != nil || single != nil, most: math.MaxInt, close: func() {}, place: at}
	if all == nil && Compression(key) == "" {
		r.most = int(min(sizeBytes, math.MaxInt-1)) + 1
	}
	if r.from, r.close, err = uncompressed(from, key, sizeBytes); err != nil {
		return nil, err
	}
	if all != nil {
		r.from = transform.NewReader(r.from, all.NewDecoder())
	}
	if at != (Place{}) {
		if !f.Seekable(key) {
			if _, err := io.CopyN(io.Discard, r.from, at.Offset); err != nil {
				r.Close()
				return nil, damaged(err)
			}
		}
		return r, nil
	}
	r.place.Line = 1
	if err := r.begin(key); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// begin looks at the first bytes of an object.
func (r *Reader) begin(key string) error {
	if err := r.fill(runBytes); err != nil {
		return err
	}
	head := r.buf[:r.end]
	if bytes.HasPrefix(head, []byte("\xef\xbb\xbf")) && r.bytes == nil {
		r.start, r.place.Offset = 3, 3
	}
	if r.recoded {
		return nil
	}
	for _, d := range []struct{ begin, what, hint string }{
		{"\x1f\x8b", "it is compressed with gzip", "give it a name that ends in .gz"},
		{"\x28\xb5\x2f\xfd", "it is compressed with zstd", "give it a name that ends in .zst"},
		{"PAR1", "it is Parquet", "write format: {type: parquet}"},
		{"\xff\xfe", "it is UTF-16", "write encoding: utf-16 if it is CSV; JSON lines are UTF-8"},
		{"\xfe\xff", "it is UTF-16", "write encoding: utf-16 if it is CSV; JSON lines are UTF-8"},
	} {
		if bytes.HasPrefix(head, []byte(d.begin)) {
			return &thalweg.Error{Op: "read text", Kind: thalweg.Invalid, Err: errors.New(d.what), Hint: d.hint}
		}
	}
	if len(head) >= 4 && (head[0] == 0) != (head[1] == 0) && (head[0] == 0) == (head[2] == 0) && (head[1] == 0) == (head[3] == 0) {
		return &thalweg.Error{Op: "read text", Kind: thalweg.Invalid, Err: errors.New("it is UTF-16"), Hint: "write encoding: " + map[bool]string{true: "utf-16be", false: "utf-16le"}[head[0] == 0]}
	}
	return nil
}

// fill reads until so many bytes are there, or all.
func (r *Reader) fill(want int) error {
	if want = min(want, r.most); r.end-r.start >= want || r.eof {
		return nil
	}
	if r.start > 0 {
		r.end = copy(r.buf, r.buf[r.start:r.end])
		r.start = 0
	}
	if len(r.buf) < want {
		r.buf = append(make([]byte, 0, want), r.buf[:r.end]...)[:want]
	}
	for r.end < want {
		n, err := r.from.Read(r.buf[r.end:want])
		r.end += n
		if err == io.EOF {
			r.eof = true
			return nil
		}
		if err != nil {
			return damaged(err)
		}
	}
	return nil
}

// Next reads the next records into a run, at most so many; io.EOF after the last.
// What a run has is valid until then.
func (r *Reader) Next(run *Run, most int) error {
	run.reset()
	for want := runBytes; ; want *= 2 {
		if err := r.fill(min(want, MaxBytes+runBytes)); err != nil {
			return err
		}
		if r.records(run, most); run.Len() > 0 {
			return nil
		}
		if r.eof && r.start == r.end {
			return io.EOF
		}
		if r.end-r.start > MaxBytes {
			return r.tooLarge(run)
		}
	}
}

// records adds the records that are there.
func (r *Reader) records(run *Run, most int) {
	for run.Len() < most && r.start < r.end {
		if r.plain(run, most); run.Len() == most || r.start == r.end {
			return
		}
		b := r.buf[r.start:r.end]
		n := r.split.end(b, r.eof)
		if n == 0 {
			return
		}
		record, at, bad := b[:n], r.place, ""
		if n > MaxBytes {
			record, bad = record[:headBytes], tooLarge
		} else if r.split.quoted {
			bad = unclosed
		}
		lines := r.lines(b[n-1])
		r.pass(n)
		if bad == "" && r.isBlank(record) {
			continue
		}
		r.add(run, record, at, bad)
		if bad != "" {
			run.addLines(lines)
		}
	}
}

// plain adds records that are lines: those before the next quote, up to a blank line or one
// that is not there whole. Most records are, and this takes a quarter of the time.
func (r *Reader) plain(run *Run, most int) {
	s := &r.split
	if r.bytes != nil || r.recoded || s.Comment != 0 || s.at > 0 || s.cut || len(run.own) > 0 ||
		run.Len() > 0 && !r.follows(run.Values) {
		return
	}
	text := s.plain(r.buf[r.start:r.end])
	first, at, p := len(run.Values), r.place, 0
	for run.Len() < most {
		n := bytes.IndexByte(text[p:], '\n')
		if n <= 0 || n == 1 && text[p] == '\r' || n >= MaxBytes || s.Delimiter == 0 && text[p] <= ' ' {
			break
		}
		run.Places = append(run.Places, at)
		p += n + 1
		at.Line++
		at.Offset += int64(n) + 1
		run.Ends = append(run.Ends, first+p)
	}
	if p == 0 {
		return
	}
	if first == 0 {
		run.Values = text[:p]
	} else {
		run.Values = run.Values[:first+p]
	}
	r.start += p
	r.place = at
	s.begin(p)
}

// follows reports whether what is not yet in a run stands behind these bytes of it.
func (r *Reader) follows(values []byte) bool {
	n := len(values)
	return n > 0 && n < cap(values) && &values[:n+1][n] == &r.buf[r.start]
}

// lines returns the lines of the record that was found, whose last byte is given.
func (r *Reader) lines(last byte) int64 {
	if r.split.quoted && last == '\n' {
		return r.split.lines - 1 // behind it there is nothing
	}
	return r.split.lines
}

// pass goes behind the record that was found.
func (r *Reader) pass(n int) {
	r.start += n
	r.place.Offset += int64(n)
	r.place.Line += r.split.lines
	r.split.begin(n)
}

// Why records are bad.
const (
	tooLarge = "the record has more than 4 MiB: is a quote not closed?"
	unclosed = "malformed CSV: a quote is not closed, and all that follows is in it"
)

// tooLarge passes over a record of more than MaxBytes, and adds its beginning.
func (r *Reader) tooLarge(run *Run) error {
	at := r.place
	head := bytes.Clone(r.buf[r.start:][:headBytes])
	for {
		b := r.buf[r.start:r.end]
		if n := r.split.end(b, r.eof); n > 0 || r.eof {
			lines := r.lines(b[len(b)-1])
			r.pass(n)
			r.add(run, head, at, tooLarge)
			run.addLines(lines)
			return nil
		}
		// What it looks back at stays.
		n := r.split.at - 1
		r.start, r.place.Offset = r.start+n, r.place.Offset+int64(n)
		r.split.drop(n)
		if err := r.fill(r.end - r.start + runBytes); err != nil {
			return err
		}
	}
}

// isBlank reports a comment or a blank line, which are no records.
func (r *Reader) isBlank(b []byte) bool {
	if b[0] == '\n' || b[0] == '\r' && (len(b) == 1 || b[1] == '\n') || r.split.isComment(b) {
		return true
	}
	return r.split.Delimiter == 0 && b[0] <= ' ' && len(bytes.TrimLeft(b, " \t\r\n")) == 0
}

// add adds a record in UTF-8.
func (r *Reader) add(run *Run, record []byte, at Place, bad string) {
	if r.bytes != nil {
		r.decoded = r.decoded[:0]
		for _, b := range record {
			if b < utf8.RuneSelf {
				r.decoded = append(r.decoded, b)
			} else {
				r.decoded = utf8.AppendRune(r.decoded, r.bytes.DecodeByte(b))
			}
		}
		record = r.decoded
	}
	if r.recoded && bad == "" {
		if n := bytes.IndexRune(record, utf8.RuneError); n >= 0 {
			bad = fmt.Sprintf("bytes that are no text in %s, at byte %d of the record", r.split.Encoding, n)
		}
	}
	run.add(record, r.bytes == nil, at, bad)
}

// Where returns where the next record, comment or blank line begins.
func (r *Reader) Where() Place { return r.place }

// Close gives up what the reader holds; not what it reads from.
func (r *Reader) Close() {
	r.close()
	r.buf = nil
}
