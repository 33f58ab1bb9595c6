package state

import (
	"errors"
	"fmt"
	"iter"
	"regexp"
	"slices"
	"strings"

	"github.com/thalweg/thalweg"
)

// Token is what the cluster knows of a token: whoever shows the secret with its hash
// may do what the token says.
type Token struct {
	Name string `json:"name"`
	// Hash is the sha256 of the secret, which is nowhere in the cluster.
	Hash string `json:"hash"`
	// Role and Pipelines are what the token may do; see coordinator/auth.
	Role      string   `json:"role"`
	Pipelines []string `json:"pipelines,omitempty"`
	CreatedMS int64    `json:"created_ms"`
	ExpiresMS int64    `json:"expires_ms,omitempty"` // 0: never
}

// Expired reports whether the token is no longer good at a time.
func (t *Token) Expired(nowMS int64) bool { return t.ExpiresMS != 0 && nowMS >= t.ExpiresMS }

var (
	tokenName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)
	tokenHash = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// flaw says what is wrong with a token, "" if nothing is.
func (t *Token) flaw() string {
	long := func(p string) bool { return p == "" || len(p) > maxAuditText }
	switch {
	case t == nil || !tokenName.MatchString(t.Name):
		return "its name needs 1 to 63 letters, digits, '.', '_' or '-'"
	case !tokenHash.MatchString(t.Hash):
		return "its hash is no sha256 in hex"
	case t.Role == "" || len(t.Role) > MaxStageNameBytes:
		return "it needs a role"
	case len(t.Pipelines) > MaxTokenPipelines || slices.ContainsFunc(t.Pipelines, long):
		return fmt.Sprintf("it may have %d pipelines, of %d bytes each", MaxTokenPipelines, maxAuditText)
	case t.ExpiresMS < 0:
		return "it expires before 1970"
	}
	return ""
}

// CreateToken registers a token.
type CreateToken struct {
	Name      string   `json:"name"`
	Hash      string   `json:"hash"`
	Role      string   `json:"role"`
	Pipelines []string `json:"pipelines,omitempty"`
	ExpiresMS int64    `json:"expires_ms,omitempty"`
	// First: it is the one that a cluster begins with, and has no effect once there was
	// any token.
	First bool `json:"first,omitempty"`
}

func (*CreateToken) name() string { return "create token" }

func (c *CreateToken) concerns(Answer) (thalweg.PipelineName, string) {
	return "", fmt.Sprintf("token %s: %s of %s", c.Name, c.Role, strings.Join(c.Pipelines, ","))
}

func (c *CreateToken) apply(s *State) Answer {
	if c.First && s.tokensMade {
		return Answer{}
	}
	t := &Token{Name: c.Name, Hash: c.Hash, Role: c.Role, Pipelines: c.Pipelines, CreatedMS: s.timeMS, ExpiresMS: c.ExpiresMS}
	subject := fmt.Sprintf("token %.80q", c.Name)
	if flaw := t.flaw(); flaw != "" {
		return failure(thalweg.Invalid, c.name(), subject, flaw)
	}
	if t.Expired(s.timeMS) {
		return failure(thalweg.Invalid, c.name(), subject, "it has expired already")
	}
	if before := s.tokens[c.Name]; before != nil && !before.Expired(s.timeMS) {
		return failure(thalweg.Exists, c.name(), subject, "revoke it first, or choose another name")
	}
	if of := s.tokensByHash[c.Hash]; of != nil && of.Name != c.Name {
		return failure(thalweg.Exists, c.name(), subject, fmt.Sprintf("token %q has the same secret; make another one", of.Name))
	}
	if s.tokens[c.Name] == nil && len(s.tokens) >= MaxTokens {
		for old := range s.Tokens() {
			if old.Expired(s.timeMS) {
				s.dropToken(old)
			}
		}
	}
	if s.tokens[c.Name] == nil && len(s.tokens) >= MaxTokens {
		return failure(thalweg.Exhausted, c.name(), subject, fmt.Sprintf("there are %d tokens already: revoke some", MaxTokens))
	}
	if before := s.tokens[c.Name]; before != nil {
		s.dropToken(before)
	}
	s.tokensMade = true
	s.tokens[t.Name], s.tokensByHash[t.Hash] = t, t
	return Answer{Changed: true}
}

// TokensMade reports whether there has ever been a token.
func (s *State) TokensMade() bool { return s.tokensMade }

// Tokens yields the tokens in order of their names, expired ones included.
func (s *State) Tokens() iter.Seq[*Token] { return sorted(s.tokens) }

// TokenByHash returns the token whose secret has a hash, or nil.
func (s *State) TokenByHash(hash string) *Token { return s.tokensByHash[hash] }

func (s *State) dropToken(t *Token) {
	delete(s.tokens, t.Name)
	delete(s.tokensByHash, t.Hash)
}

func (s *State) restoreTokens(tokens []*Token, made bool) error {
	if len(tokens) > MaxTokens || len(tokens) > 0 && !made {
		return damaged("tokens", fmt.Errorf("%d of them, at most %d are kept", len(tokens), MaxTokens))
	}
	for _, t := range tokens {
		if flaw := t.flaw(); flaw != "" {
			return damaged("token", errors.New(flaw))
		}
		if s.tokens[t.Name] != nil || s.tokensByHash[t.Hash] != nil {
			return damaged("token "+t.Name, errTwice)
		}
		s.tokens[t.Name], s.tokensByHash[t.Hash] = t, t
	}
	s.tokensMade = made
	return nil
}

// RevokeToken makes the cluster forget a token.
type RevokeToken struct {
	Name string `json:"name"`
}

func (*RevokeToken) name() string { return "revoke token" }

func (c *RevokeToken) concerns(Answer) (thalweg.PipelineName, string) { return "", "token " + c.Name }

func (c *RevokeToken) apply(s *State) Answer {
	t := s.tokens[c.Name]
	if t == nil {
		return failure(thalweg.NotFound, c.name(), fmt.Sprintf("token %.80q", c.Name), "`thalweg token list` has those there are")
	}
	s.dropToken(t)
	return Answer{Changed: true}
}
