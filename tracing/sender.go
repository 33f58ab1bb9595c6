package tracing

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/reach"
)

const (
	// sendTimeout bounds one request to the collector, and dialTimeout the connection.
	sendTimeout = 10 * time.Second
	dialTimeout = 5 * time.Second
	// tracesPath is where OTLP over HTTP has traces, below the endpoint.
	tracesPath = "/v1/traces"
	// maxAnswer is what is read of the collector's answers, to use the connection again.
	maxAnswer = 64 << 10
)

// Config says where spans go, and of what process they are.
type Config struct {
	// Endpoint is where a collector takes OTLP over HTTP: http://host:4318 or
	// https://host/path, to which /v1/traces is added. Empty: spans go nowhere.
	Endpoint string
	// Headers are sent with each request, such as Authorization, and asked for each time,
	// since they may change. nil: none.
	Headers func() map[string]string
	// TLS is for https; nil: the system's certificates.
	TLS *tls.Config
	// Loopback lets the name in Endpoint lead to this machine, though it is none of loopback.
	Loopback bool
	// Process says of which process the spans are: service.name and the like.
	Process map[string]string
}

// sender sends spans to the collector, with one request at a time.
type sender struct {
	url     string
	headers func() map[string]string
	client  *http.Client
	log     *slog.Logger
	process *resource.Resource
}

// New returns a tracer, or nil where the configuration names no collector. No network is
// touched before Run.
func New(log *slog.Logger, cfg Config) (*Tracer, error) {
	if cfg.Endpoint == "" {
		return nil, nil
	}
	bad := func(hint string) error {
		return &thalweg.Error{Op: "configure traces", Kind: thalweg.Invalid, Subject: "endpoint", Hint: hint}
	}
	u, err := url.Parse(cfg.Endpoint)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, bad("write http://host:4318 or https://host, where a collector takes OTLP over HTTP")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, bad("it ends with its path, and credentials are headers")
	}
	guard := reach.ForURL(cfg.Loopback, u)
	if err := guard.CheckHost(u.Host); err != nil {
		return nil, err
	}
	if cfg.Headers != nil && u.Scheme == "http" && reach.For(false, u.Host) != reach.For(true) { // it is not spelled as loopback
		return nil, bad("headers go to other machines over https only")
	}
	if u.Path = strings.TrimRight(u.Path, "/"); !strings.HasSuffix(u.Path, tracesPath) {
		u.Path += tracesPath
	}
	over := http.DefaultTransport.(*http.Transport).Clone()
	over.DialContext = guard.Dialer(dialTimeout).DialContext
	over.TLSClientConfig = cfg.TLS
	process := &resource.Resource{}
	for _, key := range slices.Sorted(maps.Keys(cfg.Process)) {
		process.Attributes = append(process.Attributes, Key(key).String(cfg.Process[key]))
	}
	return &Tracer{waiting: make(chan *otlp.Span, maxWaiting), sender: sender{url: u.String(), headers: cfg.Headers, log: log.With("collector", u.Host), process: process,
		client: &http.Client{Transport: over, Timeout: sendTimeout,
			// Headers go to the address that the operator wrote, and to no other.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}}, nil
}

// send sends spans in the form of OTLP. TracesData has the same bytes as the request to
// export them, whose package would link gRPC.
func (s *sender) send(ctx context.Context, spans []*otlp.Span) error {
	body, err := proto.Marshal(&otlp.TracesData{ResourceSpans: []*otlp.ResourceSpans{{Resource: s.process,
		ScopeSpans: []*otlp.ScopeSpans{{Scope: &common.InstrumentationScope{Name: "github.com/thalweg/thalweg"}, Spans: spans}}}}})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	if s.headers != nil {
		for name, value := range s.headers() {
			req.Header.Set(name, value)
		}
	}
	answer, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, _ = io.CopyN(io.Discard, answer.Body, maxAnswer) // it says nothing that is needed
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("it answers %d", answer.StatusCode)
	}
	return nil
}

// ParsePairs reads what OTEL_EXPORTER_OTLP_HEADERS and OTEL_RESOURCE_ATTRIBUTES hold:
// name=value, commas between them, values escaped as in URLs. The error shows none.
func ParsePairs(text string) (map[string]string, error) {
	pairs := make(map[string]string)
	for part := range strings.SplitSeq(text, ",") {
		name, value, named := strings.Cut(part, "=")
		name = strings.TrimSpace(name)
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if err != nil || !named || name == "" {
			return nil, errors.New("it is not name=value, commas between them")
		}
		pairs[name] = value
	}
	return pairs, nil
}
