package s3_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage/s3"
)

func TestAnEndpointAtAnAddressOfMetadataIsRefused(t *testing.T) {
	for _, endpoint := range []string{"169.254.169.254", "169.254.169.254:80", "[fe80::1]:9000", "[fd00:ec2::254]:80", "0.0.0.0:9000", "224.0.0.5:9000"} {
		if _, err := s3.New(s3.Config{Endpoint: endpoint}); !thalweg.Is(err, thalweg.Forbidden) {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
}

// elsewhere sends requests to another address, as a name does that leads there.
type elsewhere struct {
	http.RoundTripper
	address string
	sent    *int
}

func (e elsewhere) RoundTrip(r *http.Request) (*http.Response, error) {
	*e.sent++
	r.URL.Host = e.address
	return e.RoundTripper.RoundTrip(r)
}

// What is refused is not asked again.
func TestANameThatLeadsToMetadataOrLoopbackIsRefused(t *testing.T) {
	for address, why := range map[string]string{"169.254.169.254:80": "link-local", "[fe80::1]:80": "link-local", "[fd00:ec2::254]:80": "metadata", "127.0.0.1:9": "loopback", "0.0.0.0:9": "unspecified"} {
		sent := 0
		opener, err := s3.New(s3.Config{Endpoint: "store.example", AccessKey: "key", SecretKey: "secret", PathStyle: true,
			Wrap: func(to http.RoundTripper) http.RoundTripper { return elsewhere{to, address, &sent} }})
		if err != nil {
			t.Fatal(err)
		}
		_, err = opener.Bucket(t.Context(), "lake")
		if !thalweg.Is(err, thalweg.Forbidden) || !strings.Contains(err.Error(), why) || sent != 1 {
			t.Errorf("%s: %v after %d requests, want it refused as %s after one", address, err, sent, why)
		}
		opener.Close()
	}
}
