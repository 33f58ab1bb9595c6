package models

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/jobs"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/evaluation"
	"github.com/thalweg/thalweg/storage/dataset"
	"github.com/thalweg/thalweg/worker/cluster"
)

func newCard(g *verb.Globals) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "card MODEL [VERSION] [--dir DIR]",
		Short: "Write a version's card in Markdown, champion's by default: data, spec, metrics, slices, warnings, limits, hashes",
		Example: "  thalweg models card flight-delays > card.md\n" +
			"  thalweg models card flight-delays 2 --dir ./card   # with curves as SVG\n" +
			"  thalweg models card flight-delays -o json",
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, args []string) (verb.Answer, error) {
			m, v, err := c.FindRegistered(cmd.Context(), args[0], cmp.Or(verb.Argument(args, 1), thalweg.DefaultAlias))
			if err != nil {
				return verb.Answer{}, err
			}
			card, err := readCard(cmd, c, m, v)
			if err == nil && dir != "" {
				err = card.write(dir)
			}
			return verb.Answer{Value: card, Table: card.markdown}, err
		}),
	}
	cmd.Flags().StringVar(&dir, "dir", "", "write card.md, card.json and the curves as SVG there too")
	return cmd
}

// card is what there is to know of a version.
type card struct {
	Model      string              `json:"model"`
	Aliases    []string            `json:"aliases"`
	Version    terminal.Message    `json:"version"`
	Provenance artifact.Provenance `json:"provenance"`
	Objects    []dataset.Object    `json:"objects"`
	// Skipped are the parts of the objects that were left out.
	Skipped []dataset.Skipped `json:"skipped,omitempty"`
	Spec    string            `json:"spec"`
	// Learnt is what cleaning steps have learnt from the training rows, by step.
	Learnt pipeline.Learnt `json:"learnt,omitempty"`
	// Evaluation is nil where the run's record is not kept any more.
	Evaluation *evaluation.Document `json:"evaluation,omitempty"`

	version *apiv1.ModelVersion
}

// readCard reads what the registry, the checkpoint and the evaluation say of a version.
func readCard(cmd *cobra.Command, c *cluster.Client, m *apiv1.Model, v *apiv1.ModelVersion) (*card, error) {
	out := &card{Model: m.Name, Aliases: aliasesOf(m, v.Version), Version: terminal.Message{Message: v}, version: v}
	parts, err := jobs.Checkpoint(cmd, c, m.Name, v)
	if err != nil {
		return out, err
	}
	out.Spec = string(parts[artifact.PartSpec])
	if err := json.Unmarshal(parts[artifact.PartProvenance], &out.Provenance); err != nil {
		return out, err
	}
	if data, ok := parts[artifact.PartSteps]; ok {
		if err := json.Unmarshal(data, &out.Learnt); err != nil {
			return out, err
		}
	}
	var manifest dataset.Manifest
	if data, ok := parts[artifact.PartDataset]; ok {
		if err := json.Unmarshal(data, &manifest); err != nil {
			return out, err
		}
		out.Objects, out.Skipped = manifest.Objects, manifest.Skipped()
	}
	res, err := c.GetRun(cmd.Context(), &apiv1.GetRunRequest{RunId: v.RunId})
	if thalweg.Is(err, thalweg.NotFound) { // the version outlives the record of its run
		return out, nil
	}
	if err != nil {
		return out, err
	}
	out.Evaluation, err = jobs.Evaluation(cmd, c, res.Run)
	return out, err
}

// write keeps the card and the curves in a directory.
func (d *card) write(dir string) error {
	var text strings.Builder
	d.markdown(&text)
	data, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return err
	}
	files := map[string][]byte{"card.md": []byte(text.String()), "card.json": append(data, '\n')}
	for _, c := range d.judged().Curves {
		files[c.Name+".svg"] = []byte(evaluation.SVG(c))
	}
	if d.Evaluation != nil && d.Evaluation.Search != nil {
		files["search.svg"] = []byte(evaluation.SearchSVG(d.Evaluation.Search))
	}
	_, err = terminal.WriteFiles(dir, files)
	return err
}

// judged returns what was measured on the rows that versions are judged by.
func (d *card) judged() (m evaluation.Measured) {
	if d.Evaluation != nil {
		m = d.Evaluation.Splits[d.Evaluation.Judged]
	}
	return m
}

// markdown writes the card.
func (d *card) markdown(w io.Writer) {
	v, p := d.version, d.Provenance
	fmt.Fprintf(w, "# %s, version %d\n\n", d.Model, v.Version)
	fmt.Fprintf(w, "Registered %s by run %s of pipeline %s, generation %d", terminal.Clock(v.RegisteredAtUnixMs), v.RunId, v.Pipeline, v.Generation)
	if len(d.Aliases) > 0 {
		fmt.Fprintf(w, "; it is %s", strings.Join(d.Aliases, ", "))
	}
	fmt.Fprintf(w, ".\n\n## Data\n\nObjects: %d, manifest sha256 `%s`. Rows learned from: %d.\n\n", len(d.Objects), p.Dataset, p.Rows["train"])
	const most = 20
	for _, o := range d.Objects[:min(most, len(d.Objects))] {
		fmt.Fprintf(w, "- `%s`, %d bytes\n", o.Key, o.SizeBytes)
	}
	if len(d.Objects) > most {
		fmt.Fprintf(w, "- and %d more\n", len(d.Objects)-most)
	}
	for _, s := range d.Skipped {
		fmt.Fprintf(w, "- left out: %s: %s\n", s.Place, s.Reason)
	}
	if l := p.Labels; l != nil {
		fmt.Fprintf(w, "- label file, %d rows, objects: %d, manifest sha256 `%s`:", l.Rows, l.Objects, l.Manifest)
		for _, o := range l.First[:min(most, len(l.First))] {
			fmt.Fprintf(w, " `%s`", o.Key)
		}
		fmt.Fprintln(w)
	}
	for _, l := range p.Lookups {
		fmt.Fprintf(w, "- table %s, %d rows, sha256 `%s`:", l.Name, l.Rows, l.SHA256)
		for _, o := range l.Objects[:min(most, len(l.Objects))] {
			fmt.Fprintf(w, " `%s`", o.Key)
		}
		fmt.Fprintln(w)
	}
	if len(d.Learnt) > 0 {
		fmt.Fprint(w, "\n## Cleaning\n\nLearnt from the training rows, by step:\n\n")
		byNumber := func(a, b string) int {
			return cmp.Or(cmp.Compare(strings.IndexByte(a, ' '), strings.IndexByte(b, ' ')), cmp.Compare(a, b))
		}
		for _, step := range slices.SortedFunc(maps.Keys(d.Learnt), byNumber) {
			fmt.Fprintf(w, "- %s: `%s`\n", step, strings.ReplaceAll(terminal.Shorten(string(d.Learnt[step]), 500), "`", "'"))
		}
	}
	if s := p.Privacy; s != nil {
		fmt.Fprintf(w, "\n## Privacy\n\nTrained by DP-SGD: ε = %.4g at δ = %.2g, after %d steps on samples of %.3g %% of the rows, with noise of %.3g times the clip norm.\n"+
			"It bounds what the weights tell of any one training row. Counts, statistics of features, names of values and metrics in this card and in the version are not covered.\n", s.Epsilon, s.Delta, s.Steps, 100*s.Rate, s.Noise)
	}
	d.measured(w)
	fmt.Fprint(w, "\n## Warnings\n\n")
	for _, text := range v.Warnings {
		fmt.Fprintf(w, "- %s\n", text)
	}
	if len(v.Warnings) == 0 {
		fmt.Fprintln(w, "None.")
	}
	fmt.Fprint(w, "\n## Limits\n\n"+
		"- The metrics hold for rows like those of the data above; other or later rows can differ.\n"+
		"- Only slices that the spec names were measured by themselves.\n"+
		"- Values that training never met are scored as unknown.\n")
	fmt.Fprintf(w, "\n## Hashes\n\n- model: `%s`\n- transform: `%s`\n- spec: `%s`\n- checkpoint: `%s`\n", v.ModelSha256, p.Transform, p.Spec, v.Checkpoint)
	fmt.Fprint(w, "\n## To reproduce\n\n")
	if p.Parent != nil {
		fmt.Fprintf(w, "Training started from version %d: write `warm_start: %d` in its trainer.\n", p.Parent.Version, p.Parent.Version)
	}
	if p.Imported != "" {
		fmt.Fprintf(w, "The trees are imported: `thalweg models import` the file of sha256 `%s` first.\n", p.Imported)
	}
	fmt.Fprintf(w, "Apply the spec below to the objects above, with any number of workers: seed %d and %d replicas give\nthe model of the same sha256.\n\n"+
		"    thalweg apply -f spec.yaml --wait\n    thalweg models show %s\n\n## Spec\n\n```yaml\n%s```\n", p.Seed, p.Replicas, d.Model, d.Spec)
}

// measured writes metrics, gates, fairness and slices.
func (d *card) measured(w io.Writer) {
	fmt.Fprint(w, "\n## Metrics\n\n")
	metrics := d.judged().Metrics
	if metrics == nil {
		fmt.Fprintln(w, "They are not kept any more.")
		return
	}
	fmt.Fprintf(w, "On the %s rows, with 95 %% intervals.\n\n| metric | value | from | to |\n|---|---|---|---|\n", d.Evaluation.Judged)
	for _, name := range slices.Sorted(maps.Keys(metrics)) {
		e := metrics[name]
		from, to := "", ""
		if e.Interval != nil {
			from, to = fmt.Sprintf("%.6g", e.Interval[0]), fmt.Sprintf("%.6g", e.Interval[1])
		}
		fmt.Fprintf(w, "| %s | %.6g | %s | %s |\n", name, e.Value, from, to)
	}
	if t := d.Evaluation.Threshold; t != nil {
		fmt.Fprintf(w, "\nPredictions are true from the probability %.6g on.\n", *t)
	}
	d.confused(w)
	if text := d.Evaluation.Calibration.Table(1 << 20); text != "" {
		fmt.Fprintf(w, "\n## Calibration\n\nMethod %s, fitted to %d validation rows that training did not look at.\n\n```\n%s\n```\n", d.Evaluation.Calibration.Method, d.Evaluation.Calibration.Rows, text)
	}
	if f := d.Evaluation.Folds; f != nil {
		writeFolds(w, f)
	}
	if r := d.Evaluation.Search; r != nil {
		fmt.Fprintf(w, "\n## Search\n\nThe spec below has the values of the best trial.\n\n```\n%s\n```\n", evaluation.SearchTable(r, 1<<20))
	}
	if len(d.Evaluation.Gates) > 0 {
		fmt.Fprint(w, "\n## Gates\n\n| gate | passed | found |\n|---|---|---|\n")
		for _, g := range d.Evaluation.Gates {
			fmt.Fprintf(w, "| %s | %v | %s |\n", markdownCell(g.Gate), g.Passed, markdownCell(g.Found))
		}
	}
	if text := d.Evaluation.Permutation.Table(1 << 20); text != "" {
		fmt.Fprintf(w, "\n## Inputs\n\nHow much worse a metric of %d %s rows is where the values of an input are shuffled among them.\n\n```\n%s\n```\n",
			d.Evaluation.Permutation.Rows, d.Evaluation.Judged, text)
	}
	if text := evaluation.FairnessTable(d.Evaluation.Fairness, 1<<20); text != "" {
		fmt.Fprintf(w, "\n## Fairness\n\n```\n%s\n```\n", text)
	}
	if len(d.Evaluation.Slices) == 0 {
		return
	}
	all := make(map[string]bool)
	for _, s := range d.Evaluation.Slices {
		for name := range s.Metrics {
			all[name] = true
		}
	}
	names := slices.Sorted(maps.Keys(all))
	fmt.Fprintf(w, "\n## Slices\n\n| slice | %s |\n|%s\n", strings.Join(names, " | "), strings.Repeat("---|", len(names)+1))
	for _, s := range d.Evaluation.Slices {
		cells := make([]string, len(names))
		for i, name := range names {
			cells[i] = s.Text(name)
		}
		fmt.Fprintf(w, "| %s | %s |\n", markdownCell(s.Name()), strings.Join(cells, " | "))
	}
	for _, text := range d.Evaluation.Skipped {
		fmt.Fprintf(w, "\n%s\n", text)
	}
}

// confused writes the confusion matrix, of very many classes the most frequent confusions.
func (d *card) confused(w io.Writer) {
	m := d.judged()
	rows := m.ConfusionRows()
	if rows == nil && m.Unconfused == "" {
		return
	}
	fmt.Fprintf(w, "\n## Confusion\n\n%s", m.Unconfused)
	if rows == nil {
		fmt.Fprintln(w)
	}
	for i, cells := range rows {
		for k := range cells {
			cells[k] = markdownCell(cells[k])
		}
		fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | "))
		if i == 0 {
			fmt.Fprintf(w, "|%s\n", strings.Repeat("---|", len(cells)))
		}
	}
}

// writeFolds writes what cross-validation found.
func writeFolds(w io.Writer, d *evaluation.Folds) {
	names := slices.Sorted(maps.Keys(d.Means))
	fmt.Fprintf(w, "\n## Cross-validation\n\nOf %d folds of the training and validation rows, each measured by a model of the others. The intervals\nare 95 %% ones of the mean.\n\n"+
		"| metric | mean | deviation | from | to |\n|---|---|---|---|---|\n", len(d.Folds))
	for _, name := range names {
		m := d.Means[name]
		from, to := "", ""
		if m.Interval != nil {
			from, to = fmt.Sprintf("%.6g", m.Interval[0]), fmt.Sprintf("%.6g", m.Interval[1])
		}
		fmt.Fprintf(w, "| %s | %.6g | %.6g | %s | %s |\n", name, m.Value, m.Deviation, from, to)
	}
	fmt.Fprintf(w, "\n| fold | trained | rows | %s |\n|%s\n", strings.Join(names, " | "), strings.Repeat("---|", len(names)+3))
	for i, f := range d.Folds {
		fmt.Fprintf(w, "| %d | %d | %d |", i+1, f.Trained, f.Rows)
		for _, name := range names {
			text := ""
			if v, ok := f.Metrics[name]; ok {
				text = fmt.Sprintf("%.6g", v)
			}
			fmt.Fprintf(w, " %s |", text)
		}
		fmt.Fprintln(w)
	}
}

// markdownCell is a text as it stands in a cell of a Markdown table.
func markdownCell(text string) string { return strings.NewReplacer("|", `\|`, "\n", " ").Replace(text) }
