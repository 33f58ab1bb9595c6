// Package registry asks a schema registry, by Confluent's HTTP API, for the
// schemas that events were written with. The services of Confluent, Karapace and
// Apicurio (its ccompat API) speak it.
package registry

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/retry"
)

// Config says where a registry is and how to talk to it. URL is required.
type Config struct {
	// URL is where the API begins: http://host:port, perhaps with a path. It holds
	// no credentials.
	URL string
	// Username and Password are for basic authentication; empty: none.
	Username, Password string
	// TLS is for https; nil: the system's certificates.
	TLS *tls.Config

	// RequestTimeout bounds one request. Default 10 s.
	RequestTimeout time.Duration
	// Attempts is how often a request is made that fails for a reason that may
	// pass, before Schema says that the registry is unavailable. Default 3.
	Attempts int
	// Backoff is the pause before the second attempt; later ones are twice as long
	// each. Default 50 ms.
	Backoff time.Duration
	// MaxBodyBytes bounds an answer. Default 4 MiB, that of a schema of 1 MiB in
	// which each quote is escaped.
	MaxBodyBytes int64
	// MaxSchemas bounds the schemas that are kept. Default 1024.
	MaxSchemas int
	// ForgetAfter is how long an id is held to be unknown before the registry is
	// asked again: schemas are added all the time. Default 10 s.
	ForgetAfter time.Duration
	// Throttle is shared by all that talk to the same registry; nil: one of the
	// Client's own.
	Throttle *retry.Throttle
}

func (c Config) withDefaults() Config {
	c.RequestTimeout = cmp.Or(c.RequestTimeout, 10*time.Second)
	c.Attempts = cmp.Or(c.Attempts, 3)
	c.Backoff = cmp.Or(c.Backoff, 50*time.Millisecond)
	c.MaxBodyBytes = cmp.Or(c.MaxBodyBytes, 4<<20)
	c.MaxSchemas = cmp.Or(c.MaxSchemas, 1024)
	c.ForgetAfter = cmp.Or(c.ForgetAfter, 10*time.Second)
	if c.Throttle == nil {
		c.Throttle = retry.NewThrottle()
	}
	return c
}

// Validate reports what is wrong with c.
func (c Config) Validate() error {
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
	if c.RequestTimeout < 0 || c.Attempts < 0 || c.Backoff < 0 || c.MaxBodyBytes < 0 || c.MaxSchemas < 0 || c.ForgetAfter < 0 {
		return &thalweg.Error{Op: "configure schema registry", Kind: thalweg.Invalid, Subject: c.URL, Hint: "a bound is negative"}
	}
	return nil
}

// Client is a registry. It may be used by several goroutines, and keeps the
// schemas that it was told: an id means the same schema for ever.
type Client struct {
	cfg     Config
	base    string
	http    *http.Client
	answers cache
}

// New returns a client. No network is touched.
func New(cfg Config) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	c := &Client{cfg: cfg, base: strings.TrimRight(cfg.URL, "/"), answers: newCache(cfg.MaxSchemas, cfg.ForgetAfter)}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = cfg.TLS
	c.http = &http.Client{Transport: transport, Timeout: cfg.RequestTimeout,
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
// and Unavailable if the registry cannot be asked.
func (c *Client) Schema(ctx context.Context, id uint32) ([]string, error) {
	for {
		a, mine := c.answers.entry(id)
		if mine {
			a.texts, a.err = c.load(ctx, id)
			c.answers.settle(id, a)
			return a.texts, a.err
		}
		select {
		case <-a.done:
		case <-ctx.Done():
			return nil, &thalweg.Error{Op: "get schema", Kind: thalweg.Canceled, Subject: fmt.Sprintf("id %d", id), Err: ctx.Err()}
		}
		if !thalweg.Is(a.err, thalweg.Canceled) {
			return a.texts, a.err
		}
		// Whoever asked gave up, which says nothing of the schema.
	}
}
