// Package pki is how the parts of a cluster know each other: certificates of the
// cluster's authority whose URI name, in SPIFFE's form, says who somebody is, and
// TLS that asks for them.
package pki

import (
	"crypto/x509"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/thalweg/thalweg"
)

// The kinds of who has a certificate.
const (
	Coordinator = "coordinator"
	Worker      = "worker"
	User        = "user"
)

// kinds are all of them.
var kinds = []string{Coordinator, Worker, User}

// Identity is who a certificate names, as spiffe://cluster/kind/id.
type Identity struct {
	Cluster string // SPIFFE's trust domain
	Kind    string // Coordinator, Worker or User
	ID      string // unique among those of its kind
}

// scheme is that of SPIFFE's names.
const scheme = "spiffe"

// What SPIFFE allows in trust domains and in a segment of a path.
var (
	clusterForm = regexp.MustCompile(`^[a-z0-9._-]{1,255}$`)
	idForm      = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,255}$`)
)

// String returns the name that a certificate has.
func (i Identity) String() string { return i.uri().String() }

func (i Identity) uri() *url.URL {
	return &url.URL{Scheme: scheme, Host: i.Cluster, Path: "/" + i.Kind + "/" + i.ID}
}

// Validate reports the first thing that is wrong with i.
func (i Identity) Validate() error {
	invalid := func(subject, hint string) error {
		return &thalweg.Error{Op: "name in a certificate", Kind: thalweg.Invalid, Subject: subject, Hint: hint}
	}
	switch {
	case !clusterForm.MatchString(i.Cluster):
		return invalid(fmt.Sprintf("cluster %q", i.Cluster), "lower-case letters, digits, '.', '_' and '-'")
	case !slices.Contains(kinds, i.Kind):
		return invalid(fmt.Sprintf("kind %q", i.Kind), "one of "+strings.Join(kinds, ", "))
	case !idForm.MatchString(i.ID) || i.ID == "." || i.ID == "..":
		return invalid(fmt.Sprintf("%s %q", i.Kind, i.ID), "letters, digits, '.', '_' and '-'")
	}
	return nil
}

// ParseIdentity reads a name of the form spiffe://cluster/kind/id.
func ParseIdentity(name string) (Identity, error) {
	u, err := url.Parse(name)
	if err != nil {
		return Identity{}, notAName(name, err)
	}
	return identityOf(u)
}

func identityOf(u *url.URL) (Identity, error) {
	kind, id, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	i := Identity{Cluster: u.Host, Kind: kind, ID: id}
	if err := i.Validate(); err != nil {
		return Identity{}, notAName(u.String(), err)
	}
	if u.String() != i.String() { // a port, a query, a fragment, escapes
		return Identity{}, notAName(u.String(), nil)
	}
	return i, nil
}

func notAName(name string, err error) error {
	return &thalweg.Error{Op: "read name of certificate", Kind: thalweg.Invalid, Subject: fmt.Sprintf("%q", name),
		Hint: "spiffe://cluster/coordinator/c1, …/worker/w1 or …/user/name", Err: err}
}

// IdentityOf returns who a certificate names: its one URI of SPIFFE's scheme.
// Whether the certificate is to be trusted is another question.
func IdentityOf(cert *x509.Certificate) (Identity, error) {
	var found []*url.URL
	for _, u := range cert.URIs {
		if u.Scheme == scheme {
			found = append(found, u)
		}
	}
	if len(found) != 1 {
		return Identity{}, &thalweg.Error{Op: "read name of certificate", Kind: thalweg.Invalid,
			Subject: fmt.Sprintf("%q, serial number %x", cert.Subject.String(), cert.SerialNumber),
			Hint:    "it needs one URI as its subject alternative name, such as spiffe://cluster/worker/w1",
			Err:     fmt.Errorf("it has %d of them", len(found))}
	}
	return identityOf(found[0])
}
