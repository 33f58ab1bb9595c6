package pipeline

import (
	"fmt"
	"slices"
	"strings"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/imported"
	"github.com/thalweg/thalweg/pipeline/spelling"
)

// Importer is options of a model that may have been grown elsewhere.
type Importer interface {
	// Imports returns the reference of what was imported, "" where nothing is.
	Imports() string
}

// Imports returns the reference of the model that the spec imports, or "".
func (s *Spec) Imports() string {
	if m, ok := s.Spec.Model.Options.(Importer); ok {
		return m.Imports()
	}
	return ""
}

// WithImported returns the plan whose model is an ensemble, and whose features enter
// as its inputs. It fails with Invalid where they are not the same.
func (p *Plan) WithImported(e *imported.Ensemble) (*Plan, error) {
	fail := func(format string, args ...any) error {
		return &thalweg.Error{Op: "import model", Kind: thalweg.Invalid, Subject: p.Spec.Imports(), Err: fmt.Errorf(format, args...),
			Hint: "input_features must be those that the model was trained with, by their names there"}
	}
	inputs := make(map[string]*imported.Input, len(e.Inputs))
	for i := range e.Inputs {
		inputs[e.Inputs[i].Name] = &e.Inputs[i]
	}
	out := *p
	out.Imported, out.Features = e, slices.Clone(p.Features)
	names := make([]string, len(out.Features))
	for i := range out.Features {
		f := &out.Features[i]
		names[i] = f.Name
		f.Imported = inputs[f.Name]
		delete(inputs, f.Name)
		if f.Imported == nil {
			return nil, fail("the model reads no feature %q%s", f.Name, spelling.Hint(f.Name, func(yield func(string) bool) {
				for i := range e.Inputs {
					if !yield(e.Inputs[i].Name) {
						return
					}
				}
			}))
		}
		if _, bins := f.Options.Encoder.Options.(Binner); f.Type == inputNumber && !bins {
			return nil, fail("feature %q has the encoder %s: trees split bins, leave it out", f.Name, f.Options.Encoder.Name)
		}
		if want := map[bool]string{true: inputCategory, false: inputNumber}[f.Imported.Category()]; f.Type != want {
			return nil, fail("feature %q is a %s in the spec and a %s in the model", f.Name, f.Type, want)
		}
	}
	for i := range e.Inputs {
		if _, missing := inputs[e.Inputs[i].Name]; missing {
			return nil, fail("the model reads a feature %q, the spec has %s", e.Inputs[i].Name, strings.Join(names, ", "))
		}
	}
	return &out, nil
}
