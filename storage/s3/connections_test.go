package s3_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/thalweg/thalweg/storage/s3"
)

// TestManyRequestsAtOnceTakeABoundedNumberOfConnections: hundreds of streams begin
// at once.
func TestManyRequestsAtOnceTakeABoundedNumberOfConnections(t *testing.T) {
	const requests, connections = 500, 128
	var underWay, most atomic.Int64
	full := make(chan struct{})
	var once sync.Once
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := underWay.Add(1)
		defer underWay.Add(-1)
		for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); seen = most.Load() {
		}
		if strings.HasSuffix(r.URL.Path, "/k") {
			if n >= connections {
				once.Do(func() { close(full) })
			}
			<-full // so that as many are under way as may be
		}
		w.Header().Set("ETag", `"tag"`)
		w.Header().Set("Last-Modified", lastModified)
	}))
	defer h.Close()
	opener, err := s3.New(s3.Config{Endpoint: strings.TrimPrefix(h.URL, "http://"), AccessKey: "key", SecretKey: "secret", PathStyle: true})
	if err != nil {
		t.Fatal(err)
	}
	defer opener.Close()
	bucket, err := opener.Bucket(t.Context(), "lake")
	if err != nil {
		t.Fatal(err)
	}
	var all errgroup.Group
	for range requests {
		all.Go(func() error {
			_, err := bucket.Head(t.Context(), "k")
			return err
		})
	}
	if err := all.Wait(); err != nil {
		t.Error(err)
	}
	if most.Load() != connections {
		t.Errorf("%d requests were under way at once, want %d", most.Load(), connections)
	}
}
