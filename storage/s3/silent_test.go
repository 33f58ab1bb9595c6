package s3_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/s3"
)

// A store that accepts requests and never answers them, or answers byte by byte
// without end, is given up after a while, whatever it is asked; and at once when
// the caller gives up.
func TestEveryCallHasADeadlineAndEndsWithItsContext(t *testing.T) {
	for name, call := range map[string]func(ctx context.Context, o *s3.Opener, b storage.Bucket) error{
		"Bucket": func(ctx context.Context, o *s3.Opener, _ storage.Bucket) error {
			_, err := o.Bucket(ctx, "mute")
			return err
		},
		"CreateBucket": func(ctx context.Context, o *s3.Opener, _ storage.Bucket) error { return o.CreateBucket(ctx, "mute") },
		"Get": func(ctx context.Context, _ *s3.Opener, b storage.Bucket) error {
			_, _, err := b.Get(ctx, "k")
			return err
		},
		"GetRange": func(ctx context.Context, _ *s3.Opener, b storage.Bucket) error {
			return b.GetRange(ctx, "k", 0, make([]byte, 1<<20))
		},
		"Put": func(ctx context.Context, _ *s3.Opener, b storage.Bucket) error {
			_, err := b.Put(ctx, "k", []byte("x"))
			return err
		},
		"Put in parts": func(ctx context.Context, _ *s3.Opener, b storage.Bucket) error {
			_, err := b.Put(ctx, "k", make([]byte, 65<<20))
			return err
		},
		"PutIfAbsent": func(ctx context.Context, _ *s3.Opener, b storage.Bucket) error {
			_, err := b.PutIfAbsent(ctx, "k", []byte("x"))
			return err
		},
		"Head": func(ctx context.Context, _ *s3.Opener, b storage.Bucket) error {
			_, err := b.Head(ctx, "k")
			return err
		},
		"Delete": func(ctx context.Context, _ *s3.Opener, b storage.Bucket) error { return b.Delete(ctx, "k") },
		"List": func(ctx context.Context, _ *s3.Opener, b storage.Bucket) error {
			for _, err := range b.List(ctx, "k", "") {
				return err
			}
			return nil
		},
	} {
		for _, drips := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, dripping %v", name, drips), func(t *testing.T) {
				t.Parallel()
				met := make(chan struct{}, 100)
				h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/lake/" && r.Method == http.MethodHead {
						return
					}
					met <- struct{}{}
					_, _ = io.Copy(io.Discard, r.Body)
					if drips {
						w.Header().Set("ETag", `"tag"`)
						w.Header().Set("Last-Modified", lastModified)
						w.Header().Set("Content-Range", "bytes 0-1048575/1048576")
						w.Header().Set("Content-Length", "1048576")
					}
					for drips && r.Method == http.MethodGet { // an answer without a body is whole at once
						if _, err := w.Write([]byte(" ")); err != nil || r.Context().Err() != nil {
							return
						}
						w.(http.Flusher).Flush()
					}
					<-r.Context().Done()
				}))
				t.Cleanup(h.Close)
				for _, gives := range []thalweg.Kind{thalweg.Unavailable, thalweg.Canceled} {
					cfg := s3.Config{Endpoint: strings.TrimPrefix(h.URL, "http://"), AccessKey: "key", SecretKey: "secret", PathStyle: true,
						Attempts: 2, Backoff: time.Microsecond, Stall: time.Millisecond * 20}
					if gives == thalweg.Canceled {
						cfg.Stall = time.Hour
					}
					o, err := s3.New(cfg)
					if err != nil {
						t.Fatal(err)
					}
					b, err := o.Bucket(t.Context(), "lake")
					for thalweg.IsTransient(err) { // a machine with much else to do takes longer than Stall
						b, err = o.Bucket(t.Context(), "lake")
					}
					if err != nil {
						t.Fatal(err)
					}
					ctx, cancel := context.WithCancel(t.Context())
					ended := make(chan error, 1)
					go func() { ended <- call(ctx, o, b) }()
					if gives == thalweg.Canceled {
						<-met
						cancel()
					}
					select {
					case err := <-ended:
						if !thalweg.Is(err, gives) {
							t.Errorf("%v, want %v", err, gives)
						}
					case <-time.After(20 * time.Second):
						t.Fatalf("it does not end (%v)", gives)
					}
					cancel()
					o.Close()
					for len(met) > 0 {
						<-met
					}
				}
			})
		}
	}
}
