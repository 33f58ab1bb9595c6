package auth

import (
	"fmt"
	"slices"
	"strings"

	"github.com/thalweg/thalweg"
)

// Role says what a user may do. A higher one may do all that a lower one may.
type Role uint8

// The roles, from the lowest.
const (
	NoRole    Role = iota
	Reader         // looks
	Submitter      // applies specs, and starts and cancels runs
	Operator       // promotes versions, pauses streams and schedules, deletes pipelines
	Admin          // makes tokens, and reads the audit log
)

var roleNames = [...]string{"none", "reader", "submitter", "operator", "admin"}

func (r Role) String() string { return roleNames[min(int(r), len(roleNames)-1)] }

// RoleNames are the roles that users can have, from the lowest.
func RoleNames() []string { return slices.Clone(roleNames[1:]) }

// ParseRole is the inverse of String, for roles that users can have.
func ParseRole(name string) (Role, error) {
	if i := slices.Index(roleNames[1:], name); i >= 0 {
		return Role(i + 1), nil
	}
	return NoRole, &thalweg.Error{Op: "read role", Kind: thalweg.Invalid, Subject: fmt.Sprintf("%.80q", name), Hint: "one of " + strings.Join(roleNames[1:], ", ")}
}

// maxScopeBytes is the longest name of a pipeline, and a star.
const maxScopeBytes = 64

// Scope is the pipelines that somebody may do something with: their names, or what
// their names begin with, followed by *. The empty scope has none.
type Scope []string

// Everything is the scope of all pipelines and of the cluster itself.
var everything = Scope{"*"}

// Has reports whether a pipeline is in the scope.
func (s Scope) Has(pipeline string) bool {
	return slices.ContainsFunc(s, func(p string) bool {
		prefix, open := strings.CutSuffix(p, "*")
		return open && strings.HasPrefix(pipeline, prefix) || p == pipeline && pipeline != ""
	})
}

// All reports whether the scope has all pipelines.
func (s Scope) All() bool { return slices.Contains(s, "*") }

func (s Scope) String() string { return strings.Join(s, ",") }

// Validate reports the first thing that is wrong with s.
func (s Scope) Validate() error {
	for _, p := range s {
		strange := func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(",=:", r) }
		if p == "" || len(p) > maxScopeBytes || strings.Contains(strings.TrimSuffix(p, "*"), "*") || strings.ContainsFunc(p, strange) {
			return &thalweg.Error{Op: "read scope", Kind: thalweg.Invalid, Subject: fmt.Sprintf("%.80q", p), Hint: "the name of a pipeline, or what names begin with and *"}
		}
	}
	if len(s) == 0 {
		return &thalweg.Error{Op: "read scope", Kind: thalweg.Invalid, Subject: "pipelines", Hint: "at least one; * for all"}
	}
	return nil
}

// Grant is a role for the pipelines of a scope.
type Grant struct {
	Role      Role
	Pipelines Scope
}

// ParseGrant reads role[:pipeline[:pipeline…]]; without pipelines it is for all.
func ParseGrant(text string) (Grant, error) {
	name, scope, scoped := strings.Cut(text, ":")
	role, err := ParseRole(name)
	if err != nil {
		return Grant{}, err
	}
	g := Grant{Role: role, Pipelines: everything}
	if scoped {
		g.Pipelines = strings.Split(scope, ":")
	}
	return g, g.Pipelines.Validate()
}

func (g Grant) String() string { return g.Role.String() + ":" + g.Pipelines.String() }
