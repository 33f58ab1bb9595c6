package commitlog

import (
	"errors"
	"fmt"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
)

// Config says which log, and how patiently it is kept.
type Config struct {
	Prefix    string               // of the sink in its bucket: empty, or ending in a slash
	Pipeline  thalweg.PipelineName // whose log this is; another's log is refused
	Topic     string               // Kafka topic
	Partition int                  // of the topic, from 0
	Replay    bool                 // the log of dead letters scored again, not the main log

	// Attempts bounds the tries to place one record while the store is
	// unavailable or its answers contradict each other; default 6.
	Attempts int
	// Backoff is the pause before the second try; each later one is twice as
	// long, and every one is shortened by up to half at random. Default 100 ms.
	Backoff time.Duration
}

func (c Config) withDefaults() Config {
	if c.Attempts == 0 {
		c.Attempts = 6
	}
	if c.Backoff == 0 {
		c.Backoff = 100 * time.Millisecond
	}
	return c
}

// Validate reports the first field that is wrong.
func (c Config) Validate() error {
	if !validName(string(c.Pipeline)) {
		return &thalweg.Error{Op: "check log", Kind: thalweg.Invalid, Subject: "pipeline",
			Err: fmt.Errorf("must have 1 to %d bytes of UTF-8", MaxNameBytes)}
	}
	if c.Attempts < 0 || c.Backoff < 0 {
		return &thalweg.Error{Op: "check log", Kind: thalweg.Invalid, Subject: "attempts, backoff",
			Err: errors.New("must not be negative")}
	}
	return c.layout().validate()
}

func (c Config) layout() Layout {
	return Layout{Prefix: c.Prefix, Topic: c.Topic, Partition: c.Partition, Replay: c.Replay}
}

// Log is the commit log of one topic partition under one sink. The order of
// calls is Open, then for each slot Claim, Publish once per object, Finish;
// after any error Open may be called again and says what is true. A Log is
// used by one goroutine at a time, but for Read, ReadBack and Entry, which may be
// called at any time; any number of Logs, in any number of
// processes, may be open on the same objects.
type Log struct {
	bucket storage.Bucket
	config Config
	layout Layout
	state  State
	opened bool
}

// State is the end of a log: what the last finished slot left, and the claim
// after it, if there is one.
type State struct {
	NextSeq    uint64 // the slot after the last finished one
	NextOffset int64  // where it begins; -1 while no slot is finished, when the first claim decides
	LostFrom   int64  // where the loss begins that reaches up to NextOffset: there itself, or, if the topic had lost all of the last finished slot's range, where that begins
	TopicID    string // of the newest intent: which topic of that name the offsets are of; empty if not known
	// LeaderEpoch is that of the newest intent: the term of the record before NextOffset.
	LeaderEpoch int32
	RowsTopic   string  // of the newest intent
	Previous    string  // sha256 of the last done record; empty while there is none
	Total       Counts  // summed over all finished slots
	ScoredAtUS  int64   // of the last finished slot; 0 while there is none
	Pending     *Intent // the claim of NextSeq: to be carried out before anything else is claimed; nil if unclaimed
}

// New returns the log that config names in bucket, not yet opened.
func New(bucket storage.Bucket, config Config) (*Log, error) {
	config = config.withDefaults()
	if err := config.Validate(); err != nil {
		return nil, err
	}
	return &Log{bucket: bucket, config: config, layout: config.layout()}, nil
}

// Layout returns where the log's objects lie.
func (l *Log) Layout() Layout { return l.layout }

// State returns the end of the log as of the last call that read or moved it.
func (l *Log) State() State {
	s := l.state
	if s.Pending != nil {
		pending := *s.Pending
		s.Pending = &pending
	}
	return s
}
