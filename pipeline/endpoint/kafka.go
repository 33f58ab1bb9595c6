package endpoint

import (
	_ "embed"

	"github.com/thalweg/thalweg/pipeline"
)

//go:embed kafka.go
var kafkaSource string

// KafkaSource is a topic of Kafka.
type KafkaSource struct {
	pipeline.StreamOptions `yaml:",inline" json:",inline"`
	// IsolationLevel says whether events of aborted transactions count.
	IsolationLevel string `yaml:"isolation_level,omitempty" json:"isolation_level,omitempty" jsonschema:"enum=read_uncommitted,enum=read_committed"`
}

// Defaults implements pipeline.Defaulter.
func (k *KafkaSource) Defaults(at pipeline.Place) {
	// As Kafka's own consumers: the two differ for transactional producers only.
	pipeline.Default(at, "isolation_level", &k.IsolationLevel, "read_uncommitted")
}
