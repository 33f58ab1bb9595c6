package worker

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/worker/stream/scorer"
	"github.com/thalweg/thalweg/worker/stream/tablewriter"
)

// settleTimeout bounds how long a stream that ends waits for its last slots to
// be in the table: whoever takes over brings them there all the same.
const settleTimeout = time.Second

// manyBehind is how many slots a table may be behind before the status says so:
// some are always on their way.
const manyBehind = 10

// TableFormat makes what writes a table of one format, given its options in the
// spec.
type TableFormat func(options any, bucket storage.Bucket, log *slog.Logger, cfg tablewriter.Config) TableWriter

// TableFormats returns what writes each of endpoint.TableFormats; nil: nothing is
// written. To add one is a line here.
func TableFormats() map[string]TableFormat {
	return map[string]TableFormat{
		"delta": func(_ any, bucket storage.Bucket, log *slog.Logger, cfg tablewriter.Config) TableWriter {
			return tablewriter.New(bucket, log, cfg)
		},
		"none": nil,
	}
}

// TableWriter brings the slots of sources into a table, as tablewriter.Writer
// does.
type TableWriter interface {
	Run(ctx context.Context)
	Add(s tablewriter.Source)
	Remove(s tablewriter.Source)
	Finished(s tablewriter.Source, slots uint64)
	Settle(ctx context.Context, s tablewriter.Source) error
	Status() tablewriter.Status
}

// tables are the tables that the worker's streams write to: one writer for
// each, however many partitions of its topic are scored here. It is told of
// their slots as they are finished, so that nothing has to be asked for; other
// workers' slots are brought by other workers.
type tables struct {
	mu struct {
		sync.Mutex
		open map[string]*openTable // by sink
	}
}

// openTable is a table that somebody writes to.
type openTable struct {
	pipeline string
	writer   TableWriter
	users    int
	cancel   context.CancelFunc
	done     chan struct{}
}

// statuses returns where each table stands, by pipeline.
func (t *tables) statuses() map[string]tablewriter.Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make(map[string]tablewriter.Status, len(t.mu.open))
	for _, o := range t.mu.open {
		all[o.pipeline] = o.writer.Status()
	}
	return all
}

// member is one partition's share in a table.
type member struct {
	tables *tables
	sink   string
	table  *openTable
	main   tablewriter.Source
	replay tablewriter.Source
}

// join has the slots of a partition written to the table of its sink; nil if the
// spec wants none.
func (t *tables) join(w *Worker, spec *pipeline.Spec, bucket storage.Bucket, cfg scorer.Config) (*member, error) {
	sink := spec.Spec.Scoring.Sink
	format, ok := w.cfg.Tables[sink.Table.Name]
	switch {
	case !ok:
		return nil, unknownFormat("table", sink.Table)
	case format == nil:
		return nil, nil
	}
	m := &member{tables: t, sink: fmt.Sprintf("%s %s %s", cfg.Pipeline, sink.Connection, sink.S3.Path),
		main:   tablewriter.Source{Topic: cfg.Topic, Partition: cfg.Partition},
		replay: tablewriter.Source{Topic: cfg.Topic, Partition: cfg.Partition, Replay: true}}
	t.mu.Lock()
	defer t.mu.Unlock()
	m.table = t.mu.open[m.sink]
	if m.table == nil {
		ctx, cancel := context.WithCancel(context.Background())
		o := &openTable{pipeline: string(cfg.Pipeline), cancel: cancel, done: make(chan struct{}),
			writer: format(sink.Table.Options, bucket, w.log, tablewriter.Config{Pipeline: cfg.Pipeline, Prefix: cfg.Prefix})}
		go func() {
			defer close(o.done)
			o.writer.Run(ctx)
		}()
		t.mu.open[m.sink], m.table = o, o
	}
	m.table.users++
	m.table.writer.Add(m.main)
	m.table.writer.Add(m.replay)
	return m, nil
}

// finished tells the table's writer how many slots are finished.
func (m *member) finished(slots uint64) { m.table.writer.Finished(m.main, slots) }

// leave waits a little for the partition's last slots to be in the table, and
// ends its share.
func (m *member) leave() {
	if m == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), settleTimeout)
	defer cancel()
	_ = m.table.writer.Settle(ctx, m.main) // whoever takes over goes on with what is left
	m.table.writer.Remove(m.main)
	m.table.writer.Remove(m.replay)
	m.tables.mu.Lock()
	m.table.users--
	last := m.table.users == 0
	if last {
		delete(m.tables.mu.open, m.sink)
	}
	m.tables.mu.Unlock()
	if last {
		m.table.cancel()
		<-m.table.done
	}
}

// message says what keeps slots out of the table, "" if nothing does.
func (m *member) message() string {
	if m == nil {
		return ""
	}
	status := m.table.writer.Status()
	for _, s := range []tablewriter.Source{m.main, m.replay} {
		if of := status.Sources[s]; of.Message != "" {
			return fmt.Sprintf("the table is %d slots behind: %s", of.Behind, of.Message)
		} else if of.Behind > manyBehind {
			return fmt.Sprintf("the table is %d slots behind and catches up", of.Behind)
		}
	}
	return ""
}
