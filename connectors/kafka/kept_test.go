package kafka_test

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/thalweg/thalweg"
)

// setPolicy sets the topic's cleanup.policy.
func setPolicy(t *testing.T, c *kfake.Cluster, policy string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	set := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	set.Name, set.Value = "cleanup.policy", &policy
	of := kmsg.NewIncrementalAlterConfigsRequestResource()
	of.ResourceType, of.ResourceName, of.Configs = kmsg.ConfigResourceTypeTopic, topic, []kmsg.IncrementalAlterConfigsRequestResourceConfig{set}
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.Resources = []kmsg.IncrementalAlterConfigsRequestResource{of}
	res, err := req.RequestWith(t.Context(), client)
	if err != nil || kerr.ErrorForCode(res.Resources[0].ErrorCode) != nil {
		t.Fatalf("set %s: %v, %v", policy, res, err)
	}
}

func TestACompactedTopicIsRefusedByName(t *testing.T) {
	c := newCluster(t, 1)
	s := newSource(t, config(c))
	for _, policy := range []string{"delete", "compact", "compact,delete"} {
		setPolicy(t, c, policy)
		err := s.CheckKept(t.Context())
		switch {
		case policy == "delete" && err != nil:
			t.Errorf("%s: %v", policy, err)
		case policy != "delete" && (!thalweg.Is(err, thalweg.Unsupported) || !strings.Contains(err.Error(), topic) || !strings.Contains(err.Error(), policy)):
			t.Errorf("%s: %v", policy, err)
		}
	}
}

// A configuration that nobody may read is no reason to stop; a broker that fails is.
func TestAConfigurationThatIsNotShownIsNoFault(t *testing.T) {
	for code, fault := range map[int16]bool{kerr.TopicAuthorizationFailed.Code: false, kerr.ClusterAuthorizationFailed.Code: false, kerr.InvalidRequest.Code: true} {
		c := newCluster(t, 1)
		c.ControlKey(int16(kmsg.DescribeConfigs), func(req kmsg.Request) (kmsg.Response, error, bool) {
			c.KeepControl()
			res := req.ResponseKind().(*kmsg.DescribeConfigsResponse)
			r := kmsg.NewDescribeConfigsResponseResource()
			r.ErrorCode = code
			res.Resources = append(res.Resources, r)
			return res, nil, true
		})
		cfg := config(c)
		cfg.Attempts = 1
		if err := newSource(t, cfg).CheckKept(t.Context()); (err != nil) != fault {
			t.Errorf("code %d: %v", code, err)
		}
	}
}
