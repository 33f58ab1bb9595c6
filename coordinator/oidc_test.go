package coordinator

import (
	"net/http"
	"strings"
	"testing"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/auth"
	"github.com/thalweg/thalweg/coordinator/auth/authtest"
)

// TestATokenOfAnIssuerOpensAtEachCoordinator: the leader verifies what a follower passes
// on, and the audit log names who it was.
func TestATokenOfAnIssuerOpensAtEachCoordinator(t *testing.T) {
	t.Parallel()
	from := authtest.New(t)
	secret := auth.NewSecret()
	c := newCluster(t, 3, func(cfg *Config) { cfg.Auth = takingToo(closedTo(secret), from) })
	c.opens(secret)
	admin := c.client()
	ada := from.Token("ada", map[string]any{"groups": []string{"flights"}, "email": "ada@example.org"})
	for _, p := range c.peers {
		client := c.with(ada, p.ID)
		if _, err := client.ListPipelines(c.ctx(), &apiv1.ListPipelinesRequest{}); err != nil {
			t.Errorf("by %s: %v", p.ID, err)
		}
		_, err := client.Apply(c.ctx(), &apiv1.ApplyRequest{Spec: specText("flights-"+p.ID, 1)})
		if err != nil {
			t.Errorf("by %s: %v", p.ID, err)
		}
		_, err = client.Apply(c.ctx(), &apiv1.ApplyRequest{Spec: specText("rides", 1)})
		if !thalweg.Is(err, thalweg.Forbidden) || !strings.Contains(err.Error(), from.URL+"#ada (ada@example.org), which is operator of flights*") {
			t.Errorf("by %s, out of scope: %v", p.ID, err)
		}
		_, err = c.with(from.Token("ada", nil), p.ID).ListPipelines(c.ctx(), &apiv1.ListPipelinesRequest{})
		if !thalweg.Is(err, thalweg.Forbidden) || !strings.Contains(err.Error(), "claim groups") {
			t.Errorf("by %s, without groups: %v", p.ID, err)
		}
		_, err = c.with(from.Token("ada", map[string]any{"aud": "other"}), p.ID).ListPipelines(c.ctx(), &apiv1.ListPipelinesRequest{})
		if !thalweg.Is(err, thalweg.Unauthenticated) {
			t.Errorf("by %s, for another audience: %v", p.ID, err)
		}
	}
	log, err := admin.ListAudit(c.ctx(), &apiv1.ListAuditRequest{Caller: from.URL + "#ada (ada@example.org)"})
	if err != nil || len(log.Records) != len(c.peers) {
		t.Fatalf("%v, %v", log, err)
	}
	for _, r := range log.Records {
		if r.By != "oidc" || r.Role != "operator" || r.Command != "apply spec" {
			t.Errorf("%v", r)
		}
	}
}

// TestCoordinatorsServeWithoutTheIssuer: they start, others are served, and nothing is
// opened.
func TestCoordinatorsServeWithoutTheIssuer(t *testing.T) {
	t.Parallel()
	from := authtest.New(t)
	down := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	from.Answer.Store(&down)
	secret := auth.NewSecret()
	c := newCluster(t, 1, func(cfg *Config) { cfg.Auth = takingToo(closedTo(secret), from) })
	c.opens(secret)
	_, err := c.with(from.Token("root", map[string]any{"groups": "ops"})).ListPipelines(c.ctx(), &apiv1.ListPipelinesRequest{})
	if !thalweg.Is(err, thalweg.Unauthenticated) || !strings.Contains(err.Error(), from.URL) {
		t.Errorf("%v", err)
	}
	if _, err := c.client().ListPipelines(c.ctx(), &apiv1.ListPipelinesRequest{}); err != nil {
		t.Errorf("with a token of the cluster: %v", err)
	}
}
