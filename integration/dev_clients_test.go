//go:build integration

package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	apache "github.com/thalweg/thalweg/integration/kafka"
	"github.com/thalweg/thalweg/integration/minio"
	"github.com/thalweg/thalweg/integration/process"
)

// TestDevAnswersKafkasClientsAsKafkaDoes has Apache Kafka's own clients do with
// the broker of thalweg dev and with Apache Kafka what connectors do
// (kafka/Clients.java), and compares what they find, step by step.
func TestDevAnswersKafkasClientsAsKafkaDoes(t *testing.T) {
	d := startDev(t, t.TempDir(), "dev")
	cluster := apache.Start(t, apache.Config{Properties: map[string]string{"auto.create.topics.enable": "true", "num.partitions": "4"}})
	source := filepath.Join(process.Root(t), "integration", "kafka", "Clients.java")
	ofDev := process.Start(t, "clients-of-dev", apache.Java(t, source, d.broker))
	ofKafka := process.Start(t, "clients-of-kafka", apache.Java(t, source, cluster.Brokers()[0]))
	same(t, "Kafka", findings(t, ofDev), findings(t, ofKafka), 70)
}

// TestHadoopFindsTheSameInDevsStoreAsInMinIO has Hadoop's s3a, of the jars of
// Apache Spark, do what the committers of jobs do (spark/Files.java), once with
// deletes of many objects and once with single ones.
func TestHadoopFindsTheSameInDevsStoreAsInMinIO(t *testing.T) {
	jars := filepath.Join(process.Root(t), ".cache", "spark")
	if found, err := filepath.Glob(filepath.Join(jars, "hadoop-aws-*.jar")); err != nil || len(found) == 0 {
		t.Fatalf("no Hadoop in %s: run make integration-deps", jars)
	}
	d := startDev(t, t.TempDir(), "dev")
	server := minio.Start(t)
	newBucket(t, newOpener(t, server), "lake")
	find := func(name, store, key, secret, many string) *process.Process {
		cmd := exec.Command("java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dlog4j2.level=ERROR", "-cp", filepath.Join(jars, "*"),
			filepath.Join(process.Root(t), "integration", "spark", "Files.java"), store, "lake", many)
		cmd.Dir = t.TempDir()
		cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+key, "AWS_SECRET_ACCESS_KEY="+secret)
		return process.Start(t, "hadoop-of-"+name, cmd)
	}
	for _, many := range []string{"true", "false"} {
		ofDev := find("dev-"+many, d.s3, d.keys[0], d.keys[1], many)
		ofMinIO := find("minio-"+many, "http://"+server.Address, server.AccessKey, server.SecretKey, many)
		same(t, "MinIO", findings(t, ofDev), findings(t, ofMinIO), 18)
	}
}

// same compares what a program found in dev and in the real thing, of so many
// steps at least.
func same(t *testing.T, real string, got, want []string, steps int) {
	t.Helper()
	if len(want) < steps || len(got) != len(want) {
		t.Fatalf("%d steps of dev, %d of %s, want %d", len(got), len(want), real, steps)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("dev:   %s\n%s: %s", got[i], real, want[i])
		}
	}
}

// findings waits for the end of a program and returns what it printed of its
// steps.
func findings(t *testing.T, p *process.Process) []string {
	t.Helper()
	if code := p.Wait(t); code != 0 {
		t.Fatalf("exit code %d: %s", code, p.Tail())
	}
	step := regexp.MustCompile(`^[a-z][a-z ,:']* = `)
	return slices.DeleteFunc(p.Output(), func(line string) bool { return !step.MatchString(line) })
}

// TestFlinkReadsATopicOfDevAndWritesWhatDevTrainsOn has Apache Flink, from the
// jars that make integration-deps fetches into .cache/flink (190 MB), read a topic
// of thalweg dev and write Parquet to its S3 endpoint, in one job with
// checkpoints and with a topic that it writes to in transactions; then thalweg
// trains on the files.
func TestFlinkReadsATopicOfDevAndWritesWhatDevTrainsOn(t *testing.T) {
	jars := filepath.Join(process.Root(t), ".cache", "flink")
	if found, err := filepath.Glob(filepath.Join(jars, "flink-sql-connector-kafka-*.jar")); err != nil || len(found) == 0 {
		t.Fatalf("no Apache Flink in %s: run make integration-deps", jars)
	}
	d := startDev(t, t.TempDir(), "dev")
	const events = 4000
	var lines strings.Builder
	distances := 0
	for i := range events {
		origin := []string{"ORD", "LGA", "SFO", "DEN"}[i%4]
		delay := i % 20
		if origin == "ORD" && i%3 > 0 {
			delay += 30
		}
		distances += 100 + i%1000
		fmt.Fprintf(&lines, `{"date":"2001-%02d-%02dT%02d:05:00Z","distance":%d,"origin":%q,"destination":"JFK","delay":%d}`+"\n",
			1+i*12/events, 1+i%28, i%24, 100+i%1000, origin, delay)
	}
	d.kcat(t, lines.String(), "-P", "-t", "flights")

	flags := []string{"-Xmx640m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
		"--add-opens=java.base/java.util=ALL-UNNAMED", "--add-opens=java.base/java.lang=ALL-UNNAMED",
		"-cp", filepath.Join(jars, "*"), filepath.Join(process.Root(t), "integration", "flink", "Job.java")}
	cmd := exec.Command("java", append(flags, d.broker, d.s3, "flights", "copies", "s3://lake/flink/rows")...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+d.keys[0], "AWS_SECRET_ACCESS_KEY="+d.keys[1], "AWS_REGION=us-east-1")
	found := process.Start(t, "flink", cmd).Line(t, `^found (.*)$`)[1]
	if want := fmt.Sprintf("+I[%d, %d, %d]", events, events, distances); found != want {
		t.Errorf("Flink finds %s in its files, want %s", found, want)
	}
	if copies := strings.Count(d.kcat(t, "", "-C", "-t", "copies", "-e", "-q", "-X", "isolation.level=read_committed"), "\n"); copies != events {
		t.Errorf("%d events in the topic that Flink wrote to, want %d", copies, events)
	}
	for _, key := range d.objects(t, "flink/rows/") {
		if name := filepath.Base(key); strings.HasSuffix(key, "/") || name != "_SUCCESS" && !strings.HasPrefix(name, "part-") {
			t.Errorf("Flink left %s", key)
		}
	}

	spec := filepath.Join(t.TempDir(), "flights.yaml")
	text := strings.Replace(flightsSpec(t, ""), "s3://lake/flights/*.parquet", "s3://lake/flink/rows/*/part-*", 1)
	if err := os.WriteFile(spec, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if out := d.run(t, "apply", "-f", spec, "--wait"); !regexp.MustCompile(`rows_in +4,000\n`).MatchString(out) {
		t.Errorf("training on Flink's files:\n%s", out)
	}
}
