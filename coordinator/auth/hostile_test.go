package auth

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/thalweg/thalweg"
)

// hostileCredentials are what an Authorization header may hold that is no token.
func hostileCredentials() map[string]string {
	return map[string]string{
		"nothing":            "",
		"no scheme":          NewSecret(),
		"another scheme":     "Basic " + NewSecret(),
		"two blanks":         "Bearer  " + NewSecret(),
		"a megabyte":         "Bearer " + secretPrefix + strings.Repeat("a", 1<<20),
		"only the prefix":    "Bearer " + secretPrefix,
		"a null character":   "Bearer " + secretPrefix + "\x00",
		"control characters": "Bearer " + secretPrefix + "\x1b[31m",
		"lines":              "Bearer " + secretPrefix + "a\nX: y",
		"not ASCII":          "Bearer " + secretPrefix + "é",
		"bytes":              "Bearer " + secretPrefix + "\xff\xfe",
		"dots":               "Bearer ..",
		"many dots":          "Bearer " + strings.Repeat(".", 10_000),
		"another's token":    "Bearer " + NewSecret(),
	}
}

// knowing returns an authenticator that knows one token.
func knowing(t testing.TB, secret string) *Authenticator {
	t.Helper()
	a, err := New(slog.New(slog.DiscardHandler), Config{}, func(hash string) (Token, error) {
		if hash != Hash(secret) {
			return Token{}, errors.New("the token is not known, or was revoked")
		}
		return Token{Name: "ada", Grant: Grant{Role: Reader, Pipelines: everything}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func identified(a *Authenticator, header string) (Identity, error) {
	return a.Identify(&http.Request{Header: http.Header{"Authorization": {header}}, RemoteAddr: "10.0.0.1:1"})
}

func TestWhatIsNoTokenOpensNothingAndIsNotShown(t *testing.T) {
	secret := NewSecret()
	a := knowing(t, secret)
	if id, err := identified(a, "Bearer "+secret); err != nil || id.Name != "ada" {
		t.Fatalf("%v, %v", id, err)
	}
	for name, header := range hostileCredentials() {
		id, err := identified(a, header)
		if !thalweg.Is(err, thalweg.Unauthenticated) || id.Name != "" || id.Grants != nil {
			t.Errorf("%s: %v, %v", name, id, err)
		} else if len(err.Error()) > 400 || strings.ContainsAny(err.Error(), "\x00\x1b\n") || len(header) > 20 && strings.Contains(err.Error(), header[10:]) {
			t.Errorf("%s: the error shows it: %.400q", name, err)
		}
	}
}

// BenchmarkHostileCredentials shows time and memory of each: far less than 50 ms and 16 MiB.
func BenchmarkHostileCredentials(b *testing.B) {
	a := knowing(b, NewSecret())
	for name, header := range hostileCredentials() {
		b.Run(strings.ReplaceAll(name, " ", "-"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := identified(a, header); err == nil {
					b.Fatal("it is accepted")
				}
			}
		})
	}
}

func FuzzIdentify(f *testing.F) {
	for _, header := range hostileCredentials() {
		f.Add(header)
	}
	secret := NewSecret()
	a := knowing(f, secret)
	f.Fuzz(func(t *testing.T, header string) {
		id, err := identified(a, header)
		if err == nil && !strings.HasSuffix(header, " "+secret) || err != nil && (id.Name != "" || len(err.Error()) > 400) {
			t.Errorf("%v, %v", id, err)
		}
	})
}

func TestScopesAreNamesOfPipelines(t *testing.T) {
	for name, scope := range map[string]Scope{
		"none": {}, "an empty name": {""}, "a star within": {"a*b"}, "a blank": {"a b"}, "a long name": {strings.Repeat("a", 65)},
		"a control character": {"a\x07"}, "a null character": {"a\x00*"}, "not ASCII": {"é"}, "bytes": {"\xff"}, "a comma": {"a,b"},
	} {
		if err := scope.Validate(); !thalweg.Is(err, thalweg.Invalid) || len(err.Error()) > 400 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := (Scope{"flights", "team-*", "*", strings.Repeat("a", 63)}).Validate(); err != nil {
		t.Error(err)
	}
}

// What is read as a grant prints as one that is read as the same.
func FuzzParseGrant(f *testing.F) {
	for _, text := range []string{"reader", "admin:*", "operator:a:b-*", "submitter:", ":", "reader:a,b", "none"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		g, err := ParseGrant(text)
		if err != nil {
			if len(err.Error()) > 600 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
			return
		}
		again, err := ParseGrant(g.Role.String() + ":" + strings.Join(g.Pipelines, ":"))
		if err != nil || again.String() != g.String() {
			t.Errorf("%q is %v, and then %v, %v", text, g, again, err)
		}
	})
}
