package pki

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/thalweg/thalweg"
)

// Server returns the TLS of a port for callers of the kinds, with certificates of
// this cluster. Without kinds a caller may have any certificate of the cluster or
// none: who it is, and what it may, is then asked of each request.
func (c *Credentials) Server(kinds ...string) *tls.Config {
	auth := tls.RequireAnyClientCert
	if len(kinds) == 0 {
		auth = tls.RequestClientCert
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		// Each connection is verified by what the files hold now, so none is resumed.
		SessionTicketsDisabled: true,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			cert, err := c.own()
			_ = err // told already; the caller is shown the certificate and names it too
			return cert, nil
		},
		ClientAuth: auth, // any, as far as crypto/tls goes: VerifyConnection says which
		VerifyConnection: func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 && len(kinds) == 0 {
				return nil
			}
			return c.verify(s.PeerCertificates, x509.ExtKeyUsageClientAuth, kinds, "")
		},
	}
}

// Client returns the TLS toward nodes of a kind, of which id names one; "" is any.
// Nodes are known by their identity, whatever their address, if this process has a
// certificate, which says its cluster. Otherwise the host that was called has to be
// one of the certificate's, as in browsers.
func (c *Credentials) Client(kind, id string) *tls.Config {
	f := c.current()
	t := &tls.Config{
		MinVersion: tls.VersionTLS13,
		RootCAs:    f.cas,
		// Only where VerifyConnection does what is skipped.
		InsecureSkipVerify: f.cert != nil, //nolint:gosec // VerifyConnection verifies
		VerifyConnection: func(s tls.ConnectionState) error {
			return c.verify(s.PeerCertificates, x509.ExtKeyUsageServerAuth, []string{kind}, id)
		},
	}
	if f.cert != nil {
		t.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c.own() }
	}
	return t
}

// own returns the certificate of this process, with an error if it has expired: whom
// this process calls could only say that it does not like it.
func (c *Credentials) own() (*tls.Certificate, error) {
	f := c.current()
	if now := c.now(); now.After(f.cert.Leaf.NotAfter) {
		return f.cert, c.refusals.add(c, &thalweg.Error{Op: "show certificate", Kind: thalweg.Unavailable,
			Subject: filepath.Join(c.dir, CertFile), Hint: renewHint, Err: expired(f.cert.Leaf)})
	}
	return f.cert, nil
}

// verify reports why a peer's certificates do not make it one of the cluster's nodes
// or users of the kinds, all if there are none.
func (c *Credentials) verify(chain []*x509.Certificate, usage x509.ExtKeyUsage, kinds []string, id string) error {
	f := c.current()
	refuse := func(hint string, err error) error {
		return c.refusals.add(c, &thalweg.Error{Op: "verify peer", Kind: thalweg.Unavailable, Subject: "certificate", Hint: hint, Err: err})
	}
	if len(chain) == 0 {
		return refuse("it needs --certs with a certificate of this cluster", errors.New("the peer has none"))
	}
	if err := f.believes(chain, usage, c.now()); err != nil {
		return refuse("the peer needs a certificate of an authority in "+filepath.Join(c.dir, CAFile), err)
	}
	peer, err := IdentityOf(chain[0])
	switch {
	case err != nil:
		return refuse("", err)
	case f.cert != nil && peer.Cluster != f.id.Cluster:
		return refuse("does an address lead to another cluster?", fmt.Errorf("%s is not of the cluster %s", peer, f.id.Cluster))
	case len(kinds) > 0 && !slices.Contains(kinds, peer.Kind):
		return refuse("", fmt.Errorf("%s is no %s", peer, strings.Join(kinds, " or ")))
	case id != "" && peer.ID != id:
		return refuse("does an address lead to another node?", fmt.Errorf("%s is not %s", peer, id))
	}
	return nil
}

// refusals are told at a bounded rate: who is refused may try as often as it likes.
type refusals struct {
	mu struct {
		sync.Mutex
		since time.Time
		kept  int // not told since
	}
}

// tellEvery is how often a refusal is told.
const tellEvery = time.Second

func (r *refusals) add(c *Credentials, err error) error {
	r.mu.Lock()
	now := c.now()
	tell := now.Sub(r.mu.since) >= tellEvery
	kept := r.mu.kept
	if tell {
		r.mu.since, r.mu.kept = now, 0
	} else {
		r.mu.kept++
	}
	r.mu.Unlock()
	if tell {
		c.log.Warn("a connection was refused", "error", err, "others", kept)
	}
	return err
}
