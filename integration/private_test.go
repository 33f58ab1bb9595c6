//go:build integration

package integration

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"github.com/thalweg/thalweg/coordinator/api"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/auth/pki"
	"github.com/thalweg/thalweg/integration/minio"
	"github.com/thalweg/thalweg/integration/process"
)

// openToOthers returns the files and directories below one that other users have any
// right to, and how many there are in all.
func openToOthers(t *testing.T, dir string) (open []string, all int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		all++
		if info.Mode().Perm()&0o077 != 0 && e.Type()&fs.ModeSymlink == 0 {
			open = append(open, fmt.Sprintf("%s %v", path, info.Mode()))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return open, all
}

// TestFilesOfDevAreItsOwners: of the logs of Raft, the broker's, the store's objects and
// the rest nothing is for other users, though the umask would let everybody write.
func TestFilesOfDevAreItsOwners(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dev")
	d := startDevBy(t, "dev", exec.Command("sh", "-c", `umask 000; exec "$0" "$@"`, buildBinary(t, ""), "dev", "--dir", dir, "--free-ports"))
	demo := filepath.Join(process.Root(t), "deploy", "demo")
	d.run(t, "put", filepath.Join(demo, "flights.parquet"), "s3://lake/flights/")
	d.run(t, "apply", "--wait", "-f", filepath.Join(demo, "flights.yaml"))
	d.run(t, "produce", filepath.Join(demo, "flights.parquet"), "--topic", "flights", "--from", "0.999", "--rate", "100000")
	process.Until(t, "rows to be scored", func(context.Context) error {
		if len(d.objects(t, "scored/flight-delays/")) == 0 {
			return fmt.Errorf("there is none")
		}
		return nil
	})
	open, all := openToOthers(t, dir)
	if len(open) > 0 || all < 50 {
		t.Errorf("of %d files and directories, others may use %d:\n%s", all, len(open), strings.Join(open, "\n"))
	}
	t.Logf("%d files and directories", all)
}

// canary is a secret that is recognised wherever it turns up.
func canary(of string) string { return "canary-of-" + of + "-5d1f0c7a" }

// spellings are the forms in which a secret might turn up.
func spellings(secret string) []string {
	all := []string{secret, hex.EncodeToString([]byte(secret))}
	for before := range 3 { // base64 of texts with it differs by where it begins
		coded := base64.StdEncoding.EncodeToString([]byte("xyz"[:before] + secret))
		all = append(all, coded[4:len(coded)-4])
	}
	return all
}

// metricsOf returns the metrics of a process, to whom the admin's certificate is shown.
func metricsOf(t *testing.T, c *cluster, kind, name, address string) string {
	t.Helper()
	admin, err := pki.OpenUser(slog.New(slog.DiscardHandler), filepath.Join(c.certs, "user-admin"))
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: api.NewTransport(admin.Client(kind, name))}
	defer client.CloseIdleConnections()
	res, err := client.Get("https://" + address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || !strings.Contains(string(body), "# HELP thalweg_") {
		t.Fatalf("the metrics of %s: %s, %v: %.200s", name, res.Status, err, body)
	}
	return string(body)
}

// TestASecretIsFoundNowhere puts secrets of each kind to use, in what works and in what
// fails, with debug logs and processes that die with all their stacks on the way, and
// looks for them in every file, log, answer and metric.
func TestASecretIsFoundNowhere(t *testing.T) {
	old := syscall.Umask(0) // processes get it from this one
	defer syscall.Umask(old)
	server := minio.Start(t, "MINIO_ROOT_PASSWORD="+canary("store"))
	server.SecretKey = canary("store")
	lake := newLake(t, server)
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, topic, "avro"), kfake.EnableSASL(), kfake.Superuser("PLAIN", "ada", canary("kafka")))
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
	defer refusing.Close()

	secrets := t.TempDir() // the one place that has them
	secret := func(name string) string {
		file := filepath.Join(secrets, name)
		if err := os.WriteFile(file, []byte(canary(name)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	connections := filepath.Join(t.TempDir(), "connections.yaml")
	text := fmt.Sprintf(`connections:
  default:
    s3: {endpoint: "http://%[1]s", access_key: {env: LAKE_USER}, secret_key: {file: %[2]q}}
  bank:
    kafka: {brokers: [%[3]q], sasl: {mechanism: PLAIN, user: ada, password: {credential: kafka}}}
  mistyped:
    kafka: {brokers: [%[3]q], sasl: {mechanism: PLAIN, user: ada, password: {env: WRONG_PASSWORD}}}
    s3: {endpoint: "http://%[1]s", access_key: {env: LAKE_USER}, secret_key: {env: WRONG_SECRET}}
    schema_registry: {url: %[4]q, username: {env: LAKE_USER}, password: {file: %[5]q}}
  nowhere:
    s3: {endpoint: "http://127.0.0.1:1", access_key: {env: LAKE_USER}, secret_key: {file: %[2]q}}
  dp-noise:
    key: {secret: {file: %[6]q}}
`, server.Address, secret("store"), broker.ListenAddrs()[0], refusing.URL, secret("registry"), secret("noise"))
	secret("kafka")
	if err := os.WriteFile(connections, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c := startCluster(t, clusterConfig{S3: server, Coordinators: 1, Workers: 2, Args: []string{"--log-level", "debug"}, Env: func(string) []string {
		return []string{"THALWEG_SECRET_KEY=unused", "THALWEG_CONNECTIONS=" + connections, "LAKE_USER=" + server.AccessKey, "CREDENTIALS_DIRECTORY=" + secrets,
			"WRONG_PASSWORD=" + canary("wrong-password"), "WRONG_SECRET=" + canary("wrong-secret")}
	}})
	c.env = append(c.env, c.Env("")...) // verbs read the same file
	var printed []string
	say := func(args ...string) { // whatever comes of it
		out, err := c.Command(args...).CombinedOutput()
		printed = append(printed, fmt.Sprintf("thalweg %s: %v\n%s", strings.Join(args, " "), err, out))
	}

	// What works: a run, a private one, a stream, a token.
	demo := flightsSpec(t, "")
	streaming := strings.Replace(demo, "events: {kafka", "events: {connection: bank, kafka", 1)
	waitRun(t, c, apply(t, c, streaming), "the model", succeeded)
	const private = `apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: private}
spec:
  sources:
    train: {s3: {path: "s3://lake/flights/*.parquet"}, format: {type: parquet}}
  input_features:
    - {name: distance, type: number, expression: "distance / 1000", normalization: none, missing_value_strategy: fill_with_const}
  output_features:
    - {name: delayed, type: binary, expression: "delay > 15"}
  model: {type: linear}
  trainer: {epochs: 1, batch_size: 1024, privacy: {type: dp_sgd, key: dp-noise, clip_norm: 1.0, noise_multiplier: 1.1, delta: 1.0e-6}}
`
	waitRun(t, c, apply(t, c, private), "the private model", succeeded)
	client, err := kgo.NewClient(kgo.SeedBrokers(broker.ListenAddrs()...), kgo.SASL(plain.Auth{User: "ada", Pass: canary("kafka")}.AsMechanism()), kgo.DefaultProduceTopic(topic))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, e := range eventsOf(t, lake, 300) {
		if err := client.ProduceSync(t.Context(), kgo.StringRecord(e)).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "avro", Value: []byte{0, 0, 0, 0, 7, 1}}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	process.Until(t, "events to be scored", func(ctx context.Context) error {
		res, err := c.Client().StreamStatus(ctx, &apiv1.StreamStatusRequest{Pipeline: flightPipeline})
		if err != nil {
			return err
		}
		var done int64
		for _, p := range res.Partitions {
			done += p.Committed
		}
		if done < 300 {
			return fmt.Errorf("%d of 300", done)
		}
		return nil
	})
	tokens := filepath.Join(t.TempDir(), "ada.token")
	c.Run(t, "token", "create", "--role", "submitter", "--to", tokens, "ada")
	token, err := os.ReadFile(tokens)
	if err != nil {
		t.Fatal(err)
	}
	say("runs", "show", flightPipeline, "--token-file", tokens)

	// What fails: passwords and hosts that are wrong, a store that refuses, a registry.
	complaints := map[string]string{"wrong-password": "check user, password and mechanism", "wrong-registry": "401 Unauthorized"} // of streams
	for name, change := range map[string][2]string{
		"wrong-password": {"events: {kafka", "events: {connection: mistyped, kafka"}, "wrong-secret": {"train:  {s3", "train:  {connection: mistyped, s3"},
		"wrong-host": {"train:  {s3", "train:  {connection: nowhere, s3"}, "wrong-registry": {"format: {type: json}", "format: {type: avro, schema_registry: mistyped}"},
	} {
		spec := strings.NewReplacer("name: flight-delays", "name: "+name, change[0], change[1], "scored/flight-delays", "scored/"+name, "s3://lake/flights/*.parquet", "s3://lake/flights/flights.parquet").Replace(demo)
		if name == "wrong-registry" {
			spec = strings.Replace(spec, "events: {kafka: {topic: flights}", "events: {connection: bank, kafka: {topic: avro}", 1)
		}
		id := apply(t, c, spec)
		if strings.HasPrefix(change[0], "train") {
			process.Until(t, name+" to fail", func(ctx context.Context) error {
				res, err := c.Client().GetRun(ctx, &apiv1.GetRunRequest{RunId: id})
				if err == nil && res.Run.State == "running" && !strings.Contains(res.Run.String(), "restart") {
					err = fmt.Errorf("it is at %s", res.Run.Stage)
				}
				return err
			})
			say("runs", "show", id, "-o", "json")
			continue
		}
		waitRun(t, c, id, "a model for "+name, succeeded)
		process.Until(t, name+" to be told", func(ctx context.Context) error {
			res, err := c.Client().StreamStatus(ctx, &apiv1.StreamStatusRequest{Pipeline: name})
			if err == nil && !slices.ContainsFunc(res.Partitions, func(p *apiv1.StreamPartition) bool {
				return strings.Contains(p.Message, complaints[name])
			}) {
				err = fmt.Errorf("nobody complains: %v", res.Partitions)
			}
			return err
		})
	}
	inline := filepath.Join(t.TempDir(), "inline.yaml")
	if err := os.WriteFile(inline, []byte(strings.Replace(demo, "s3://lake/flights/", "s3://ada:"+canary("inline")+"@lake/flights/", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"validate", "plan -f", "apply -f", "render"} {
		say(append(strings.Fields(verb), inline)...)
	}
	say("put", "--connection", "mistyped", connections, "s3://lake/x/")
	say("--store", "http://ada:"+canary("inline")+"@127.0.0.1:9000", "put", inline, "s3://lake/x/")

	// What is told.
	for _, args := range []string{"status", "runs show flight-delays", "models list", "stream status", "stream status wrong-password", "stream status wrong-registry", "audit list", "audit verify", "token list", "members list",
		"results flight-delays", "lineage flight-delays --partition 0 --offset 0 --output json", "models show flight-delays", "fsck flight-delays", "status --output json", "audit list --output json"} {
		say(strings.Fields(args)...)
	}
	saved := t.TempDir()
	say("backup", filepath.Join(saved, "thalweg.backup"))
	printed = append(printed, metricsOf(t, c, pki.Coordinator, "c0", c.coordinators[0].address))
	for i, m := range c.workers {
		printed = append(printed, metricsOf(t, c, pki.Worker, m.name, c.Worker(i).Line(t, `exchange=(\S+)`)[1]))
	}

	// What a process leaves that dies with the stacks of all its goroutines.
	for _, p := range []*process.Process{c.Worker(0), c.Worker(1), c.Coordinator(0)} {
		if err := syscall.Kill(p.PID(), syscall.SIGQUIT); err != nil {
			t.Fatal(err)
		}
		p.Wait(t)
		if !strings.Contains(strings.Join(p.Output(), "\n"), "goroutine ") {
			t.Error("a process ended without its stacks")
		}
		printed = append(printed, strings.Join(p.Output(), "\n"))
	}

	texts := map[string]string{"output": strings.Join(printed, "\n")}
	dirs := []string{c.certs, server.Dir, saved, filepath.Dir(connections)}
	for _, m := range slices.Concat(c.coordinators, c.workers) {
		dir := m.args[slices.Index(m.args, "--dir")+1]
		dirs = append(dirs, dir)
		texts["command line"] += strings.Join(m.args, " ")
		if open, _ := openToOthers(t, dir); len(open) > 0 {
			t.Errorf("%s: others may use %s", m.name, strings.Join(open, "\n"))
		}
	}
	if open, _ := openToOthers(t, c.certs); len(open) > 0 {
		t.Errorf("certificates: others may use %s", strings.Join(open, "\n"))
	}
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return err
			}
			body, err := os.ReadFile(path)
			texts[path] = string(body)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	wanted := map[string]string{"the token": strings.TrimSpace(string(token))}
	for _, of := range []string{"store", "kafka", "registry", "noise", "wrong-password", "wrong-secret", "inline"} {
		wanted[of] = canary(of)
	}
	// That the secrets were put to use, and are found where they are.
	for _, trace := range []string{"request signature we calculated does not match", "check user, password and mechanism", "401 Unauthorized", "connection refused", "which has no place in a spec", "no place in an address"} {
		if !strings.Contains(texts["output"], trace) {
			t.Errorf("nothing of what fails says %q", trace)
		}
	}
	for _, of := range []string{"store", "kafka", "registry", "noise"} {
		if body, err := os.ReadFile(filepath.Join(secrets, of)); err != nil || !strings.Contains(string(body), spellings(canary(of))[0]) {
			t.Errorf("%s is not where it was put: %v", of, err)
		}
	}
	var bytes int
	for where, text := range texts {
		bytes += len(text)
		for what, value := range wanted {
			for _, spelled := range spellings(value) {
				if at := strings.Index(text, spelled); at >= 0 {
					if where == "output" && strings.Contains(text[max(0, at-200):at], "thalweg --store") {
						continue // the command that this test wrote itself
					}
					t.Errorf("%s is in %s: …%s…", what, where, text[max(0, at-100):at])
				}
			}
		}
	}
	t.Logf("%d files and answers, %d bytes", len(texts), bytes)
}
