package registry

import (
	"strings"
	"testing"

	"github.com/thalweg/thalweg"
)

func TestARegistryAtAnAddressOfMetadataIsRefused(t *testing.T) {
	for _, at := range []string{"http://169.254.169.254/latest", "https://[fe80::1]:8081", "http://[fd00:ec2::254]", "http://0.0.0.0:8081"} {
		if _, err := New(Config{URL: at}); !thalweg.Is(err, thalweg.Forbidden) {
			t.Errorf("%s: %v", at, err)
		}
	}
}

// The refusal is of what a name leads to, and is not the registry's word on an event.
func TestANameOfARegistryThatLeadsToMetadataIsRefused(t *testing.T) {
	for at, why := range map[string]string{"http://169.254.169.254": "link-local", "http://127.0.0.1:9": "loopback"} {
		c, err := New(Config{URL: "http://registry.example:8081"})
		if err != nil {
			t.Fatal(err)
		}
		c.cfg.URL = at // as if the name led there
		if _, err := c.Schema(t.Context(), 1); !thalweg.Is(err, thalweg.Forbidden) || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v, want it refused as %s", at, err, why)
		}
		if _, err := c.Register(t.Context(), "s", "{}"); !thalweg.Is(err, thalweg.Forbidden) {
			t.Errorf("%s: register: %v", at, err)
		}
		c.Close()
	}
}
