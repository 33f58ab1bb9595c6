//go:build integration

package integration

import (
	"net"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/thalweg/thalweg/integration/process"
)

// startRegistry starts a real schema registry without schemas, waits until it
// answers, and returns the URL where Confluent's API begins. It is Apicurio
// Registry on loopback, from the distribution that make integration-deps fetches
// into .cache/registry, and takes about 15 seconds to start and 250 MB. It ends
// with the test. A missing distribution or a missing Java fail the test.
func startRegistry(t testing.TB) (url string) {
	t.Helper()
	dir := filepath.Join(process.Root(t), ".cache", "registry")
	jars, err := filepath.Glob(filepath.Join(dir, "apicurio-registry-app-*-runner.jar"))
	if err != nil || len(jars) != 1 {
		t.Fatalf("no Apicurio Registry in %s: run make integration-deps", dir)
	}
	address := process.FreeAddress(t)
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("java", "-Xmx384m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC",
		"-Dquarkus.http.host="+host, "-Dquarkus.http.port="+port, "-jar", jars[0])
	cmd.Dir = t.TempDir()
	p := process.Start(t, "registry", cmd)
	url = "http://" + address + "/apis/ccompat/v7"
	process.Until(t, "the schema registry to answer", p.Answers(url+"/subjects"))
	return url
}
