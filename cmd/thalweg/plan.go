package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/worker/cluster"
)

func newPlan(g *verb.Globals) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "plan -f SPEC",
		Short: "Say what apply would do: each changed field, and its effect",
		Long: "plan says what apply would do, and changes nothing. Where rows are to be explained, or predicted\n" +
			"several times, it says how many rows a second the champion scores with and without that: measured\n" +
			"for a moment, on one core of the machine that plan runs on, with rows drawn from what training saw.\n" +
			"Reading, cleaning and writing come on top, so that a worker's stream does less on a core.",
		Example: "  thalweg plan -f flights.yaml\n" +
			"  thalweg plan -f flights.yaml -o json",
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, _ []string) (verb.Answer, error) {
			spec, text, err := verb.ParseSpec(file)
			if err != nil {
				return verb.Answer{}, err
			}
			if _, err := c.Apply(cmd.Context(), &apiv1.ApplyRequest{Spec: text, File: file, DryRun: true}); err != nil {
				return verb.Answer{}, err
			}
			p, err := planOf(cmd.Context(), c, spec)
			if err == nil {
				p.Scoring = scoringOf(cmd, c, spec)
			}
			return verb.Answer{Value: p, Table: p.print}, err
		}),
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "the spec, - for standard input")
	verb.Must(cmd.MarkFlagRequired("file"))
	return cmd
}

// plan is what applying a spec does.
type plan struct {
	Pipeline   string `json:"pipeline"`
	Generation uint64 `json:"generation"` // the newest; 0: the pipeline is new
	Trains     bool   `json:"trains"`
	// Deleted is the pipeline of that name that was deleted before; nil: there is none.
	Deleted *apiv1.DeletedPipeline `json:"deleted,omitempty"`
	Changes []plannedChange        `json:"changes"`
	// Cleans: runs write a table of cleaned rows.
	Cleans bool `json:"cleans,omitempty"`
	// SchedulePaused: the pipeline's schedule is, and the spec's will be.
	SchedulePaused bool `json:"schedule_paused,omitempty"`
	// Scoring is what explanations and samples leave of the speed of scoring; nil where the
	// spec wants neither.
	Scoring *plannedScoring `json:"scoring,omitempty"`
	// Search is how many trials there are, and what they are compared by.
	Search string `json:"search,omitempty"`
	// Privacy is what noise private training has, and what averaging costs of it.
	Privacy string `json:"privacy,omitempty"`
}

type plannedChange struct {
	pipeline.Change
	Effect string `json:"effect"`
}

// planOf compares a spec with the newest of its pipeline.
func planOf(ctx context.Context, c *cluster.Client, spec *pipeline.Spec) (*plan, error) {
	p := &plan{Pipeline: spec.Metadata.Name, Trains: true, Cleans: !spec.Trains(), Changes: []plannedChange{}, Search: spec.SearchText(), Privacy: spec.PrivacyText()}
	res, err := c.GetPipeline(ctx, &apiv1.GetPipelineRequest{Name: p.Pipeline})
	if thalweg.Is(err, thalweg.NotFound) {
		all, err := c.ListPipelines(ctx, &apiv1.ListPipelinesRequest{})
		for _, d := range all.GetDeleted() {
			if d.Name == p.Pipeline {
				p.Deleted = d
			}
		}
		return p, err
	}
	if err != nil {
		return nil, err
	}
	p.Generation = res.Pipeline.Generation
	p.SchedulePaused = spec.Spec.Schedule != nil && res.Pipeline.Timetable.GetPaused()
	now, err := pipeline.Parse(catalog.All(), p.Pipeline+".yaml", []byte(res.Pipeline.RenderedSpec))
	if err != nil {
		return nil, err
	}
	changes, err := pipeline.Changes(now, spec)
	if err != nil {
		return nil, err
	}
	p.Trains = false
	for _, change := range changes {
		p.Changes = append(p.Changes, plannedChange{change, effectOf(change, spec)})
		p.Trains = p.Trains || change.Trains
	}
	return p, nil
}

// effects are what changes of the stream's half do that do more than take effect:
// by the beginning and the end of their paths.
var effects = []struct{ from, to, says string }{
	{"spec.sources.events.", ".topic", "the stream of the topic until now ends, and that of the new one begins"},
	{"spec.sources.events.connection", "", "the stream goes on with the brokers there, if the topic is the same one"},
	{"spec.sources.events.", ".start_offset", "only partitions without a log begin there"},
	{"spec.trainer.keep_checkpoints", "", "checkpoints of older versions are collected, or kept, from now on"},
	{"spec.trainer.distributed.straggler", "", "for runs that start from now on"},
	{"spec.tests[", ".store_failures", "for runs that start from now on"},
	{"spec.output.retention", "", "for runs that start from now on"},
	{"spec.schedule", "", "runs start by it from now on"},
	{"metadata.labels", "", "kept for show"},
}

// protects reports a change that gives a column pii.
func protects(c pipeline.Change) bool { return strings.HasSuffix(c.Path, ".pii") && c.Before == "" }

func effectOf(c pipeline.Change, after *pipeline.Spec) string {
	events := after.Spec.Sources.Events.Reading()
	switch {
	case events != nil && !c.Trains && (c.Path == "spec.scoring.sink.s3.path" || c.Path == "spec.scoring.sink.connection"):
		again := "all events that the topic still has are scored again"
		if events.StartOffset == "latest" {
			again = "events that are not scored by then are in neither"
		}
		return "rows, log and table until now stay where they are; new ones begin there (or go on, if the pipeline was there before), at start_offset " + events.StartOffset + ": " + again
	case strings.HasPrefix(c.Path, "spec.scoring.output_columns"), strings.HasPrefix(c.Path, "spec.scoring.explanations"):
		return "a version is trained anew, whose rows have these columns; the table gets new ones and keeps old ones, null in the other rows"
	case protects(c):
		return "a version is trained anew; events wait until it is promoted, as the one before would leave values as they are"
	case c.Trains && !after.Trains():
		return "the table is written anew"
	case c.Trains:
		return "a version is trained anew"
	}
	for _, e := range effects {
		if strings.HasPrefix(c.Path, e.from) && strings.HasSuffix(c.Path, e.to) {
			return e.says
		}
	}
	return "in place, with the next batch"
}

func (p *plan) print(w io.Writer) {
	defer p.Scoring.print(w)
	if p.Search != "" && p.Trains {
		defer fmt.Fprintln(w, "search:", p.Search)
	}
	if p.Privacy != "" && p.Trains {
		defer fmt.Fprintln(w, "privacy:", p.Privacy)
	}
	switch {
	case p.Generation == 0 && p.Cleans:
		fmt.Fprintf(w, "%s is new: a run begins, which cleans the rows and writes their table\n", p.Pipeline)
		p.printDeleted(w)
		return
	case p.Generation == 0:
		fmt.Fprintf(w, "%s is new: a training run begins, and its stream once a version is registered\n", p.Pipeline)
		p.printDeleted(w)
		return
	case len(p.Changes) == 0:
		fmt.Fprintf(w, "%s is unchanged at generation %d\n", p.Pipeline, p.Generation)
		p.printPause(w)
		return
	}
	p.printChanges(w)
	what := "no run, unless no version of this training half is registered; the stream keeps its version"
	if p.Trains {
		what = "a training run begins; the stream goes on with the version that it has until a new one is registered"
	}
	switch {
	case p.Cleans && p.Trains:
		what = "a run begins, which writes what has changed; the table stays as it is until all rows are there"
	case p.Cleans:
		what = "no run, unless none has written the table"
	}
	if slices.ContainsFunc(p.Changes, func(c plannedChange) bool { return protects(c.Change) }) && !p.Cleans {
		what = "a training run begins; the stream waits until its version is promoted"
	}
	fmt.Fprintf(w, "generation %d: %s\n", p.Generation+1, what)
	p.printPause(w)
}

// printPause says that the schedule is paused, if it is.
func (p *plan) printPause(w io.Writer) {
	if p.SchedulePaused {
		fmt.Fprintf(w, "the schedule is paused: no run starts by it until thalweg schedule resume %s\n", p.Pipeline)
	}
}

// printEffect is what apply prints of a plan.
func (p *plan) printEffect(w io.Writer) {
	if len(p.Changes) > 0 {
		p.printChanges(w)
	}
	p.printPause(w)
	p.printDeleted(w)
}

// printDeleted says what a pipeline of the same name that was deleted means for this
// one.
func (p *plan) printDeleted(w io.Writer) {
	if d := p.Deleted; d != nil {
		fmt.Fprintf(w, "a pipeline of that name was deleted at %s: %s\n", terminal.Clock(d.DeletedAtUnixMs), afterDeletion(p.Pipeline, d.Generation, d.Purged))
	}
}

func (p *plan) printChanges(w io.Writer) {
	const most = 40 // characters of a value
	terminal.Row(w, "FIELD", "NOW", "WANTED", "EFFECT")
	for _, c := range p.Changes {
		terminal.Row(w, c.Path, cmp.Or(terminal.Shorten(c.Before, most), "-"), cmp.Or(terminal.Shorten(c.After, most), "-"), c.Effect)
	}
	fmt.Fprintln(w)
}
