package s3_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/s3"
)

// sealing is a store that notes what it is asked to encrypt with, and answers that it did
// unless it is told to forget it: of PUTs, or of objects that went in parts.
type sealing struct {
	mu                        sync.Mutex
	asked                     map[string]string // by what was asked
	forgetsPuts, forgetsParts bool
}

func (s *sealing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	query, inParts := r.URL.Query(), strings.HasSuffix(r.URL.Path, "/large")
	what := r.Method
	for _, name := range []string{"uploads", "uploadId"} {
		if query.Has(name) {
			what += " " + name
		}
	}
	with := r.Header.Get("X-Amz-Server-Side-Encryption")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked[what] = strings.TrimSpace(with + " " + r.Header.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"))
	if r.Method == http.MethodHead && inParts && !s.forgetsParts {
		w.Header().Set("X-Amz-Server-Side-Encryption", s.asked["stored"])
	}
	if with != "" && !s.forgetsPuts {
		s.asked["stored"] = with
		w.Header().Set("X-Amz-Server-Side-Encryption", with)
	}
	w.Header().Set("ETag", `"tag"`)
	w.Header().Set("Last-Modified", lastModified)
	switch what {
	case "POST uploads":
		fmt.Fprint(w, `<InitiateMultipartUploadResult><Bucket>lake</Bucket><Key>large</Key><UploadId>1</UploadId></InitiateMultipartUploadResult>`)
	case "POST uploadId":
		fmt.Fprint(w, `<CompleteMultipartUploadResult><Bucket>lake</Bucket><Key>large</Key><ETag>"tag"</ETag></CompleteMultipartUploadResult>`)
	}
}

func sealedBucket(t *testing.T, store *sealing, as s3.Encryption) storage.Bucket {
	t.Helper()
	store.asked = make(map[string]string)
	h := httptest.NewServer(store)
	t.Cleanup(h.Close)
	opener, err := s3.New(s3.Config{Endpoint: strings.TrimPrefix(h.URL, "http://"), AccessKey: "key", SecretKey: "secret", PathStyle: true, Encryption: as})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { opener.Close() })
	bucket, err := opener.Bucket(t.Context(), "lake")
	if err != nil {
		t.Fatal(err)
	}
	return bucket
}

// More than one request holds: 64 MiB.
func large() []byte { return make([]byte, 64<<20+1) }

func TestEachObjectIsEncryptedAsTheConnectionSays(t *testing.T) {
	for as, want := range map[s3.Encryption]string{
		{}: "", {Type: s3.SSES3}: "AES256", {Type: s3.SSEKMS}: "aws:kms", {Type: s3.SSEKMS, KeyID: "lake-key"}: "aws:kms lake-key",
	} {
		store := new(sealing)
		bucket := sealedBucket(t, store, as)
		put := func(what, asked string, put func() error) {
			t.Helper()
			delete(store.asked, asked)
			if err := put(); err != nil {
				t.Errorf("%+v: %s: %v", as, what, err)
			}
			if got, ok := store.asked[asked]; !ok || got != want {
				t.Errorf("%+v: %s: asked for %q (%v), want %q", as, what, got, ok, want)
			}
		}
		put("an object", "PUT", func() error { _, err := bucket.Put(t.Context(), "k", []byte("rows")); return err })
		put("an empty object", "PUT", func() error { _, err := bucket.Put(t.Context(), "k", nil); return err })
		put("a conditional create", "PUT", func() error { _, err := bucket.PutIfAbsent(t.Context(), "k", []byte("rows")); return err })
		put("an object in parts", "POST uploads", func() error { _, err := bucket.Put(t.Context(), "large", large()); return err })
		// Parts are encrypted as the upload was begun, and take no word of their own.
		if got := store.asked["PUT uploadId"]; got != "" {
			t.Errorf("%+v: parts were asked for %q", as, got)
		}
	}
}

// A store that does not know the header ignores it, and keeps rows as they are.
func TestAStoreThatDoesNotEncryptIsRefused(t *testing.T) {
	store := &sealing{forgetsPuts: true}
	bucket := sealedBucket(t, store, s3.Encryption{Type: s3.SSES3})
	for what, put := range map[string]func() error{
		"put":           func() error { _, err := bucket.Put(t.Context(), "k", []byte("rows")); return err },
		"put if absent": func() error { _, err := bucket.PutIfAbsent(t.Context(), "k", []byte("rows")); return err },
	} {
		if err := put(); !thalweg.Is(err, thalweg.Unsupported) || !strings.Contains(err.Error(), "X-Amz-Server-Side-Encryption: AES256") {
			t.Errorf("%s: %v", what, err)
		}
	}
	store = &sealing{forgetsParts: true}
	bucket = sealedBucket(t, store, s3.Encryption{Type: s3.SSEKMS})
	if _, err := bucket.Put(t.Context(), "large", large()); !thalweg.Is(err, thalweg.Unsupported) {
		t.Errorf("in parts: %v", err)
	}
}

func TestEncryptionThatIsNoneIsRefused(t *testing.T) {
	for as, want := range map[s3.Encryption]string{{Type: "aes"}: "sse-s3", {Type: s3.SSES3, KeyID: "k"}: "belongs to sse-kms", {KeyID: "k"}: "belongs to sse-kms"} {
		if err := (s3.Config{Endpoint: "minio:9000", Encryption: as}).Validate(); !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want invalid with %q", as, err, want)
		}
	}
}
