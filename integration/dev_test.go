//go:build integration

package integration

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/thalweg/thalweg/connectors/kafka"
	"github.com/thalweg/thalweg/coordinator/api"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/integration/process"
)

// dev is one start of thalweg dev.
type dev struct {
	process *process.Process
	binary  string
	broker  string
	s3      string // URL
	keys    [2]string
	env     []string
	client  *api.Client
}

// readyWithin is far above the second or two that a start takes on an idle
// machine.
const readyWithin = 20 * time.Second

// startDev starts thalweg dev on a directory and waits until it is ready.
func startDev(t *testing.T, dir, name string) *dev {
	t.Helper()
	return startDevBy(t, name, exec.Command(buildBinary(t, ""), "dev", "--dir", dir, "--free-ports"))
}

// startDevBy is startDev by a command of one's own.
func startDevBy(t *testing.T, name string, cmd *exec.Cmd) *dev {
	t.Helper()
	d := &dev{binary: buildBinary(t, "")}
	cmd.Dir = t.TempDir()
	began := time.Now()
	d.process = process.Start(t, name, cmd)
	d.process.Line(t, "^Thalweg is ready")
	took := time.Since(began)
	t.Logf("ready after %v", took.Round(time.Millisecond))
	if took > readyWithin {
		t.Errorf("ready only after %v", took)
	}
	d.broker = d.process.Line(t, `^ *Kafka +(\S+)`)[1]
	s3 := d.process.Line(t, `^ *S3 +(http://\S+) +access key (\S+), secret key ([^\s,]+)`)
	d.s3, d.keys = s3[1], [2]string{s3[2], s3[3]}
	exports := d.process.Line(t, `^ *Shell +export (.*)$`)
	d.env = append(os.Environ(), strings.Fields(exports[1])...)
	client, err := api.NewClient(api.Config{Addresses: []string{d.process.Line(t, `^ *API +(http://\S+)`)[1]}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	d.client = client
	return d
}

// Client returns a client of the coordinators.
func (d *dev) Client() *api.Client { return d.client }

// run runs a verb with what dev said to export.
func (d *dev) run(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command(d.binary, args...)
	cmd.Env = d.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("thalweg %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// kcat runs kcat against the broker.
func (d *dev) kcat(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	cmd := exec.Command("kcat", append([]string{"-b", d.broker}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("kcat %s: %v (Debian: apt-get install kcat)", strings.Join(args, " "), err)
	}
	return string(out)
}

// aws returns Amazon's own client of the S3 endpoint.
func (d *dev) aws() *awss3.Client {
	return awss3.New(awss3.Options{
		BaseEndpoint: aws.String(d.s3), Region: "us-east-1", UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(d.keys[0], d.keys[1], ""),
	})
}

// objects lists the keys under a prefix of the lake.
func (d *dev) objects(t *testing.T, prefix string) []string {
	t.Helper()
	list, err := d.aws().ListObjectsV2(t.Context(), &awss3.ListObjectsV2Input{Bucket: aws.String("lake"), Prefix: aws.String(prefix)})
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, o := range list.Contents {
		keys = append(keys, *o.Key)
	}
	return keys
}

// get returns an object of the lake.
func (d *dev) get(t *testing.T, key string) string {
	t.Helper()
	res, err := d.aws().GetObject(t.Context(), &awss3.GetObjectInput{Bucket: aws.String("lake"), Key: aws.String(key)})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// drained waits until the pipeline has committed n events.
func (d *dev) drained(t *testing.T, n int64) {
	t.Helper()
	source, err := kafka.New(kafka.Config{Brokers: []string{d.broker}, Topic: topic})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	process.Until(t, fmt.Sprintf("%d events to be committed", n), func(ctx context.Context) error {
		status, err := d.client.StreamStatus(ctx, &apiv1.StreamStatusRequest{Pipeline: "flight-delays"})
		if err != nil {
			return err
		}
		var done int64
		for _, p := range status.Partitions {
			done += p.Committed
		}
		if done != n {
			return fmt.Errorf("%d are: %v", done, status.Partitions)
		}
		return nil
	})
}

// TestDevWorksWithForeignToolsAndGoesOnWhereItWas uses thalweg dev as one would
// with kcat and Amazon's S3 client, stops it, kills it, and starts it again on
// its directory each time.
func TestDevWorksWithForeignToolsAndGoesOnWhereItWas(t *testing.T) {
	dir := t.TempDir()
	d := startDev(t, dir, "dev")
	flights, err := os.Open(filepath.Join(process.Root(t), "deploy", "demo", "flights.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	defer flights.Close()
	if _, err := d.aws().PutObject(t.Context(), &awss3.PutObjectInput{Bucket: aws.String("lake"), Key: aws.String("flights/flights.parquet"), Body: flights}); err != nil {
		t.Fatal(err)
	}
	spec := filepath.Join(t.TempDir(), "flights.yaml")
	quick := strings.Replace(flightsSpec(t, ""), `delays/"}, format: {type: parquet}}`, `delays/"}, format: {type: parquet}, rolling: {period: 300ms}}`, 1)
	if err := os.WriteFile(spec, []byte(quick), 0o644); err != nil {
		t.Fatal(err)
	}
	d.run(t, "apply", "-f", spec, "--wait")
	models := d.run(t, "models", "list")

	var sent []string
	write := func(n int) {
		t.Helper()
		var events []string
		for range n {
			events = append(events, fmt.Sprintf(`{"date":"2001-06-30T17:05:00Z","distance":%d,"origin":"ORD","destination":"LGA"}`, 100+len(sent)+len(events)))
		}
		sent = append(sent, events...)
		d.kcat(t, strings.Join(events, "\n")+"\n", "-P", "-t", topic, "-p", "0")
	}
	send := func(n int) {
		t.Helper()
		write(n)
		if got := d.kcat(t, "", "-C", "-t", topic, "-p", "0", "-o", "beginning", "-e", "-q"); got != strings.Join(sent, "\n")+"\n" {
			t.Fatalf("kcat reads back %d bytes, %.200q…", len(got), got)
		}
		d.drained(t, int64(len(sent)))
	}
	send(500)

	for i, end := range []func(){func() {
		d.process.Stop(t)
	}, func() {
		write(200) // acknowledged, and most likely not committed yet
		d.process.Kill()
	}} {
		end()
		before := *d
		d = startDev(t, dir, fmt.Sprintf("dev-again-%d", i))
		if d.broker != before.broker || d.s3 != before.s3 {
			t.Errorf("other endpoints than before: Kafka %s, S3 %s", d.broker, d.s3)
		}
		if got := d.run(t, "models", "list"); got != models {
			t.Errorf("the models are\n%s\nand were\n%s", got, models)
		}
		send(300)
	}
	if verdict := d.run(t, "fsck", "flight-delays"); !strings.Contains(verdict, fmt.Sprintf("%d events", len(sent))) {
		t.Errorf("fsck of %d events: %s", len(sent), verdict)
	}
	if keys := d.objects(t, "scored/flight-delays/data/"); len(keys) < 3 {
		t.Errorf("only %q are there", keys)
	} else if body := d.get(t, keys[0]); !strings.HasPrefix(body, "PAR1") || !strings.HasSuffix(body, "PAR1") {
		t.Errorf("%s is no Parquet file: %d bytes, %.20q…", keys[0], len(body), body)
	}
	if code := d.process.Stop(t); code != 0 {
		t.Errorf("exit code %d when stopped", code)
	}
}
