package devbroker

import (
	"regexp"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

var (
	aNumber  = regexp.MustCompile(`^-?[0-9]{1,18}$`)
	aRatio   = regexp.MustCompile(`^[01](\.[0-9]+)?$`)
	aBoolean = regexp.MustCompile(`^(?i:true|false)$`)
	aPolicy  = regexp.MustCompile(`^(delete|compact)?(,(delete|compact))*$`)
	aCodec   = regexp.MustCompile(`^(uncompressed|zstd|lz4|snappy|gzip|producer)$`)
	aClock   = regexp.MustCompile(`^(CreateTime|LogAppendTime)$`)
	aText    = regexp.MustCompile(``)
)

// topicSettings are the settings of topics that Apache Kafka knows, and what
// their values look like. kfake keeps any, and takes a number that it cannot read
// for 0: a retention of "7d" would delete all there is.
var topicSettings = map[string]*regexp.Regexp{
	"cleanup.policy": aPolicy, "compression.type": aCodec, "message.timestamp.type": aClock,
	"delete.retention.ms": aNumber, "file.delete.delay.ms": aNumber, "flush.messages": aNumber, "flush.ms": aNumber, "index.interval.bytes": aNumber,
	"local.retention.bytes": aNumber, "local.retention.ms": aNumber, "max.compaction.lag.ms": aNumber, "max.decompressed.message.bytes": aNumber,
	"max.message.bytes": aNumber, "message.timestamp.after.max.ms": aNumber, "message.timestamp.before.max.ms": aNumber, "min.compaction.lag.ms": aNumber,
	"min.insync.replicas": aNumber, "remote.copy.lag.bytes": aNumber, "remote.copy.lag.ms": aNumber, "retention.bytes": aNumber, "retention.ms": aNumber,
	"segment.bytes": aNumber, "segment.index.bytes": aNumber, "segment.jitter.ms": aNumber, "segment.ms": aNumber,
	"compression.gzip.level": aNumber, "compression.lz4.level": aNumber, "compression.zstd.level": aNumber, "min.cleanable.dirty.ratio": aRatio,
	"errors.deadletterqueue.group.enable": aBoolean, "preallocate": aBoolean, "remote.log.copy.disable": aBoolean, "remote.log.delete.on.disable": aBoolean,
	"remote.storage.enable": aBoolean, "unclean.leader.election.enable": aBoolean,
	"follower.replication.throttled.replicas": aText, "leader.replication.throttled.replicas": aText,
}

// wrongSetting says what is wrong with a setting of a topic, or nothing.
func wrongSetting(name string, value *string) string {
	switch form, known := topicSettings[name]; {
	case !known:
		return "unknown topic config name: " + name
	case value == nil || !form.MatchString(*value):
		given := "null"
		if value != nil {
			given = *value
		}
		return "invalid value " + given + " for configuration " + name
	}
	return ""
}

// refuseTopic returns why a topic is not made, or nothing.
func refuseTopic(t *kmsg.CreateTopicsRequestTopic) (*kerr.Error, string) {
	if !isTopicName(t.Topic) {
		return kerr.InvalidTopicException, "topic name is invalid: letters, digits, '.', '_' and '-', at most 249"
	}
	for _, c := range t.Configs {
		if why := wrongSetting(c.Name, c.Value); why != "" {
			return kerr.InvalidConfig, why
		}
	}
	return nil, ""
}

// refuseChange returns why the settings of a topic are not changed, or nothing.
func refuseChange(r *kmsg.IncrementalAlterConfigsRequestResource) string {
	if r.ResourceType != kmsg.ConfigResourceTypeTopic {
		return ""
	}
	for _, c := range r.Configs {
		if c.Op == kmsg.IncrementalAlterConfigOpDelete {
			continue
		}
		if why := wrongSetting(c.Name, c.Value); why != "" {
			return why
		}
	}
	return ""
}

// refuseSettings is refuseChange of the older request, which sets all at once.
func refuseSettings(r *kmsg.AlterConfigsRequestResource) string {
	if r.ResourceType != kmsg.ConfigResourceTypeTopic {
		return ""
	}
	for _, c := range r.Configs {
		if why := wrongSetting(c.Name, c.Value); why != "" {
			return why
		}
	}
	return ""
}
