package devserver_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/devserver"
	"github.com/thalweg/thalweg/storage/s3"
	"github.com/thalweg/thalweg/storage/storagetest"
)

// start runs a server until the test ends and returns an opener of its buckets.
func start(t *testing.T, config devserver.Config) (*devserver.Server, *s3.Opener, func()) {
	t.Helper()
	server, err := devserver.New(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	select {
	case <-server.Ready():
	case err := <-ended:
		t.Fatalf("the server ended: %v", err)
	}
	opener, err := s3.New(s3.Config{Endpoint: server.Endpoint(), AccessKey: server.AccessKey(), SecretKey: server.SecretKey(), PathStyle: true})
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		opener.Close()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	}
	t.Cleanup(stop)
	return server, opener, stop
}

func TestS3BucketsKeepThePromisesOfStorage(t *testing.T) {
	_, opener, _ := start(t, devserver.Config{Dir: t.TempDir()})
	storagetest.RunOpener(t, opener)
	n := 0
	storagetest.Run(t, func(t *testing.T) storage.Bucket {
		n++
		name := fmt.Sprintf("suite-%d", n)
		if err := opener.CreateBucket(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		b, err := opener.Bucket(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		return b
	})
}

func TestItsConditionalCreateIsAtomic(t *testing.T) {
	_, opener, _ := start(t, devserver.Config{Dir: t.TempDir()})
	if err := opener.CreateBucket(t.Context(), "lake"); err != nil {
		t.Fatal(err)
	}
	b, err := opener.Bucket(t.Context(), "lake")
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(3) {
		if err := storage.Probe(t.Context(), b, seed); err != nil {
			t.Error(err)
		}
	}
}

func TestAServerGoesOnWhereItStopped(t *testing.T) {
	dir := t.TempDir()
	before, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	_, opener, stop := start(t, devserver.Config{Dir: dir})
	if err := opener.CreateBucket(t.Context(), "lake"); err != nil {
		t.Fatal(err)
	}
	b, err := opener.Bucket(t.Context(), "lake")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Put(t.Context(), "a/b", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	stop()
	if after, err := os.Getwd(); err != nil || after != before {
		t.Errorf("the working directory was %s and is %s, %v", before, after, err)
	}
	_, opener, _ = start(t, devserver.Config{Dir: dir})
	if b, err = opener.Bucket(t.Context(), "lake"); err != nil {
		t.Fatal(err)
	}
	body, _, err := b.Get(t.Context(), "a/b")
	if err != nil || string(body) != "kept" {
		t.Errorf("after a restart the object holds %q, %v", body, err)
	}
	if _, err := b.PutIfAbsent(t.Context(), "a/b", nil); !thalweg.Is(err, thalweg.Exists) {
		t.Errorf("after a restart the key is free: %v", err)
	}
	if onDisk, err := os.ReadFile(filepath.Join(dir, "lake", "a", "b")); err != nil || string(onDisk) != "kept" {
		t.Errorf("the file holds %q, %v", onDisk, err)
	}
}

func TestATakenPortIsAnError(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = devserver.New(devserver.Config{Dir: t.TempDir(), Address: l.Addr().String()})
	if !thalweg.Is(err, thalweg.Exists) || !strings.Contains(err.Error(), l.Addr().String()) || !strings.Contains(err.Error(), "another process") {
		t.Errorf("New on a taken port: %v", err)
	}
}

func TestAPortTakenAfterNewIsAnErrorOfRun(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	server, err := devserver.New(devserver.Config{Dir: t.TempDir(), Address: address})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err = net.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := server.Run(t.Context()); !thalweg.Is(err, thalweg.Exists) {
		t.Errorf("Run on a taken port: %v", err)
	}
}

func TestAPortThatTheSystemChoseMayBeReplaced(t *testing.T) {
	server, err := devserver.New(devserver.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	chosen := server.Endpoint()
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", chosen)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	select {
	case <-server.Ready():
		if server.Endpoint() == chosen {
			t.Errorf("it serves at %s, which is taken", chosen)
		}
		o, err := s3.New(s3.Config{Endpoint: server.Endpoint(), AccessKey: server.AccessKey(), SecretKey: server.SecretKey(), PathStyle: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := o.CreateBucket(t.Context(), "lake"); err != nil {
			t.Error(err)
		}
		o.Close()
		cancel()
		err = <-ended
		if err != nil {
			t.Error(err)
		}
	case err := <-ended:
		t.Errorf("Run: %v", err)
	}
	cancel()
}

// Whenever a server is stopped, before it serves too, its Run ends.
func TestAServerThatIsStoppedAtOnceEnds(t *testing.T) {
	for range 3 {
		server, err := devserver.New(devserver.Config{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := server.Run(ctx); err != nil {
			t.Error(err)
		}
	}
}

func TestTheSecretIsNotPrinted(t *testing.T) {
	c := devserver.Config{Dir: "/d", Address: ":0", AccessKey: "key", SecretKey: "hidden"}
	if s := fmt.Sprintf("%v %+v %s", c, c, c.LogValue()); strings.Contains(s, "hidden") {
		t.Errorf("printed as %s", s)
	}
}

func TestAWrongConfigurationIsNamed(t *testing.T) {
	for field, c := range map[string]devserver.Config{
		"dir":        {},
		"address":    {Dir: t.TempDir(), Address: "nine thousand"},
		"secret_key": {Dir: t.TempDir(), AccessKey: "key"},
	} {
		_, err := devserver.New(c)
		var e *thalweg.Error
		if !errors.As(err, &e) || e.Kind != thalweg.Invalid || !strings.Contains(e.Subject, field) {
			t.Errorf("%+v: %v, want it to name %s", c, err, field)
		}
	}
}

func TestADirectoryThatCannotBeMadeIsNamed(t *testing.T) {
	taken := filepath.Join(t.TempDir(), "taken")
	if err := os.WriteFile(taken, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := devserver.New(devserver.Config{Dir: taken}); err == nil || !strings.Contains(err.Error(), taken) {
		t.Errorf("New in a file: %v", err)
	}
}
