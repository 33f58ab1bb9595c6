package serving

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"strings"

	"golang.org/x/sync/semaphore"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api"
)

// maxHeldBytes bounds the bodies and answers that are kept at once: a coordinator has better
// things to remember.
const maxHeldBytes = 512 << 20

// hold is what one request keeps of that.
type hold struct {
	of    *semaphore.Weighted
	bytes int64
}

// take adds so many bytes, or most if nobody knows how many; Throttled if there is no room.
func (h *hold) take(bytes, most int64) error {
	if bytes < 0 || bytes > most {
		bytes = most
	}
	if !h.of.TryAcquire(bytes) {
		return &thalweg.Error{Op: "score", Kind: thalweg.Throttled, Err: errors.New("this coordinator is passing on as much as it can keep"), Hint: "try again in a second"}
	}
	h.bytes += bytes
	return nil
}

// envelopeBytes is what stands before a message of gRPC: whether it is compressed, and its length.
const envelopeBytes = 5

// admit takes what the message of a call may become before it is read, and has no more be read
// than this and the beginning of another one, which there must not be.
func (h *hold) admit(r *http.Request) error {
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
		size := r.ContentLength
		if r.Header.Get("Content-Encoding") != "" {
			size = -1
		}
		return h.take(size, api.MaxPredictionBytes)
	}
	var before [envelopeBytes]byte
	n, err := io.ReadFull(r.Body, before[:])
	rest := io.Reader(r.Body)
	if err == nil { // else the library says what is wrong
		size := int64(binary.BigEndian.Uint32(before[1:]))
		if err := h.take(size, api.MaxPredictionBytes); err != nil {
			return err
		}
		if compressed := before[0]&1 > 0; compressed {
			if err := h.take(-1, api.MaxPredictionBytes); err != nil {
				return err
			}
		}
		rest = io.LimitReader(rest, size+1)
	}
	r.Body = body{io.MultiReader(bytes.NewReader(before[:n]), rest), r.Body}
	return nil
}

// body is one of which a part has been read.
type body struct {
	io.Reader
	io.Closer
}

// release gives all back, once the answer is written.
func (h *hold) release() { h.of.Release(h.bytes) }
