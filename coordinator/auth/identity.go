package auth

import (
	"cmp"
	"context"
	"slices"

	"github.com/thalweg/thalweg/coordinator/audit"
	"github.com/thalweg/thalweg/coordinator/auth/pki"
)

// How a caller proved who it is.
const (
	byToken       = "token"
	byCertificate = "certificate"
	byOIDC        = "oidc"
	// byLoopback: it did not have to.
	byLoopback = "loopback"
)

// Identity is who calls, and what it may do.
type Identity struct {
	Kind   string  // pki.User, pki.Worker or pki.Coordinator
	Name   string  // of a token, in a certificate, or issuer#subject
	Label  string  // what people know it by, for show; empty: its name
	Grants []Grant // of a user
	By     string  // how it is known
	Remote string  // host:port that it calls from
}

// Anyone is who calls where nobody has to prove who it is.
func Anyone(remote string) Identity {
	return Identity{Kind: pki.User, Name: "anyone", Grants: []Grant{{Admin, everything}}, By: byLoopback, Remote: remote}
}

func (i Identity) String() string { return i.Kind + " " + i.shown() }

func (i Identity) shown() string {
	if i.Label == "" {
		return i.Name
	}
	return i.Name + " (" + i.Label + ")"
}

// May reports whether the identity has a role for a pipeline.
func (i Identity) May(role Role, pipeline string) bool {
	return slices.ContainsFunc(i.Grants, func(g Grant) bool { return g.Role >= role && g.Pipelines.Has(pipeline) })
}

// MayAll reports whether the identity has a role for all pipelines, and so for the
// cluster.
func (i Identity) MayAll(role Role) bool {
	return slices.ContainsFunc(i.Grants, func(g Grant) bool { return g.Role >= role && g.Pipelines.All() })
}

// Role returns the highest role that the identity has for anything.
func (i Identity) Role() Role {
	if len(i.Grants) == 0 {
		return NoRole
	}
	return slices.MaxFunc(i.Grants, func(a, b Grant) int { return cmp.Compare(a.Role, b.Role) }).Role
}

// Caller returns the identity as the audit log has it.
func (i Identity) Caller(request string) audit.Caller {
	c := audit.Caller{Kind: i.Kind, Name: i.shown(), By: i.By, Remote: i.Remote, Request: request}
	if i.Kind == pki.User {
		c.Role = i.Role().String()
	}
	return c
}

// identityKey is the context's key of the identity.
type identityKey struct{}

// NewContext returns a context with the identity of who calls.
func NewContext(ctx context.Context, i Identity) context.Context {
	return context.WithValue(ctx, identityKey{}, i)
}

// FromContext returns the identity of who calls; nobody, who may do nothing, where the
// context has none.
func FromContext(ctx context.Context) Identity {
	i, _ := ctx.Value(identityKey{}).(Identity)
	return i
}
