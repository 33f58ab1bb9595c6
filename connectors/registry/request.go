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

// maxReferences bounds the schemas that one refers to, and that those refer to.
const maxReferences = 64

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
	body, err := json.Marshal(map[string]string{"schema": text})
	if err != nil {
		return 0, &thalweg.Error{Op: "register schema", Kind: thalweg.Invalid, Subject: subject, Err: err}
	}
	req, err := c.newRequest(ctx, http.MethodPost, "/subjects/"+url.PathEscape(subject)+"/versions", bytes.NewReader(body))
	if err != nil {
		return 0, &thalweg.Error{Op: "register schema", Kind: thalweg.Invalid, Subject: subject, Err: err}
	}
	req.Header.Set("Content-Type", "application/vnd.schemaregistry.v1+json")
	fail := func(kind thalweg.Kind, err error) error {
		return &thalweg.Error{Op: "register schema", Kind: kind, Subject: subject + " at " + c.base, Err: err}
	}
	answer, err := c.http.Do(req)
	if err != nil {
		return 0, fail(thalweg.Unavailable, err)
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(io.LimitReader(answer.Body, c.cfg.MaxBodyBytes))
	if err != nil {
		return 0, fail(thalweg.Unavailable, err)
	}
	var parsed struct {
		ID *uint32 `json:"id"`
	}
	switch err := json.Unmarshal(said, &parsed); {
	case answer.StatusCode == http.StatusConflict || answer.StatusCode == http.StatusUnprocessableEntity:
		return 0, fail(thalweg.Invalid, fmt.Errorf("%s: %.500s", answer.Status, said))
	case answer.StatusCode != http.StatusOK || err != nil || parsed.ID == nil:
		return 0, fail(thalweg.Unavailable, fmt.Errorf("%s: %.500s", answer.Status, said))
	}
	return *parsed.ID, nil
}

// newRequest makes a request as the connection's user.
func (c *Client) newRequest(ctx context.Context, method, path string, body io.Reader) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/vnd.schemaregistry.v1+json, application/json")
	if c.cfg.Username != "" {
		req.SetBasicAuth(c.cfg.Username, c.cfg.Password)
	}
	return req, nil
}

// load asks for a schema and all that it refers to.
func (c *Client) load(ctx context.Context, id uint32) ([]string, error) {
	subject := fmt.Sprintf("id %d", id)
	s, err := c.get(ctx, fmt.Sprintf("/schemas/ids/%d", id), subject)
	if err != nil {
		return nil, err
	}
	l := loader{client: c, seen: make(map[reference]bool)}
	if err := l.add(ctx, s, subject); err != nil {
		return nil, err
	}
	return l.texts, nil
}

// loader collects texts, those referred to first.
type loader struct {
	client *Client
	seen   map[reference]bool
	texts  []string
	size   int64
}

func (l *loader) add(ctx context.Context, s *schema, subject string) error {
	fail := func(kind thalweg.Kind, format string, args ...any) error {
		return &thalweg.Error{Op: "get schema", Kind: kind, Subject: subject, Err: fmt.Errorf(format, args...)}
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
		other, err := l.client.get(ctx, fmt.Sprintf("/subjects/%s/versions/%d", url.PathEscape(r.Subject), r.Version), name)
		if thalweg.Is(err, thalweg.NotFound) {
			return fail(thalweg.Corrupt, "it refers to %s, which is not there", name)
		}
		if err != nil {
			return err
		}
		if err := l.add(ctx, other, name); err != nil {
			return err
		}
	}
	if l.size += int64(len(s.Schema)); l.size > l.client.cfg.MaxBodyBytes {
		return fail(thalweg.Corrupt, "with all that it refers to it has more than %d bytes", l.client.cfg.MaxBodyBytes)
	}
	l.texts = append(l.texts, s.Schema)
	return nil
}

// get asks for a path, a few times where it fails for a reason that may pass.
func (c *Client) get(ctx context.Context, path, subject string) (s *schema, err error) {
	p := retry.Policy{Backoff: retry.Backoff{Min: c.cfg.Backoff}, Attempts: c.cfg.Attempts, Throttle: c.cfg.Throttle}
	err = p.Do(ctx, thalweg.IsTransient, func() error {
		s, err = c.once(ctx, path, subject)
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

// once makes one request, and tells the throttle how it went.
func (c *Client) once(ctx context.Context, path, subject string) (*schema, error) {
	if c.cfg.Throttle.Pass(ctx) != nil {
		return nil, canceled(ctx, subject)
	}
	s, err := c.request(ctx, path, subject)
	switch {
	case ctx.Err() != nil && err != nil:
		return nil, canceled(ctx, subject)
	case thalweg.IsTransient(err):
		c.cfg.Throttle.Failed()
	default:
		c.cfg.Throttle.Answered()
	}
	return s, err
}

// request makes one request. Only what is certainly the registry's word on the
// schema is NotFound, Unsupported or Corrupt, since events die by it.
func (c *Client) request(ctx context.Context, path, subject string) (*schema, error) {
	unavailable := func(err error, hint string) error {
		return &thalweg.Error{Op: "get schema", Kind: thalweg.Unavailable, Subject: subject + " from " + c.base, Err: err, Hint: hint}
	}
	req, err := c.newRequest(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, unavailable(err, "")
	}
	answer, err := c.http.Do(req)
	if err != nil {
		return nil, unavailable(err, "")
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, c.cfg.MaxBodyBytes+1))
	if err != nil {
		return nil, unavailable(err, "")
	}
	long := int64(len(body)) > c.cfg.MaxBodyBytes
	if long && answer.StatusCode == http.StatusOK {
		return nil, &thalweg.Error{Op: "get schema", Kind: thalweg.Corrupt, Subject: subject, Err: fmt.Errorf("it has more than %d bytes", c.cfg.MaxBodyBytes)}
	}
	var s schema
	parsed := json.Unmarshal(body, &s)
	switch {
	case answer.StatusCode == http.StatusOK && parsed == nil && s.Schema != "":
		return &s, nil
	case answer.StatusCode == http.StatusOK:
		return nil, unavailable(errors.New("the answer is not that of a schema registry"), "look at the connection's url")
	case answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden:
		return nil, unavailable(errors.New(answer.Status), "look at the connection's user and password")
	case answer.StatusCode == http.StatusNotFound && parsed == nil && (s.Code == codeNoSchema || s.Code == codeNoSubject || s.Code == codeNoVersion):
		return nil, &thalweg.Error{Op: "get schema", Kind: thalweg.NotFound, Subject: subject}
	case answer.StatusCode == http.StatusNotFound:
		return nil, unavailable(errors.New("the answer is not that of a schema registry: "+answer.Status), "look at the connection's url")
	}
	return nil, unavailable(fmt.Errorf("%s: %.200q", answer.Status, s.Message), "")
}
