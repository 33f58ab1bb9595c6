package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/retry"
)

// The codes of errors that say that something is not there, of Confluent's API.
const (
	codeNoSubject = 40401
	codeNoVersion = 40402
	codeNoSchema  = 40403
)

// schema is an answer of the API.
type schema struct {
	Schema     string      `json:"schema"`
	Type       string      `json:"schemaType"` // AVRO, or nothing, which is AVRO too
	References []reference `json:"references"`

	// Of an error.
	Code    int    `json:"error_code"`
	Message string `json:"message"`
}

// reference is a schema that another refers to: a version of a subject, which
// does not change either.
type reference struct {
	Subject string `json:"subject"`
	Version int    `json:"version"`
}

// Register adds an Avro schema under a subject, unless it is there, and returns
// its id. An error of kind Invalid says that the registry refuses it.
func (c *Client) Register(ctx context.Context, subject, text string) (uint32, error) {
	fail := func(kind thalweg.Kind, err error) (uint32, error) {
		return 0, &thalweg.Error{Op: "register schema", Kind: kind, Subject: subject + " at " + c.cfg.URL, Err: err}
	}
	request, err := json.Marshal(map[string]string{"schema": text})
	if err != nil {
		return fail(thalweg.Invalid, err)
	}
	answer, said, err := c.do(ctx, http.MethodPost, "/subjects/"+url.PathEscape(subject)+"/versions", request)
	switch {
	case ctx.Err() != nil:
		return fail(thalweg.Canceled, ctx.Err())
	case thalweg.Is(err, thalweg.Forbidden):
		return fail(thalweg.Forbidden, err)
	case err != nil:
		return fail(thalweg.Unavailable, err)
	}
	var parsed struct {
		ID *uint32 `json:"id"`
	}
	switch err := json.Unmarshal(said, &parsed); {
	case answer.StatusCode == http.StatusConflict || answer.StatusCode == http.StatusUnprocessableEntity:
		return fail(thalweg.Invalid, fmt.Errorf("%s: %.500s", answer.Status, said))
	case answer.StatusCode != http.StatusOK || err != nil || parsed.ID == nil:
		return fail(thalweg.Unavailable, fmt.Errorf("%s: %.500s", answer.Status, said))
	}
	return *parsed.ID, nil
}

// loader collects texts, those referred to first.
type loader struct {
	client *Client
	seen   map[reference]bool
	texts  []string
	size   int64
}

// add asks for a schema and all that it refers to.
func (l *loader) add(ctx context.Context, path, subject string) error {
	fail := func(kind thalweg.Kind, format string, args ...any) error {
		return &thalweg.Error{Op: "get schema", Kind: kind, Subject: subject, Err: fmt.Errorf(format, args...)}
	}
	s, err := l.client.get(ctx, path, subject)
	if err != nil {
		return err
	}
	if s.Type != "" && s.Type != "AVRO" {
		return fail(thalweg.Unsupported, "it is of type %.40q, not AVRO", s.Type)
	}
	for _, r := range s.References {
		if l.seen[r] {
			continue
		}
		if len(l.seen) == maxReferences {
			return fail(thalweg.Corrupt, "it refers to more than %d schemas", maxReferences)
		}
		l.seen[r] = true
		name := fmt.Sprintf("version %d of subject %.200q", r.Version, r.Subject)
		err := l.add(ctx, fmt.Sprintf("/subjects/%s/versions/%d", url.PathEscape(r.Subject), r.Version), name)
		if thalweg.Is(err, thalweg.NotFound) {
			return fail(thalweg.Corrupt, "it refers to %s, which is not there", name)
		}
		if err != nil {
			return err
		}
	}
	if l.size += int64(len(s.Schema)); l.size > l.client.limits.bodyBytes {
		return fail(thalweg.Corrupt, "with all that it refers to it has more than %d bytes", l.client.limits.bodyBytes)
	}
	l.texts = append(l.texts, s.Schema)
	return nil
}

// get asks for a path, a few times where it fails for a reason that may pass, and
// tells the throttle how it went.
func (c *Client) get(ctx context.Context, path, subject string) (s *schema, err error) {
	p := retry.Policy{Backoff: retry.Backoff{Min: c.limits.backoff}, Attempts: attempts, Throttle: c.throttle}
	err = p.Do(ctx, thalweg.IsTransient, func() error {
		if err := c.throttle.Pass(ctx); err != nil {
			return err
		}
		s, err = c.request(ctx, path, subject)
		switch {
		case ctx.Err() != nil && err != nil:
		case thalweg.IsTransient(err):
			c.throttle.Failed()
		default:
			c.throttle.Answered()
		}
		return err
	})
	if err != nil && ctx.Err() != nil {
		return nil, canceled(ctx, subject)
	}
	return s, err
}

func canceled(ctx context.Context, subject string) error {
	return &thalweg.Error{Op: "get schema", Kind: thalweg.Canceled, Subject: subject, Err: ctx.Err()}
}

// request makes one request for a schema. Only what is certainly the registry's
// word on it is NotFound, Unsupported or Corrupt, since events die by it.
func (c *Client) request(ctx context.Context, path, subject string) (*schema, error) {
	unavailable := func(err error, hint string) (*schema, error) {
		return nil, &thalweg.Error{Op: "get schema", Kind: thalweg.Unavailable, Subject: subject + " from " + c.cfg.URL, Err: err, Hint: hint}
	}
	answer, said, err := c.do(ctx, http.MethodGet, path, nil)
	if thalweg.Is(err, thalweg.Forbidden) {
		return nil, &thalweg.Error{Op: "get schema", Subject: subject + " from " + c.cfg.URL, Err: err}
	}
	if err != nil {
		return unavailable(err, "")
	}
	var s schema
	parsed := json.Unmarshal(said, &s)
	switch status := answer.StatusCode; {
	case status == http.StatusOK && int64(len(said)) > c.limits.bodyBytes:
		return nil, &thalweg.Error{Op: "get schema", Kind: thalweg.Corrupt, Subject: subject, Err: fmt.Errorf("it has more than %d bytes", c.limits.bodyBytes)}
	case status == http.StatusOK && parsed == nil && s.Schema != "":
		return &s, nil
	case status == http.StatusOK:
		return unavailable(errors.New("the answer is not that of a schema registry"), "look at the connection's url")
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return unavailable(errors.New(answer.Status), "look at the connection's user and password")
	case status == http.StatusNotFound && parsed == nil && (s.Code == codeNoSchema || s.Code == codeNoSubject || s.Code == codeNoVersion):
		return nil, &thalweg.Error{Op: "get schema", Kind: thalweg.NotFound, Subject: subject}
	case status == http.StatusNotFound:
		return unavailable(errors.New("the answer is not that of a schema registry: "+answer.Status), "look at the connection's url")
	}
	return unavailable(fmt.Errorf("%s: %.200q", answer.Status, s.Message), "")
}

// do makes a request as the connection's user and returns the answer and what it
// says, at most one byte more than the bound.
func (c *Client) do(ctx context.Context, method, path string, body []byte) (*http.Response, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.cfg.URL+path, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Accept", "application/vnd.schemaregistry.v1+json, application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/vnd.schemaregistry.v1+json")
	}
	if c.cfg.Login != nil {
		req.SetBasicAuth(c.cfg.Login())
	}
	answer, err := c.http.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(io.LimitReader(answer.Body, c.limits.bodyBytes+1))
	return answer, said, err
}
