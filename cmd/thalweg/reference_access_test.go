package main

import (
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/auth"
	"github.com/thalweg/thalweg/coordinator/auth/pki"
	"github.com/thalweg/thalweg/worker/jobs"
)

// accessReference is the table of who may call what.
func accessReference() string {
	var b strings.Builder
	b.WriteString("# Who may call what\n\n" + generatedMark + "\nCalls are POSTs to `/" + apiv1.CoordinatorServiceName + "/…`; what begins with `/` is a path of its\nown, and all below it if it ends with `/`. A user has roles for\n" +
		"pipelines ([security](../security.md)); \"about\" says which of them a call needs its role for. What is\nnot in the table is refused to everybody.\n\n")
	tableHead(&b, slices.Concat([]string{"Route"}, auth.RoleNames(), []string{pki.Worker, "without credentials", "KiB of body", "About"})...)
	for _, p := range auth.Policies() {
		name := p.Route
		if strings.HasPrefix(name, "/"+apiv1.CoordinatorServiceName) {
			name = path.Base(name)
		}
		row := []string{code(name)}
		mark := func(may bool) { row = append(row, map[bool]string{true: "yes"}[may]) }
		for _, role := range auth.RoleNames() {
			r, _ := auth.ParseRole(role)
			mark(p.Open || p.Role != auth.NoRole && r >= p.Role)
		}
		mark(p.Open || slices.Contains(p.Nodes, pki.Worker))
		mark(p.Open)
		tableRow(&b, append(row, strconv.Itoa(p.Bytes()>>10), p.Over.String())...)
	}
	b.WriteString("\nA job takes the role of its kind, to start it (`StartJob`) and to cancel it (`CancelJob`).\n\n")
	tableHead(&b, append([]string{"Kind of job"}, auth.RoleNames()...)...)
	for _, kind := range auth.JobKinds() {
		need, _ := auth.JobRole(kind)
		row := []string{code(kind)}
		for _, role := range auth.RoleNames() {
			r, _ := auth.ParseRole(role)
			row = append(row, map[bool]string{true: "yes"}[r >= need])
		}
		tableRow(&b, row...)
	}
	return b.String()
}

// TestEachKindOfJobHasARole: what workers can do and who may ask for it are two tables.
func TestEachKindOfJobHasARole(t *testing.T) {
	var can []string
	for _, k := range jobs.Kinds() {
		can = append(can, k.Name)
	}
	if may := auth.JobKinds(); !slices.Equal(can, may) {
		t.Errorf("workers carry out %q, and there are roles for %q", can, may)
	}
}
