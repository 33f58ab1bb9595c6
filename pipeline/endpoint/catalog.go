// Package endpoint has what specs say of where rows and events come from and go
// to: formats of datasets, streams, and formats of tables. How they are read and
// written, the tables of package worker and of cmd/thalweg say, by the names here.
package endpoint

import "github.com/thalweg/thalweg/pipeline"

// DatasetFormats lists how the files of a dataset are encoded. To add one is a
// file and a line here, and what reads it in worker.DatasetFormats.
func DatasetFormats() []pipeline.Entry {
	return []pipeline.Entry{
		{Name: "parquet", Options: new(Parquet), Source: parquetSource},
		{Name: "csv", Options: new(CSV), Source: csvSource},
		{Name: "jsonl", Options: new(JSONL), Source: jsonlSource},
		{Name: "arrow", Options: new(Arrow), Source: arrowSource},
		{Name: "delta", Options: new(DeltaSource), Source: deltaSource},
	}
}

// Streams lists where events come from. To add one is a file and a line here,
// and what opens it in streamOpeners of cmd/thalweg/connections.
func Streams() []pipeline.Entry {
	return []pipeline.Entry{
		{Name: "kafka", Options: new(KafkaSource), Source: kafkaSource},
	}
}

// SinkFormats lists how the files of scored rows are encoded.
func SinkFormats() []pipeline.Entry {
	return []pipeline.Entry{
		{Name: "parquet", Options: new(ParquetSink), Source: parquetSource},
	}
}

// DeadLetterTopics lists where dead letters can be delivered to.
func DeadLetterTopics() []pipeline.Entry {
	return []pipeline.Entry{
		{Name: "kafka", Options: new(KafkaDeadLetters), Source: kafkaSource},
	}
}

// TableFormats lists how rows are offered as one table; the first is the default.
// To add one is a file and a line here, and what writes it in worker.TableFormats.
func TableFormats() []pipeline.Entry {
	return []pipeline.Entry{
		{Name: "delta", Options: new(Delta), Source: deltaSource},
		{Name: "none", Options: new(NoTable), Source: deltaSource},
	}
}
