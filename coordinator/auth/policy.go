package auth

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/auth/pki"
)

// Over is what a route is about, by which the scope of a caller is checked.
type Over uint8

// What routes are about.
const (
	// OverNothing: no pipeline; any scope will do.
	OverNothing Over = iota
	// OverCluster: the cluster itself; only a scope of all pipelines will do.
	OverCluster
	// OverPipeline: the pipeline that Policy.Name finds in the message.
	OverPipeline
	// OverRun: the run that Policy.Name finds, or the newest of a pipeline of that name.
	OverRun
	// OverModel: the model that Policy.Name finds. It is of all pipelines that use it.
	OverModel
	// OverSpec: the pipeline and the model that a spec names; the handler checks them once
	// it has read it.
	OverSpec
	// OverList: the pipelines of the scope; the handler leaves out the others. Where
	// Policy.Name finds one, it has to be in the scope.
	OverList
	// OverJob: the job that Policy.Name finds.
	OverJob
	// OverWorker: the worker that Policy.Name finds has to be who calls.
	OverWorker
)

var overs = [...]string{"", "all pipelines", "the pipeline", "the run's pipeline", "pipelines with the model",
	"the spec's pipeline, and those with its model", "lists those in scope", "the job's pipeline", "the worker itself"}

func (o Over) String() string { return overs[min(int(o), len(overs)-1)] }

// Policy is who may call a route.
type Policy struct {
	// Route is the path, of an RPC or of a GET; all paths below it where it ends with a slash.
	Route string
	// Role is the least that a user needs; NoRole: users may not call it.
	Role Role
	// ByKind: the role is that of the kind of job which the route is about, if it is higher.
	ByKind bool
	// Nodes are the kinds of nodes that may call it besides.
	Nodes []string
	// Open: nobody has to say who it is.
	Open bool
	// Unlimited: the limit of a client's rate does not count it.
	Unlimited bool
	// MaxBytes bounds the body of a request; 0: small.
	MaxBytes int
	// Over is what the route is about, and Name finds it in the request's message.
	Over Over
	Name func(message any) string
}

// small bounds the body of requests that hold names and numbers.
const small = 64 << 10

// Bytes returns how many bytes a request's body may have, also once it is decompressed.
func (p Policy) Bytes() int { return cmp.Or(p.MaxBytes, small) }

// PolicyOf returns the policy of a path; false where there is none, which nobody may
// call.
func PolicyOf(path string) (Policy, bool) {
	i := slices.IndexFunc(policies[:], func(p Policy) bool {
		return p.Route == path || strings.HasSuffix(p.Route, "/") && strings.HasPrefix(path, p.Route)
	})
	if i < 0 {
		return Policy{}, false
	}
	return policies[i], true
}

// Policies returns all policies, in the order of the table.
func Policies() []Policy { return slices.Clone(policies[:]) }

// JobKinds returns the kinds of jobs, in the order of the table.
func JobKinds() (kinds []string) {
	for _, j := range jobs {
		kinds = append(kinds, j.kind)
	}
	return kinds
}

// JobRole returns the role that a kind of job takes for its pipeline; false where there is
// no such kind.
func JobRole(kind string) (Role, bool) {
	for _, j := range jobs {
		if j.kind == kind {
			return j.role, true
		}
	}
	return NoRole, false
}

// OfJob returns the policy as it is for a kind of job.
func (p Policy) OfJob(kind string) Policy {
	if role, ok := JobRole(kind); ok && p.ByKind {
		p.Role = max(p.Role, role)
	}
	return p
}

// Admit reports why somebody may not call the route at all, whatever the message.
func (p Policy) Admit(i Identity) error {
	switch {
	case p.Open, i.By == byLoopback:
		return nil
	case i.Kind == pki.User && p.Role != NoRole && i.Role() >= p.Role:
		return nil
	case i.Kind != pki.User && slices.Contains(p.Nodes, i.Kind):
		return nil
	}
	return p.forbidden(i, "")
}

// Permit reports why somebody may not call the route about something, which is of
// pipelines: for each of them it has to have the role.
func (p Policy) Permit(i Identity, of string, pipelines []string) error {
	if i.By == byLoopback {
		return nil
	}
	if i.Kind != pki.User {
		return p.Admit(i)
	}
	if !slices.ContainsFunc(pipelines, func(name string) bool { return !i.May(p.Role, name) }) {
		return nil
	}
	return p.forbidden(i, of)
}

// PermitCluster reports why somebody may not call a route about the cluster.
func (p Policy) PermitCluster(i Identity) error {
	if i.By == byLoopback || i.Kind != pki.User || i.MayAll(p.Role) {
		return nil
	}
	return p.forbidden(i, "all pipelines")
}

// PermitWorker reports why a worker may not call a route as the one that it says it is.
func (p Policy) PermitWorker(i Identity, name string) error {
	if i.By == byLoopback || i.Name == name {
		return nil
	}
	return &thalweg.Error{Op: "authorize", Kind: thalweg.Forbidden, Subject: i.String(), Err: fmt.Errorf("it calls as worker %.80q", name),
		Hint: "the worker's --id has to be the name in its certificate"}
}

func (p Policy) forbidden(i Identity, of string) error {
	need := "a coordinator or worker of the cluster"
	switch {
	case p.Role != NoRole && of != "":
		need = fmt.Sprintf("role %s for %s", p.Role, of)
	case p.Role != NoRole:
		need = "role " + p.Role.String()
	case len(p.Nodes) > 0:
		need = "the certificate of a " + p.Nodes[0]
	}
	has := ""
	if i.Kind == pki.User {
		var grants []string
		for _, g := range i.Grants {
			grants = append(grants, g.Role.String()+" of "+g.Pipelines.String())
		}
		has = ", which is " + cmp.Or(strings.Join(grants, " and "), "no user with a role")
	}
	return &thalweg.Error{Op: "authorize", Kind: thalweg.Forbidden, Subject: i.String() + has, Hint: "it needs " + need}
}
