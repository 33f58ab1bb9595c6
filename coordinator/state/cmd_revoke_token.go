package state

import (
	"fmt"

	"github.com/thalweg/thalweg"
)

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
