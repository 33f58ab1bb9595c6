// Package authtest is an issuer of OpenID Connect for tests: a server over TLS that tells
// where its keys are, and makes tokens.
package authtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/coreos/go-oidc/v3/oidc/oidctest"
)

// Audience is that of the tokens which an Issuer makes.
const Audience = "thalweg"

// Issuer is an issuer. It may be used concurrently.
type Issuer struct {
	URL     string
	RootCAs *x509.CertPool
	// Asked counts the requests that it was sent.
	Asked atomic.Int64
	// Answer, where it is set, answers in its place.
	Answer atomic.Pointer[http.HandlerFunc]

	server *httptest.Server
	mu     struct {
		sync.Mutex
		keys   oidctest.Server
		key    *ecdsa.PrivateKey
		number int
	}
}

// New starts an issuer, which ends with the test.
func New(t testing.TB) *Issuer {
	t.Helper()
	i := &Issuer{RootCAs: x509.NewCertPool()}
	i.server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.Asked.Add(1)
		if answer := i.Answer.Load(); answer != nil {
			(*answer)(w, r)
			return
		}
		i.mu.Lock()
		defer i.mu.Unlock()
		i.mu.keys.ServeHTTP(w, r)
	}))
	t.Cleanup(i.server.Close)
	i.URL = i.server.URL
	i.RootCAs.AddCert(i.server.Certificate())
	i.mu.keys.SetIssuer(i.URL)
	i.Rotate(t)
	return i
}

// Rotate has the issuer sign with a new key, and serve no other.
func (i *Issuer) Rotate(t testing.TB) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.mu.key, i.mu.number = key, i.mu.number+1
	i.mu.keys.PublicKeys = []oidctest.PublicKey{{PublicKey: key.Public(), KeyID: i.keyID(), Algorithm: oidc.ES256}}
}

func (i *Issuer) keyID() string { return fmt.Sprintf("key-%d", i.mu.number) }

// Public returns the key by which the issuer's tokens are verified, and its id.
func (i *Issuer) Public() (*ecdsa.PublicKey, string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return &i.mu.key.PublicKey, i.keyID()
}

// Claims returns those of a good token of a subject, and others in their place; nil: not
// that one.
func (i *Issuer) Claims(subject string, others map[string]any) string {
	claims := map[string]any{"iss": i.URL, "aud": Audience, "sub": subject, "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix()}
	maps.Copy(claims, others)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	text, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// Token returns a token with Claims, signed by the newest key.
func (i *Issuer) Token(subject string, others map[string]any) string {
	return i.TokenBy("", subject, others)
}

// TokenBy is Token, with the id of a key in it that it was not signed by; empty: that of
// the newest.
func (i *Issuer) TokenBy(keyID, subject string, others map[string]any) string {
	claims := i.Claims(subject, others)
	i.mu.Lock()
	defer i.mu.Unlock()
	if keyID == "" {
		keyID = i.keyID()
	}
	return oidctest.SignIDToken(i.mu.key, keyID, oidc.ES256, claims)
}
