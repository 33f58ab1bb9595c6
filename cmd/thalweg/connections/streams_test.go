package connections

import (
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/endpoint"
)

// Each kind of stream of the catalog has what opens it, and one that a test adds is
// opened with its options, those of a lineage document too.
func TestStreamsAreOpenedByTheirKind(t *testing.T) {
	all := catalog.All()
	conns := &Set{streams: streamOpeners()}
	for _, e := range all[pipeline.Streams] {
		if conns.streams[e.Name] == nil {
			t.Errorf("nothing opens the stream %s", e.Name)
		}
	}
	all[pipeline.Streams] = append(all[pipeline.Streams], pipeline.Entry{Name: "ticks", Options: new(endpoint.KafkaSource)})
	stream, err := all.Choose(pipeline.Streams, "ticks", []byte(`{"topic":"tocks","isolation_level":"read_committed"}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conns.Source("", stream, connectors.Reading{}); !thalweg.Is(err, thalweg.Unsupported) {
		t.Errorf("a stream that nothing opens: %v", err)
	}
	var opened any
	conns.streams["ticks"] = func(_ *Set, _ string, options any, _ connectors.Reading) (connectors.Source, error) {
		opened = options
		return nil, nil
	}
	if _, err := conns.Source("", stream, connectors.Reading{}); err != nil || opened.(*endpoint.KafkaSource).IsolationLevel != "read_committed" {
		t.Errorf("opened with %+v: %v", opened, err)
	}
	if _, err := all.Choose(pipeline.Streams, "tacks", nil); !thalweg.Is(err, thalweg.Unsupported) {
		t.Errorf("an unknown stream: %v", err)
	}
}
