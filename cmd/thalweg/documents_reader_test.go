//go:build integration

package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/connections"
	"github.com/thalweg/thalweg/cmd/thalweg/embedded"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/connectors/kafka"
	"github.com/thalweg/thalweg/coordinator/api"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
)

// reader is somebody who types what documents show: the README in a clone, the rest
// in a directory of their own files.
type reader struct {
	t            *testing.T
	root         string // the repository
	clone, files string // directories

	dev       *shell            // that runs thalweg dev, once it is shown
	env       []string          // what it said to export
	addresses map[string]string // of the documents' own: those that are free here
	client    *api.Client
	kafka     string

	place string // the section that is read
	shell *shell
	n     int // of scripts
}

func newReader(t *testing.T) *reader {
	t.Helper()
	r := &reader{t: t, root: filepath.Dir(filepath.Dir(packageDir)), clone: t.TempDir(), files: t.TempDir(), addresses: map[string]string{}}
	install(t, filepath.Join(r.clone, "bin"))
	if err := os.Symlink(filepath.Join(r.root, "deploy"), filepath.Join(r.clone, "deploy")); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(r.files, "flights.parquet"), string(fewFlights(t, 20_000)))
	spec := demoSpec(t) + "  schedule: {cron: \"0 3 1 1 *\"}\n  serving: {enabled: true}\n"
	put(t, filepath.Join(r.files, "flights.yaml"), spec)
	put(t, filepath.Join(r.files, "flights-avro.yaml"), strings.Replace(spec, "{type: json}", `{type: avro, schema_file: "s3://lake/flight.avsc"}`, 1))
	put(t, filepath.Join(r.files, "flight.avsc"), avroFile)
	model, sample := importSample(t, 0)
	put(t, filepath.Join(r.files, "model.txt"), model)
	put(t, filepath.Join(r.files, "sample.parquet"), string(sample))
	if err := os.Mkdir(filepath.Join(r.files, "visits"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"visits-1.parquet", "visits-2.parquet", "visits/1.parquet"} {
		put(t, filepath.Join(r.files, name), string(visits(t)))
	}
	var csv bytes.Buffer
	w := gzip.NewWriter(&csv)
	fmt.Fprintln(w, "minutes,outcome")
	for i := range 300 {
		fmt.Fprintf(w, "%d,%t\n", i%60, i%7 < 3)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(r.files, "visits.csv.gz"), csv.String())
	return r
}

// install puts thalweg into a directory: this binary, which TestMain makes that.
func install(t *testing.T, bin string) {
	t.Helper()
	self, err := os.Executable()
	if err == nil {
		err = os.MkdirAll(bin, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(bin, "thalweg"), []byte("#!/bin/sh\nTHALWEG_TEST_RUNS=thalweg GORACE=atexit_sleep_ms=0 exec "+shellWord(self)+" \"$@\"\n"), 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// turnTo takes a new shell for a section, with what a reader has done before it.
func (r *reader) turnTo(c documented) {
	r.t.Helper()
	if r.place == c.file+c.section {
		return
	}
	if r.shell != nil {
		if jobs, _ := r.shell.run("jobs"); regexp.MustCompile(`Exit|Done|Killed`).MatchString(jobs) {
			r.t.Errorf("%s: what was started in the background has ended:\n%s", r.place, jobs)
		}
		r.shell.end()
	}
	dir := r.files
	switch {
	case c.file == "README.md" || filepath.Dir(c.file) == "docs": // read where the clone is
		dir = r.clone
	case r.client != nil && r.kafka == "":
		r.prepare()
	}
	r.place = c.file + c.section
	r.shell = startShell(r.t, dir, append(r.env, "PATH="+filepath.Join(r.clone, "bin")+":"+os.Getenv("PATH")))
}

var address = regexp.MustCompile(`127\.0\.0\.1:\d+`)

// here is a command with what is other than on a reader's machine replaced: the
// addresses, the directory for what is temporary, the terminal that is asked on.
func (r *reader) here(command string) string {
	command = strings.ReplaceAll(command, "/tmp/", r.t.TempDir()+"/")
	command = regexp.MustCompile(`thalweg dev\b`).ReplaceAllString(command, "thalweg dev --free-ports")
	command = regexp.MustCompile(`^thalweg delete \S+`).ReplaceAllString(command, "$0 --yes") // nobody is asked here
	return address.ReplaceAllStringFunc(command, func(a string) string {
		if r.addresses[a] == "" {
			free, err := embedded.FreeAddresses(1)
			if err != nil {
				r.t.Fatal(err)
			}
			r.addresses[a] = free[0]
		}
		return r.addresses[a]
	})
}

// keep runs a command that ends when it is stopped: the first `thalweg dev` to the
// end of the test, others until they are ready.
func (r *reader) keep(c documented, command string) (output string, err error) {
	first := r.dev == nil
	dir := r.shell.cmd.Dir
	if !first {
		dir = r.t.TempDir()
	}
	s := startShell(r.t, dir, r.shell.cmd.Env)
	words := "level=" // of a line of its log
	if strings.Contains(command, "thalweg dev") {
		words = "Shell "
	}
	output, ok := s.start(command, words)
	if !ok {
		return output, fmt.Errorf("it does not start")
	}
	if !first {
		return output, s.stop()
	}
	if !strings.Contains(c.text, "keeps running") {
		return output, fmt.Errorf("the reader is not told that it keeps running")
	}
	r.dev = s
	exported := regexp.MustCompile(`Shell +export (\S+) (\S+) (\S+)`).FindStringSubmatch(output)
	r.env = exported[1:]
	values := map[string]string{}
	for _, pair := range r.env {
		name, value, _ := strings.Cut(pair, "=")
		values[name] = strings.TrimPrefix(value, "http://")
	}
	r.addresses[connections.APIAddress], r.addresses[connections.KafkaAddress], r.addresses[connections.S3Address] = values["THALWEG_COORDINATOR"], values["THALWEG_KAFKA"], values["THALWEG_STORE"]
	if r.client, err = api.NewClient(api.Config{Addresses: []string{values["THALWEG_COORDINATOR"]}}); err == nil {
		r.t.Cleanup(r.client.Close)
	}
	r.shell.run("export " + strings.Join(r.env, " "))
	return output, err
}

// script writes a block of another language to a file, and returns what runs it.
func (r *reader) script(language, text string) (command string) {
	r.n++
	name := filepath.Join(r.files, fmt.Sprintf("block%d.py", r.n))
	if language == "sql" {
		text = inDuckDB(text)
	} else {
		text = "import deltalake\nprint(" + strings.TrimSpace(text) + ")\n"
	}
	put(r.t, name, text)
	return python(r.root) + " " + name
}

// python is the interpreter that has DuckDB and its extensions (integration/python.sh).
func python(root string) string { return filepath.Join(root, ".cache/python/readers/bin/python") }

// inDuckDB is a Python program that prints what DuckDB answers.
func inDuckDB(sql string) string {
	return "import duckdb\nfrom duckdb_extensions import import_extension\ndb = duckdb.connect()\nfor name in ('httpfs', 'delta'):\n    import_extension(name)\n    db.load_extension(name)\n" +
		"print(db.sql('''" + sql + "'''))\n"
}

// Partitions of the topic, and what they lost: before lostTo, after what was scored
// to lostFrom.
const (
	lostFrom = 1200
	lostTo   = 1450
)

// prepare brings the pipeline of the README where the rest of the documents find it:
// two versions, some thousand rows, and dead letters.
func (r *reader) prepare() {
	r.t.Helper()
	r.kafka = r.addresses[connections.KafkaAddress]
	s := startShell(r.t, r.files, append(r.env, "PATH="+filepath.Join(r.clone, "bin")+":"+os.Getenv("PATH")))
	defer s.end()
	do := func(command string) {
		r.t.Helper()
		if out, code := s.run(command); code != 0 {
			r.t.Fatalf("%s: exit code %d: %s", command, code, out)
		}
	}
	do("thalweg apply -f flights.yaml --wait && thalweg runs start flight-delays --wait")
	producer, err := kafka.NewProducer(kafka.Config{Brokers: []string{r.kafka}, Topic: "flights"}, kafka.ProducerConfig{})
	if err != nil {
		r.t.Fatal(err)
	}
	defer producer.Close()
	if err := producer.CreateTopic(r.t.Context(), 4); err != nil && !thalweg.Is(err, thalweg.Exists) {
		r.t.Fatal(err)
	}
	r.fill(0, 5000)
	r.fill(2, lostFrom)
	r.fill(3, lostFrom)
	r.wait(func(p *apiv1.StreamPartition) bool {
		return p.Committed >= map[int32]int64{0: 5000, 2: lostFrom, 3: lostFrom}[p.Partition]
	})
}

// broker returns a client that writes to the partitions it names.
func (r *reader) broker() *kgo.Client {
	r.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(r.kafka), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		r.t.Fatal(err)
	}
	return client
}

// fill writes events to a partition until it has so many; the first that it writes
// makes a dead letter.
func (r *reader) fill(partition int32, events int64) {
	r.t.Helper()
	client := r.broker()
	defer client.Close()
	for at := int64(0); at < events-1; {
		var records []*kgo.Record
		for i := range min(events-1-at, 500) {
			value := fmt.Sprintf(`{"date":"2001-06-30T17:05:00Z","distance":%d,"origin":"ORD","destination":"LGA"}`, 100+i)
			if at == 0 && i == 0 {
				value = `{"date":"2001-06-30T17:05:00Z","distance":"far"}`
			}
			records = append(records, &kgo.Record{Topic: "flights", Partition: partition, Value: []byte(value)})
		}
		done := client.ProduceSync(r.t.Context(), records...)
		if err := done.FirstErr(); err != nil {
			r.t.Fatal(err)
		}
		at = done[len(done)-1].Record.Offset
	}
}

// lose has a partition lose the events before lostTo, of which those from lostFrom are
// not scored yet, and waits until its stream says so.
func (r *reader) lose(partition int32) {
	r.t.Helper()
	if out, code := r.shell.run("thalweg stream pause flight-delays"); code != 0 {
		r.t.Fatal(out)
	}
	r.fill(partition, lostTo+100)
	client := r.broker()
	defer client.Close()
	cut := kmsg.NewPtrDeleteRecordsRequest()
	cut.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: "flights", Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Partition: partition, Offset: lostTo}}}}
	if _, err := client.Request(r.t.Context(), cut); err != nil {
		r.t.Fatal(err)
	}
	if out, code := r.shell.run("thalweg stream resume flight-delays"); code != 0 {
		r.t.Fatal(out)
	}
	r.wait(func(p *apiv1.StreamPartition) bool {
		return p.Partition != partition || strings.Contains(p.Message, fmt.Sprintf("%d-%d", lostFrom, lostTo))
	})
}

// wait waits until all partitions of the stream are so.
func (r *reader) wait(so func(p *apiv1.StreamPartition) bool) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), commandTimeout)
	defer cancel()
	for {
		res, err := r.client.StreamStatus(ctx, &apiv1.StreamStatusRequest{Pipeline: "flight-delays"})
		if err != nil {
			r.t.Fatal(err)
		}
		all := len(res.Partitions) == 4
		for _, p := range res.Partitions {
			all = all && so(p)
		}
		if all {
			return
		}
		select {
		case <-ctx.Done():
			r.t.Fatalf("the stream stays at %v", res.Partitions)
		case <-time.After(terminal.FollowEvery):
		}
	}
}
