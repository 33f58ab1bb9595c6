package serving

import (
	"errors"

	"golang.org/x/sync/semaphore"

	"github.com/thalweg/thalweg"
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

// release gives all back, once the answer is written.
func (h *hold) release() { h.of.Release(h.bytes) }
