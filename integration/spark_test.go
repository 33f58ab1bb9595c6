//go:build integration

package integration

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/thalweg/thalweg/integration/minio"
	"github.com/thalweg/thalweg/integration/process"
)

// sparkSession is a real Apache Spark in local mode that reads Delta tables
// straight from the store by s3a, from the jars that make integration-deps fetches
// into .cache/spark (240 MB). It takes about eight seconds to start, ten more for
// its first read, and 700 MB.
type sparkSession struct{ url string }

// openedToSpark are the packages of Java that Spark looks into.
var openedToSpark = []string{"java.lang", "java.lang.invoke", "java.net", "java.nio", "java.util", "java.util.concurrent", "sun.nio.ch", "sun.util.calendar"}

// startSpark starts a session that reads from store and waits until it answers. It
// ends with the test. Missing jars or a missing JDK fail the test.
func startSpark(t testing.TB, store *minio.Server) *sparkSession {
	t.Helper()
	root := process.Root(t)
	jars := filepath.Join(root, ".cache", "spark")
	if found, err := filepath.Glob(filepath.Join(jars, "delta-spark_*.jar")); err != nil || len(found) == 0 {
		t.Fatalf("no Apache Spark in %s: run make integration-deps", jars)
	}
	address := process.FreeAddress(t)
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath("javac"); err != nil {
		t.Fatalf("%v: Reader.java is compiled as it starts, which takes a JDK (Debian: apt-get install openjdk-17-jdk-headless)", err)
	}
	dir := t.TempDir()
	args := []string{"-Xmx640m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Djava.io.tmpdir=" + dir, "-Dspark.local.dir=" + dir}
	for _, name := range openedToSpark {
		args = append(args, "--add-opens=java.base/"+name+"=ALL-UNNAMED")
	}
	args = append(args, "-cp", filepath.Join(jars, "*"), filepath.Join(root, "integration", "spark", "Reader.java"), port, store.Address)
	cmd := exec.Command("java", args...)
	cmd.Dir = dir
	cmd.Env = append(cmd.Environ(), "AWS_ACCESS_KEY_ID="+store.AccessKey, "AWS_SECRET_ACCESS_KEY="+store.SecretKey, "AWS_REGION=us-east-1")
	p := process.Start(t, "spark", cmd)
	s := &sparkSession{url: "http://" + address + "/"}
	process.Until(t, "Spark to answer", p.Answers(s.url))
	return s
}

// Read has Spark read a Delta table of the store in one call, the rows of a SQL
// condition or all, and decodes what it finds (Reader.java) into found.
func (s *sparkSession) Read(t testing.TB, table, where string, found any) {
	t.Helper()
	query := url.Values{"table": {table}}
	if where != "" {
		query.Set("where", where)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"?"+query.Encode(), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Timeout: 2 * process.Patience} // the first read compiles all that it needs
	res, err := client.Do(req)
	if err != nil {
		t.Fatalf("have Spark read %s: %v", table, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("have Spark read %s: %s, %v\n%s", table, res.Status, err, body)
	}
	if err := json.Unmarshal(body, found); err != nil {
		t.Fatalf("%v\n%s", err, body)
	}
}
