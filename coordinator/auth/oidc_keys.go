package auth

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

	"github.com/thalweg/thalweg/reach"
)

const (
	// askIssuerEvery is how often the issuer is asked in the long run where its keys are, and
	// as often for keys that it has not had before; issuerBurst is how often of either at once.
	// Whoever makes up the names of keys causes no more. What is asked because keys are old is
	// not counted with that: names that are made up keep nobody with a good one out.
	askIssuerEvery = 5 * time.Second
	issuerBurst    = 2
	// keepKeys is how long keys are believed without asking again: a key that the issuer
	// has given up because it was stolen opens nothing for longer.
	keepKeys = time.Hour
	// issuerTimeout bounds one request to the issuer.
	issuerTimeout = 5 * time.Second
	// maxIssuerAnswer bounds an answer of the issuer: a hundred keys have some 100 KB.
	maxIssuerAnswer = 1 << 20
)

// errUnreached: the issuer's keys could not be had.
var errUnreached = errors.New("the issuer was not reached")

// errAskedLately: the issuer answers, and is not asked again yet.
var errAskedLately = errors.New("the issuer was asked a moment ago")

func isUnreached(err error) bool {
	return errors.Is(err, errUnreached) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// issuerKeys are the keys of an issuer, which are fetched when they are needed: a
// coordinator starts and serves whether the issuer answers or not.
type issuerKeys struct {
	issuer string
	log    *slog.Logger
	over   http.RoundTripper
	client *http.Client  // asks where the keys are
	named  *rate.Limiter // of questions for keys that somebody names and that are not known
	now    func() time.Time
	fetch  singleflight.Group
	mu     struct {
		sync.Mutex
		keys  *oidc.RemoteKeySet // nil until the issuer has said where its keys are
		until time.Time          // when it has to say so again
	}
}

func newIssuerKeys(log *slog.Logger, cfg OIDC) *issuerKeys {
	at, _ := url.Parse(cfg.Issuer) // Validate has seen it
	over := http.DefaultTransport.(*http.Transport).Clone()
	over.DialContext = reach.ForURL(cfg.Loopback, at).Dialer(issuerTimeout).DialContext
	over.TLSClientConfig = &tls.Config{RootCAs: cfg.RootCAs, MinVersion: tls.VersionTLS12}
	over.DisableKeepAlives = true // one question an hour
	seldom := func() *rate.Limiter { return rate.NewLimiter(rate.Every(askIssuerEvery), issuerBurst) }
	k := &issuerKeys{issuer: cfg.Issuer, log: log.With("issuer", cfg.Issuer), over: over, named: seldom(), now: time.Now}
	k.client = k.asker(seldom(), false)
	return k
}

// asker returns a client that asks the issuer within a limit, the first time beyond it if
// that is due.
func (k *issuerKeys) asker(limit *rate.Limiter, due bool) *http.Client {
	a := &asking{over: k.over, log: k.log, limit: limit}
	a.due.Store(due)
	return &http.Client{Transport: a, Timeout: issuerTimeout}
}

// current returns the keys by which signatures are verified now. It asks the issuer
// where they are if it has not lately, once for all who wait.
func (k *issuerKeys) current(ctx context.Context) (*oidc.RemoteKeySet, error) {
	k.mu.Lock()
	keys, until := k.mu.keys, k.mu.until
	k.mu.Unlock()
	if keys != nil && k.now().Before(until) {
		return keys, nil
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case found := <-k.fetch.DoChan("", k.discover):
		keys, _ = found.Val.(*oidc.RemoteKeySet)
		return keys, found.Err
	}
}

// discover asks the issuer where its keys are. Those of before are not believed any more:
// the first signature has them fetched anew, whatever key it names.
func (k *issuerKeys) discover() (any, error) {
	provider, err := oidc.NewProvider(oidc.ClientContext(context.Background(), k.client), k.issuer)
	var at struct {
		Keys string `json:"jwks_uri"`
	}
	if err == nil {
		err = provider.Claims(&at)
	}
	if err != nil {
		if !errors.Is(err, errUnreached) && !errors.Is(err, errAskedLately) { // which the log has, or shall not have for each who comes
			k.log.Warn("the issuer's description is not one of OpenID Connect, or of another issuer", "error", fmt.Sprintf("%.300s", err))
		}
		return nil, errors.Join(errUnreached, err)
	}
	keys := oidc.NewRemoteKeySet(oidc.ClientContext(context.Background(), k.asker(k.named, true)), at.Keys)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.mu.keys, k.mu.until = keys, k.now().Add(keepKeys)
	return keys, nil
}

// asking asks the issuer seldom, over TLS only, and for answers of a bounded size.
type asking struct {
	over   http.RoundTripper
	log    *slog.Logger
	limit  *rate.Limiter
	due    atomic.Bool // the next question is beyond the limit
	failed atomic.Bool // the newest question had no answer
}

// RoundTrip is that of http.RoundTripper.
func (a *asking) RoundTrip(r *http.Request) (*http.Response, error) {
	if !a.due.Swap(false) && !a.limit.Allow() {
		if a.failed.Load() {
			return nil, fmt.Errorf("%w a moment ago, and is not asked again yet", errUnreached)
		}
		return nil, errAskedLately
	}
	answer, err := a.ask(r)
	a.failed.Store(err != nil)
	if err != nil {
		a.log.Warn("the issuer does not answer: its tokens open nothing that needs its keys anew", "url", r.URL.Redacted(), "error", err)
		return nil, errors.Join(errUnreached, err)
	}
	return answer, nil
}

func (a *asking) ask(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" {
		return nil, errors.New("it is asked over https only")
	}
	answer, err := a.over.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxIssuerAnswer+1))
	switch {
	case err != nil:
		return nil, err
	case answer.StatusCode/100 == 3:
	case answer.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("it answers %d", answer.StatusCode)
	case len(body) > maxIssuerAnswer:
		return nil, fmt.Errorf("it answers more than %d bytes", maxIssuerAnswer)
	case !json.Valid(body):
		return nil, errors.New("its answer is no JSON")
	}
	answer.Body = io.NopCloser(bytes.NewReader(body))
	return answer, nil
}
