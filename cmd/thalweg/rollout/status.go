package rollout

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/worker/cluster"
)

func newStatus(g *verb.Globals) *cobra.Command {
	return &cobra.Command{
		Use:   "status PIPELINE",
		Short: "Show the rollout that goes on, or the last, with its verdicts",
		Long: "status shows which share of the rows the candidate has, what was counted of both versions\n" +
			"since the last verdict, and each verdict with its numbers, their intervals of 95 % and the\n" +
			"bounds of spec.rollout.rollback_if.",
		Example: "  thalweg rollout status flight-delays",
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, args []string) (verb.Answer, error) {
			res, err := c.GetPipeline(cmd.Context(), &apiv1.GetPipelineRequest{Name: args[0]})
			if err != nil {
				return verb.Answer{}, err
			}
			r := res.Pipeline.Rollout
			if r == nil {
				return verb.Answer{}, &thalweg.Error{Op: "rollout status", Kind: thalweg.NotFound, Subject: "pipeline " + args[0],
					Hint: "there was no rollout: one begins when a version is registered whose spec has rollout (`thalweg explain spec.rollout`)"}
			}
			return verb.Answer{Value: r, Table: func(w io.Writer) { show(w, r, time.Now()) }}, nil
		}),
	}
}

// show prints a rollout on a screen.
func show(w io.Writer, r *apiv1.Rollout, now time.Time) {
	ago := func(ms int64) string { return humanize.RelTime(time.UnixMilli(ms), now, "ago", "from now") }
	fmt.Fprintf(w, "model %s: version %d takes over %s from version %d, as a %s\n", r.Model, r.Candidate, r.Alias, r.Champion, r.Strategy)
	state := r.State
	if r.Why != "" {
		state += ": " + r.Why
	}
	fmt.Fprintf(w, "%s (began %s)\n", state, ago(r.BeganAtUnixMs))
	if r.EndedAtUnixMs == 0 {
		steps := make([]string, len(r.Steps))
		for i, s := range r.Steps {
			if steps[i] = fmt.Sprintf("%d %%", s); s == r.Percent {
				steps[i] = "[" + steps[i] + "]"
			}
		}
		by := r.By
		if by == "" {
			by = "the record's key"
		}
		fmt.Fprintf(w, "steps %s of the rows, by %s; judged every %s, %s rows of each version; %d of %d bad verdicts; inconclusive: %s\n", strings.Join(steps, ", "), by,
			time.Duration(r.IntervalMs)*time.Millisecond, humanize.Comma(r.MinRows), r.Failures, r.FailureLimit, r.OnInconclusive)
		fmt.Fprintf(w, "bad if %s\n", strings.Join(r.Conditions, ", or "))
		if len(r.Arms) > 0 {
			terminal.Row(w, "\nSINCE THE LAST VERDICT", "ROWS", "DEAD")
			for _, a := range r.Arms {
				terminal.Row(w, a.Arm, humanize.Comma(a.Events), humanize.Comma(a.Dead))
			}
		}
	}
	if len(r.Verdicts) == 0 {
		return
	}
	terminal.Row(w, "\nVERDICT", "SHARE", "OUTCOME", "CHAMPION", "CANDIDATE", "WHY")
	for _, v := range r.Verdicts {
		outcome := v.Outcome
		if v.Times > 1 {
			outcome += fmt.Sprintf(" (%d times)", v.Times)
		}
		terminal.Row(w, ago(v.AtUnixMs), fmt.Sprintf("%d %%", v.Percent), outcome, humanize.Comma(v.ChampionRows), humanize.Comma(v.CandidateRows), v.Why)
	}
}
