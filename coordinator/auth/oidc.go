package auth

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/auth/pki"
	"github.com/thalweg/thalweg/reach"
)

const (
	// clockSkew is how far the clocks of the issuer and of a coordinator may be apart.
	clockSkew = 30 * time.Second
	// maxReason is how many bytes of why a token is refused are told.
	maxReason = 200
	// waitIssuer bounds how long a request waits for the issuer's keys, which are fetched
	// whether it waits or not.
	waitIssuer = 2 * time.Second
	// maxIssuerBytes leaves half of a name to the subject.
	maxIssuerBytes = 128
	// maxNameBytes is what a record of the audit log holds of a name: one that is longer
	// could be another's.
	maxNameBytes = 256
)

// algorithms are those that tokens may be signed with: none with a shared secret, and
// not "none".
var algorithms = []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA}

// OIDC says which tokens of an issuer of OpenID Connect are taken, and what those may do
// who have them.
type OIDC struct {
	// Issuer is where the issuer is, and what its tokens have as iss: https://host, perhaps
	// with a path.
	Issuer string
	// Audience is what its tokens have among aud: the id that the issuer knows the cluster by.
	Audience string
	// RootCAs are those of the issuer's certificate; nil: those of the system.
	RootCAs *x509.CertPool
	// GroupsClaim is the claim with the groups of the subject, default groups.
	GroupsClaim string
	// NameClaim is a claim that is shown beside the subject, and counts for nothing; empty:
	// none.
	NameClaim string
	// Groups are what the members of a group may do. Who is in several may do what any of
	// them may.
	Groups map[string]Grant
	// Loopback lets the name in Issuer lead to this machine, though it is none of loopback.
	Loopback bool
}

// Validate reports the first thing that is wrong with o.
func (o OIDC) Validate() error {
	bad := func(field, hint string) error {
		return &thalweg.Error{Op: "configure OpenID Connect", Kind: thalweg.Invalid, Subject: field, Hint: hint}
	}
	u, err := url.Parse(o.Issuer)
	switch {
	case err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || len(o.Issuer) > maxIssuerBytes:
		return bad("issuer", fmt.Sprintf("https://host, perhaps with a path, exactly as its tokens have it; at most %d bytes", maxIssuerBytes))
	case o.Audience == "":
		return bad("audience", "the client id that the issuer makes tokens of this cluster for")
	case len(o.Groups) == 0:
		return bad("groups", "what the members of a group may do: group: role[:pipeline[:pipeline…]]")
	}
	for name, g := range o.Groups {
		if err := g.Pipelines.Validate(); name == "" || g.Role == NoRole || err != nil {
			return bad(fmt.Sprintf("groups: %.80q", name), "role[:pipeline[:pipeline…]]")
		}
	}
	return reach.ForURL(o.Loopback, u).CheckHost(u.Host)
}

// issuer verifies tokens of an issuer. It may be used concurrently.
type issuer struct {
	cfg  OIDC
	keys *issuerKeys
	now  func() time.Time
}

func newIssuer(log *slog.Logger, cfg OIDC) *issuer {
	if cfg.GroupsClaim == "" {
		cfg.GroupsClaim = "groups"
	}
	return &issuer{cfg: cfg, keys: newIssuerKeys(log, cfg), now: time.Now}
}

// identify returns who has a token of the issuer. The error is Unauthenticated where the
// token is not good now, and Forbidden where its subject, who is returned, is in no group
// that may do anything.
func (i *issuer) identify(ctx context.Context, credential string) (Identity, error) {
	ctx, cancel := context.WithTimeout(ctx, waitIssuer)
	defer cancel()
	if strings.ContainsFunc(credential, func(r rune) bool { return !strings.ContainsRune(base64URL+".", r) }) {
		return Identity{}, unauthenticated(errors.New("the token is neither one of this cluster's nor of OpenID Connect"))
	}
	signed := signature{keys: i.keys}
	token, err := oidc.NewVerifier(i.cfg.Issuer, &signed, &oidc.Config{
		ClientID: i.cfg.Audience, SupportedSigningAlgs: algorithms, Now: func() time.Time { return i.now().Add(-clockSkew) },
	}).Verify(ctx, credential)
	switch {
	case err == nil:
		var claims json.RawMessage
		if err = token.Claims(&claims); err == nil {
			return i.subject(token.Subject, claims)
		}
	case !signed.asked: // what others than the issuer wrote is not shown
		return Identity{}, unauthenticated(fmt.Errorf("the token is no JWT that is signed by one of %s", strings.Join(algorithms, ", ")))
	case signed.err != nil && isUnreached(signed.err):
		return Identity{}, &thalweg.Error{Op: "authenticate", Kind: thalweg.Unauthenticated, Subject: "caller",
			Err:  fmt.Errorf("the keys of the issuer %s cannot be had", i.cfg.Issuer),
			Hint: "the coordinator's log says why; until then a token or a certificate of the cluster opens it"}
	case signed.err != nil:
		return Identity{}, unauthenticated(fmt.Errorf("the token's signature is by no key of the issuer %s", i.cfg.Issuer))
	}
	said := err.Error() // it has what the caller wrote
	return Identity{}, unauthenticated(errors.New(strings.ToValidUTF8(said[:min(len(said), maxReason)], "")))
}

// base64URL are the characters of the parts of a JWT.
const base64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// subject returns who the subject of a verified token is, and what its groups may do.
func (i *issuer) subject(subject string, payload []byte) (Identity, error) {
	var claims map[string]json.RawMessage
	if err := json.Unmarshal(payload, &claims); err != nil {
		return Identity{}, unauthenticated(errors.New("the token's claims are no JSON object"))
	}
	id := Identity{Kind: pki.User, Name: i.cfg.Issuer + "#" + subject, By: byOIDC}
	if subject == "" || !printable(id.Name) {
		return Identity{}, unauthenticated(fmt.Errorf("the token's iss and sub are not of %d bytes at most that can be printed", maxNameBytes-1))
	}
	var notBefore json.Number
	if len(claims["nbf"]) > 0 && json.Unmarshal(claims["nbf"], &notBefore) == nil {
		if from, err := notBefore.Float64(); err != nil || from > float64(i.now().Add(clockSkew).Unix()) {
			return Identity{}, unauthenticated(fmt.Errorf("the token is not good before %.40s, in seconds since 1970 UTC", notBefore))
		}
	}
	if label := ""; json.Unmarshal(claims[i.cfg.NameClaim], &label) == nil {
		if id.Label = label; !printable(id.shown()) {
			id.Label = ""
		}
	}
	groups, err := texts(claims[i.cfg.GroupsClaim])
	if err != nil {
		return id, i.forbidden(id, err)
	}
	for _, name := range slices.Compact(slices.Sorted(slices.Values(groups))) {
		if g, ok := i.cfg.Groups[name]; ok {
			id.Grants = append(id.Grants, g)
		}
	}
	if id.Grants == nil {
		return id, i.forbidden(id, fmt.Errorf("it names %d groups, none of which has a role here", len(groups)))
	}
	return id, nil
}

func (i *issuer) forbidden(id Identity, why error) error {
	return &thalweg.Error{Op: "authorize", Kind: thalweg.Forbidden, Subject: id.String() + ": claim " + i.cfg.GroupsClaim, Err: why,
		Hint: "it needs a group to which the coordinators' --oidc gives a role"}
}

// texts reads a claim that is a text or a list of them.
func texts(claim json.RawMessage) (all []string, err error) {
	if len(claim) == 0 {
		return nil, errors.New("the token has no such claim")
	}
	if one := ""; json.Unmarshal(claim, &one) == nil && one != "" {
		return []string{one}, nil
	}
	if json.Unmarshal(claim, &all) != nil {
		return nil, errors.New("it is neither a text nor a list of texts")
	}
	return all, nil
}

func printable(text string) bool {
	return len(text) <= maxNameBytes && utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}

// signature has the signature of one token verified, and keeps what came of it, which
// the verifier tells in words only.
type signature struct {
	keys  *issuerKeys
	asked bool
	err   error
}

// VerifySignature is that of oidc.KeySet.
func (s *signature) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	s.asked = true
	keys, err := s.keys.current(ctx)
	var payload []byte
	if err == nil {
		payload, err = keys.VerifySignature(ctx, jwt)
	}
	s.err = err
	return payload, err
}
