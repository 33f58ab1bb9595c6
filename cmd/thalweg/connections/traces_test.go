package connections

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/thalweg/thalweg/connectors/kafka"
	"github.com/thalweg/thalweg/storage/s3"
	"github.com/thalweg/thalweg/tracing"
)

func TestACollectorIsNamedOrAtAnAddress(t *testing.T) {
	got := make(chan http.Header, 8)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.Header }))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "connections.yaml")
	write := func(text string) (*Set, error) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := New("file://"+t.TempDir(), s3.Config{}, kafka.Config{Brokers: []string{"127.0.0.1:9092"}}, "")
		if err != nil {
			t.Fatal(err)
		}
		return c, c.AddFile(file)
	}
	t.Setenv("TRACES_SECRET", "Bearer secret-of-the-file")
	c, err := write("connections: {named: {otlp: {endpoint: \"" + server.URL + "\", headers: {Authorization: {env: TRACES_SECRET}}}}}")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20secret-of-the-environment")
	for collector, want := range map[string]string{"named": "Bearer secret-of-the-file", server.URL: "Bearer secret-of-the-environment"} {
		tracer, end, err := c.Tracer(slog.New(slog.DiscardHandler), collector, "thalweg-worker", "w1", "v1")
		if err != nil {
			t.Fatal(err)
		}
		tracer.Record(tracing.Span{Trace: tracing.TraceOf("x"), Name: "x", From: time.Now(), To: time.Now()})
		end()
		if header := <-got; header.Get("Authorization") != want {
			t.Errorf("%s: %v", collector, header)
		}
	}
	if tracer, end, err := c.Tracer(slog.New(slog.DiscardHandler), "", "", "", ""); tracer != nil || err != nil {
		t.Errorf("without a collector: %v, %v", tracer, err)
	} else {
		end()
	}
	for collector, env := range map[string][2]string{
		"none": {}, "http://%zz": {}, "https://collector": {"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"}, "https://collector:1": {"OTEL_RESOURCE_ATTRIBUTES", "secret"}, "https://collector:2": {"OTEL_EXPORTER_OTLP_HEADERS", "secret"},
	} {
		t.Run(collector, func(t *testing.T) {
			if env[0] != "" {
				t.Setenv(env[0], env[1])
			}
			if _, _, err := c.Tracer(slog.New(slog.DiscardHandler), collector, "", "", ""); err == nil || !strings.Contains(err.Error(), env[0]) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%v", err)
			}
		})
	}
	for text, want := range map[string]string{
		"{otlp: {}}": "endpoint", `{otlp: {endpoint: "https://c", headers: {Authorization: Bearer secret}}}`: "a mapping belongs here",
		`{otlp: {endpoint: "https://c", headers: {Authorization: {env: TRACES_NONE}}}}`: "TRACES_NONE",
	} {
		if _, err := write("connections: {named: " + text + "}"); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
