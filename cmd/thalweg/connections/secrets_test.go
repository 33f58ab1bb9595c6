package connections

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The same secret is the same one, wherever it is from and however its line ends.
func TestASecretIsTheSameWhereverItIsFrom(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "secret"), "the secret of the test\r\n")
	t.Setenv("PII_SECRET", "the secret of the test\n")
	t.Setenv(credentialsDirectory, dir)
	for _, from := range []reference{{File: filepath.Join(dir, "secret")}, {Env: "PII_SECRET"}, {Credential: "secret"}} {
		if r, err := newRotation(&from); err != nil || r.values()[0] != "the secret of the test" {
			t.Errorf("%+v: %v", from, err)
		}
	}
}

// mount puts the files of a secret into a directory as Kubernetes does: a link to a
// directory of all of them is replaced at once.
func mount(t *testing.T, dir, version string, files map[string]string) {
	t.Helper()
	if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		write(t, filepath.Join(dir, version, name), text)
		_ = os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name))
	}
	if err := os.Symlink(version, filepath.Join(dir, "..new")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "..new"), filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
}

func TestSecretsAreReadAgainWhenTheyChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		mount(t, dir, "v1", map[string]string{"access": "a1", "secret": "s1"})
		r, err := newRotation(&reference{File: filepath.Join(dir, "access")}, &reference{File: filepath.Join(dir, "secret")}, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := func(when string, values string) {
			t.Helper()
			if got := strings.Join(r.values(), " "); got != values {
				t.Errorf("%s: %q, want %q", when, got, values)
			}
		}
		want("first", "a1 s1 ")
		mount(t, dir, "v2", map[string]string{"access": "a2", "secret": "s2"})
		want("at once", "a1 s1 ")
		time.Sleep(readAgain)
		want("a second later", "a2 s2 ")
		if err := os.Remove(filepath.Join(dir, "secret")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(readAgain)
		want("while one is missing", "a2 s2 ")
	})
}

// A store, whose keys are changed in place, is asked with the new ones.
func TestAStoreIsAskedWithTheNewKeys(t *testing.T) {
	var keys []string
	h := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, credential, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
		key, _, _ := strings.Cut(credential, "/")
		keys = append(keys, key+" "+r.Header.Get("X-Amz-Security-Token"))
	}))
	defer h.Close()
	dir := t.TempDir()
	mount(t, dir, "v1", map[string]string{"access": "first", "secret": "s1", "token": "t1"})
	conns, err := openFile(t, dir, fmt.Sprintf("connections:\n  lake:\n    s3: {endpoint: %q, access_key: {file: %[2]s/access}, secret_key: {file: %[2]s/secret}, session_token: {file: %[2]s/token}}\n", h.URL, dir))
	if err != nil {
		t.Fatal(err)
	}
	defer conns.Close()
	ask := func() {
		if _, err := conns.Bucket(t.Context(), "lake", "rows"); err != nil {
			t.Fatal(err)
		}
	}
	ask()
	mount(t, dir, "v2", map[string]string{"access": "second", "secret": "s2", "token": "t2"})
	for deadline := time.Now().Add(time.Minute); keys[len(keys)-1] != "second t2"; ask() {
		if time.Now().After(deadline) {
			t.Fatalf("asked with %q", keys)
		}
	}
	if keys[0] != "first t1" {
		t.Errorf("asked with %q first", keys[0])
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	t.Setenv("SECRET", "s3cret")
	r, err := newRotation(&reference{Env: "SECRET"})
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(format, r); strings.Contains(text, "s3cret") {
			t.Errorf("%s: %s", format, text)
		}
	}
}

func TestEncryptionIsAWordOfTheConnection(t *testing.T) {
	var asked string
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.Header.Get("X-Amz-Server-Side-Encryption") + " " + r.Header.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id")
		w.Header().Set("X-Amz-Server-Side-Encryption", r.Header.Get("X-Amz-Server-Side-Encryption"))
	}))
	defer h.Close()
	conns, err := openFile(t, t.TempDir(), fmt.Sprintf("connections:\n  lake:\n    s3: {endpoint: %q, encryption: {type: sse-kms, key_id: lake-key}}\n", h.URL))
	if err != nil {
		t.Fatal(err)
	}
	defer conns.Close()
	bucket, err := conns.Bucket(t.Context(), "lake", "rows")
	if err == nil {
		_, err = bucket.Put(t.Context(), "k", []byte("rows"))
	}
	if err != nil || asked != "aws:kms lake-key" {
		t.Errorf("asked for %q: %v", asked, err)
	}
}
