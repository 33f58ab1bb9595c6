package average

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/retry"
)

// peerBackoff spaces attempts at a peer that fails: short enough that a
// restarted peer costs little of a round, long enough that a dead one costs
// nothing until its replicas move.
var peerBackoff = retry.Backoff{Min: 10 * time.Millisecond, Max: time.Second}

// maxSnapshot bounds a snapshot: four vectors of model.MaxSize and the notes of
// all replicas.
const maxSnapshot = 5 << 30

// answer is a peer's body on its way.
type answer struct {
	peer  Holder
	body  *bodyReader
	close func()
}

// failed names the peer in an error of its body.
func (a *answer) failed(err error) error { return peerError(a.peer, err) }

func peerError(p Holder, err error) error {
	return &thalweg.Error{Op: opExchange, Kind: thalweg.Unavailable, Subject: fmt.Sprintf("worker %s at %s", p.Worker, p.Address), Err: err}
}

// ask requests a stretch of contributions (of replicas) or of the reduced vector
// (nil) from a peer, again and again until the peer has it. waiting ends the wait, ctx
// the answer's body. An aheadError means that the peer has forgotten it.
func (c *collection) ask(ctx, waiting context.Context, p Holder, replicas []int, part stretch) (*answer, error) {
	what := "reduced"
	query := fmt.Sprintf("?from=%d&to=%d", part.from, part.to)
	want := replicas
	if replicas == nil {
		want = []int{reducedEntry}
	} else {
		what = "contributions"
		list := make([]string, len(replicas))
		for i, replica := range replicas {
			list[i] = strconv.Itoa(replica)
		}
		query += "&replicas=" + strings.Join(list, ",")
	}
	for {
		response, in, done, err := c.session.get(ctx, waiting, p, c.sequence, what+query, c.session.config.PollWait)
		if err != nil {
			return nil, err
		}
		if response.StatusCode == statusNotYet {
			done()
			continue
		}
		body, err := readBody(in, c.sequence, elementOf(c.reduced), want, part)
		if err != nil {
			done()
			return nil, peerError(p, err)
		}
		return &answer{peer: p, body: body, close: done}, nil
	}
}

// get makes one request, which may wait at the peer for the given time. It returns the answer of a
// peer that has it, or has it not yet; done must be called. While waiting holds
// ctx is not needed to end the request; afterwards only ctx and silence of
// Config.Stall do.
func (s *Session) get(ctx, waiting context.Context, p Holder, sequence uint64, path string, wait time.Duration) (response *http.Response, in io.Reader, done func(), err error) {
	if err := waiting.Err(); err != nil {
		return nil, nil, nil, context.Cause(waiting)
	}
	ctx, cancel := context.WithCancel(ctx)
	stopWaiting := context.AfterFunc(waiting, cancel)
	silence := time.AfterFunc(wait+s.config.Stall, cancel)
	done = func() {
		stopWaiting()
		silence.Stop()
		cancel()
		if response != nil {
			response.Body.Close()
		}
	}
	address := fmt.Sprintf("http://%s/exchange/%s/%d/%s", p.Address, url.PathEscape(string(s.run.ID)), sequence, path)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		done()
		return nil, nil, nil, peerError(p, err)
	}
	request.Header.Set(headerWorker, string(s.run.Worker))
	request.Header.Set(headerFingerprint, s.run.Fingerprint)
	request.Header.Set(headerWait, strconv.FormatInt(wait.Milliseconds(), 10))
	response, err = s.client.Do(request)
	if err != nil {
		done()
		return nil, nil, nil, peerError(p, err)
	}
	// The answer has begun: from here on it is the caller's.
	silence.Stop()
	if !stopWaiting() {
		done()
		return nil, nil, nil, context.Cause(waiting)
	}
	switch response.StatusCode {
	case http.StatusOK, statusNotYet:
		return response, &watched{in: response.Body, silence: silence, stall: s.config.Stall}, done, nil
	}
	text, _ := io.ReadAll(io.LimitReader(response.Body, 512))
	message := fmt.Errorf("%s: %s", response.Status, strings.TrimSpace(string(text)))
	done()
	switch response.StatusCode {
	case statusAhead:
		return nil, nil, nil, &aheadError{peer: p}
	case statusOtherRun:
		return nil, nil, nil, &thalweg.Error{Op: opExchange, Kind: thalweg.Invalid, Subject: fmt.Sprintf("worker %s at %s", p.Worker, p.Address), Err: message,
			Hint: "the workers see different data, or are of different versions"}
	}
	return nil, nil, nil, peerError(p, message)
}

// watched reads a body and bounds how long it waits for each read. Nothing is
// bounded between reads: another peer may keep the reader waiting.
type watched struct {
	in      io.Reader
	silence *time.Timer
	stall   time.Duration
}

func (w *watched) Read(p []byte) (int, error) {
	w.silence.Reset(w.stall)
	defer w.silence.Stop()
	return w.in.Read(p)
}

// position asks a peer which exchange is its next; 0 if it does not say.
func (s *Session) position(ctx context.Context, p Holder) uint64 {
	response, _, done, err := s.get(ctx, ctx, p, math.MaxUint64, "snapshot", 0)
	if err != nil {
		return 0
	}
	defer done()
	next, err := strconv.ParseUint(response.Header.Get(headerSequence), 10, 64)
	if err != nil {
		return 0
	}
	return next
}

// snapshot takes the state of a peer that is ahead of sequence.
func (s *Session) snapshot(ctx context.Context, p Holder, sequence uint64) (body []byte, err error) {
	err = s.retry(ctx, func() error {
		body, err = s.takeSnapshot(ctx, p, sequence)
		return err
	})
	return body, err
}

func (s *Session) takeSnapshot(ctx context.Context, p Holder, sequence uint64) ([]byte, error) {
	response, in, done, err := s.get(ctx, ctx, p, sequence, "snapshot", s.config.PollWait)
	if err != nil {
		return nil, err
	}
	defer done()
	if response.StatusCode == statusNotYet {
		return nil, peerError(p, errors.New("it was ahead, and is not any more"))
	}
	body, err := io.ReadAll(io.LimitReader(in, maxSnapshot))
	if err != nil {
		return nil, peerError(p, err)
	}
	sum, err := strconv.ParseUint(response.Header.Get(headerSum), 16, 32)
	if err != nil || response.ContentLength != int64(len(body)) || uint32(sum) != crc32.Checksum(body, castagnoli) {
		return nil, peerError(p, corrupt(fmt.Errorf("a snapshot of %d bytes, %d announced, with checksum %08x instead of %08x",
			len(body), response.ContentLength, crc32.Checksum(body, castagnoli), sum)))
	}
	return body, nil
}

// retry asks a peer until it answers, ctx ends, or no repetition can help.
func (s *Session) retry(ctx context.Context, ask func() error) error {
	failing := false
	return retry.Policy{Backoff: peerBackoff}.Do(ctx, func(err error) bool {
		var ahead *aheadError
		if ctx.Err() != nil || errors.As(err, &ahead) || !thalweg.IsTransient(err) {
			return false
		}
		if !failing {
			failing = true
			s.log.Warn("peer failed, asking again", "error", err)
		}
		return true
	}, ask)
}
