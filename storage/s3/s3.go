// Package s3 provides the buckets of an S3-compatible store by minio-go.
//
// minio-go's own retries are turned off: it would repeat a conditional create
// whose reply was lost and report the success of the first as a failure. Here
// operations that may be repeated are, a bounded number of times with jitter;
// PutIfAbsent is not, and where its outcome is unknown it says so
// (Unavailable). Every request is watched: one that moves next to nothing for a
// while is given up, however large it is. All requests of an Opener share a budget
// for retries; a store that has spent it is asked at a pace that its answers
// set, whoever asks and however often (retry.Throttle).
package s3

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/encrypt"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/reach"
	"github.com/thalweg/thalweg/retry"
)

// Config says which store, and how patiently it is used.
type Config struct {
	// Endpoint is the store's host:port, without scheme or path.
	Endpoint string
	// Region is the store's region; default us-east-1.
	Region string
	// AccessKey, SecretKey and SessionToken are the credentials; all empty:
	// requests are anonymous. The token is empty for lasting keys.
	AccessKey, SecretKey, SessionToken string
	// Keys, where it is not nil, is asked for the credentials of each request, in place
	// of those above: they may change at any time. It is called concurrently.
	Keys func() Keys
	// TLS talks https; TLSConfig, which may be nil, says whom to trust (default:
	// the system's roots) and with which certificate.
	TLS       bool
	TLSConfig *tls.Config
	// Encryption is asked for with each object that is written. A store that does not say
	// that it encrypted one is Unsupported.
	Encryption Encryption
	// PathStyle puts the bucket into the path for every endpoint; without it,
	// for all but Amazon's and some others that need it in the host name.
	PathStyle bool
	// Loopback lets the endpoint's name lead to this machine, though it is no name or
	// address of loopback.
	Loopback bool

	// Attempts bounds the tries of an operation that may be repeated; default 6.
	Attempts int
	// Backoff is the longest pause before the second try; each later one may be
	// twice as long, at most 20 times this. Pauses are random. Default 100 ms.
	Backoff time.Duration
	// Stall is how long a request may take for each 64 KiB that it moves, its answer
	// included; default 30 s.
	Stall time.Duration
	// Wrap, where it is not nil, goes around every request that is sent: to count
	// them, or to have them fail.
	Wrap func(http.RoundTripper) http.RoundTripper
	// MaxGetBytes bounds the object that Get reads into memory; default 5 GiB,
	// the most that one PUT stores.
	MaxGetBytes int64
}

// Keys are the credentials of requests. They print as nothing but the access key.
type Keys struct{ AccessKey, SecretKey, SessionToken string }

// String tells the access key.
func (k Keys) String() string { return "access key " + k.AccessKey }

// GoString is String, so that no formatting prints the secrets.
func (k Keys) GoString() string { return k.String() }

// Retrieve implements credentials.Provider.
func (f keysOf) Retrieve() (credentials.Value, error) { return f.RetrieveWithCredContext(nil) }

// RetrieveWithCredContext implements credentials.Provider.
func (f keysOf) RetrieveWithCredContext(*credentials.CredContext) (credentials.Value, error) {
	k := f()
	return credentials.Value{AccessKeyID: k.AccessKey, SecretAccessKey: k.SecretKey, SessionToken: k.SessionToken, SignerType: credentials.SignatureV4}, nil
}

// IsExpired implements credentials.Provider: keys are asked for each time.
func (keysOf) IsExpired() bool { return true }

// keysOf gives minio-go what Config.Keys says.
type keysOf func() Keys

func (c Config) withDefaults() Config {
	c.Region = cmp.Or(c.Region, "us-east-1")
	c.Attempts = cmp.Or(c.Attempts, 6)
	c.Backoff = cmp.Or(c.Backoff, 100*time.Millisecond)
	c.Stall = cmp.Or(c.Stall, 30*time.Second)
	c.MaxGetBytes = cmp.Or(c.MaxGetBytes, 5<<30)
	return c
}

// Validate reports the first field that is wrong.
func (c Config) Validate() error {
	invalid := func(field, why string) error {
		return &thalweg.Error{Op: "check s3 store", Kind: thalweg.Invalid, Subject: field, Err: errors.New(why)}
	}
	switch {
	case c.Endpoint == "":
		return invalid("endpoint", "must be set")
	case strings.ContainsAny(c.Endpoint, "/?#@ "):
		return invalid("endpoint", fmt.Sprintf("%q is not host:port; TLS is a field of its own", c.Endpoint))
	case (c.AccessKey == "") != (c.SecretKey == ""):
		return invalid("access_key, secret_key", "set both or neither")
	case c.SessionToken != "" && c.AccessKey == "":
		return invalid("session_token", "needs an access key")
	case c.Keys != nil && c.AccessKey != "":
		return invalid("access_key, keys", "set one of them")
	case !c.TLS && c.TLSConfig != nil:
		return invalid("tls_config", "needs tls")
	case c.Attempts < 0 || c.Backoff < 0 || c.Stall < 0 || c.MaxGetBytes < 0:
		return invalid("attempts, backoff, stall, max_get_bytes", "must not be negative")
	}
	if _, err := c.Encryption.headers(); err != nil {
		return invalid("encryption", err.Error())
	}
	return c.guard().CheckHost(c.Endpoint)
}

// guard says where requests may go.
func (c Config) guard() reach.Guard {
	at := &url.URL{Scheme: "http", Host: c.Endpoint}
	if c.TLS {
		at.Scheme = "https"
	}
	return reach.ForURL(c.Loopback, at)
}

// String describes the configuration without its secrets.
func (c Config) String() string {
	scheme := "http"
	if c.TLS {
		scheme = "https"
	}
	return fmt.Sprintf("%s://%s (region %s, access key %s)", scheme, c.Endpoint, c.Region, c.AccessKey)
}

// GoString is String, so that no formatting prints the secrets.
func (c Config) GoString() string { return c.String() }

// LogValue implements slog.LogValuer without the secrets.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// Opener opens the buckets of one store. It is safe for concurrent use.
type Opener struct {
	client    *minio.Core
	transport *http.Transport
	throttle  *retry.Throttle
	config    Config
	sse       encrypt.ServerSide // nil: not asked for
}

const (
	// idleConns is how many connections to the store are kept for reuse: as many
	// as a worker has requests under way.
	idleConns   = 64
	maxConns    = 2 * idleConns   // more requests wait: hundreds of streams that begin at once must not use up the descriptors
	dialTimeout = 5 * time.Second // a store that is up answers a SYN at once
)

// New returns an opener of the store's buckets. It does not talk to the store.
func New(config Config) (*Opener, error) {
	config = config.withDefaults()
	if err := config.Validate(); err != nil {
		return nil, err
	}
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           config.guard().Dialer(dialTimeout).DialContext,
		TLSHandshakeTimeout:   dialTimeout,
		TLSClientConfig:       config.TLSConfig,
		MaxIdleConns:          idleConns,
		MaxIdleConnsPerHost:   idleConns,
		MaxConnsPerHost:       maxConns,
		IdleConnTimeout:       time.Minute,
		ExpectContinueTimeout: time.Second,
		DisableCompression:    true, // objects are to come as they are
	}
	lookup := minio.BucketLookupAuto
	if config.PathStyle {
		lookup = minio.BucketLookupPath
	}
	var sender http.RoundTripper = transport
	if config.Wrap != nil {
		sender = config.Wrap(transport)
	}
	sse, err := config.Encryption.headers()
	if err != nil {
		return nil, err // Validate saw it
	}
	if sse != nil {
		sender = confirmed{sender}
	}
	keys := credentials.NewStaticV4(config.AccessKey, config.SecretKey, config.SessionToken)
	if config.Keys != nil {
		keys = credentials.New(keysOf(config.Keys))
	}
	client, err := minio.NewCore(config.Endpoint, &minio.Options{
		Creds:        keys,
		Secure:       config.TLS,
		Transport:    sender,
		Region:       config.Region, // else it is asked for, bucket by bucket
		BucketLookup: lookup,
		MaxRetries:   1, // it waits up to 200 ms after a failure all the same; repeat's pauses come on top
	})
	if err != nil {
		return nil, &thalweg.Error{Op: "check s3 store", Kind: thalweg.Invalid, Subject: config.Endpoint, Err: err}
	}
	return &Opener{client: client, transport: transport, throttle: retry.NewThrottle(), config: config, sse: sse}, nil
}

// Close closes the connections that are idle.
func (o *Opener) Close() error {
	o.transport.CloseIdleConnections()
	return nil
}
