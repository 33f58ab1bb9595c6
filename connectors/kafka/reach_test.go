package kafka_test

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/connectors/kafka"
)

func TestABrokerAtAnAddressOfMetadataIsRefused(t *testing.T) {
	for _, broker := range []string{"169.254.169.254:9092", "[fe80::1]:9092", "[fd00:ec2::254]:9092", "0.0.0.0:9092"} {
		if err := (kafka.Config{Brokers: []string{"bus.example:9092", broker}, Topic: topic}).Validate(); !thalweg.Is(err, thalweg.Forbidden) {
			t.Errorf("%s: %v", broker, err)
		}
	}
}

// lying starts a broker that says that its cluster is elsewhere.
func lying(t *testing.T, host string) *kfake.Cluster {
	t.Helper()
	c := newCluster(t, 1)
	c.ControlKey(kmsg.Metadata.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		answer := req.ResponseKind().(*kmsg.MetadataResponse)
		answer.SetVersion(req.GetVersion())
		answer.Brokers = []kmsg.MetadataResponseBroker{{NodeID: 0, Host: host, Port: 80}}
		name := topic
		t := kmsg.MetadataResponseTopic{Topic: &name, Partitions: []kmsg.MetadataResponseTopicPartition{{Replicas: []int32{0}, ISR: []int32{0}}}}
		answer.Topics = append(answer.Topics, t)
		return answer, nil, true
	})
	return c
}

// Clients go where brokers tell them to, by both libraries.
func TestABrokerCannotSendItsClientsToAnAddressOfMetadata(t *testing.T) {
	for host, why := range map[string]string{"169.254.169.254": "link-local", "fd00:ec2::254": "metadata", "0.0.0.0": "unspecified"} {
		cfg := config(lying(t, host))
		cfg.Attempts = 2
		fetched := newSource(t, cfg).Fetch(t.Context(), 0, 0, 0, 1<<20, new(connectors.Records))
		_, _, bounds := newSource(t, cfg).Bounds(t.Context(), 0)
		for what, err := range map[string]error{"fetch": fetched, "bounds": bounds} {
			if !thalweg.Is(err, thalweg.Forbidden) || !strings.Contains(err.Error(), why) {
				t.Errorf("%s from %s: %v, want it refused as %s", what, host, err, why)
			}
		}
	}
}
