package kafka

import (
	"context"
	"errors"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
)

// cleanupPolicy is the topic's configuration that says what is removed from it: by
// age and size (delete), or all records of a key but the newest (compact), or both.
const cleanupPolicy = "cleanup.policy"

var _ connectors.Keeper = (*Source)(nil)

// CheckKept asks a broker whether the topic is compacted. Where this user may not read
// its configuration, nothing is known, and that is no fault.
func (s *Source) CheckKept(ctx context.Context) error {
	c, policy := s.cluster, ""
	err := c.do(ctx, "read topic's configuration", c.cfg.Topic, 0, func(ctx context.Context) (err error) {
		policy, err = c.configured(ctx, cleanupPolicy)
		if errors.Is(err, kerr.TopicAuthorizationFailed) || errors.Is(err, kerr.ClusterAuthorizationFailed) {
			err = nil
		}
		return err
	})
	if err != nil || !strings.Contains(policy, "compact") {
		return err
	}
	return &thalweg.Error{Op: "read topic's configuration", Kind: thalweg.Unsupported, Subject: "topic " + c.cfg.Topic,
		Hint: "set it to delete, or copy the events to a topic that has it: what compaction removes would be neither a row nor a dead letter",
		Err:  errors.New("its " + cleanupPolicy + " is " + policy)}
}

// configured returns a value of the topic's configuration; empty if it has none.
func (c *cluster) configured(ctx context.Context, name string) (string, error) {
	of := kmsg.NewDescribeConfigsRequestResource()
	of.ResourceType, of.ResourceName, of.ConfigNames = kmsg.ConfigResourceTypeTopic, c.cfg.Topic, []string{name}
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Resources = []kmsg.DescribeConfigsRequestResource{of}
	res, err := req.RequestWith(ctx, c.client)
	if err != nil {
		return "", err
	}
	for _, r := range res.Resources {
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			return "", err
		}
		for _, v := range r.Configs {
			if v.Name == name && v.Value != nil {
				return *v.Value, nil
			}
		}
	}
	return "", nil
}
