// Package endpoint has what specs say of where rows and events come from and go
// to: formats of datasets, streams, and formats of tables. How they are read and
// written, the tables of package worker and of cmd/thalweg say, by the names here.
package endpoint

import "github.com/thalweg/thalweg/pipeline"

// DatasetFormats lists how the files of a dataset are encoded. To add one is a
// file and a line here, and what reads it in worker.DatasetFormats.
func DatasetFormats() []pipeline.Entry {
	return []pipeline.Entry{
		{Name: "parquet", Options: new(Parquet)},
		{Name: "csv", Options: new(CSV)},
		{Name: "jsonl", Options: new(JSONL)},
		{Name: "arrow", Options: new(Arrow)},
		{Name: "delta", Options: new(DeltaSource)},
	}
}

// Streams lists where events come from. To add one is a file and a line here,
// and what opens it in streamOpeners of cmd/thalweg/connections.
func Streams() []pipeline.Entry {
	return []pipeline.Entry{
		{Name: "kafka", Options: new(KafkaSource)},
	}
}

// SinkFormats lists how the files of scored rows are encoded.
func SinkFormats() []pipeline.Entry {
	return []pipeline.Entry{
		{Name: "parquet", Options: new(ParquetSink)},
	}
}

// DeadLetterTopics lists where dead letters can be delivered to.
func DeadLetterTopics() []pipeline.Entry {
	return []pipeline.Entry{
		{Name: "kafka", Options: new(KafkaDeadLetters)},
	}
}

// TableFormats lists how rows are offered as one table; the first is the default.
// To add one is a file and a line here, and what writes it in worker.TableFormats.
func TableFormats() []pipeline.Entry {
	return []pipeline.Entry{
		{Name: "delta", Options: new(Delta)},
		{Name: "none", Options: new(NoTable)},
	}
}
