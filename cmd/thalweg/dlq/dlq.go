// Package dlq is the verb of that name: dead letters are counted, shown and scored again.
package dlq

import (
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	work "github.com/thalweg/thalweg/worker/jobs"
)

// New is the verb, with those below it.
func New(g *verb.Globals) *cobra.Command {
	cmd := &cobra.Command{Use: "dlq", Short: "Count, show and replay dead letters: events that could not be scored",
		Long: "Dead letters are kept beside the results: raw bytes, origin, stage and reason of each\n" +
			"event that could not be scored. --where selects them by an expression over\n" +
			"\n" +
			"  topic partition offset timestamp stage reason model model_version\n" +
			"  spec_generation size text truncated\n" +
			"\n" +
			"in the language of the spec, with times in UTC. text is null if the event is not UTF-8. Workers\n" +
			"read and score them, as jobs (thalweg jobs), so no keys of the store or the broker are needed.",
		Example: "  thalweg dlq list flight-delays\n" +
			"  thalweg dlq show flight-delays --where \"reason contains 'distance'\" --limit 10\n" +
			"  thalweg dlq replay flight-delays --where \"stage == '2 filter'\""}
	cmd.AddCommand(newList(g), newShow(g), newReplay(g))
	return cmd
}

// letterFlags select dead letters.
type letterFlags struct {
	where string
	all   bool
}

func (f *letterFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.where, "where", "", "select dead letters for which this expression is true")
	cmd.Flags().BoolVar(&f.all, "all", false, "include dead letters that a replay has scored")
}

// selected are the flags as a worker is told them.
func (f *letterFlags) selected(limit int) (work.Letters, error) {
	p := work.Letters{Where: f.where, All: f.all, Limit: limit}
	_, err := p.Selection()
	return p, err
}
