package coordinator

import (
	"cmp"
	"context"
	"slices"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/state"
	"github.com/thalweg/thalweg/coordinator/view"
	"github.com/thalweg/thalweg/pipeline/spelling"
)

// ListModels lists models with their versions, oldest first, and aliases.
func (s *service) ListModels(ctx context.Context, req *apiv1.ListModelsRequest) (*apiv1.ListModelsResponse, error) {
	resp := &apiv1.ListModelsResponse{}
	var names []string
	err := s.c.read(func(st *state.State) {
		for m := range st.Models() {
			seen := slices.ContainsFunc(withModel(st, string(m.Name)), func(p string) bool { return sees(ctx, p) })
			if !seen || m.Retired() && !req.Retired {
				continue
			}
			names = append(names, string(m.Name))
			if req.Model == "" || string(m.Name) == req.Model {
				resp.Models = append(resp.Models, modelView(m, req.Retired))
			}
		}
	})
	if err == nil && req.Model != "" && len(resp.Models) == 0 {
		err = &thalweg.Error{Op: "list models", Kind: thalweg.NotFound, Subject: "model " + req.Model,
			Hint: cmp.Or(spelling.Hint(req.Model, slices.Values(names)),
				"a version is registered by a run that succeeds: `thalweg runs` shows them, `thalweg models` the models that there are")}
	}
	return resp, err
}

func modelView(m *state.Model, retired bool) *apiv1.Model {
	v := &apiv1.Model{Name: string(m.Name), Aliases: make(map[string]uint64), Replaced: make(map[string]*apiv1.Versions)}
	for _, version := range m.Versions {
		if retired || !version.Retired {
			v.Versions = append(v.Versions, view.Version(version))
		}
	}
	for name, a := range m.Aliases {
		v.Aliases[name], v.Replaced[name] = uint64(a.Version), new(apiv1.Versions)
		for _, replaced := range a.Replaced {
			v.Replaced[name].Versions = append(v.Replaced[name].Versions, uint64(replaced))
		}
	}
	return v
}
