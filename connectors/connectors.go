// Package connectors defines the seams to streams of events. connectors/kafka
// provides them by kafka-go and franz-go; connectors/registry reads schemas of
// events, and connectors/devbroker is the embedded broker of thalweg dev.
package connectors

import (
	"context"
	"fmt"
	"time"
)

// Source reads one topic of a stream, partition by partition. A Source may be
// used for several partitions at once, but one partition by one goroutine.
type Source interface {
	// Topic tells which topic bears the name now; NotFound if none does (yet).
	Topic(ctx context.Context) (Topic, error)
	// Bounds returns the offset of the first record kept and the one that the
	// next produced record will get.
	Bounds(ctx context.Context, partition int) (first, next int64, err error)
	// Fetch reads records at and after offset into dst, replacing its contents
	// but reusing its memory, and waits at most maxWait for at least one. It
	// returns with no records and no error when none came. It never skips: an
	// offset below the partition's first fails with thalweg.Lost naming the
	// missing range, and so does every offset of a topic that was deleted and made
	// anew, where dst.TopicID says which topic is meant. dst.Next tells where to go
	// on, which may be past the last record where the log holds control records.
	Fetch(ctx context.Context, partition int, offset int64, maxWait time.Duration, maxBytes int, dst *Records) error
	// Commit writes the group offset next for lag dashboards. It is never read
	// back.
	Commit(ctx context.Context, partition int, next int64) error
	Close() error
}

// Keeper is a Source that knows whether its topic keeps each record until all before
// it are gone.
type Keeper interface {
	// CheckKept fails with Unsupported where records in between are removed, so that two
	// reads of one range may differ.
	CheckKept(ctx context.Context) error
}

// Dater is a Source that can tell how old what waits in its topic is without reading it.
type Dater interface {
	// TimeAt returns the timestamp of the first record at or after offset, microseconds
	// since 1970 UTC, or that of the batch in which it was written; ok is false where there
	// is none (0), or it cannot be told (-1). topicID is as Records.TopicID. It may be called
	// beside a Fetch.
	TimeAt(ctx context.Context, partition int, offset int64, topicID string) (us int64, ok bool, err error)
}

// Reading says what to read of a stream. What it needs of an implementation, and
// what is left to it, a Connection of an operator says.
type Reading struct {
	Topic string
	// Group is the consumer group that Commit writes offsets under; empty: Commit
	// does nothing.
	Group string
	// Large, if set, is called before a fetch takes more memory than it asked for,
	// with how much it takes in all. It may wait; under a context that has ended it
	// says at once whether there is room.
	Large func(ctx context.Context, bytes int) error
}

// Topic is what bears a topic's name at one moment.
type Topic struct {
	// ID tells the topic from all others that ever had its name, 32 hex digits;
	// empty where the brokers give topics no identity (Kafka before 2.8). A topic
	// that is deleted and made anew has another.
	ID         string
	Partitions int
}

// MissingRange is the cause of a thalweg.Lost error of Fetch: the offsets
// [From, To) of the partition should exist and do not.
//
// Where Was and Is are set, the topic was deleted and made anew: the offset
// From and all after it were the topic Was's and are gone with it. To is the
// end that the reader knew; records beyond it may have existed.
type MissingRange struct {
	Topic     string
	Partition int
	From, To  int64
	Was, Is   string // IDs of the topic that was read and of the one that has its name now
	// Cut says that the offsets were read, and that the log was cut below them since, by an
	// election of a leader that lacked them: what has them now are other records, or nothing.
	Cut bool
	// First and Next are the bounds of what the partition holds now: the offset of
	// the first record kept, and the one that the next will get. -1 where the topic
	// that has the name now has no such partition.
	First, Next int64
}

func (m *MissingRange) Error() string {
	if m.Was != m.Is {
		return fmt.Sprintf("%s/%d: topic %s was deleted and %s has its name now: offsets [%d, %d) of the former, and any after them, were not read",
			m.Topic, m.Partition, m.Was, m.Is, m.From, m.To)
	}
	if m.Cut {
		return fmt.Sprintf("%s/%d: offsets [%d, %d) were read and are gone: the log was cut at %d, as an unclean election of a leader does", m.Topic, m.Partition, m.From, m.To, m.From)
	}
	return fmt.Sprintf("%s/%d: offsets [%d, %d) are missing", m.Topic, m.Partition, m.From, m.To)
}
