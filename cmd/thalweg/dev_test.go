package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/embedded"
	"github.com/thalweg/thalweg/cmd/thalweg/localdata"
	"github.com/thalweg/thalweg/cmd/thalweg/produce"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/connectors/kafka"
	"github.com/thalweg/thalweg/coordinator/api"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/event"
	"github.com/thalweg/thalweg/storage/checkpoint"
	"github.com/thalweg/thalweg/storage/dataset"
	"github.com/thalweg/thalweg/worker/cluster"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// demoFiles is absolute, as the embedded S3 endpoint changes the working
// directory.
var demoFiles, _ = filepath.Abs("../../deploy/demo")

// startDev runs an embedded cluster on dir until the returned function is
// called.
func startDev(t *testing.T, dir string) (c *embedded.Cluster, stop func()) {
	t.Helper()
	return startDevWith(t, embedded.Config{Dir: dir})
}

// parallelDev lets the test run beside others, and runs a cluster for it whose S3
// endpoint is a process of its own.
func parallelDev(t *testing.T, cfg embedded.Config) *embedded.Cluster {
	t.Helper()
	t.Parallel()
	cfg.Dir, cfg.NewStore = t.TempDir(), newStoreProcess
	c, _ := startDevWith(t, cfg)
	return c
}

// starting is held from the choice of free ports until they are taken.
var starting sync.Mutex

// startsWithin bounds how long a cluster takes to start, for which others wait.
const startsWithin = 2 * time.Minute

func startDevWith(t *testing.T, cfg embedded.Config) (c *embedded.Cluster, stop func()) {
	t.Helper()
	return startDevLogging(t, cfg, slog.DiscardHandler)
}

func startDevLogging(t *testing.T, cfg embedded.Config, logs slog.Handler) (c *embedded.Cluster, stop func()) {
	t.Helper()
	starting.Lock()
	defer starting.Unlock()
	cfg.Workers, cfg.FreePorts, cfg.PollWait = 2, true, 100*time.Millisecond // how far streams are is told in polls
	ctx, cancel := context.WithCancel(t.Context())
	c, err := embedded.New(ctx, slog.New(logs), cfg)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil && !thalweg.Is(err, thalweg.Canceled) && ctx.Err() == nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	ready, cancelReady := context.WithTimeout(ctx, startsWithin)
	defer cancelReady()
	if err := c.WaitReady(ready); err != nil {
		t.Fatalf("the cluster is not ready: %v", err)
	}
	return c, stop
}

// eventually waits until what is tried goes well.
func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	for late := time.After(startsWithin); ; {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-late:
			t.Fatalf("waited %v for %s: %v", startsWithin, what, err)
		case <-time.After(terminal.FollowEvery):
		}
	}
}

func TestDevSaysWhatKeepsItFromStarting(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "w2"), nil, 0o644); err != nil { // where a worker's directory belongs
		t.Fatal(err)
	}
	_, err := runLine(t, "dev --free-ports --dir "+dir)
	if err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "w2")) {
		t.Errorf("dev ended with %v, want what is wrong with the directory of its second worker", err)
	}
}

func client(t *testing.T, c *embedded.Cluster) *api.Client {
	t.Helper()
	cl, err := api.NewClient(api.Config{Addresses: c.Endpoints.API})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// fewFlights returns the first rows of the demo's sample as Parquet.
func fewFlights(t *testing.T, rows int64) []byte {
	t.Helper()
	local, err := localdata.OpenFiles(t.Context(), filepath.Join(demoFiles, "flights.parquet"), nil)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	var w *dataset.Writer
	if err := local.Each(t.Context(), func(batch arrow.Record) error {
		take := min(rows, batch.NumRows())
		if take == 0 {
			return nil
		}
		rows -= take
		part := batch.NewSlice(0, take)
		defer part.Release()
		user := array.NewRecord(arrow.NewSchema(part.Schema().Fields()[:part.NumCols()-1], nil), part.Columns()[:part.NumCols()-1], take)
		defer user.Release()
		if w == nil {
			var err error
			if w, err = dataset.NewWriter(&out, user.Schema(), dataset.WriterConfig{RowGroupRows: 8192}); err != nil {
				return err
			}
		}
		return w.Write(user)
	}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// demoSpec is the demo's spec with files that appear at once.
func demoSpec(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(demoFiles, "flights.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	const sink = `sink: {s3:`
	if !bytes.Contains(text, []byte(sink)) {
		t.Fatalf("the demo's spec has no %s", sink)
	}
	return strings.Replace(string(text), sink, `sink: {rolling: {period: 200ms}, s3:`, 1)
}

// applyAndWait applies a spec and waits for its run.
func applyAndWait(t *testing.T, cl *api.Client, text string) *apiv1.Run {
	t.Helper()
	res, err := cl.Apply(t.Context(), &apiv1.ApplyRequest{Spec: text, File: "flights.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	run, err := terminal.Follow(t.Context(), cl, &bytes.Buffer{}, res.RunId)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func upload(t *testing.T, c *embedded.Cluster, body []byte) {
	t.Helper()
	bucket, err := c.Connections.Bucket(t.Context(), "", "lake")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bucket.Put(t.Context(), "flights/flights.parquet", body); err != nil {
		t.Fatal(err)
	}
}

// sendRows replays a Parquet file from a fraction of its rows on.
func sendRows(t *testing.T, c *embedded.Cluster, file string, from float64) int64 {
	t.Helper()
	local, err := localdata.OpenFiles(t.Context(), file, nil)
	if err != nil {
		t.Fatal(err)
	}
	producer, err := kafka.NewProducer(kafka.Config{Brokers: []string{c.Endpoints.Kafka}, Topic: "flights"}, kafka.ProducerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	if err := producer.CreateTopic(t.Context(), 2); err != nil && !thalweg.Is(err, thalweg.Exists) {
		t.Fatal(err)
	}
	n, err := (&produce.Rows{Producer: producer, Form: produce.JSON(local), From: from}).Run(t.Context(), local)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// committed waits until the logs of all partitions hold n events, and judges
// them.
func committed(t *testing.T, c *embedded.Cluster, cl *api.Client, n int64) {
	t.Helper()
	for {
		res, err := cl.StreamStatus(t.Context(), &apiv1.StreamStatusRequest{Pipeline: "flight-delays"})
		if err != nil {
			t.Fatal(err)
		}
		var at int64
		for _, p := range res.Partitions {
			at += p.Committed
		}
		if at >= n {
			break
		}
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-time.After(terminal.FollowEvery):
		}
	}
	verdict, err := (&cluster.Client{Client: cl, Conns: c.Connections}).Judge(t.Context(), "flight-delays", "")
	if err != nil {
		t.Fatal(err)
	}
	if !verdict.OK() || verdict.Scored != n {
		t.Fatalf("want %d scored rows:\n%s", n, verdict)
	}
}

// key names a flight as it is in a scored row.
func key(batch arrow.Record, i int) string {
	var b bytes.Buffer
	for _, name := range []string{"date", "delay", "distance", "origin", "destination"} {
		fmt.Fprint(&b, batch.Column(batch.Schema().FieldIndices(name)[0]).ValueStr(i), "|")
	}
	return b.String()
}

// streamed returns the bits of every prediction in the committed files, by
// flight.
func streamed(t *testing.T, c *embedded.Cluster) map[string]uint64 {
	t.Helper()
	bucket, err := c.Connections.Bucket(t.Context(), "", "lake")
	if err != nil {
		t.Fatal(err)
	}
	bits := make(map[string]uint64)
	for info, err := range bucket.List(t.Context(), "scored/flight-delays/data/", "") {
		if err != nil {
			t.Fatal(err)
		}
		body, _, err := bucket.Get(t.Context(), info.Key)
		if err != nil {
			t.Fatal(err)
		}
		for read, err := range engine.ReadRows(info.Key, body) {
			if err != nil {
				t.Fatal(err)
			}
			batch := read.Rows
			p := batch.Column(batch.Schema().FieldIndices("probability")[0]).(*array.Float64)
			for i := range int(batch.NumRows()) {
				bits[key(batch, i)] = math.Float64bits(p.Value(i))
			}
		}
	}
	return bits
}

func TestBatchAndStreamGiveTheSameBits(t *testing.T) {
	c, _ := startDev(t, t.TempDir())
	cl := client(t, c)
	body := fewFlights(t, 30_000)
	upload(t, c, body)
	run := applyAndWait(t, cl, strings.Replace(demoSpec(t), "scoring:\n", "serving: {enabled: true}\n  monitoring: {drift: {one_in: 1, window: 24h}, skew_sample: 1%}\n  scoring:\n    scale: {max: 4}\n", 1))
	file := filepath.Join(t.TempDir(), "flights.parquet")
	if err := os.WriteFile(file, body, 0o600); err != nil {
		t.Fatal(err)
	}
	n := sendRows(t, c, file, 0.5)
	committed(t, c, cl, n)
	got := streamed(t, c)
	metricsAreServed(t, cl)

	sameBits(t, c, run, file, n, got)
	served(t, c, file, got)
	watched(t, c, n)
}

// served asks the service about the first rows of the file, by way of a coordinator, and
// holds its answers against those of the stream.
func served(t *testing.T, c *embedded.Cluster, file string, got map[string]uint64) {
	t.Helper()
	local, err := localdata.OpenFiles(t.Context(), file, nil)
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	if err := local.Each(t.Context(), func(batch arrow.Record) error {
		rows, body := min(500, int(batch.NumRows())), []byte{'['}
		for i := range rows {
			body = append(event.AppendJSON(body, batch, i), ',')
		}
		body[len(body)-1] = ']'
		res, err := http.Post("http://"+c.Endpoints.API[0]+"/v1/score/flight-delays", "application/json", bytes.NewReader(body))
		if err != nil {
			return err
		}
		defer res.Body.Close()
		var answers []struct{ Probability float64 }
		if err := json.NewDecoder(res.Body).Decode(&answers); err != nil || len(answers) != rows {
			return fmt.Errorf("%s: %d answers to %d rows: %w", res.Status, len(answers), rows, err)
		}
		for i, a := range answers {
			if bits, ok := got[key(batch, i)]; ok {
				if compared++; math.Float64bits(a.Probability) != bits {
					t.Fatalf("flight %s: service %v, stream %v", key(batch, i), a.Probability, math.Float64frombits(bits))
				}
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if compared == 0 {
		t.Fatal("no flight was compared")
	}
}

// sameBits holds what the stream gave for n events against what the model of a
// run gives for the rows of the file.
func sameBits(t *testing.T, c *embedded.Cluster, run *apiv1.Run, file string, n int64, got map[string]uint64) {
	t.Helper()
	ref, err := thalweg.ParseObjectRef(run.Outputs["checkpoint"])
	if err != nil {
		t.Fatal(err)
	}
	state, err := c.Connections.Bucket(t.Context(), "", "thalweg")
	if err != nil {
		t.Fatal(err)
	}
	parts, err := checkpoint.Load(t.Context(), state, ref)
	if err != nil {
		t.Fatal(err)
	}
	model, err := artifact.Decode(catalog.All(), parts)
	if err != nil {
		t.Fatal(err)
	}
	scorer, err := model.NewScorer(pipeline.InTraining)
	if err != nil {
		t.Fatal(err)
	}
	local, err := localdata.OpenFiles(t.Context(), file, nil)
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	if err := local.Each(t.Context(), func(batch arrow.Record) error {
		rows, predictions, err := scorer.Score(t.Context(), batch, nil)
		if err != nil {
			return err
		}
		defer rows.Release()
		for i := range int(rows.NumRows()) {
			if bits, ok := got[key(rows, i)]; ok {
				compared++
				if want := math.Float64bits(float64(predictions[i])); bits != want {
					t.Fatalf("flight %s: stream %v, batch %v", key(rows, i), math.Float64frombits(bits), predictions[i])
				}
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if compared < int(n) {
		t.Fatalf("%d of %d streamed flights compared", compared, n)
	}
}

func TestDevGoesOnWhereItWas(t *testing.T) {
	dir := t.TempDir()
	c, stop := startDev(t, dir)
	cl := client(t, c)
	body := fewFlights(t, 20_000)
	upload(t, c, body)
	applyAndWait(t, cl, demoSpec(t))
	file := filepath.Join(t.TempDir(), "flights.parquet")
	if err := os.WriteFile(file, body, 0o600); err != nil {
		t.Fatal(err)
	}
	first := sendRows(t, c, file, 0.8)
	committed(t, c, cl, first)
	before, err := cl.ListModels(t.Context(), &apiv1.ListModelsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	endpoints := c.Endpoints
	stop()

	c, _ = startDev(t, dir)
	if c.Endpoints.Kafka != endpoints.Kafka || c.Endpoints.API[0] != endpoints.API[0] {
		t.Errorf("endpoints %+v, were %+v", c.Endpoints, endpoints)
	}
	cl = client(t, c)
	after, err := cl.ListModels(t.Context(), &apiv1.ListModelsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := after.String(), before.String(); got != want {
		t.Errorf("models %s, were %s", got, want)
	}
	second := sendRows(t, c, file, 0.9)
	committed(t, c, cl, first+second)
}
