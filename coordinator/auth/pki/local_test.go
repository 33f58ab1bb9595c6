package pki_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/thalweg/thalweg/coordinator/auth/pki"
)

// TestAPageElsewhereIsRefused: one whose name leads here by now, and one that has a
// browser call this machine by its own name.
func TestAPageElsewhereIsRefused(t *testing.T) {
	server := httptest.NewServer(pki.Local(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	defer server.Close()
	at, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		host, origin string
		want         int
	}{
		{at.Host, "", 200}, {"localhost:" + at.Port(), "", 200}, {"[::1]:" + at.Port(), "", 200}, {at.Host, "http://localhost:" + at.Port(), 200},
		{"evil.example:" + at.Port(), "", 403}, {"127.0.0.1", "", 403}, {"127.0.0.1:1", "", 403}, {"localhost.evil.example:" + at.Port(), "", 403},
		{at.Host, "https://evil.example", 403}, {at.Host, "null", 403}, {at.Host, "http://localhost:8080", 403}, {at.Host, "http://evil.example:" + at.Port(), 403},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = c.host
		if c.origin != "" {
			req.Header.Set("Origin", c.origin)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != c.want {
			t.Errorf("host %q, origin %q: %d, want %d", c.host, c.origin, res.StatusCode, c.want)
		}
	}
}
