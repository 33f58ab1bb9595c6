//go:build integration

package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/twmb/franz-go/pkg/kgo"

	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/integration/minio"
	"github.com/thalweg/thalweg/integration/process"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/dataset"
	"github.com/thalweg/thalweg/storage/table/delta"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/fsck"
)

// reading is what a reader of the table found.
type reading struct {
	Rows     int64                 `json:"rows"`
	Twice    int64                 `json:"twice"`
	Offsets  map[string][][2]int64 `json:"offsets"`  // "topic/partition" → ranges
	Distance int64                 `json:"distance"` // the sum of the column
	Columns  []string              `json:"columns"`
}

// found is what each reader found, by name, and the version of the table by then.
type found struct {
	Version int64              `json:"version"`
	Readers map[string]reading `json:"readers"`
}

// readers are the programs that read the tables of the lake in one call each.
type readers struct {
	server *minio.Server
	spark  *sparkSession
}

func startReaders(t *testing.T, server *minio.Server) readers {
	t.Helper()
	return readers{server: server, spark: startSpark(t, server)}
}

// read has each reader read the table at a prefix of the lake; where is
// nothing, or a column and the date that it must have, or "null".
func (r readers) read(t *testing.T, prefix string, where ...string) found {
	t.Helper()
	root := process.Root(t)
	python := filepath.Join(root, ".cache", "python", "readers", "bin", "python")
	if _, err := os.Stat(python); err != nil {
		t.Fatalf("%v: run make integration-deps", err)
	}
	path := "lake/" + strings.TrimSuffix(prefix, "/")
	cmd := exec.Command(python, append([]string{filepath.Join(root, "integration", "readers", "read.py"), "s3://" + path}, where...)...)
	cmd.Env = append(os.Environ(), "AWS_ENDPOINT_URL=http://"+r.server.Address, "AWS_ACCESS_KEY_ID="+r.server.AccessKey,
		"AWS_SECRET_ACCESS_KEY="+r.server.SecretKey, "AWS_REGION=us-east-1", "AWS_ALLOW_HTTP=true")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("read the table: %v\n%s", err, &stderr)
	}
	var all found
	if err := json.Unmarshal(out, &all); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	condition := ""
	switch {
	case len(where) == 0:
	case where[1] == "null":
		condition = where[0] + " IS NULL"
	default:
		condition = fmt.Sprintf("%s = DATE '%s'", where[0], where[1])
	}
	var sparks reading
	r.spark.Read(t, "s3a://"+path, condition, &sparks)
	all.Readers["Spark"] = sparks
	return all
}

// ofLog returns what a reader of a partition's log has to find, as the files
// that are live say: its rows, and the sum of their distances.
func ofLog(t *testing.T, lake storage.Bucket, prefix string, partition int, keep func(day string) bool) (offsets []int64, distance int64) {
	t.Helper()
	log, err := commitlog.New(lake, commitlog.Config{Pipeline: flightPipeline, Prefix: prefix, Topic: topic, Partition: partition})
	if err != nil {
		t.Fatal(err)
	}
	for e, err := range commitlog.Live(log.ReadBack(t.Context())) {
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range e.Done.Objects {
			if o.Kind != commitlog.Scored || keep != nil && !keep(filepath.Base(filepath.Dir(o.Key))) {
				continue
			}
			body, _, err := lake.Get(t.Context(), o.Key)
			if err != nil {
				t.Fatal(err)
			}
			readParquet(t, o.Key, body, func(batch arrow.Record) {
				at, miles := ints(t, batch, "_offset"), ints(t, batch, "distance")
				for i := range int(batch.NumRows()) {
					offsets = append(offsets, at.Value(i))
					if miles.IsValid(i) {
						distance += miles.Value(i)
					}
				}
			})
		}
	}
	slices.Sort(offsets)
	return offsets, distance
}

// spread lists the offsets of ranges.
func spread(ranges [][2]int64) []int64 {
	var offsets []int64
	for _, r := range ranges {
		for at := r[0]; at < r[1]; at++ {
			offsets = append(offsets, at)
		}
	}
	return offsets
}

// wantTable fails unless every reader finds exactly the rows of the logs.
func wantTable(t *testing.T, what string, lake storage.Bucket, r readers, prefix string) {
	t.Helper()
	logs, distance, rows := map[string][]int64{}, int64(0), 0
	for p := range partitions {
		offsets, miles := ofLog(t, lake, prefix, p, nil)
		logs[fmt.Sprintf("%s/%d", topic, p)] = offsets
		distance += miles
		rows += len(offsets)
	}
	all := r.read(t, prefix)
	for name, its := range all.Readers {
		if its.Twice > 0 {
			t.Errorf("%s: %s finds %d rows twice", what, name, its.Twice)
		}
		for log, want := range logs {
			if got := spread(its.Offsets[log]); !slices.Equal(got, want) {
				t.Errorf("%s: %s finds %d rows of %s, the log has %d, or others", what, name, len(got), log, len(want))
			}
		}
		if int(its.Rows) != rows || len(its.Offsets) != partitions || its.Distance != distance {
			t.Errorf("%s: %s finds %d rows of %v with distances of %d, the logs have %d of %d partitions with %d", what, name,
				its.Rows, slices.Sorted(maps.Keys(its.Offsets)), its.Distance, rows, partitions, distance)
		}
	}
	t.Logf("%s: %s find the logs' %d rows in version %d", what, strings.Join(slices.Sorted(maps.Keys(all.Readers)), ", "), rows, all.Version)
}

// inStep waits until the table has every finished slot, and has fsck judge it.
func inStep(t *testing.T, c *cluster, lake storage.Bucket, prefix string) *fsck.Verdict {
	t.Helper()
	var v *fsck.Verdict
	process.Until(t, "the table to have all slots", func(ctx context.Context) error {
		var err error
		if v, err = fsck.Run(ctx, lake, flightPipeline, prefix, models(t, c.Client())); err != nil {
			return err
		}
		if !v.OK() || v.TableCut != "" {
			return fmt.Errorf("%w: %s", process.ErrHopeless, v)
		}
		if v.TableVersion < 0 || v.TableBehind > 0 {
			return fmt.Errorf("%d slots are missing in version %d", v.TableBehind, v.TableVersion)
		}
		return nil
	})
	return v
}

// compactByHand merges the live files of a partition to one, as a compactor
// does, and returns the keys of those that it replaced.
func compactByHand(t *testing.T, lake storage.Bucket, prefix string, partition int) (replaced []string) {
	t.Helper()
	log, err := commitlog.New(lake, commitlog.Config{Pipeline: flightPipeline, Prefix: prefix, Topic: topic, Partition: partition})
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(err)
	for {
		state, err := log.Open(t.Context())
		check(err)
		if state.Pending != nil {
			continue // the scorer's, which it finishes
		}
		var entries []commitlog.Entry
		for e, err := range commitlog.Live(log.ReadBack(t.Context())) {
			check(err)
			entries = append(entries, e)
		}
		slices.Reverse(entries)
		entries = entries[:min(len(entries), commitlog.MaxInputs)]
		var body bytes.Buffer
		var w *dataset.Writer
		var rows int64
		var inputs []uint64
		span := [2]int64{entries[0].Intent.From, entries[len(entries)-1].Intent.To}
		replaced = nil
		for _, e := range entries {
			inputs = append(inputs, e.Intent.Seq)
			for _, o := range e.Done.Objects {
				if o.Kind != commitlog.Scored {
					continue
				}
				replaced = append(replaced, o.Key)
				data, _, err := lake.Get(t.Context(), o.Key)
				check(err)
				r, err := dataset.OpenBytes(o.Key, data, nil, dataset.ReaderConfig{})
				check(err)
				for {
					rec, err := r.Next()
					if errors.Is(err, io.EOF) {
						break
					}
					check(err)
					if w == nil {
						w, err = dataset.NewWriter(&body, rec.Schema(), dataset.WriterConfig{})
						check(err)
					}
					check(w.Write(rec))
					rows += rec.NumRows()
					rec.Release()
				}
				check(r.Close())
			}
		}
		check(w.Close())
		first, last := entries[0].Intent, entries[len(entries)-1].Intent
		in := commitlog.Intent{Seq: state.NextSeq, ID: commitlog.NewID(), Pipeline: flightPipeline, Topic: topic, Partition: partition, From: state.NextOffset,
			To: state.NextOffset, SpecGeneration: first.SpecGeneration, ScoredAtUS: time.Now().UnixMicro(), Previous: state.Previous, Action: commitlog.Compact,
			TopicID: state.TopicID, LeaderEpoch: state.LeaderEpoch, Slots: [2]uint64{0, last.Seq + 1}}
		won, _, err := log.Claim(t.Context(), in)
		check(err)
		if !won {
			continue // the scorer was first
		}
		o, err := log.Publish(t.Context(), commitlog.Scored, "", rows, body.Bytes(), nil)
		check(err)
		d, err := log.Complete(commitlog.Done{Objects: []commitlog.Object{o}, Inputs: inputs, Offsets: span})
		check(err)
		_, _, err = log.Finish(t.Context(), d)
		check(err)
		return replaced
	}
}

// send writes events of others' making, one after the other to each partition.
func (f *feed) send(t *testing.T, events []string) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	records := make([]*kgo.Record, len(events))
	for i, e := range events {
		records[i] = &kgo.Record{Partition: int32(i % len(f.mu.ends)), Value: []byte(e)}
	}
	for _, res := range f.client.ProduceSync(t.Context(), records...) {
		if res.Err != nil {
			t.Fatal(res.Err)
		}
		f.mu.ends[res.Record.Partition] = max(f.mu.ends[res.Record.Partition], res.Record.Offset+1)
	}
}

// TestTheTableIsReadInOneCallByEveryReader streams flights on real processes,
// kills a worker, merges files, and has pandas, DuckDB, Arrow and Spark read the
// results as one table all the while: whatever version they see, they see each
// row that the logs had at that time once.
func TestTheTableIsReadInOneCallByEveryReader(t *testing.T) {
	c, kafka, lake, server := startStream(t, 2)
	r := startReaders(t, server)
	client := c.Client()
	f := newFeed(t, kafka.Brokers(), topic, partitions)
	if err := f.write(t.Context(), 10*flowBatch); err != nil {
		t.Fatal(err)
	}
	waitStream(t, client, "all partitions to be scored", all(partitions, func(p *apiv1.StreamPartition) bool { return p.Committed > 0 }))
	process.Until(t, "a table", func(ctx context.Context) error {
		_, err := lake.Head(ctx, delta.Layout(sinkPrefix).CommitKey(0))
		return err
	})

	// While it grows: no row twice, and none that is not in a log later.
	var last found
	seen := map[string]map[string][]int64{}
	look := func() {
		t.Helper()
		now := r.read(t, sinkPrefix)
		for name, its := range now.Readers {
			if its.Twice > 0 {
				t.Errorf("version %d: %s finds %d rows twice", now.Version, name, its.Twice)
			}
			if its.Rows < last.Readers[name].Rows {
				t.Errorf("version %d: %s finds %d rows, it was %d in version %d", now.Version, name, its.Rows, last.Readers[name].Rows, last.Version)
			}
			for log, ranges := range its.Offsets {
				if seen[name] == nil {
					seen[name] = map[string][]int64{}
				}
				seen[name][log] = spread(ranges)
			}
		}
		last = now
	}
	look() // before much is there: what a reader does for the first time takes Spark ten seconds
	stop := f.flow(t)
	look()
	victim := someWork(t, c)
	c.KillWorker(victim)
	look()
	waitStream(t, client, "the killed worker's partitions to be taken over", all(partitions, heldByOther(victim)))
	look()
	c.RestartWorker(t, victim)
	began := time.Now()
	stop()
	waitStream(t, client, "all that was sent", committedTo(f.ends()))
	v := inStep(t, c, lake, sinkPrefix)
	t.Logf("the table was in step %v after the last event: version %d, %d files", time.Since(began).Round(time.Millisecond), v.TableVersion, v.TableFiles)
	for name, logs := range seen {
		for log, offsets := range logs {
			var partition int
			fmt.Sscanf(log, topic+"/%d", &partition)
			in := map[int64]bool{}
			have, _ := ofLog(t, lake, sinkPrefix, partition, nil)
			for _, at := range have {
				in[at] = true
			}
			for _, at := range offsets {
				if !in[at] {
					t.Fatalf("%s saw offset %d of %s in the table, which is in no log", name, at, log)
				}
			}
		}
	}
	wantTable(t, "before the compaction", lake, r, sinkPrefix)

	// Files are merged; the table moves from the old to the new in one version.
	replaced := map[int][]string{}
	for p := range partitions {
		replaced[p] = compactByHand(t, lake, sinkPrefix, p)
		look()
	}
	after := inStep(t, c, lake, sinkPrefix)
	if after.TableFiles >= v.TableFiles || after.TableRows != v.TableRows {
		t.Errorf("%d files with %d rows after the compaction, %d with %d before", after.TableFiles, after.TableRows, v.TableFiles, v.TableRows)
	}
	wantTable(t, "after the compaction", lake, r, sinkPrefix)
	for _, keys := range replaced {
		for _, key := range keys {
			if err := lake.Delete(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		}
	}
	wantTable(t, "after the replaced files were deleted", lake, r, sinkPrefix)

	// The same topic into another sink, by days, where the compactor merges.
	const byDay = "scored/by-day/"
	f.send(t, slices.Concat(eventsOf(t, lake, 2000), odd)) // of other days, and of none
	spec := strings.Replace(streamSpec(t, 500*time.Millisecond, ""), "s3://lake/"+sinkPrefix, "s3://lake/"+byDay, 1)
	spec = strings.Replace(spec, "sink: {rolling: {", "sink: {partition_by: [date], compaction: {min_files: 3, retention: 10m}, rolling: {count: 500, ", 1)
	waitRun(t, c, apply(t, c, spec), "the second model", succeeded)
	waitStream(t, client, "all that was sent, again", all(partitions, func(p *apiv1.StreamPartition) bool {
		return p.Committed >= f.ends()[p.Partition] && p.Generation == 2
	}))
	process.Until(t, "files of days to be merged", func(context.Context) error {
		if v = inStep(t, c, lake, byDay); v.Compactions == 0 {
			return errors.New("none yet")
		}
		return nil
	})
	wantTable(t, fmt.Sprintf("by days, after %d compactions", v.Compactions), lake, r, byDay)
	day := firstFlight.Format(time.DateOnly)
	for value, dir := range map[string]string{day: "date_date=" + day, "null": "date_date=__HIVE_DEFAULT_PARTITION__"} {
		rows, distance := 0, int64(0)
		for p := range partitions {
			offsets, miles := ofLog(t, lake, byDay, p, func(d string) bool { return d == dir })
			rows += len(offsets)
			distance += miles
		}
		for name, its := range r.read(t, byDay, "date_date", value).Readers {
			if int(its.Rows) != rows || rows == 0 || its.Rows >= v.TableRows || its.Twice > 0 || its.Distance != distance || !slices.Contains(its.Columns, "date_date") {
				t.Errorf("%s finds %d of %d rows, %d twice, with distances of %d, where date_date is %s, want %d with %d; columns %v",
					name, its.Rows, v.TableRows, its.Twice, its.Distance, value, rows, distance, its.Columns)
			}
		}
	}
	if out := c.Run(t, "results", flightPipeline); !strings.Contains(out, `deltalake.DeltaTable("s3://lake/scored/by-day", storage_options=`) {
		t.Errorf("thalweg results does not say how to read the table:\n%s", out)
	}
}
