// Package webhook tells alerts to webhooks that operators registered: in the form of
// Alertmanager's webhooks, signed as Standard Webhooks says, until each has answered.
package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/alert"
	"github.com/thalweg/thalweg/reach"
)

const (
	// requestTimeout bounds one request, answer included.
	requestTimeout = 10 * time.Second
	dialTimeout    = 5 * time.Second
	// maxAnswer is how much of an answer is read, so that its connection can be used again.
	maxAnswer = 64 << 10
	// minSecret is below what a secret can be guessed.
	minSecret = 16
)

// The headers of Standard Webhooks. Of two requests with one ID the second is a repetition.
const (
	HeaderID        = "webhook-id"
	HeaderTimestamp = "webhook-timestamp" // seconds since 1970 UTC
	HeaderSignature = "webhook-signature" // "v1," and base64 of HMAC-SHA256 of "ID.TIMESTAMP.BODY"
)

// secretPrefix begins a secret whose bytes are written as base64.
const secretPrefix = "whsec_"

// Config is one webhook.
type Config struct {
	// URL is http or https, without credentials.
	URL string
	// Secret returns the secret that requests are signed with; nil: they are not. It is
	// asked at each request, since it may change.
	Secret func() string
	// Headers returns what requests have besides; nil: nothing.
	Headers func() map[string]string
	TLS     *tls.Config
	// Loopback lets the name in URL lead to this machine.
	Loopback bool
	// Cluster: it gets the alerts that concern no single pipeline.
	Cluster bool
}

// Validate says what is wrong with c. It reads the secret once.
func (c Config) Validate() error {
	bad := func(field, hint string) error {
		return &thalweg.Error{Op: "configure webhook", Kind: thalweg.Invalid, Subject: field, Hint: hint}
	}
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return bad("url", "write http://host:port/path or https://host/path")
	case u.User != nil:
		return bad("url", "credentials do not belong into it: name them in headers")
	case u.Fragment != "":
		return bad("url", "it ends with its path or query")
	}
	if c.Secret != nil {
		if key, err := keyOf(c.Secret()); err != nil || len(key) < minSecret {
			return bad("secret", fmt.Sprintf("it has at least %d bytes, as they are or as base64 behind %s", minSecret, secretPrefix))
		}
	}
	return reach.ForURL(c.Loopback, u).CheckHost(u.Host)
}

// keyOf returns the bytes of a secret.
func keyOf(secret string) ([]byte, error) {
	if encoded, ok := strings.CutPrefix(secret, secretPrefix); ok {
		return base64.StdEncoding.DecodeString(encoded)
	}
	return []byte(secret), nil
}

// Sign returns the signature of a request.
func Sign(secret, id string, at time.Time, body []byte) (string, error) {
	key, err := keyOf(secret)
	if err != nil {
		return "", err
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%d.", id, at.Unix())
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)), nil
}

// Message is what a webhook gets: the form that Alertmanager sends, of one alert.
type Message struct {
	Version           string            `json:"version"` // "4", of the form
	GroupKey          string            `json:"groupKey"`
	TruncatedAlerts   int               `json:"truncatedAlerts"`
	Status            string            `json:"status"` // firing or resolved
	Receiver          string            `json:"receiver"`
	GroupLabels       map[string]string `json:"groupLabels"`
	CommonLabels      map[string]string `json:"commonLabels"`
	CommonAnnotations map[string]string `json:"commonAnnotations"`
	ExternalURL       string            `json:"externalURL"`
	Alerts            []Alert           `json:"alerts"`
}

// Alert is one of a Message.
type Alert struct {
	Status       string            `json:"status"`
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"` // the zero time while it fires
	GeneratorURL string            `json:"generatorURL"`
	Fingerprint  string            `json:"fingerprint"`
}

// MessageOf is what a webhook of a name is told of an alert: that it fires or is resolved.
func MessageOf(cluster, name, status string, r *alert.Record) Message {
	rule, _ := alert.RuleOf(r.Rule)
	labels := map[string]string{"alertname": r.Rule, "severity": r.Severity, "subject": r.Subject}
	if r.Pipeline != "" {
		labels["pipeline"] = string(r.Pipeline)
	}
	if cluster != "" {
		labels["cluster"] = cluster
	}
	annotations := map[string]string{"summary": r.Subject + " " + r.Message, "action": rule.Action, "docs": rule.Docs()}
	a := Alert{Status: status, Labels: labels, Annotations: annotations, StartsAt: time.UnixMilli(r.SinceMS).UTC(), Fingerprint: digest(cluster, r.ID)[:16]}
	if status == alert.Resolved {
		a.EndsAt = time.UnixMilli(r.ResolvedMS).UTC()
	}
	return Message{Version: "4", GroupKey: r.ID, Status: status, Receiver: name, GroupLabels: map[string]string{"alertname": r.Rule},
		CommonLabels: labels, CommonAnnotations: annotations, Alerts: []Alert{a}}
}

// IDOf names what a webhook is told, whoever tells it and however often.
func IDOf(cluster, status string, r *alert.Record) string {
	return "msg_" + digest(cluster, r.ID, strconv.FormatUint(r.Index, 10), status)[:32]
}

func digest(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:])
}

// client sends to one webhook.
type client struct {
	name    string
	cfg     Config
	version string
	http    *http.Client
}

// newClient returns what sends to a webhook that is valid.
func newClient(name, version string, cfg Config) *client {
	u, err := url.Parse(cfg.URL)
	if err != nil {
		u = new(url.URL) // each request fails
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DialContext: reach.ForURL(cfg.Loopback, u).Dialer(dialTimeout).DialContext,
		TLSClientConfig: cfg.TLS, MaxIdleConns: 2, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true}
	return &client{name, cfg, version, &http.Client{Transport: transport, Timeout: requestTimeout,
		// Who redirects could have a signed request go anywhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

func (c *client) close() { c.http.CloseIdleConnections() }

// send tells an alert. The error is nil once the webhook has answered that it has it.
func (c *client) send(ctx context.Context, cluster, status string, r *alert.Record) error {
	fail := func(err error, hint string) error {
		return &thalweg.Error{Op: "send alert", Kind: thalweg.Unavailable, Subject: "webhook " + c.name, Err: err, Hint: hint}
	}
	body, err := json.Marshal(MessageOf(cluster, c.name, status, r))
	if err != nil {
		return fail(err, "")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.cfg.URL, bytes.NewReader(body))
	if err != nil {
		return fail(withoutURL(err), "")
	}
	id, at := IDOf(cluster, status, r), time.Now()
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", strings.TrimSpace("thalweg/"+c.version))
	req.Header.Set(HeaderID, id)
	req.Header.Set(HeaderTimestamp, strconv.FormatInt(at.Unix(), 10))
	if c.cfg.Headers != nil {
		for name, value := range c.cfg.Headers() {
			req.Header.Set(name, value)
		}
	}
	if c.cfg.Secret != nil {
		signature, err := Sign(c.cfg.Secret(), id, at, body)
		if err != nil {
			return fail(err, "its secret is not what "+secretPrefix+" says")
		}
		req.Header.Set(HeaderSignature, signature)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return fail(withoutURL(err), "")
	}
	defer res.Body.Close()                                          // it is only read
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, maxAnswer)) // only for the connection's sake
	switch {
	case res.StatusCode >= 200 && res.StatusCode < 300:
		return nil
	case res.StatusCode >= 300 && res.StatusCode < 400:
		return fail(fmt.Errorf("it answers %s", res.Status), "redirects are not followed: register the address that it names")
	}
	return fail(fmt.Errorf("it answers %s", res.Status), "")
}

// withoutURL is an error of a request without its address, which may hold a token.
func withoutURL(err error) error {
	if of := new(url.Error); errors.As(err, &of) {
		return of.Err
	}
	return err
}
