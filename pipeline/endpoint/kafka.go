package endpoint

import "github.com/thalweg/thalweg/pipeline"

// KafkaSource is a topic of Kafka.
type KafkaSource struct {
	pipeline.StreamOptions `yaml:",inline" json:",inline"`
	// IsolationLevel says whether events of open and aborted transactions count.
	// Default read_committed: an event that its producer took back is no row.
	IsolationLevel string `yaml:"isolation_level,omitempty" json:"isolation_level,omitempty" jsonschema:"enum=read_uncommitted,enum=read_committed" default:"read_committed"`
}

// KafkaDeadLetters is a topic of Kafka that gets dead letters.
type KafkaDeadLetters struct {
	pipeline.DeadLetterTopic `yaml:",inline" json:",inline"`
}
