package average

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/thalweg/thalweg"
)

// The last element of a path of the protocol, /exchange/{run}/{sequence}/…, all
// GET. replicas, from and to are queries.
const (
	// contributionsPath answers with elements [from, to) of what replicas
	// contributed, and their notes.
	contributionsPath = "contributions"
	// reducedPath answers with elements [from, to) of the reduced vector, as one
	// replica.
	reducedPath = "reduced"
	// snapshotPath answers with the state before the next exchange, when its number
	// is above {sequence}; to a HEAD, that it is.
	snapshotPath = "snapshot"
)

// The headers of requests and answers.
const (
	headerFingerprint = "Thalweg-Fingerprint" // of bodies and run; must be equal
	headerWait        = "Thalweg-Wait"        // milliseconds that the request may wait
	headerSum         = "Thalweg-Xxh3"        // of a snapshot, hex
)

// The answers other than 200.
const (
	statusNotYet   = http.StatusNoContent // ask again
	statusUnknown  = http.StatusNotFound  // the run is not joined here
	statusAhead    = http.StatusGone      // the exchange is forgotten: take a snapshot
	statusOtherRun = http.StatusConflict  // the fingerprints differ
)

// maxPollWait bounds how long a request may wait here.
const maxPollWait = time.Minute

// reducedEntry is the replica number of a reduced vector in a body.
const reducedEntry = 1<<32 - 1

// request is what a peer asks for.
type request struct {
	sequence uint64
	wait     time.Duration
	replicas []int
	stretch
}

// parse reads a request.
func parse(r *http.Request, what string) (q request, err error) {
	number := func(name, text string, most uint64) uint64 {
		n, wrong := strconv.ParseUint(text, 10, 64)
		if wrong != nil || n > most {
			err = fmt.Errorf("%s is not a number up to %d", name, most)
		}
		return n
	}
	query := r.URL.Query()
	q.sequence = number("the exchange", r.PathValue("sequence"), math.MaxUint64)
	q.wait = time.Duration(number(headerWait, r.Header.Get(headerWait), math.MaxInt32)) * time.Millisecond
	q.from = int(number("from", cmp.Or(query.Get("from"), "0"), maxElements))
	q.to = int(number("to", cmp.Or(query.Get("to"), "0"), maxElements))
	if q.from > q.to {
		return q, errors.New("from is above to")
	}
	if what != contributionsPath {
		return q, err
	}
	for text := range strings.SplitSeq(query.Get("replicas"), ",") {
		replica := int(number("a replica", text, reducedEntry-1))
		if n := len(q.replicas); n > 0 && replica <= q.replicas[n-1] {
			return q, errors.New("replicas is not in ascending order")
		}
		q.replicas = append(q.replicas, replica)
	}
	return q, err
}

// serve answers when the session has what is asked for: what find finds in an
// exchange, or a snapshot. find is called with the session locked.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, what string, find func(*exchange, request) []entry) {
	q, err := parse(r, what)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), min(q.wait, maxPollWait))
	defer cancel()
	session := s.session(ctx, thalweg.RunID(r.PathValue("run")))
	if session == nil {
		http.Error(w, "the run is not joined here", statusUnknown)
		return
	}
	if ours := session.run.agreement(); r.Header.Get(headerFingerprint) != ours {
		http.Error(w, "the run's fingerprint here is "+ours, statusOtherRun)
		return
	}
	var entries []entry
	var ahead bool
	var snapshot func() ([]byte, error)
	session.await(ctx, func() bool {
		if e := session.mu.exchanges[q.sequence]; e != nil && find != nil {
			entries = find(e, q)
		}
		// What is collected here is never computed here again.
		ahead, snapshot = session.mu.sequence > q.sequence, session.mu.snapshot
		return entries != nil || ahead
	})
	out := &patientWriter{ResponseWriter: w, stall: session.config.Stall}
	out.extend()
	switch {
	case entries != nil:
		session.sendEntries(out, q, entries)
	case ahead && find != nil:
		http.Error(out, "the exchange is over", statusAhead)
	case ahead && r.Method != http.MethodHead:
		sendSnapshot(out, snapshot)
	case !ahead:
		out.WriteHeader(statusNotYet)
	}
}

// contributed returns what is asked for if all replicas asked for have contributed.
func (e *exchange) contributed(q request) []entry {
	entries := e.of(q.replicas)
	for i := range entries {
		v := &entries[i].vector
		*v = v.Slice(min(q.from, v.Len()), min(q.to, v.Len()))
	}
	return entries
}

// reduced returns what is asked for if it is reduced here.
func (e *exchange) reduced(q request) []entry {
	i := slices.IndexFunc(e.segments, func(g segment) bool { return g.from <= q.from && q.to <= g.to })
	if i < 0 {
		return nil
	}
	g := e.segments[i]
	return []entry{{replica: reducedEntry, contribution: contribution{vector: g.values.Slice(q.from-g.from, q.to-g.from)}}}
}

func (s *Session) sendEntries(out *patientWriter, q request, entries []entry) {
	for _, e := range entries {
		if n := e.vector.Len(); n != q.to-q.from && elementOf(e.vector) == elementOf(entries[0].vector) {
			http.Error(out, "the vectors are shorter than to", http.StatusBadRequest)
			return
		}
	}
	sparse := isSparse(entries)
	if !sparse {
		out.Header().Set("Content-Length", strconv.FormatInt(bodySize(entries), 10))
	}
	out.Header().Set("Content-Type", "application/octet-stream")
	p := s.packers.Get().(*packer)
	_ = writeBody(out, q.sequence, entries, q.stretch, sparse, p) // a peer that went away asks again
	s.packers.Put(p)
}

func sendSnapshot(out *patientWriter, snapshot func() ([]byte, error)) {
	body, err := snapshot()
	if err != nil {
		http.Error(out, err.Error(), http.StatusInternalServerError)
		return
	}
	out.Header().Set(headerSum, strconv.FormatUint(xxh3.Hash(body), 16))
	out.Header().Set("Content-Length", strconv.Itoa(len(body)))
	for part := range slices.Chunk(body, chunkBytes) {
		if _, err := out.Write(part); err != nil {
			return // a peer that went away asks again
		}
	}
}

// patientWriter gives the peer time anew to take what is written next.
type patientWriter struct {
	http.ResponseWriter
	stall time.Duration
}

func (w *patientWriter) Write(p []byte) (int, error) {
	w.extend()
	return w.ResponseWriter.Write(p)
}

// extend moves the deadline. A writer that has none does not need it.
func (w *patientWriter) extend() {
	_ = http.NewResponseController(w.ResponseWriter).SetWriteDeadline(time.Now().Add(w.stall))
}
