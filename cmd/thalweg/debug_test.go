package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/thalweg/thalweg/cmd/thalweg/embedded"
	"github.com/thalweg/thalweg/coordinator/auth"
)

// TestADebugBundleHasAllNodesAndNoSecret: of each coordinator and worker what it is, its
// metrics, log, stacks and heap, and of nobody a key of a store or a token.
func TestADebugBundleHasAllNodesAndNoSecret(t *testing.T) {
	t.Parallel()
	const key, secret = "CANARY-KEY-51623", "CANARY-SECRET-90817"
	dir := t.TempDir()
	for name, value := range map[string]string{"key": key, "secret": secret} {
		put(t, filepath.Join(dir, name), value)
	}
	conns := filepath.Join(dir, "connections.yaml")
	put(t, conns, "connections:\n  vault:\n    s3: {endpoint: \"http://127.0.0.1:1\", access_key: {file: "+filepath.Join(dir, "key")+"}, secret_key: {file: "+filepath.Join(dir, "secret")+"}}\n")
	token := auth.NewSecret()
	put(t, filepath.Join(dir, "token"), token)
	c, _ := startDevLogging(t, embedded.Config{Dir: filepath.Join(dir, "dev"), NewStore: newStoreProcess, Connections: conns}, slog.DiscardHandler)
	file := filepath.Join(dir, "bundle.tar.gz")
	line := "--coordinator " + strings.Join(c.Endpoints.API, ",") + " --token-file " + filepath.Join(dir, "token") + " debug bundle " + file
	text, err := runLine(t, line)
	if err != nil || strings.Contains(text, "missing") {
		t.Fatalf("%v\n%s", err, text)
	}
	if _, err := runLine(t, line); err == nil || !strings.Contains(err.Error(), "nothing is overwritten") {
		t.Errorf("a file that there is: %v", err)
	}

	files := untar(t, file)
	for _, node := range []string{"c1", "c2", "c3", "w1", "w2"} {
		for name, want := range map[string]string{"info.json": `"id": "` + node + `"`, "metrics.txt": "# HELP thalweg_", "log.txt": "", "goroutines.txt": "goroutine ", "heap.pprof": "\x1f\x8b"} {
			if data, ok := files["nodes/"+node+"/"+name]; !ok || !bytes.Contains(data, []byte(want)) {
				t.Errorf("%s of %s: %v, %.100q", name, node, ok, data)
			}
		}
	}
	if log := string(files["nodes/c1/log.txt"]); !strings.Contains(log, "coordinator serves") {
		t.Errorf("the log of c1:\n%s", log)
	}
	if !strings.Contains(string(files["nodes/w1/info.json"]), "vault") || !strings.Contains(string(files["nodes/c1/info.json"]), "applied_index") {
		t.Errorf("a worker's info lacks its connections, or a coordinator's its raft:\n%s\n%s", files["nodes/w1/info.json"], files["nodes/c1/info.json"])
	}
	var manifest struct{ Parts []struct{ Name string } }
	if err := json.Unmarshal(files["manifest.json"], &manifest); err != nil || len(manifest.Parts) != len(files)-1 {
		t.Errorf("%d parts in the manifest, %d files: %v", len(manifest.Parts), len(files), err)
	}
	for name, data := range files {
		if z, err := gzip.NewReader(bytes.NewReader(data)); err == nil {
			data, _ = io.ReadAll(z)
		}
		for _, canary := range []string{key, secret, token} {
			if bytes.Contains(data, []byte(canary)) {
				t.Errorf("%s has %s", name, canary)
			}
		}
	}
}

// untar returns the files of a bundle, by their names below its folder.
func untar(t *testing.T, file string) map[string][]byte {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string][]byte)
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		_, name, _ := strings.Cut(h.Name, "/")
		if files[name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}
