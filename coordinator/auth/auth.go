// Package auth says who calls a coordinator, and what it may do. Callers prove who they
// are by a certificate, a token of the cluster, or one of an issuer of OpenID Connect; one
// table says for each route which role it takes and how the pipeline it is about is found
// (catalog.go).
package auth

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/auth/pki"
)

// The headers by which a coordinator tells another for whom it passes a request on.
// Only the certificate of a coordinator makes them count.
const (
	ForwardedName   = "Thalweg-Forwarded-Name"   // that the caller's certificate has
	ForwardedRemote = "Thalweg-Forwarded-Remote" // host:port that it calls from
)

// Config says who may call.
type Config struct {
	// Cluster is the name that certificates have for the cluster. Empty: that of the
	// node's own, and without one certificates prove nothing.
	Cluster string
	// Users are what users with a certificate may do, by their names in it.
	Users map[string]Grant
	// FirstToken is the hash of a token for an admin, which the first leader registers
	// where there has never been one; empty: none.
	FirstToken string
	// OIDC says which tokens of OpenID Connect are taken; nil: none. All coordinators have
	// the same, since the leader judges what others pass on.
	OIDC *OIDC
	// Rate is how many requests a second one client may make in the long run, default
	// 500, and FailureRate how many one address that does not prove who it is, default 2.
	Rate, FailureRate float64
}

// Validate reports the first thing that is wrong with c.
func (c Config) Validate() error {
	for name, g := range c.Users {
		if err := g.Pipelines.Validate(); name == "" || err != nil {
			return err
		}
	}
	if c.OIDC != nil {
		if err := c.OIDC.Validate(); err != nil {
			return err
		}
	}
	if c.FirstToken != "" && len(c.FirstToken) != len(Hash("")) {
		return &thalweg.Error{Op: "configure coordinator", Kind: thalweg.Invalid, Subject: "hash of the first token", Hint: "a sha256 in hex"}
	}
	if !(c.Rate >= 0 && c.FailureRate >= 0 && c.Rate <= maxRate && c.FailureRate <= maxRate) {
		return &thalweg.Error{Op: "configure coordinator", Kind: thalweg.Invalid, Subject: fmt.Sprintf("rates %v and %v", c.Rate, c.FailureRate),
			Hint: fmt.Sprintf("0 for the default, or up to %d requests a second", maxRate)}
	}
	return nil
}

// Token is what is known of a token that is good.
type Token struct {
	Name string
	Grant
}

// Authenticator says who calls. It may be used concurrently.
type Authenticator struct {
	cfg    Config
	tokens func(hash string) (Token, error)
	issuer *issuer // nil: none
	// Limits are those of the configuration.
	Limits *Limits
}

// New returns an authenticator. tokens returns the token whose secret has a hash, if it
// is good now, and NotFound otherwise.
func New(log *slog.Logger, cfg Config, tokens func(hash string) (Token, error)) (*Authenticator, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	a := &Authenticator{cfg: cfg, tokens: tokens, Limits: newLimits(cfg)}
	if cfg.OIDC != nil {
		a.issuer = newIssuer(log, *cfg.OIDC)
	}
	return a, nil
}

// Identify returns who makes a request. A token in it counts before a certificate, so
// that a user on a node's machine is the user. The error is Unauthenticated and says
// nothing of what was shown; or Forbidden, with who it is, where that is known and in no
// group with a role.
func (a *Authenticator) Identify(r *http.Request) (Identity, error) {
	id, err := a.identify(r)
	id.Remote = r.RemoteAddr
	if peer, failed := a.peer(r.TLS); failed == nil && peer.Kind == pki.Coordinator && r.Header.Get(ForwardedRemote) != "" {
		id.Remote = r.Header.Get(ForwardedRemote)
	}
	return id, err
}

func (a *Authenticator) identify(r *http.Request) (Identity, error) {
	if shown := r.Header.Get("Authorization"); shown != "" {
		scheme, credential, _ := strings.Cut(shown, " ")
		if !strings.EqualFold(scheme, "Bearer") || CheckCredential(credential) != nil {
			return Identity{}, unauthenticated(errors.New("the Authorization header has no bearer token"))
		}
		return a.bearer(r.Context(), credential)
	}
	peer, err := a.peer(r.TLS)
	if err != nil {
		return Identity{}, err
	}
	if peer.Kind == pki.Coordinator && r.Header.Get(ForwardedRemote) != "" { // it is another's request
		name := r.Header.Get(ForwardedName)
		if name == "" {
			return Identity{}, unauthenticated(errors.New("the request has neither a token nor a certificate"))
		}
		if peer, err = pki.ParseIdentity(name); err != nil || peer.Cluster != a.cfg.Cluster {
			return Identity{}, unauthenticated(errors.New("a coordinator passes on a name of another cluster"))
		}
		if peer.Kind == pki.Coordinator {
			return Identity{}, unauthenticated(errors.New("a request is passed on once"))
		}
	}
	id := Identity{Kind: peer.Kind, Name: peer.ID, By: byCertificate}
	if g, ok := a.cfg.Users[peer.ID]; ok && peer.Kind == pki.User {
		id.Grants = []Grant{g}
	}
	return id, nil
}

// bearer returns who has a token.
func (a *Authenticator) bearer(ctx context.Context, credential string) (Identity, error) {
	switch {
	case isSecret(credential):
	case a.issuer != nil:
		return a.issuer.identify(ctx, credential)
	default:
		return Identity{}, unauthenticated(errors.New("the token is none of this cluster's"))
	}
	t, err := a.tokens(Hash(credential))
	if err != nil {
		return Identity{}, unauthenticated(err)
	}
	return Identity{Kind: pki.User, Name: t.Name, Grants: []Grant{t.Grant}, By: byToken}, nil
}

// peer returns who the certificate of a connection names, which the server's TLS
// (pki.Credentials.Server) has verified.
func (a *Authenticator) peer(state *tls.ConnectionState) (pki.Identity, error) {
	id, known := pki.PeerOf(state)
	if a.cfg.Cluster == "" || !known {
		return pki.Identity{}, unauthenticated(errors.New("the request has neither a token nor a certificate"))
	}
	if now := time.Now(); now.After(state.PeerCertificates[0].NotAfter) {
		return pki.Identity{}, unauthenticated(errors.New("its certificate has expired since the connection was made"))
	}
	if id.Cluster != a.cfg.Cluster {
		return pki.Identity{}, unauthenticated(errors.New("its certificate is of another cluster, " + id.Cluster))
	}
	return id, nil
}

func unauthenticated(why error) error {
	return &thalweg.Error{Op: "authenticate", Kind: thalweg.Unauthenticated, Subject: "caller", Err: why,
		Hint: "--token-file or THALWEG_TOKEN with a token, or --certs with a certificate of this cluster"}
}

// Forward sets the headers that tell the next coordinator for whom a request is passed
// on: what only this one sees, the certificate and the address. A token travels as it
// is, so that it is looked up where it is known for certain.
func (a *Authenticator) Forward(in *http.Request, out http.Header) {
	out.Set(ForwardedRemote, in.RemoteAddr)
	out.Del(ForwardedName)
	if peer, err := a.peer(in.TLS); err == nil {
		out.Set(ForwardedName, peer.String())
	}
}
