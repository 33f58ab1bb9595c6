package average

import (
	"context"
	"hash/crc32"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/thalweg/thalweg"
)

// The paths of the protocol, all GET. replicas, from and to are queries.
const (
	// pathContributions answers with elements [from, to) of what replicas
	// contributed, and their notes.
	pathContributions = "/exchange/{run}/{sequence}/contributions"
	// pathReduced answers with elements [from, to) of the reduced vector, as one
	// replica whose weight is the sum of the weights.
	pathReduced = "/exchange/{run}/{sequence}/reduced"
	// pathSnapshot answers with the state before the next exchange, if its number
	// is above {sequence}.
	pathSnapshot = "/exchange/{run}/{sequence}/snapshot"
)

// The headers of requests and answers.
const (
	headerWorker      = "Thalweg-Worker"      // who asks
	headerFingerprint = "Thalweg-Fingerprint" // of the run; must be equal
	headerSequence    = "Thalweg-Sequence"    // of an answer: the number of the next exchange
	headerWait        = "Thalweg-Wait"        // milliseconds that the request may wait
	headerSum         = "Thalweg-Crc32c"      // of a snapshot, hex
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

// request is a peer's request, parsed.
type request struct {
	session  *Session
	worker   thalweg.WorkerID
	sequence uint64
	replicas []int
	from, to int
	ctx      context.Context // ends when the peer has waited enough
	cancel   context.CancelFunc
}

// accept reads a request and finds its session, or answers it.
func (s *Server) accept(w http.ResponseWriter, r *http.Request) (*request, bool) {
	q := &request{worker: thalweg.WorkerID(r.Header.Get(headerWorker))}
	fail := func(status int, message string) (*request, bool) {
		if q.cancel != nil {
			q.cancel()
		}
		http.Error(w, message, status)
		return nil, false
	}
	var err error
	if q.sequence, err = strconv.ParseUint(r.PathValue("sequence"), 10, 64); err != nil {
		return fail(http.StatusBadRequest, "the exchange's number is not one")
	}
	wait, err := strconv.Atoi(r.Header.Get(headerWait))
	if err != nil || wait < 0 {
		return fail(http.StatusBadRequest, headerWait+" is not a number of milliseconds")
	}
	query := r.URL.Query()
	if list := query.Get("replicas"); list != "" {
		for part := range strings.SplitSeq(list, ",") {
			replica, err := strconv.Atoi(part)
			if err != nil || replica < 0 || len(q.replicas) > 0 && replica <= q.replicas[len(q.replicas)-1] {
				return fail(http.StatusBadRequest, "replicas is not an ascending list of numbers")
			}
			q.replicas = append(q.replicas, replica)
		}
	}
	for name, to := range map[string]*int{"from": &q.from, "to": &q.to} {
		if text := query.Get(name); text != "" {
			if *to, err = strconv.Atoi(text); err != nil || *to < 0 || *to > maxElements {
				return fail(http.StatusBadRequest, name+" is not an element's number")
			}
		}
	}
	if q.from > q.to {
		return fail(http.StatusBadRequest, "from is above to")
	}
	if r.Pattern == "GET "+pathContributions && len(q.replicas) == 0 {
		return fail(http.StatusBadRequest, "no replicas are asked for")
	}
	q.ctx, q.cancel = context.WithTimeout(r.Context(), min(time.Duration(wait)*time.Millisecond, maxPollWait))
	if q.session = s.session(q.ctx, thalweg.RunID(r.PathValue("run"))); q.session == nil {
		return fail(statusUnknown, "the run is not joined here")
	}
	if r.Header.Get(headerFingerprint) != q.session.run.Fingerprint {
		return fail(statusOtherRun, "the run's fingerprint here is "+q.session.run.Fingerprint)
	}
	return q, true
}

// serveContributions answers when all replicas asked for have contributed.
func (s *Server) serveContributions(w http.ResponseWriter, r *http.Request) {
	s.serveEntries(w, r, func(q *request, e *exchange) (entries []entry) {
		for _, replica := range q.replicas {
			c, ok := e.contributions[replica]
			if !ok {
				return nil
			}
			n := c.vector.Len()
			c.vector = c.vector.Slice(min(q.from, n), min(q.to, n))
			entries = append(entries, entry{replica: replica, contribution: c})
		}
		return entries
	}, func(q *request) { q.session.collected(q.worker, q.sequence+1) })
}

// serveReduced answers when the elements asked for are reduced here.
func (s *Server) serveReduced(w http.ResponseWriter, r *http.Request) {
	s.serveEntries(w, r, func(q *request, e *exchange) []entry {
		for _, g := range e.segments {
			if g.from <= q.from && q.to <= g.from+g.values.Len() {
				c := contribution{weight: g.total, vector: g.values.Slice(q.from-g.from, q.to-g.from)}
				return []entry{{replica: reducedEntry, contribution: c}}
			}
		}
		return nil
	}, func(*request) {})
}

// serveEntries answers with what find finds in the exchange, when it does, and
// calls sent when that went out. find is called with the session locked.
func (s *Server) serveEntries(w http.ResponseWriter, r *http.Request, find func(*request, *exchange) []entry, sent func(*request)) {
	q, ok := s.accept(w, r)
	if !ok {
		return
	}
	defer q.cancel()
	var entries []entry
	var next uint64
	q.session.await(q.ctx, func() bool {
		next = q.session.mu.sequence
		if e := q.session.mu.exchanges[q.sequence]; e != nil {
			entries = find(q, e)
		}
		// What is collected here is never computed here again.
		return entries != nil || next > q.sequence
	})
	if entries == nil {
		refuse(w, q, next, next > q.sequence)
		return
	}
	for _, e := range entries {
		if e.vector.Len() != q.to-q.from {
			http.Error(w, "the vectors are shorter than to", http.StatusBadRequest)
			return
		}
	}
	if q.session.send(w, q, entries) {
		sent(q)
	}
}

// serveSnapshot answers at once.
func (s *Server) serveSnapshot(w http.ResponseWriter, r *http.Request) {
	q, ok := s.accept(w, r)
	if !ok {
		return
	}
	defer q.cancel()
	q.session.mu.Lock()
	next, snapshot := q.session.mu.sequence, q.session.mu.snapshot
	q.session.mu.Unlock()
	if snapshot == nil || next <= q.sequence {
		refuse(w, q, next, false)
		return
	}
	body, err := snapshot()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set(headerSequence, strconv.FormatUint(next, 10))
	w.Header().Set(headerSum, strconv.FormatUint(uint64(crc32.Checksum(body, castagnoli)), 16))
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	deadline := http.NewResponseController(w)
	for len(body) > 0 {
		part := body[:min(len(body), chunkBytes)]
		extend(deadline, q.session.config.Stall)
		if _, err := w.Write(part); err != nil {
			return // the peer went away; it will ask again
		}
		body = body[len(part):]
	}
	// It needs nothing of what came before.
	q.session.collected(q.worker, next)
}

// refuse answers that the exchange is not there: forgotten, or not yet.
func refuse(w http.ResponseWriter, q *request, next uint64, ahead bool) {
	extend(http.NewResponseController(w), q.session.config.Stall)
	w.Header().Set(headerSequence, strconv.FormatUint(next, 10))
	if ahead {
		http.Error(w, "the exchange is over", statusAhead)
		return
	}
	w.WriteHeader(statusNotYet)
}

// send answers with entries, whose vectors are the elements asked for. It
// reports whether they went out.
func (s *Session) send(w http.ResponseWriter, q *request, entries []entry) bool {
	w.Header().Set("Content-Length", strconv.FormatInt(bodySize(entries), 10))
	w.Header().Set("Content-Type", "application/octet-stream")
	deadline := http.NewResponseController(w)
	err := writeBody(w, q.sequence, entries, q.from, q.to, func() { extend(deadline, s.config.Stall) })
	// A peer that went away asks again.
	return err == nil
}

// extend gives the peer more time to take what is written next. A writer that
// has no deadlines does not need it.
func extend(c *http.ResponseController, stall time.Duration) {
	_ = c.SetWriteDeadline(time.Now().Add(stall))
}
