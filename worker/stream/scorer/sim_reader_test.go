package scorer

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/thalweg/thalweg/storage"
)

// simReader lists the store at any moment, as readers of a table do, and holds
// it to what it has seen: objects stay as they are, and no glob over the rows
// ever has an event twice, whatever is under way, but for rows that a compaction
// moves. Only what a finished compaction replaced is ever gone.
type simReader struct {
	sim   *sim
	seen  map[string]string // key → sha256
	wrong []string
}

func newSimReader(s *sim) simActor { return &simReader{sim: s, seen: make(map[string]string)} }

func (r *simReader) act() {
	if len(r.wrong) > 0 {
		return // the first sight says it all
	}
	there := make(map[string]bool, len(r.seen))
	events := make(map[int64]string)
	for info, err := range r.sim.bucket.List(context.Background(), "x/", "") {
		if err != nil {
			panic(err)
		}
		body, _, err := r.sim.bucket.Get(context.Background(), info.Key)
		if err != nil {
			panic(err)
		}
		there[info.Key] = true
		sum := storage.SHA256(body)
		if before, ok := r.seen[info.Key]; ok && before != sum && !r.sim.replaced(info.Key) {
			r.complain("%s has changed under a reader", info.Key)
		}
		r.seen[info.Key] = sum
		if strings.Contains(info.Key, "_log/") {
			continue
		}
		for line := range bytes.Lines(body) {
			at, _, _, _ := simLine(line)
			if other, twice := events[at]; twice && !r.sim.moved(other, info.Key) {
				r.complain("a reader finds offset %d in %s and in %s", at, other, info.Key)
			}
			events[at] = info.Key
		}
	}
	for key := range r.seen {
		if !there[key] && !r.sim.replaced(key) {
			r.complain("%s vanished under a reader", key)
		} else if !there[key] {
			delete(r.seen, key)
		}
	}
}

func (r *simReader) complain(format string, args ...any) {
	r.wrong = append(r.wrong, fmt.Sprintf(format, args...))
}

func (r *simReader) settle() {}

func (r *simReader) judge(map[string][]byte) []string {
	r.act()
	return r.wrong
}
