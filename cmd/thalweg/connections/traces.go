package connections

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/tracing"
)

// flushTime bounds how long a process that ends waits for the collector of its traces.
const flushTime = 2 * time.Second

// otlpSection is a collector of OpenTelemetry. Its address says whether it talks TLS, the
// section only how.
type otlpSection struct {
	Endpoint string               `yaml:"endpoint"`
	Headers  map[string]reference `yaml:"headers"`
	TLS      *tlsSection          `yaml:"tls"`
}

func (s *otlpSection) config(subject string, loopback bool) (tracing.Config, error) {
	r := secrets{subject: subject}
	cfg := tracing.Config{Endpoint: s.Endpoint, Loopback: loopback, TLS: r.tls(s.TLS), Headers: r.headers(s.Headers)}
	if r.err == nil && s.Endpoint == "" {
		r.fail("endpoint", errors.New("write http://host:4318 or https://host"))
	}
	return cfg, r.err
}

// RegisterTraces adds the flag that has a process send traces.
func (c *Flags) RegisterTraces(flags *pflag.FlagSet) {
	endpoint := cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT"))
	flags.StringVar(&c.Traces, "traces", cmp.Or(os.Getenv("THALWEG_TRACES"), endpoint),
		"collector of OpenTelemetry that gets traces, by OTLP over HTTP: http://host:4318, https://host, or a connection of --connections with otlp; without it there are none [THALWEG_TRACES, OTEL_EXPORTER_OTLP_ENDPOINT]")
}

// Tracer returns what sends traces to the collector of a name or address until end is
// called; nil, which is off, where it is empty. The process is of a service and has a name.
func (c *Set) Tracer(log *slog.Logger, collector, service, name, version string) (t *tracing.Tracer, end func(), err error) {
	if collector == "" {
		return nil, func() {}, nil
	}
	cfg, named := c.collectors[collector]
	if !named {
		if cfg, err = collectorAt(collector); err != nil {
			return nil, nil, err
		}
	}
	if cfg.Process, err = pairs("OTEL_RESOURCE_ATTRIBUTES"); err != nil {
		return nil, nil, err
	}
	maps.Copy(cfg.Process, map[string]string{"service.name": cmp.Or(os.Getenv("OTEL_SERVICE_NAME"), cfg.Process["service.name"], service),
		"service.instance.id": name, "service.version": version})
	if t, err = tracing.New(log, cfg); err != nil {
		return nil, nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	last, giveUp := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		t.Run(ctx, last)
	}()
	return t, func() {
		stop()
		defer giveUp()
		defer time.AfterFunc(flushTime, giveUp).Stop()
		<-ended
	}, nil
}

// collectorAt returns the collector at an address, with what the environment says of it.
func collectorAt(address string) (cfg tracing.Config, err error) {
	const protocol = "OTEL_EXPORTER_OTLP_PROTOCOL"
	if !strings.Contains(address, "://") {
		return cfg, &thalweg.Error{Op: "--traces", Kind: thalweg.NotFound, Subject: address, Hint: "an address, or a connection with otlp in the file of --connections"}
	}
	if p := cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), os.Getenv(protocol)); p != "" && p != "http/protobuf" {
		return cfg, &thalweg.Error{Op: "--traces", Kind: thalweg.Unsupported, Subject: protocol, Err: fmt.Errorf("%.40q", p), Hint: "http/protobuf, which collectors take at port 4318"}
	}
	headers, err := pairs("OTEL_EXPORTER_OTLP_HEADERS")
	if cfg.Endpoint = address; len(headers) > 0 {
		cfg.Headers = func() map[string]string { return headers }
	}
	return cfg, err
}

// pairs reads an environment variable of OpenTelemetry.
func pairs(variable string) (map[string]string, error) {
	text := os.Getenv(variable)
	if text == "" {
		return make(map[string]string), nil
	}
	read, err := tracing.ParsePairs(text)
	if err != nil {
		return nil, &thalweg.Error{Op: "--traces", Kind: thalweg.Invalid, Subject: variable, Err: err}
	}
	return read, nil
}
