// Package dlq is the verb of that name: dead letters are counted, shown and scored again.
package dlq

import (
	"context"
	"iter"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	"github.com/thalweg/thalweg/worker/cluster"
	"github.com/thalweg/thalweg/worker/stream/deadletter"
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
			"in the language of the spec, with times in UTC. text is null if the event is not UTF-8.",
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

// selectLetters compiles --where.
func selectLetters(where string) (*deadletter.Selection, error) {
	s, err := deadletter.NewSelection(where)
	if err != nil {
		return nil, &thalweg.Error{Op: "--where", Kind: thalweg.Invalid, Err: err, Hint: "`thalweg dlq --help` has the fields"}
	}
	return s, nil
}

// letters yields the dead letters of a pipeline that the flags select,
// partition by partition, oldest first.
func (f *letterFlags) letters(ctx context.Context, c *cluster.Client, pipeline string) iter.Seq2[*deadletter.Letter, error] {
	return func(yield func(*deadletter.Letter, error) bool) {
		selection, err := selectLetters(f.where)
		if err != nil {
			yield(nil, err)
			return
		}
		s, err := c.OpenStream(ctx, pipeline)
		if err != nil {
			yield(nil, err)
			return
		}
		partitions, err := s.Partitions(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		for p := range partitions {
			for l, err := range deadletter.List(ctx, s.Live.Bucket, s.Log(p, false), selection) {
				if err == nil && l.Replayed != nil && !f.all {
					continue
				}
				if !yield(l, err) || err != nil {
					return
				}
			}
		}
	}
}
