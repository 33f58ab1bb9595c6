package s3

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/retry"
	"github.com/thalweg/thalweg/storage"
)

// maxPause bounds a pause between tries, in units of Config.Backoff.
const maxPause = 20

// repeat runs call, which must be safe to repeat, until it succeeds, fails in
// a way that trying again does not heal, Config.Attempts are used up, or the
// budget for retries is.
func (o *Opener) repeat(ctx context.Context, op, subject string, call func(ctx context.Context, w *watch) error) error {
	p := retry.Policy{Backoff: retry.Backoff{Min: o.config.Backoff, Max: maxPause * o.config.Backoff}, Attempts: o.config.Attempts, Throttle: o.throttle}
	err := p.Do(ctx, thalweg.IsTransient, func() error { return o.once(ctx, op, subject, call) })
	if err != nil && ctx.Err() != nil {
		return storage.Ended(ctx, op, subject)
	}
	return err
}

// once runs call under a watch and classifies its error.
func (o *Opener) once(ctx context.Context, op, subject string, call func(ctx context.Context, w *watch) error) error {
	if err := storage.Ended(ctx, op, subject); err != nil {
		return err
	}
	if o.throttle.Pass(ctx) != nil {
		return storage.Ended(ctx, op, subject)
	}
	watched, w := newWatch(ctx, o.config.Stall)
	err := call(watched, w)
	w.stop()
	if err == nil {
		o.throttle.Answered()
		return nil
	}
	if ctx.Err() != nil {
		return storage.Ended(ctx, op, subject)
	}
	if errors.Is(context.Cause(watched), errStalled) {
		err = errStalled
	}
	if kindOf(err).Transient() && !contended(err) {
		o.throttle.Failed()
	} else {
		o.throttle.Answered()
	}
	return o.failure(op, subject, err)
}

// contended reports whether the store is well and only busy with another
// conditional request on the same key.
func contended(err error) bool {
	var answer minio.ErrorResponse
	return errors.As(err, &answer) && answer.StatusCode == http.StatusConflict
}

var errStalled = errors.New("no byte moved for too long, or too few")

// stallBytes is what a request moves within Config.Stall, or it ends: 2 KiB a
// second by default. It gives each request a deadline that follows from its size.
const stallBytes = 64 << 10

// watch ends a request's context once too little has moved for a while.
type watch struct {
	timer  *time.Timer
	stall  time.Duration
	cancel context.CancelCauseFunc
	moved  atomic.Int64 // bytes since the timer was set; parts of an upload move at once
}

func newWatch(ctx context.Context, stall time.Duration) (context.Context, *watch) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watch{stall: stall, cancel: cancel}
	w.timer = time.AfterFunc(stall, func() { cancel(errStalled) })
	return ctx, w
}

// hold suspends the watch while the caller of a listing is at work, until restart.
func (w *watch) hold() { w.timer.Stop() }

// restart gives the request its time anew.
func (w *watch) restart() { w.timer.Reset(w.stall) }

// count tells the watch of n bytes that have moved.
func (w *watch) count(n int) {
	if w.moved.Add(int64(n)) >= stallBytes {
		w.moved.Store(0)
		w.restart()
	}
}

// stop ends the watch and the request's context.
func (w *watch) stop() {
	w.timer.Stop()
	w.cancel(nil)
}

// Read lets the watch observe an upload, of which minio-go reports each piece
// by reading it from here.
func (w *watch) Read(p []byte) (int, error) {
	w.count(len(p))
	return len(p), nil
}

// observed returns body with each read reported to the watch.
func (w *watch) observed(body io.Reader) io.Reader { return &observedReader{w, body} }

type observedReader struct {
	watch *watch
	body  io.Reader
}

func (f *observedReader) Read(p []byte) (int, error) {
	n, err := f.body.Read(p)
	f.watch.count(n)
	return n, err
}
