package auth

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/coreos/go-oidc/v3/oidc/oidctest"
	"golang.org/x/time/rate"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/auth/authtest"
	"github.com/thalweg/thalweg/coordinator/auth/pki"
)

// taking returns an authenticator that takes the tokens of an issuer.
func taking(t testing.TB, from *authtest.Issuer) *Authenticator {
	t.Helper()
	a, err := New(slog.New(slog.DiscardHandler), Config{OIDC: &OIDC{Issuer: from.URL, Audience: authtest.Audience, RootCAs: from.RootCAs, NameClaim: "email", Groups: map[string]Grant{
		"flights": {Operator, Scope{"flights*"}}, "rides": {Reader, Scope{"rides", "trips"}}, "ops": {Admin, everything},
	}}}, knowing(t, "").tokens)
	if err != nil {
		t.Fatal(err)
	}
	// However slow the machine is, no time passes in which it may be asked once more.
	keys := a.issuer.keys
	keys.named = rate.NewLimiter(0, issuerBurst)
	keys.client.Transport.(*asking).limit = rate.NewLimiter(0, issuerBurst)
	return a
}

func jwt(header, claims string, sign func(text string) []byte) string {
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(header)) + "." + encode([]byte(claims))
	return text + "." + encode(sign(text))
}

// unsigned returns a token without its signature, and the dot before that.
func unsigned(token string) string { return token[:strings.LastIndexByte(token, '.')] }

// groups are claims with groups in them.
func groups(of ...any) map[string]any { return map[string]any{"groups": of} }

func TestTokensOfAnIssuer(t *testing.T) {
	from := authtest.New(t)
	public, keyID := from.Public()
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	asSecret := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	with := func(name string, value any) map[string]any {
		return map[string]any{"groups": []string{"flights"}, name: value}
	}
	in := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	good := from.Token("ada", groups("flights"))
	const anyOf = "signed by one of RS256, "
	for name, k := range map[string]struct {
		token  string
		grants string // of whom it opens for
		label  string
		kind   thalweg.Kind
		why    string
	}{
		"good":                     {token: good, grants: "operator:flights*"},
		"several groups":           {token: from.Token("ada", groups("rides", "nobody", "flights", "rides")), grants: "operator:flights* reader:rides,trips"},
		"one group, as a text":     {token: from.Token("ada", map[string]any{"groups": "ops"}), grants: "admin:*"},
		"several audiences":        {token: from.Token("ada", with("aud", []string{"other", authtest.Audience})), grants: "operator:flights*"},
		"a name to show":           {token: from.Token("ada", with("email", "ada@example.org")), grants: "operator:flights*", label: "ada@example.org"},
		"a name of many lines":     {token: from.Token("ada", with("email", "ada\nroot")), grants: "operator:flights*"},
		"a name that is too long":  {token: from.Token("ada", with("email", strings.Repeat("a", 300))), grants: "operator:flights*"},
		"expired within the skew":  {token: from.Token("ada", with("exp", in(-clockSkew/2))), grants: "operator:flights*"},
		"valid soon, by the skew":  {token: from.Token("ada", with("nbf", in(clockSkew/2))), grants: "operator:flights*"},
		"wrong audience":           {token: from.Token("ada", with("aud", "other")), kind: thalweg.Unauthenticated, why: "audience"},
		"no audience":              {token: from.Token("ada", with("aud", nil)), kind: thalweg.Unauthenticated, why: "audience"},
		"wrong issuer":             {token: from.Token("ada", with("iss", from.URL+"/other")), kind: thalweg.Unauthenticated, why: "different provider"},
		"expired":                  {token: from.Token("ada", with("exp", in(-2*clockSkew))), kind: thalweg.Unauthenticated, why: "expired"},
		"without an end":           {token: from.Token("ada", with("exp", nil)), kind: thalweg.Unauthenticated, why: "expired"},
		"not yet valid":            {token: from.Token("ada", with("nbf", in(2*clockSkew))), kind: thalweg.Unauthenticated, why: "not good before"},
		"no subject":               {token: from.Token("ada", with("sub", nil)), kind: thalweg.Unauthenticated, why: "sub"},
		"a subject of many lines":  {token: from.Token("a\nb", groups("ops")), kind: thalweg.Unauthenticated, why: "sub"},
		"a subject that is long":   {token: from.Token(strings.Repeat("a", 256), groups("ops")), kind: thalweg.Unauthenticated, why: "sub"},
		"algorithm none":           {token: jwt(`{"alg":"none"}`, from.Claims("ada", groups("ops")), func(string) []byte { return nil }), kind: thalweg.Unauthenticated, why: anyOf},
		"key in the token itself":  {token: from.TokenBy("unknown", "ada", groups("ops")), kind: thalweg.Unauthenticated, why: "by no key"},
		"signed by somebody else":  {token: oidctest.SignIDToken(other, keyID, oidc.ES256, from.Claims("ada", groups("ops"))), kind: thalweg.Unauthenticated, why: "by no key"},
		"signature of another":     {token: unsigned(from.Token("ada", groups("ops"))) + good[strings.LastIndexByte(good, '.'):], kind: thalweg.Unauthenticated, why: "by no key"},
		"without its signature":    {token: unsigned(good) + ".", kind: thalweg.Unauthenticated},
		"no groups":                {token: from.Token("ada", nil), kind: thalweg.Forbidden, why: "claim groups: the token has no such claim"},
		"an empty list of groups":  {token: from.Token("ada", groups()), kind: thalweg.Forbidden, why: "it names 0 groups"},
		"none of the groups":       {token: from.Token("ada", groups("Flights", "flights*", "*", "")), kind: thalweg.Forbidden, why: "it names 4 groups"},
		"groups that are no texts": {token: from.Token("ada", groups("ops", 7)), kind: thalweg.Forbidden, why: "neither a text nor a list"},
		"too long":                 {token: from.Token("ada", groups(strings.Repeat("g", maxCredentialBytes))), kind: thalweg.Unauthenticated, why: "no bearer token"},
		"HS256 with the public key as secret": {token: jwt(`{"alg":"HS256","kid":"`+keyID+`"}`, from.Claims("ada", groups("ops")), func(text string) []byte {
			mac := hmac.New(sha256.New, asSecret)
			mac.Write([]byte(text))
			return mac.Sum(nil)
		}), kind: thalweg.Unauthenticated, why: anyOf},
	} {
		id, err := identified(taking(t, from), "Bearer "+k.token)
		var has []string
		for _, g := range id.Grants {
			has = append(has, g.String())
		}
		switch {
		case k.kind == thalweg.Other && (err != nil || id.Kind != pki.User || id.Name != from.URL+"#ada" || id.By != byOIDC || strings.Join(has, " ") != k.grants || id.Label != k.label):
			t.Errorf("%s: %+v, %v", name, id, err)
		case k.kind != thalweg.Other && (!thalweg.Is(err, k.kind) || !strings.Contains(err.Error(), k.why) || len(has) > 0):
			t.Errorf("%s: %+v, %v; want %v: %s", name, id, err, k.kind, k.why)
		case k.kind == thalweg.Forbidden && id.Name != from.URL+"#ada", k.kind == thalweg.Unauthenticated && id.Name != "":
			t.Errorf("%s: %+v", name, id)
		case err != nil && (strings.Contains(err.Error(), k.token) || len(err.Error()) > 600):
			t.Errorf("%s: the error shows it, or is long: %v", name, err)
		}
	}
	one, err := identified(taking(t, from), "Bearer "+from.Token("ada", groups("rides", "flights")))
	if err != nil || !one.May(Operator, "flights-x") || one.May(Submitter, "rides") || !one.May(Reader, "trips") || one.MayAll(Reader) {
		t.Errorf("each group gives its role for its pipelines: %+v, %v", one, err)
	}
	if _, err := identified(knowing(t, ""), "Bearer "+good); !thalweg.Is(err, thalweg.Unauthenticated) {
		t.Errorf("where there is no issuer: %v", err)
	}
}

// TestKeysOfAnIssuerChange: the new one is fetched when it is first named, and whoever
// makes up names does not have the issuer asked each time.
func TestKeysOfAnIssuerChange(t *testing.T) {
	from := authtest.New(t)
	a := taking(t, from)
	open := func() error {
		_, err := identified(a, "Bearer "+from.Token("ada", groups("ops")))
		return err
	}
	if err := open(); err != nil {
		t.Fatal(err)
	}
	old := from.Token("ada", groups("ops"))
	from.Rotate(t)
	if err := open(); err != nil {
		t.Errorf("a new key: %v", err)
	}
	if _, err := identified(a, "Bearer "+old); !thalweg.Is(err, thalweg.Unauthenticated) {
		t.Errorf("the key of before, which the issuer has no more: %v", err)
	}
	var all sync.WaitGroup
	for n := range 200 {
		all.Go(func() {
			if _, err := identified(a, "Bearer "+from.TokenBy(fmt.Sprint("forged-", n), "ada", groups("ops"))); !thalweg.Is(err, thalweg.Unauthenticated) {
				t.Errorf("a made-up key: %v", err)
			}
		})
	}
	all.Wait()
	if n := from.Asked.Load(); n > 2+issuerBurst { // where its keys are, for these, and for those that are named
		t.Errorf("the issuer was asked %d times", n)
	}
	if err := open(); err != nil {
		t.Errorf("meanwhile who has a good one: %v", err)
	}
	// A key that the issuer gives up opens nothing after an hour, though nobody names another;
	// and who has a good one is not kept out by who makes up others.
	a.issuer.keys.now = func() time.Time { return time.Now().Add(keepKeys + time.Second) }
	before := from.Asked.Load()
	if err := open(); err != nil || from.Asked.Load() != before+2 {
		t.Errorf("after an hour it is asked anew: %v, %d times", err, from.Asked.Load()-before)
	}
}

// TestAnIssuerThatIsNotReachedOpensNothing, and is not asked by each who comes.
func TestAnIssuerThatIsNotReachedOpensNothing(t *testing.T) {
	from := authtest.New(t)
	good := from.Token("ada", groups("ops"))
	answer := func(code int, body string) *http.HandlerFunc {
		h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			_, _ = w.Write([]byte(body))
		})
		return &h
	}
	away := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://127.0.0.1:1"+r.URL.Path, http.StatusFound)
	})
	keysAway := answer(200, fmt.Sprintf(`{"issuer": %q, "jwks_uri": "http://127.0.0.1:1/keys"}`, from.URL))
	metadata := answer(200, fmt.Sprintf(`{"issuer": %q, "jwks_uri": "https://169.254.169.254/keys"}`, from.URL))
	for name, h := range map[string]*http.HandlerFunc{
		"it fails": answer(503, "secret words of the issuer"), "no JSON": answer(200, "<html>"), "too much": answer(200, `"`+strings.Repeat("a", maxIssuerAnswer)+`"`),
		"another issuer": answer(200, `{"issuer": "https://other.example", "jwks_uri": "`+from.URL+`/keys"}`), "no keys": answer(200, "{}"), "elsewhere without TLS": &away,
		"keys without TLS": keysAway, "keys of a metadata service": metadata,
	} {
		from.Answer.Store(h)
		before := from.Asked.Load()
		a := taking(t, from)
		for range 20 {
			id, err := identified(a, "Bearer "+good)
			if !thalweg.Is(err, thalweg.Unauthenticated) || !strings.Contains(err.Error(), "cannot be had") || id.Name != "" || strings.Contains(err.Error(), "secret words") {
				t.Fatalf("%s: %v, %v", name, id, err)
			}
		}
		if n := from.Asked.Load() - before; n > 2+issuerBurst {
			t.Errorf("%s: it was asked %d times", name, n)
		}
		secret := NewSecret() // others are served
		a.tokens = knowing(t, secret).tokens
		if id, err := identified(a, "Bearer "+secret); err != nil || id.Name != "ada" {
			t.Errorf("%s: a token of the cluster: %v, %v", name, id, err)
		}
	}
	from.Answer.Store(nil)
	a := taking(t, from)
	a.issuer.cfg.Issuer, a.issuer.keys.issuer = "https://127.0.0.1:1", "https://127.0.0.1:1"
	if _, err := identified(a, "Bearer "+good); !thalweg.Is(err, thalweg.Unauthenticated) || !strings.Contains(err.Error(), "cannot be had") {
		t.Errorf("nobody is there: %v", err)
	}
	// One that knew its keys goes on with them, within the hour.
	a = taking(t, from)
	for _, h := range []*http.HandlerFunc{nil, answer(503, "")} {
		from.Answer.Store(h)
		if id, err := identified(a, "Bearer "+good); err != nil || id.Name == "" {
			t.Errorf("with keys: %v, %v", id, err)
		}
	}
	unknown := "Bearer " + from.TokenBy("unknown", "ada", groups("ops"))
	_, err := identified(a, unknown)
	for limit := time.Now().Add(time.Minute); err != nil && strings.Contains(err.Error(), "by no key") && time.Now().Before(limit); {
		_, err = identified(a, unknown) // go-oidc gives what it has just fetched to who comes while it takes note of that
	}
	if !thalweg.Is(err, thalweg.Unauthenticated) || !strings.Contains(err.Error(), "cannot be had") {
		t.Errorf("one by a key that is not known: %v", err)
	}
}

func TestWhatIsNoIssuerIsRefused(t *testing.T) {
	good := OIDC{Issuer: "https://id.example.org/realms/prod", Audience: "thalweg", Groups: map[string]Grant{"a": {Reader, everything}}}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*OIDC){
		"no issuer": func(o *OIDC) { o.Issuer = "" }, "without TLS": func(o *OIDC) { o.Issuer = "http://id.example.org" }, "no URL": func(o *OIDC) { o.Issuer = "https://%zz" },
		"with a user": func(o *OIDC) { o.Issuer = "https://a:b@id.example.org" }, "with a query": func(o *OIDC) { o.Issuer = "https://id.example.org?a=b" },
		"long": func(o *OIDC) { o.Issuer = "https://" + strings.Repeat("a", maxIssuerBytes) }, "of a metadata service": func(o *OIDC) { o.Issuer = "https://169.254.169.254" },
		"no audience": func(o *OIDC) { o.Audience = "" }, "no groups": func(o *OIDC) { o.Groups = nil }, "a group without a name": func(o *OIDC) { o.Groups = map[string]Grant{"": {Reader, everything}} },
		"a group without a role": func(o *OIDC) { o.Groups = map[string]Grant{"a": {NoRole, everything}} }, "a group without pipelines": func(o *OIDC) { o.Groups = map[string]Grant{"a": {Reader, nil}} },
	} {
		o := good
		change(&o)
		if err := o.Validate(); err == nil || thalweg.KindOf(err) != thalweg.Invalid && thalweg.KindOf(err) != thalweg.Forbidden {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzOIDC: what the issuer has not signed opens nothing, and what it has signed, whatever
// its claims are, opens for the subject that they name.
func FuzzOIDC(f *testing.F) {
	from := authtest.New(f)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	a := taking(f, from)
	a.issuer.keys.mu.keys, a.issuer.keys.mu.until = oidc.NewRemoteKeySet(oidc.ClientContext(f.Context(), a.issuer.keys.client), "https://127.0.0.1:1/"), time.Now().Add(time.Hour)
	for _, claims := range []string{from.Claims("ada", groups("flights")), from.Claims("ada", map[string]any{"nbf": 1e300, "groups": "ops"}), "{}", "[]", `{"sub":1}`, "null"} {
		f.Add("ada", claims, oidctest.SignIDToken(key, "other", oidc.ES256, claims))
	}
	f.Fuzz(func(t *testing.T, subject, claims, token string) {
		if id, err := identified(a, "Bearer "+token); err == nil || id.Name != "" {
			t.Errorf("%q opens: %v", token, id)
		}
		id, err := a.issuer.subject(subject, []byte(claims))
		switch {
		case err == nil && (len(id.Grants) == 0 || !strings.HasPrefix(id.Name, from.URL+"#") || len(id.shown()) > maxNameBytes):
			t.Errorf("%q is %+v", claims, id)
		case err != nil && (len(id.Grants) > 0 || len(err.Error()) > 900):
			t.Errorf("%q: %v, %v", claims, id, err)
		}
	})
}

// Whoever comes with a token of the wrong issuer, however often, writes a few lines of the log.
func TestWhoComesDoesNotFillTheLog(t *testing.T) {
	from := authtest.New(t)
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"issuer": "https://other.example", "jwks_uri": "https://other.example/keys"}`))
	})
	from.Answer.Store(&h)
	var log bytes.Buffer
	a, err := New(slog.New(slog.NewTextHandler(&log, nil)), Config{OIDC: &OIDC{Issuer: from.URL, Audience: authtest.Audience, RootCAs: from.RootCAs,
		Groups: map[string]Grant{"ops": {Admin, everything}}}}, knowing(t, "").tokens)
	if err != nil {
		t.Fatal(err)
	}
	for range 500 {
		if _, err = identified(a, "Bearer "+from.TokenBy("x", "ada", groups("ops"))); err == nil {
			t.Fatal("an issuer whose description is another's is believed")
		}
	}
	if n := strings.Count(log.String(), "description is not one"); n < 1 || n > 10 {
		t.Errorf("%d lines of 500 requests:\n%.1000s", n, log.String())
	}
}
