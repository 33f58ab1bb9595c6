package worker

import (
	"context"
	"path"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/onnx"
	"github.com/thalweg/thalweg/storage/checkpoint"
)

// exportFormat is a format that versions are kept in besides their own.
type exportFormat struct {
	// check reports what of a spec has no form in it, before anything is trained.
	check  func(spec *pipeline.Spec) error
	export func(a *artifact.Artifact) ([]byte, error)
}

// exportFormats are the formats, by what specs call them. To add one is a line here, and
// a name in package pipeline.
func exportFormats() map[pipeline.ExportFormat]exportFormat {
	return map[pipeline.ExportFormat]exportFormat{
		pipeline.ONNX: {onnx.Check, func(a *artifact.Artifact) ([]byte, error) {
			m, err := onnx.Export(a)
			if err != nil {
				return nil, err
			}
			return m.Bytes, nil
		}},
	}
}

// exports reports whether a spec wants versions in other formats.
func exports(spec *pipeline.Spec) bool { return len(spec.Spec.Registry.Export) > 0 }

// checkExports refuses a spec whose versions have no form in a format that it wants.
func checkExports(_ *stages.Plan, spec *pipeline.Spec, _ map[string]string) error {
	for _, format := range spec.Spec.Registry.Export {
		if err := exportFormats()[format].check(spec); err != nil {
			return err
		}
	}
	return nil
}

// runExport keeps the version in other formats beside its checkpoint, for as long as that is
// kept. Their bytes follow from the checkpoint's, so that any worker writes the same ones.
func runExport(ctx context.Context, t *Task) error {
	trained, err := t.worker.artifact(ctx, t.Lease.Inputs["checkpoint"])
	if err != nil {
		return err
	}
	of, err := thalweg.ParseObjectRef(t.Lease.Inputs["checkpoint"])
	if err != nil {
		return err
	}
	for _, format := range trained.Spec.Spec.Registry.Export {
		body, err := exportFormats()[format].export(trained)
		if err != nil {
			return err
		}
		ref, err := checkpoint.PutObject(ctx, t.worker.state, path.Join(path.Dir(of.Key), "model."+string(format)), body)
		if err != nil {
			return err
		}
		t.Report.Outputs[stages.ExportOutput+string(format)] = ref.String()
	}
	return nil
}
