package pki_test

import (
	"crypto/x509"
	"net/url"
	"testing"

	"github.com/thalweg/thalweg/coordinator/auth/pki"
)

func TestACertificateNamesWhoHasIt(t *testing.T) {
	for name, want := range map[string]pki.Identity{
		"spiffe://prod/coordinator/c1":              {Cluster: "prod", Kind: pki.Coordinator, ID: "c1"},
		"spiffe://ml.example.org/worker/Host-7.eu_": {Cluster: "ml.example.org", Kind: pki.Worker, ID: "Host-7.eu_"},
		"spiffe://prod/user/ada":                    {Cluster: "prod", Kind: pki.User, ID: "ada"},
		"spiffe://prod/worker/":                     {},
		"spiffe://prod/worker":                      {},
		"spiffe:///worker/w1":                       {},
		"spiffe://prod/admin/w1":                    {},
		"spiffe://prod/worker/w1/":                  {},
		"spiffe://prod/worker/w1/x":                 {},
		"spiffe://prod/worker/..":                   {},
		"spiffe://prod/worker/a%2Fb":                {},
		"spiffe://prod/worker/%77":                  {},
		"spiffe://prod/worker/w1?x=1":               {},
		"spiffe://prod/worker/w1#x":                 {},
		"spiffe://prod:80/worker/w1":                {},
		"spiffe://me@prod/worker/w1":                {},
		"spiffe://Prod/worker/w1":                   {},
		"https://prod/worker/w1":                    {},
		"spiffe://prod/worker/ü":                    {},
	} {
		u, err := url.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := pki.IdentityOf(&x509.Certificate{URIs: []*url.URL{u}})
		if got != want || (err == nil) != (want.ID != "") {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, want)
		}
		if err == nil && got.String() != name {
			t.Errorf("%s became %s", name, got)
		}
	}
}

func TestACertificateHasOneName(t *testing.T) {
	parse := func(s string) *url.URL {
		u, err := url.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	a, b, other := parse("spiffe://x/worker/a"), parse("spiffe://x/worker/b"), parse("https://x/worker/c")
	if id, err := pki.IdentityOf(&x509.Certificate{URIs: []*url.URL{other, a}}); err != nil || id.ID != "a" {
		t.Errorf("%v, %v; want a: another scheme's URI is nobody's name here", id, err)
	}
	for _, uris := range [][]*url.URL{nil, {other}, {a, b}} {
		if id, err := pki.IdentityOf(&x509.Certificate{URIs: uris}); err == nil {
			t.Errorf("%v is %v, want an error", uris, id)
		}
	}
}
