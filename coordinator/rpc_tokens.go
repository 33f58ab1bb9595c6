package coordinator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/audit"
	"github.com/thalweg/thalweg/coordinator/auth"
	"github.com/thalweg/thalweg/coordinator/auth/pki"
	"github.com/thalweg/thalweg/coordinator/state"
)

// firstToken is the name of the token that a cluster begins with.
const firstToken = "admin"

// CreateToken registers a token by the hash of its secret.
func (s *service) CreateToken(ctx context.Context, req *apiv1.CreateTokenRequest) (*apiv1.CreateTokenResponse, error) {
	invalid := func(err error) error {
		return &thalweg.Error{Op: "create token", Kind: thalweg.Invalid, Subject: fmt.Sprintf("token %.80q", req.Name), Err: err}
	}
	role, err := auth.ParseRole(req.Role)
	if err != nil {
		return nil, invalid(err)
	}
	if err := auth.Scope(req.Pipelines).Validate(); err != nil {
		return nil, invalid(err)
	}
	cmd := &state.CreateToken{Name: req.Name, Hash: req.Sha256, Role: role.String(), Pipelines: req.Pipelines, ExpiresMS: req.ExpiresAtUnixMs}
	if _, err := s.c.mutate(ctx, cmd, req.RequestId); err != nil {
		return nil, err
	}
	s.c.log.Info("token created", "token", req.Name, "role", req.Role, "pipelines", req.Pipelines)
	return &apiv1.CreateTokenResponse{}, nil
}

// ListTokens lists the tokens in order of their names.
func (s *service) ListTokens(context.Context, *apiv1.ListTokensRequest) (*apiv1.ListTokensResponse, error) {
	resp := &apiv1.ListTokensResponse{}
	err := s.c.read(func(st *state.State) {
		nowMS := max(st.TimeMS(), s.c.cfg.Now().UnixMilli())
		for t := range st.Tokens() {
			resp.Tokens = append(resp.Tokens, &apiv1.Token{Name: t.Name, Role: t.Role, Pipelines: t.Pipelines,
				CreatedAtUnixMs: t.CreatedMS, ExpiresAtUnixMs: t.ExpiresMS, Expired: t.Expired(nowMS)})
		}
	})
	return resp, err
}

// RevokeToken forgets a token.
func (s *service) RevokeToken(ctx context.Context, req *apiv1.RevokeTokenRequest) (*apiv1.RevokeTokenResponse, error) {
	if _, err := s.c.mutate(ctx, &state.RevokeToken{Name: req.Name}, req.RequestId); err != nil {
		return nil, err
	}
	s.c.log.Info("token revoked", "token", req.Name)
	return &apiv1.RevokeTokenResponse{}, nil
}

// tokenOf returns the token whose secret has a hash, if it is good now: by the log's
// time and by this node's clock.
func (c *Coordinator) tokenOf(hash string) (auth.Token, error) {
	var t *state.Token
	var nowMS int64
	c.replica.view(func(s *state.State) {
		nowMS = max(s.TimeMS(), c.cfg.Now().UnixMilli())
		if found := s.TokenByHash(hash); found != nil {
			t = new(*found)
		}
	})
	if t == nil {
		return auth.Token{}, errors.New("the token is not known, or was revoked")
	}
	if t.Expired(nowMS) {
		return auth.Token{}, fmt.Errorf("token %s expired at %s", t.Name, time.UnixMilli(t.ExpiresMS).UTC().Format(time.RFC3339))
	}
	role, err := auth.ParseRole(t.Role)
	return auth.Token{Name: t.Name, Grant: auth.Grant{Role: role, Pipelines: t.Pipelines}}, err
}

// registerFirst registers the token that a cluster begins with.
func (c *Coordinator) registerFirst() error {
	if c.auth == nil || c.cfg.Auth.FirstToken == "" {
		return nil
	}
	made := true
	c.replica.view(func(s *state.State) { made = s.TokensMade() })
	if made {
		return nil
	}
	answer, err := c.commit(&audit.Caller{Kind: pki.Coordinator, Name: c.cfg.ID, By: "its configuration"},
		&state.CreateToken{Name: firstToken, Hash: c.cfg.Auth.FirstToken, Role: auth.Admin.String(), Pipelines: []string{"*"}, First: true}, "")
	if err == nil && answer.Changed {
		c.log.Info("the first token is registered", "token", firstToken)
	}
	return err
}
