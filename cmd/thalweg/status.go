package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/worker/cluster"
)

func newStatus(g *verb.Globals) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show what needs somebody, coordinators, workers, runs, pipelines and streams",
		Long: "status shows the cluster at a glance, what somebody should look at first. The first\n" +
			"line says who answers and how old what it knows may be: the leader knows all; where none\n" +
			"answers, a follower tells what it has, and nothing of workers.",
		Example: "  thalweg status\n" +
			"  curl -s -H 'Content-Type: application/json' -d '{}' http://127.0.0.1:7070/thalweg.coordinator.v1.CoordinatorService/Status",
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, _ []string) (verb.Answer, error) {
			s, err := c.Status(cmd.Context(), &apiv1.StatusRequest{})
			return verb.Answer{Value: s, Table: func(w io.Writer) { printStatus(w, s, time.Now()) }}, err
		}),
	}
}

// printStatus prints a cluster on a screen.
func printStatus(w io.Writer, s *apiv1.StatusResponse, now time.Time) {
	fmt.Fprintln(w, freshness(s))
	if s.AlertsFiring > 0 {
		fmt.Fprintf(w, "%d alerts fire: thalweg alerts\n", s.AlertsFiring)
	}
	if len(s.Attention) > 0 {
		terminal.Row(w, "\nATTENTION", "OF", "MESSAGE")
		for _, a := range s.Attention {
			terminal.Row(w, a.Severity, a.Subject, a.Message)
		}
	}
	terminal.Row(w, "\nCOORDINATOR", "ADDRESS", "STATE", "VERSION", "TERM", "APPLIED", "LEADER SEEN", "FREE")
	for _, n := range s.Nodes {
		free := ""
		if n.FreeBytes >= 0 {
			free = humanize.IBytes(uint64(n.FreeBytes))
		}
		terminal.Row(w, n.Id, n.Address, n.State, n.Version, terminal.CountOrDash(n.Term), terminal.CountOrDash(n.AppliedIndex), ageShown(n.AgeMs), free)
	}
	terminal.Row(w, "\nWORKER", "ADDRESS", "STATE", "SEEN", "TASKS", "PARTITIONS", "SLOTS", "CORES", "MEMORY", "VERSION")
	for _, n := range s.Workers {
		memory := ""
		if n.MemoryBytes > 0 {
			memory = humanize.IBytes(uint64(n.MemoryBytes))
		}
		terminal.Row(w, n.Id, n.Address, n.State, ageShown(max(0, now.UnixMilli()-n.LastSeenUnixMs)), n.Tasks, n.Partitions, n.Slots, terminal.CountOrDash(uint64(n.Cores)), memory, n.Version)
	}
	if len(s.ActiveRuns) > 0 {
		terminal.Row(w, "\nRUN", "STAGE", "STARTED", "TASKS", "ROWS", "MESSAGE")
	}
	for _, r := range s.ActiveRuns {
		tasks, rows, message := "", "", ""
		for _, stage := range r.Stages {
			if stage.Name != r.Stage {
				continue
			}
			tasks, message = fmt.Sprintf("%d/%d", stage.TasksDone, stage.TasksTotal), cmp.Or(r.Waiting, stage.Message)
			if stage.RowsDone > 0 {
				rows = humanize.Comma(stage.RowsDone)
			}
			if stage.RowsTotal > 0 {
				rows += " of " + humanize.Comma(stage.RowsTotal)
			}
		}
		terminal.Row(w, r.Id, r.Stage, terminal.Clock(r.StartedAtUnixMs), tasks, rows, message)
	}
	if more := int(s.ActiveRunsTotal) - len(s.ActiveRuns); more > 0 {
		fmt.Fprintf(w, "and %d more: `thalweg runs`\n", more)
	}
	streams := make(map[string]*apiv1.StreamSummary)
	for _, v := range s.Streams {
		streams[v.Pipeline] = v
	}
	terminal.Row(w, "\nPIPELINE", "GENERATION", "APPLIED", "MODEL", "STREAM", "ROWS", "DEAD", "LAG", "BEHIND", "ROWS/S", "WORKERS", "MESSAGE")
	for _, p := range s.Pipelines {
		cells := []any{p.Name, p.Generation, terminal.Clock(p.AppliedAtUnixMs), cmp.Or(p.Model, "-")}
		switch v := streams[p.Name]; {
		case p.Deletion != "":
			cells = append(cells, "deleting", "", "", "", "", "", "", p.Deletion)
		case v == nil:
			cells = append(cells, "", "", "", "", "", "", "", runWaits(p))
		default:
			speed := ""
			if v.ScoredRows >= 0 {
				speed = fmt.Sprintf("%.0f", v.RowsPerSecond)
			}
			cells = append(cells, v.State, countShown(v.ScoredRows), countShown(v.DeadLetters), countShown(v.LagEvents), terminal.Seconds(v.LagSeconds), speed, workersShown(v), cmp.Or(v.Message, runWaits(p)))
		}
		terminal.Row(w, cells...)
	}
	printRollouts(w, s.Pipelines)
	terminal.PrintTimetables(w, s.Pipelines)
	if len(s.Endpoints) > 0 {
		terminal.Row(w, "\nSERVICE", "WORKER", "ADDRESS", "STATE", "VERSION", "MESSAGE")
	}
	for _, e := range s.Endpoints {
		terminal.Row(w, e.Pipeline, cmp.Or(e.Worker, "-"), cmp.Or(e.Address, "-"), e.State, terminal.CountOrDash(e.ModelVersion), e.Message)
	}
}

// printRollouts prints the rollouts that go on.
func printRollouts(w io.Writer, pipelines []*apiv1.Pipeline) {
	header := "\nROLLOUT"
	for _, p := range pipelines {
		r := p.Rollout
		if r == nil || r.EndedAtUnixMs > 0 {
			continue
		}
		if header != "" {
			terminal.Row(w, header, "STRATEGY", "STATE", "CHAMPION", "CANDIDATE", "SHARE", "BAD", "LAST VERDICT")
		}
		header = ""
		last := ""
		if n := len(r.Verdicts); n > 0 {
			last = r.Verdicts[n-1].Outcome + ": " + r.Verdicts[n-1].Why
		}
		terminal.Row(w, p.Name, r.Strategy, r.State, r.Champion, r.Candidate, fmt.Sprintf("%d %%", r.Percent), fmt.Sprintf("%d of %d", r.Failures, r.FailureLimit), last)
	}
}

// runWaits says for which workers the run of a pipeline waits, "" if it does not.
func runWaits(p *apiv1.Pipeline) string {
	if p.Waiting == "" {
		return ""
	}
	return "run " + p.Waiting
}

// workersShown prints how many workers score a stream, and how many it wants where its spec
// says how many it may.
func workersShown(v *apiv1.StreamSummary) string {
	if v.WantedWorkers == 0 {
		return fmt.Sprint(v.Workers)
	}
	return fmt.Sprintf("%d of %d", v.Workers, v.WantedWorkers)
}

// freshness says who answers, and how old what it knows may be.
func freshness(s *apiv1.StatusResponse) string {
	at := fmt.Sprintf("index %d, term %d", s.AppliedIndex, s.Term)
	switch {
	case s.AgeMs == 0:
		return fmt.Sprintf("%s leads and answers: %s", s.Node, at)
	case s.AgeMs < 0:
		return fmt.Sprintf("%s answers, and has heard from no leader since it started: %s", s.Node, at)
	}
	return strings.TrimSpace(fmt.Sprintf("%s answers for no leader does, last heard from one %v ago: %s", s.Node, time.Duration(s.AgeMs)*time.Millisecond, at))
}

// ageShown prints an age in milliseconds, of which -1 says that it is not known.
func ageShown(ms int64) string {
	if ms == 0 {
		return "now"
	}
	return terminal.Seconds(float64(ms) / 1000)
}

// countShown prints a count, of which -1 says that it is not known.
func countShown(n int64) string {
	if n < 0 {
		return ""
	}
	return humanize.Comma(n)
}
