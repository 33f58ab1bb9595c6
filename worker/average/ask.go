package average

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/zeebo/xxh3"

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

// aheadError reports a peer that has forgotten the exchange asked for.
type aheadError struct{ peer Holder }

func (e *aheadError) Error() string { return fmt.Sprintf("worker %s is ahead", e.peer.Worker) }

func peerError(p Holder, kind thalweg.Kind, err error, hint string) error {
	return &thalweg.Error{Op: opExchange, Kind: kind, Subject: fmt.Sprintf("worker %s at %s", p.Worker, p.Address), Err: err, Hint: hint}
}

// get asks a peer for something, again and again until the peer has it. An
// aheadError means that the peer has forgotten it. The request ends with ctx, with the
// answer's Close, and after a silence of Config.Stall.
func (s *Session) get(ctx context.Context, method string, p Holder, sequence uint64, path string) (*http.Response, error) {
	scheme := "http"
	if s.config.TLS != nil {
		scheme = "https"
	}
	address := fmt.Sprintf("%s://%s/exchange/%s/%d/%s", scheme, p.Address, url.PathEscape(string(s.run.ID)), sequence, path)
	for {
		ctx, cancel := context.WithCancel(ctx)
		silence := time.AfterFunc(s.config.PollWait+s.config.Stall, cancel)
		request, err := http.NewRequestWithContext(ctx, method, address, nil)
		var response *http.Response
		if err == nil {
			request.Header.Set(headerFingerprint, s.run.agreement())
			request.Header.Set(headerWait, strconv.FormatInt(s.config.PollWait.Milliseconds(), 10))
			response, err = s.client.Do(request)
		}
		silence.Stop()
		if err != nil {
			if s.config.Broken != nil && ctx.Err() == nil && breaks(err) {
				s.config.Broken(p)
			}
			cancel()
			return nil, peerError(p, thalweg.Unavailable, err, "")
		}
		response.Body = &watchedBody{ReadCloser: response.Body, silence: silence, stall: s.config.Stall, cancel: cancel}
		if response.StatusCode == http.StatusOK {
			return response, nil
		}
		text, _ := io.ReadAll(io.LimitReader(response.Body, 512))
		response.Body.Close()
		message := fmt.Errorf("%s: %s", response.Status, strings.TrimSpace(string(text)))
		switch response.StatusCode {
		case statusNotYet:
		case statusAhead:
			return nil, &aheadError{peer: p}
		case statusOtherRun:
			return nil, peerError(p, thalweg.Invalid, message, "the workers see different data, or are of different versions")
		default:
			return nil, peerError(p, thalweg.Unavailable, message, "")
		}
	}
}

// breaks reports whether an error says that nobody is at the other end of a connection,
// rather than that the other end is slow.
func breaks(err error) bool {
	for _, broken := range []error{syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EPIPE, syscall.EHOSTUNREACH, io.EOF, io.ErrUnexpectedEOF} {
		if errors.Is(err, broken) {
			return true
		}
	}
	return false
}

// watchedBody bounds how long each read waits. Nothing is bounded between reads:
// another peer may keep the reader waiting.
type watchedBody struct {
	io.ReadCloser
	silence *time.Timer // ends the request
	stall   time.Duration
	cancel  context.CancelFunc
}

func (b *watchedBody) Read(p []byte) (int, error) {
	b.silence.Reset(b.stall)
	defer b.silence.Stop()
	return b.ReadCloser.Read(p)
}

func (b *watchedBody) Close() error {
	b.cancel()
	return b.ReadCloser.Close()
}

// snapshot takes the state of a peer that is ahead of sequence.
func (s *Session) snapshot(ctx context.Context, p Holder, sequence uint64) (body []byte, err error) {
	err = s.retry(ctx, func() error {
		response, err := s.get(ctx, http.MethodGet, p, sequence, snapshotPath)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if body, err = io.ReadAll(io.LimitReader(response.Body, maxSnapshot)); err != nil {
			return peerError(p, thalweg.Unavailable, err, "")
		}
		want, got := response.Header.Get(headerSum), strconv.FormatUint(xxh3.Hash(body), 16)
		if response.ContentLength != int64(len(body)) || got != want {
			return peerError(p, thalweg.Unavailable, corrupt("a snapshot of %d bytes, %d announced, with checksum %s instead of %s",
				len(body), response.ContentLength, got, want), "")
		}
		return nil
	})
	return body, err
}

// retry asks a peer until it answers, ctx ends, or no repetition can help.
func (s *Session) retry(ctx context.Context, ask func() error) error {
	failing := false
	return retry.Policy{Backoff: peerBackoff}.Do(ctx, func(err error) bool {
		if ctx.Err() != nil || !thalweg.IsTransient(err) {
			return false
		}
		if !failing {
			failing = true
			s.log.Warn("peer failed, asking again", "error", err)
		}
		return true
	}, ask)
}
