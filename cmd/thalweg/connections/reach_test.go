package connections

import (
	"strings"
	"testing"

	"github.com/thalweg/thalweg"
)

func TestConnectionsToMetadataServicesAreRefused(t *testing.T) {
	for _, section := range []string{
		`s3: {endpoint: "http://169.254.169.254"}`, `kafka: {brokers: ["bus:9092", "169.254.169.254:9092"]}`, `schema_registry: {url: "http://[fd00:ec2::254]"}`,
		`s3: {endpoint: "http://0.0.0.0:9000"}` + "\n    loopback: true",
	} {
		conns, err := openFile(t, t.TempDir(), "connections:\n  lake:\n    "+section+"\n")
		if err == nil {
			conns.Close()
		}
		if !thalweg.Is(err, thalweg.Forbidden) && !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), "no connection may lead there") {
			t.Errorf("%s: %v", section, err)
		}
	}
}

// Names that lead to this machine do so where the operator says it, of each kind.
func TestLoopbackIsAWordOfTheConnection(t *testing.T) {
	conns, err := openFile(t, t.TempDir(), `connections:
  here:
    kafka: {brokers: ["bus:9092"]}
    loopback: true
  there:
    kafka: {brokers: ["bus:9092"]}
`)
	if err != nil {
		t.Fatal(err)
	}
	defer conns.Close()
	for name, want := range map[string]bool{"here": true, "there": false} {
		if cfg, err := conns.Kafka(name); err != nil || cfg.Loopback != want {
			t.Errorf("%s: %v, %v", name, cfg.Loopback, err)
		}
	}
}
