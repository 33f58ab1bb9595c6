package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/thalweg/thalweg/coordinator/auth"
	"github.com/thalweg/thalweg/coordinator/auth/pki"
)

// TestTheDocumentedOIDCFileIsRead, and what is wrong with one is named.
func TestTheDocumentedOIDCFileIsRead(t *testing.T) {
	document, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	example := string(regexp.MustCompile("(?s)```yaml\n(issuer: .*?)```").FindSubmatch(document)[1])
	dir := t.TempDir()
	if _, err := pki.Create(filepath.Join(dir, "ca"), "id", time.Now()); err != nil {
		t.Fatal(err)
	}
	example = strings.Replace(example, "/etc/thalweg/id-ca.crt", filepath.Join(dir, "ca", "ca.crt"), 1)
	file := filepath.Join(dir, "oidc.yaml")
	read := func(text string) (*auth.OIDC, error) {
		put(t, file, text)
		return openIDConnect(file)
	}
	o, err := read(example)
	if err != nil || o.Audience != "thalweg" || o.RootCAs == nil || o.NameClaim != "email" || len(o.Groups) != 3 || o.Groups["flights-team"].String() != "submitter:flights*" || o.Groups["on-call"].String() != "operator:*" {
		t.Fatalf("%+v, %v", o, err)
	}
	if o, err := openIDConnect(""); o != nil || err != nil {
		t.Errorf("without a file: %v, %v", o, err)
	}
	for from, to := range map[string][2]string{
		"issuer: https":                             {"issuer: http", "issuer"},
		"audience: thalweg":                         {"audiences: [a]", ":2:1: audiences: there is no such field (did you mean audience?)"},
		"on-call: operator":                         {"on-call: boss", "groups: on-call"},
		"ca: " + filepath.Join(dir, "ca", "ca.crt"): {"ca: " + file, "no certificate in PEM form"},
	} {
		if _, err := read(strings.Replace(example, from, to[0], 1)); err == nil || !strings.Contains(err.Error(), to[1]) || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v, want %s", to[0], err, to[1])
		}
	}
	if _, err := openIDConnect(filepath.Join(dir, "none.yaml")); err == nil || !strings.Contains(err.Error(), "none.yaml") {
		t.Errorf("no file: %v", err)
	}
}
