package scorer

import (
	"cmp"
	"fmt"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/endpoint"
	"github.com/thalweg/thalweg/pipeline/monitor"
	"github.com/thalweg/thalweg/storage/dataset"
	"github.com/thalweg/thalweg/tracing"
	"github.com/thalweg/thalweg/worker/stream/budget"
	"github.com/thalweg/thalweg/worker/stream/compact"
	"github.com/thalweg/thalweg/worker/stream/crash"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// The values of Config.StartOffset and Config.OnLost, as start_offset and
// on_offset_out_of_range spell them.
const (
	Earliest = "earliest"
	Latest   = "latest"
	Fail     = "fail" // OnLost only
)

// Limits says when something that fills up is full: when it has Count events or
// Bytes bytes of them, as they came from the topic, or is Period old.
type Limits struct {
	Count  int
	Bytes  int64
	Period time.Duration
}

func (l Limits) withDefaults(d Limits) Limits {
	return Limits{Count: cmp.Or(l.Count, d.Count), Bytes: cmp.Or(l.Bytes, d.Bytes), Period: cmp.Or(l.Period, d.Period)}
}

// Config says what a Scorer scores and where it puts the rows. The first
// block is required, the rest has defaults. What a spec says was checked when it
// was parsed.
type Config struct {
	Pipeline   thalweg.PipelineName
	Generation thalweg.Generation // of the spec in force, from 1
	Topic      string
	Partition  int
	Prefix     string // of the sink in its bucket: empty, or ending in a slash

	// StartOffset is where a stream begins that has no log yet: Earliest (the
	// default) or Latest.
	StartOffset string
	// Range, if set, is all that is scored: Run commits exactly these offsets and
	// ends. It is how a topic is replayed; no group offset is written.
	Range *Range
	// OnLost says what to do about offsets that the topic does not have any more
	// although they were not scored. Fail (the default) stops until an operator gives
	// them up; Earliest gives them up at once and goes on with the first record that
	// is left, Latest with the next to come. Either way a slot of the log says which
	// offsets nobody scored. A topic that was made anew is read from its first record.
	OnLost string
	// Batching bounds a micro-batch, which is scored at once. Default 5000
	// events, 8 MiB, 200 ms.
	Batching Limits
	// Rolling bounds a committed file. Default 500000 events, 128 MiB, 60 s.
	Rolling Limits
	// PartitionBy names the timestamp column of the rows by whose UTC days they are
	// split into files, _scored_at for one file each. Default: they are not.
	PartitionBy string
	// Compression of result files. Default zstd.
	Compression dataset.Compression

	// Finished, if set, is called with the number of finished slots, whenever that
	// is learned or grows. It must not block.
	Finished func(slots uint64)

	// TestFailed is as engine.Config.Failed. nil: nobody asks.
	TestFailed func(test, severity string, events int64)

	// Watch says how rows are counted, for drift to be found. nil: they are not.
	Watch *monitor.Config

	// Tally is as engine.Config.Tally. nil: nobody asks.
	Tally func(m engine.Model) *engine.Tally

	// Schema has the columns with pii, which no version that scores new events may leave
	// as they are. nil: none.
	Schema *pipeline.SchemaSpec

	// MaxDeadRate is the share of events that may be dead letters, above which the
	// scorer commits what it has and rests until Resume. Default 0: any.
	MaxDeadRate float64

	// Memory is the part of the process's memory that the scorer may use; nil: only
	// Rolling, BacklogBytes and FetchBytes bound it. A file is committed before
	// Rolling says so where memory is short.
	Memory *budget.Share

	// Outbox gets the dead letters too, besides the objects beside the results; a
	// slot with dead letters is not finished before they are there. The Scorer does
	// not close it. Default nil: none does.
	Outbox connectors.Outbox

	// Rows is the topic that gets the scored rows too; a slot is not finished before
	// its rows are there. Default nil: none does.
	Rows *RowsTopic

	// MaxEventBytes is the size above which an event is a dead letter, of which
	// that much is kept. Default 1 MiB.
	MaxEventBytes int
	// FetchBytes is what one fetch asks for. Default 4 MiB.
	FetchBytes int
	// FetchWait is how long a fetch waits for the first record; twice as long after
	// each to which none came, up to 10 s. Default 500 ms.
	FetchWait time.Duration
	// BacklogBytes bounds what is fetched and not scored, beyond one fetch.
	// Default 16 MiB.
	BacklogBytes int64
	// DrainTimeout bounds how long Run goes on after its context ended, to commit
	// what is scored. Default 8 s.
	DrainTimeout time.Duration
	// MinBackoff and MaxBackoff bound the pause before something that failed is
	// tried again. Default 100 ms and 10 s.
	MinBackoff, MaxBackoff time.Duration
	// Compaction of small files. Default: off. Where it is on: 16 files, 128 MiB, 10
	// minutes.
	Compaction compact.Config
	// Traces get the spans of slots; nil: there are none.
	Traces *tracing.Tracer
	// Hook is where tests end the process at a step; nil in production.
	Hook crash.Hook
}

// RowsTopic is a topic that gets scored rows besides the files.
type RowsTopic struct {
	Topic string // as intents name it
	// Group is what remembers how far they are, but for the line.
	Group string
	// Period is the time between two transactions at least: what is scored meanwhile
	// is sent together. Default 20 ms.
	Period time.Duration
	// Appender sends them. The Scorer does not close it.
	Appender connectors.Appender
}

// maxBacklogEvents bounds the records in the backlog where they are tiny.
const maxBacklogEvents = 1 << 20

// Range is a stretch of a partition, [From, To).
type Range struct {
	From, To int64
	// TopicID is the topic that the offsets are of; empty: whichever has the name.
	TopicID string
	// ScoredAtUS is the _scored_at of its rows, microseconds since 1970 UTC: fixed,
	// so that whoever goes on with an interrupted replay makes the same rows.
	ScoredAtUS int64
}

func (c Config) withDefaults() Config {
	c.StartOffset, c.OnLost = cmp.Or(c.StartOffset, Earliest), cmp.Or(c.OnLost, Fail)
	c.Batching = c.Batching.withDefaults(Limits{Count: 5000, Bytes: 8 << 20, Period: 200 * time.Millisecond})
	c.Rolling = c.Rolling.withDefaults(Limits{Count: 500_000, Bytes: 128 << 20, Period: time.Minute})
	if c.Rows != nil {
		rows := *c.Rows
		rows.Period = cmp.Or(rows.Period, 20*time.Millisecond)
		c.Rows = &rows
	}
	if c.Memory == nil {
		c.Memory = budget.Unlimited()
	}
	if c.Compaction.On() {
		c.Compaction.Bytes = cmp.Or(c.Compaction.Bytes, 128<<20)
		c.Compaction.Bytes = min(c.Compaction.Bytes, c.Memory.MaxMerged())
		c.Compaction.Retention = cmp.Or(c.Compaction.Retention, 10*time.Minute)
	}
	c.Compression = cmp.Or(c.Compression, dataset.Zstd)
	c.MaxEventBytes, c.FetchBytes = cmp.Or(c.MaxEventBytes, engine.DefaultMaxEventBytes), cmp.Or(c.FetchBytes, 4<<20)
	c.BacklogBytes = cmp.Or(c.BacklogBytes, 16<<20)
	c.FetchWait, c.DrainTimeout = cmp.Or(c.FetchWait, 500*time.Millisecond), cmp.Or(c.DrainTimeout, 5*time.Second)
	c.MinBackoff, c.MaxBackoff = cmp.Or(c.MinBackoff, 100*time.Millisecond), cmp.Or(c.MaxBackoff, 10*time.Second)
	return c
}

// ConfigOf returns the configuration that a rendered spec asks for, for one
// partition of its topic. bucket is the one that the sink's path names.
// Invalid if the spec scores nothing.
func ConfigOf(spec *pipeline.Spec, generation thalweg.Generation, partition int) (cfg Config, bucket string, err error) {
	body := &spec.Spec
	if body.Scoring == nil || body.Scoring.Sink.S3 == nil || body.Sources.Events.Reading() == nil {
		return Config{}, "", &thalweg.Error{Op: "configure scorer", Kind: thalweg.Invalid, Subject: spec.Metadata.Name,
			Hint: "scoring needs a stream in sources.events, and scoring.sink.s3"}
	}
	source, sink := body.Sources.Events.Reading(), body.Scoring.Sink
	bucket, prefix, err := pipeline.SplitS3Path(sink.S3.Path)
	if err != nil {
		return Config{}, "", err
	}
	parquet, ok := sink.Format.Options.(*endpoint.ParquetSink)
	if !ok {
		return Config{}, "", &thalweg.Error{Op: "score", Kind: thalweg.Unsupported, Subject: "sink.format " + sink.Format.Name}
	}
	batching, rolling := body.Scoring.Batching, sink.Rolling
	cfg = Config{
		Pipeline: thalweg.PipelineName(spec.Metadata.Name), Generation: generation, Topic: source.Topic, Partition: partition, Prefix: prefix,
		StartOffset: source.StartOffset, OnLost: source.OnOffsetOutOfRange,
		Batching:    Limits{Count: batching.Count, Bytes: int64(batching.ByteSize), Period: time.Duration(batching.Period)},
		Rolling:     Limits{Count: rolling.Count, Bytes: int64(rolling.ByteSize), Period: time.Duration(rolling.Period)},
		Compression: dataset.Compression(parquet.Compression),
		Schema:      body.Schema,
		Watch:       monitor.ConfigOf(spec),
	}
	if d := body.Scoring.DeadLetter; d != nil {
		cfg.MaxDeadRate = d.MaxRate.Share()
	}
	if len(sink.PartitionBy) > 0 {
		cfg.PartitionBy = sink.PartitionBy[0]
	}
	if k := sink.Kafka; k != nil {
		cfg.Rows = &RowsTopic{Topic: k.Topic, Group: fmt.Sprintf("thalweg-%s-%s-%d-rows", cfg.Pipeline, cfg.Topic, partition), Period: time.Duration(k.Period)}
	}
	if c := sink.Compaction; c != nil {
		cfg.Compaction = compact.Config{MinFiles: c.MinFiles, Bytes: int64(c.ByteSize), Retention: time.Duration(c.Retention)}
	}
	return cfg, bucket, nil
}
