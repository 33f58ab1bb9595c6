package models

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/interval"
	"github.com/thalweg/thalweg/worker/cluster"
)

func newCompare(g *verb.Globals) *cobra.Command {
	return &cobra.Command{
		Use:   "compare MODEL VERSION [VERSION]",
		Short: "Compare two versions, the second champion by default: metrics with their difference, and what the specs differ in",
		Long: "compare shows the metrics of two versions, each a number or an alias, with the 95 % interval of\n" +
			"their difference, and the fields in which their specs differ. Each was measured on the test rows\n" +
			"of its own run. The interval assumes that these rows differ, and is too wide if they are the\n" +
			"same. A gate with versus: champion (evaluation.gates) measures both on the same rows.",
		Example: "  thalweg models compare flight-delays 1 2\n" +
			"  thalweg models compare flight-delays 1 -o json",
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, args []string) (verb.Answer, error) {
			m, a, err := c.FindRegistered(cmd.Context(), args[0], args[1])
			if err != nil {
				return verb.Answer{}, err
			}
			_, b, err := c.FindRegistered(cmd.Context(), args[0], cmp.Or(verb.Argument(args, 2), thalweg.DefaultAlias))
			if err != nil {
				return verb.Answer{}, err
			}
			out := compared{Model: m.Name, Versions: [2]uint64{a.Version, b.Version}, SameModel: a.ModelSha256 == b.ModelSha256, Metrics: compareMetrics(a.Metrics, b.Metrics)}
			if out.Changes, err = specChanges(cmd.Context(), c, a, b); thalweg.Is(err, thalweg.NotFound) {
				out.Unknown = true
			} else if err != nil {
				return verb.Answer{}, err
			}
			return verb.Answer{Value: out, Table: out.print}, nil
		}),
	}
}

// compared is how two versions differ.
type compared struct {
	Model    string    `json:"model"`
	Versions [2]uint64 `json:"versions"`
	// SameModel: their parameters have the same sha256.
	SameModel bool              `json:"same_model"`
	Metrics   []comparedMetric  `json:"metrics"`
	Changes   []pipeline.Change `json:"changes"`
	// Unknown: a spec is not kept any more, so what changed is not known.
	Unknown bool `json:"unknown_changes,omitempty"`
}

// comparedMetric is a metric that both versions have; Difference is the second less the
// first.
type comparedMetric struct {
	Name       string      `json:"name"`
	Values     [2]float64  `json:"values"`
	Difference float64     `json:"difference"`
	Interval   *[2]float64 `json:"interval,omitempty"`
}

// compareMetrics returns the metrics that both versions have, by name.
func compareMetrics(a, b map[string]float64) []comparedMetric {
	out := []comparedMetric{}
	for _, name := range slices.Sorted(maps.Keys(a)) {
		_, both := b[name]
		if !both || strings.HasPrefix(name, "train.") || terminal.MetricOf(a, name) != name {
			continue
		}
		m := comparedMetric{Name: name, Values: [2]float64{a[name], b[name]}, Difference: b[name] - a[name]}
		lowA, okA := a[name+".low"]
		lowB, okB := b[name+".low"]
		if okA && okB {
			of := interval.Difference(a[name], interval.Of{lowA, a[name+".high"]}, b[name], interval.Of{lowB, b[name+".high"]})
			m.Interval = &of
		}
		out = append(out, m)
	}
	return out
}

// specChanges returns the fields in which the specs of two versions differ; NotFound
// where one of them is not kept any more.
func specChanges(ctx context.Context, c *cluster.Client, a, b *apiv1.ModelVersion) ([]pipeline.Change, error) {
	var specs [2]*pipeline.Spec
	for i, v := range []*apiv1.ModelVersion{a, b} {
		res, err := c.GetPipeline(ctx, &apiv1.GetPipelineRequest{Name: v.Pipeline, Generation: v.Generation})
		if err != nil {
			return nil, err
		}
		if specs[i], err = pipeline.Parse(catalog.All(), v.Pipeline+".yaml", []byte(res.Pipeline.RenderedSpec)); err != nil {
			return nil, err
		}
	}
	changes, err := pipeline.Changes(specs[0], specs[1])
	return append([]pipeline.Change{}, changes...), err
}

func (d *compared) print(w io.Writer) {
	terminal.Row(w, "METRIC", fmt.Sprint("VERSION ", d.Versions[0]), fmt.Sprint("VERSION ", d.Versions[1]), "DIFFERENCE", "95 % INTERVAL")
	for _, m := range d.Metrics {
		interval := ""
		if m.Interval != nil {
			interval = fmt.Sprintf("%+.6g to %+.6g", m.Interval[0], m.Interval[1])
		}
		terminal.Row(w, m.Name, fmt.Sprintf("%.6g", m.Values[0]), fmt.Sprintf("%.6g", m.Values[1]), fmt.Sprintf("%+.6g", m.Difference), interval)
	}
	switch {
	case d.SameModel:
		fmt.Fprintln(w, "\nthe models are the same, bit for bit")
	case d.Unknown:
		fmt.Fprintln(w, "\nwhat changed in the spec is not known: one of the two is not kept any more")
	case len(d.Changes) == 0:
		fmt.Fprintln(w, "\nthe specs are the same")
	}
	if len(d.Changes) == 0 {
		return
	}
	const most = 40 // characters of a value
	terminal.Row(w, "\nFIELD", fmt.Sprint("VERSION ", d.Versions[0]), fmt.Sprint("VERSION ", d.Versions[1]))
	for _, c := range d.Changes {
		terminal.Row(w, c.Path, cmp.Or(terminal.Shorten(c.Before, most), "-"), cmp.Or(terminal.Shorten(c.After, most), "-"))
	}
}
