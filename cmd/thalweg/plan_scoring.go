package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/jobs"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/throughput"
	"github.com/thalweg/thalweg/worker/cluster"
)

// plannedScoring is how many rows a second a version scores on one core, without and with
// explanations and samples, of features and predictions alone, or why that was not measured.
type plannedScoring struct {
	Version    thalweg.ModelVersion `json:"version,omitempty"`
	Unmeasured string               `json:"unmeasured,omitempty"`
	throughput.Rates
}

// scoringOf measures the champion. That it cannot is no error of a plan.
func scoringOf(cmd *cobra.Command, c *cluster.Client, spec *pipeline.Spec) *plannedScoring {
	samples, _ := spec.Uncertainty().(pipeline.SamplingSpec)
	if spec.Spec.Scoring == nil || spec.Explains() == 0 && samples == nil {
		return nil
	}
	out := new(plannedScoring)
	m, v, err := c.FindRegistered(cmd.Context(), spec.Spec.Registry.Model, thalweg.DefaultAlias)
	if thalweg.Is(err, thalweg.NotFound) {
		out.Unmeasured = "there is no champion yet"
		return out
	}
	var a *artifact.Artifact
	if err == nil {
		a, err = jobs.Artifact(cmd, c, m.Name, v)
	}
	if err == nil && samples != nil {
		_, why, _ := samples.Refuses(a.Spec.Spec.Model.Options, a.Spec.Spec.OutputFeatures[0].Loss.Options, a.Answer().Type)
		if why != "" {
			err = fmt.Errorf("version %d is of another kind: %s", v.Version, why)
		}
	}
	if err == nil {
		out.Version = thalweg.ModelVersion(v.Version)
		out.Rates, err = throughput.Measure(cmd.Context(), a, spec.Explains(), samples)
	}
	if err != nil {
		out.Unmeasured = err.Error()
	}
	return out
}

// print says what explanations and samples leave of the speed of scoring.
func (s *plannedScoring) print(w io.Writer) {
	switch {
	case s == nil:
	case s.Unmeasured != "":
		fmt.Fprintf(w, "what explanations and samples leave of the stream's rate is not measured: %s\n", s.Unmeasured)
	default:
		fmt.Fprintf(w, "explanations and samples leave %.0f rows a second of %.0f (%.0f %%): version %d, scoring alone, without reading, decoding, cleaning and writing, on one core of this machine\n",
			s.With, s.Plain, 100*s.With/s.Plain, s.Version)
	}
}
