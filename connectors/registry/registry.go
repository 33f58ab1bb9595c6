// Package registry asks a schema registry, by Confluent's HTTP API, for the
// schemas that events were written with. The services of Confluent, Karapace and
// Apicurio (its ccompat API) speak it.
package registry

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/reach"
	"github.com/thalweg/thalweg/retry"
)

const (
	// requestTimeout bounds one request.
	requestTimeout = 10 * time.Second
	dialTimeout    = 5 * time.Second // a registry that is up answers a SYN at once
	// attempts is how often a request is made that fails for a reason that may pass,
	// before the registry is unavailable.
	attempts = 3
	// forgetAfter is how long an id is held to be unknown before the registry is
	// asked again: schemas are added all the time.
	forgetAfter = 10 * time.Second
	// maxReferences bounds the schemas that one refers to, and that those refer to.
	maxReferences = 64
)

// limits are what tests set lower.
type limits struct {
	backoff    time.Duration // the pause before the second attempt; later ones are twice as long each
	bodyBytes  int64         // of an answer
	maxSchemas int           // that are kept
}

// Config says where a registry is and how to talk to it. URL is required.
type Config struct {
	// URL is where the API begins: http://host:port, perhaps with a path. It holds
	// no credentials.
	URL string
	// Login, where it is not nil, is asked at each request for the user and the password of
	// basic authentication: they may change. It is called concurrently.
	Login func() (username, password string)
	// TLS is for https; nil: the system's certificates.
	TLS *tls.Config
	// Loopback lets the name in URL lead to this machine, though it is no name or address
	// of loopback.
	Loopback bool
}

func (c Config) check() error {
	bad := func(hint string) error {
		return &thalweg.Error{Op: "configure schema registry", Kind: thalweg.Invalid, Subject: "url", Hint: hint}
	}
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return bad("write http://host:port or https://host")
	case u.User != nil:
		return bad("credentials do not belong into it")
	case u.RawQuery != "" || u.Fragment != "":
		return bad("it ends with its path")
	}
	return reach.ForURL(c.Loopback, u).CheckHost(u.Host)
}

// Client is a registry. It may be used by several goroutines, and keeps the
// schemas that it was told: an id means the same schema for ever.
type Client struct {
	cfg      Config
	http     *http.Client
	throttle *retry.Throttle
	limits   limits
	now      func() time.Time

	mu struct {
		sync.Mutex
		answers map[uint32]*answer
		uses    uint64
	}
}

// answer is what the registry says of an id, or will have said when done is
// closed.
type answer struct {
	done  chan struct{}
	texts []string
	err   error
	until time.Time // when it is forgotten; zero: never
	used  uint64    // the latest of Client.mu.uses
}

// New returns a client. No network is touched.
func New(cfg Config) (*Client, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg.URL = strings.TrimRight(cfg.URL, "/")
	// An answer of 4 MiB holds a schema of 1 MiB in which each quote is escaped.
	c := &Client{cfg: cfg, throttle: retry.NewThrottle(), now: time.Now, limits: limits{50 * time.Millisecond, 4 << 20, 1024}}
	c.mu.answers = make(map[uint32]*answer)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = cfg.TLS
	if u, err := url.Parse(cfg.URL); err == nil { // check has seen it
		transport.DialContext = reach.ForURL(cfg.Loopback, u).Dialer(dialTimeout).DialContext
	}
	c.http = &http.Client{Transport: transport, Timeout: requestTimeout,
		// Credentials go to the address that the operator wrote, and to no other.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return c, nil
}

// Close gives up idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Schema returns the texts of the schema with an id: those of the schemas that
// it refers to, in an order in which each knows the ones it needs, and its own
// last. Its error is NotFound if the registry says that there is no such id,
// Unsupported if the schema is none of Avro, Corrupt if it cannot be had whole,
// and Unavailable if the registry cannot be asked. All who want a schema at the
// same time share one request.
func (c *Client) Schema(ctx context.Context, id uint32) ([]string, error) {
	subject := fmt.Sprintf("id %d", id)
	for {
		a, mine := c.answer(id)
		if mine {
			l := loader{client: c, seen: make(map[reference]bool)}
			if a.err = l.add(ctx, fmt.Sprintf("/schemas/ids/%d", id), subject); a.err == nil {
				a.texts = l.texts
			}
			c.settle(id, a)
			return a.texts, a.err
		}
		select {
		case <-a.done:
		case <-ctx.Done():
			return nil, canceled(ctx, subject)
		}
		if !thalweg.Is(a.err, thalweg.Canceled) {
			return a.texts, a.err
		}
		// Whoever asked gave up, which says nothing of the schema.
	}
}

// answer returns the answer of an id, and whether the caller has to get it.
func (c *Client) answer(id uint32) (a *answer, mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a = c.mu.answers[id]
	if mine = a == nil || !a.until.IsZero() && !c.now().Before(a.until); mine {
		a = &answer{done: make(chan struct{})}
		c.mu.answers[id] = a
	}
	c.mu.uses++
	a.used = c.mu.uses
	return a, mine
}

// settle keeps an answer, if it is one to keep, in place of the one that was not
// used for the longest, and tells those who wait.
func (c *Client) settle(id uint32, a *answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(a.done)
	switch thalweg.KindOf(a.err) {
	case thalweg.NotFound, thalweg.Unsupported, thalweg.Corrupt:
		a.until = c.now().Add(forgetAfter)
	default:
		if a.err != nil {
			delete(c.mu.answers, id)
			return
		}
	}
	if len(c.mu.answers) <= c.limits.maxSchemas {
		return
	}
	oldest, used := id, a.used
	for id, a := range c.mu.answers {
		if a.used < used {
			oldest, used = id, a.used
		}
	}
	delete(c.mu.answers, oldest)
}
