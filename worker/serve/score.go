package serve

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"sync"

	"github.com/thalweg/thalweg"
)

// The forms that rows are sent and answered in.
const (
	jsonType   = "application/json"
	ndjsonType = "application/x-ndjson"
	arrowType  = "application/vnd.apache.arrow.stream"
)

// scoreRows answers POST /v1/score/{pipeline}: each row is answered with the columns that
// scoring adds, or with the error that its dead letter would have.
func (s *Server) scoreRows(x *exchange) error {
	form, _, err := mime.ParseMediaType(x.r.Header.Get("Content-Type"))
	switch {
	case form == ndjsonType:
		return x.scoreLines()
	case form == arrowType:
		return x.scoreRecords()
	case err == nil && form != jsonType && form != "application/x-www-form-urlencoded" && form != "text/plain": // what curl says unasked
		return &thalweg.Error{Op: "read request", Kind: thalweg.Unsupported, Subject: fmt.Sprintf("Content-Type %.64q", form),
			Hint: "one of " + jsonType + ", " + ndjsonType + ", " + arrowType}
	}
	return x.scoreJSON()
}

// answerBytes is room for the answer to a few rows.
const answerBytes = 4 << 10

// buffers are of answers that are written out.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, answerBytes); return &b }}

// scoreJSON answers an object with an object and an array with an array. A single row that is
// rejected is an error.
func (x *exchange) scoreJSON() error {
	var values []byte
	var ends []int
	many := false
	if err := x.arriving(func(body []byte) (err error) {
		values, ends, many, err = splitRows(body)
		return err
	}); err != nil {
		return err
	}
	answer, err := x.score(rows{values: values, ends: ends})
	if err != nil {
		return err
	}
	kept := buffers.Get().(*[]byte)
	defer buffers.Put(kept)
	out, status := (*kept)[:0], http.StatusOK
	if many {
		out = append(out, '[')
	} else if answer.Reject(0) != nil {
		status = http.StatusUnprocessableEntity
	}
	for i := range answer.Len() {
		if i > 0 {
			out = append(out, ',')
		}
		out = answer.appendJSON(out, i)
	}
	if many {
		out = append(out, ']')
	}
	out = append(out, '\n')
	write(x, jsonType, status, out)
	if cap(out) <= maxKeptBytes {
		*kept = out
	}
	return nil
}

// maxLineBytes bounds a line of rows. A row beyond the bound of events is rejected by name if
// it is no longer than this.
const maxLineBytes = 4 << 20

// scoreLines answers rows, one a line, with lines, as they come: it neither waits for the
// last row nor holds more than a micro-batch. An error that comes after the first answer is
// the last line, with a text as its error.
func (x *exchange) scoreLines() error {
	control := http.NewResponseController(x.ResponseWriter)
	_ = control.EnableFullDuplex() // HTTP/2 is so anyway
	lines := bufio.NewReaderSize(x.r.Body, 64<<10)
	begun := false
	for {
		values, ends, err := readLines(lines, x.version.batcher.limits.MaxBatch)
		if len(ends) > 0 {
			var answer *Answer
			if answer, err = x.scorePatiently(values, ends, err); answer != nil {
				if !begun {
					begun = true
					x.Header().Set("Content-Type", ndjsonType)
				}
				var out []byte
				for i := range answer.Len() {
					out = append(answer.appendJSON(out, i), '\n')
				}
				if _, failed := x.Write(out); failed != nil {
					return nil // nobody reads it
				}
				_ = control.Flush()
			}
		}
		switch {
		case err == io.EOF:
			if !begun {
				x.Header().Set("Content-Type", ndjsonType)
				x.WriteHeader(http.StatusOK)
			}
			return nil
		case err != nil && begun:
			last, _ := json.Marshal(map[string]string{"error": err.Error()})
			_, _ = x.Write(append(last, '\n'))
			return nil
		case err != nil:
			return err
		}
	}
}

// scorePatiently scores lines of a stream, and returns what reading found if that goes well.
func (x *exchange) scorePatiently(values []byte, ends []int, read error) (*Answer, error) {
	answer, err := x.score(rows{values: values, ends: ends})
	if err != nil {
		return nil, err
	}
	return answer, read
}

// readLines returns the lines that have come, most at most; at least one, for which it
// waits, unless there is an error. Empty lines are none.
func readLines(r *bufio.Reader, most int) (values []byte, ends []int, err error) {
	for len(ends) < most && (len(ends) == 0 || r.Buffered() > 0) {
		start := len(values)
		for {
			part, more, err := r.ReadLine()
			values = append(values, part...)
			if len(values)-start > maxLineBytes {
				return values[:start], ends, invalid("body", fmt.Sprintf("a line has more than %d bytes", maxLineBytes))
			}
			if err == io.EOF {
				return values[:start], ends, err
			} else if err != nil {
				return values[:start], ends, &thalweg.Error{Op: "read request", Kind: thalweg.Canceled, Err: err}
			}
			if !more {
				break
			}
		}
		if len(bytes.TrimSpace(values[start:])) == 0 {
			values = values[:start]
			continue
		}
		ends = append(ends, len(values))
	}
	return values, ends, nil
}
