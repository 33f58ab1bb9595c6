package dlq

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	"github.com/thalweg/thalweg/worker/cluster"
	"github.com/thalweg/thalweg/worker/stream/deadletter"
)

// maxReasons bounds the reasons that are counted apart: those of one stream are
// few once numbers are left out, but for events that are noise.
const maxReasons = 10_000

// letterTally counts dead letters.
type letterTally struct {
	Events   int64 `json:"events"`
	Again    int64 `json:"replayed_in_vain"` // of them, scored again without success
	Replayed int64 `json:"replayed"`         // of them, rows by now
}

func (t *letterTally) add(l *deadletter.Letter) {
	t.Events++
	if l.Replayed != nil {
		t.Replayed++
	} else if l.Replays > 0 {
		t.Again++
	}
}

// reasonCount is how many dead letters have a reason.
type reasonCount struct {
	Stage string `json:"stage"`
	// Reason has # for each number, so that the same fault in other places counts
	// as one.
	Reason string `json:"reason"`
	letterTally
	First string `json:"first"` // partition:offset
	Last  string `json:"last"`
}

// letterCounts is what dlq list prints.
type letterCounts struct {
	Pipeline string `json:"pipeline"`
	letterTally
	Bytes   int64          `json:"size_bytes"`
	Reasons []*reasonCount `json:"reasons"` // the most frequent first
	// Others are events whose reasons are not among Reasons.
	Others int64 `json:"other_reasons"`

	byReason map[[2]string]*reasonCount
}

func newList(g *verb.Globals) *cobra.Command {
	var flags letterFlags
	var limit int
	cmd := &cobra.Command{
		Use:   "list PIPELINE",
		Short: "Count dead letters by stage and reason",
		Example: "  thalweg dlq list flight-delays\n" +
			"  thalweg dlq list flight-delays --where \"model_version == 3 && timestamp >= '2026-11-01'\" -o json",
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, args []string) (verb.Answer, error) {
			if limit < 1 {
				return verb.Answer{}, terminal.UsageError("--limit", fmt.Sprint(limit), "a number from 1")
			}
			counts := letterCounts{Pipeline: args[0], byReason: make(map[[2]string]*reasonCount)}
			for l, err := range flags.letters(cmd.Context(), c, args[0]) {
				if err != nil {
					return verb.Answer{}, err
				}
				counts.add(l)
			}
			counts.finish(limit)
			return verb.Answer{Value: counts, Table: counts.table}, nil
		}),
	}
	flags.register(cmd)
	cmd.Flags().IntVar(&limit, "limit", 50, "how many reasons to list")
	return cmd
}

func (c *letterCounts) add(l *deadletter.Letter) {
	c.letterTally.add(l)
	c.Bytes += int64(l.SizeBytes)
	key := [2]string{l.Stage, reasonClass(l)}
	r := c.byReason[key]
	if r == nil {
		if len(c.byReason) == maxReasons {
			c.Others++
			return
		}
		r = &reasonCount{Stage: key[0], Reason: key[1], First: fmt.Sprintf("%d:%d", l.Partition, l.Offset)}
		c.byReason[key] = r
	}
	r.letterTally.add(l)
	r.Last = fmt.Sprintf("%d:%d", l.Partition, l.Offset)
}

// finish puts the most frequent reasons first.
func (c *letterCounts) finish(limit int) {
	c.Reasons = slices.AppendSeq([]*reasonCount{}, maps.Values(c.byReason))
	slices.SortFunc(c.Reasons, func(a, b *reasonCount) int {
		return cmp.Or(cmp.Compare(b.Events, a.Events), cmp.Compare(a.Stage, b.Stage), cmp.Compare(a.Reason, b.Reason))
	})
	for len(c.Reasons) > limit {
		c.Others += c.Reasons[len(c.Reasons)-1].Events
		c.Reasons = c.Reasons[:len(c.Reasons)-1]
	}
}

func (c *letterCounts) table(w io.Writer) {
	terminal.Row(w, "EVENTS", "STAGE", "REASON", "FIRST", "LAST", "FAILED REPLAYS", "REPLAYED")
	for _, r := range c.Reasons {
		terminal.Row(w, humanize.Comma(r.Events), r.Stage, terminal.Shorten(r.Reason, 100), r.First, r.Last, humanize.Comma(r.Again), humanize.Comma(r.Replayed))
	}
	if c.Others > 0 {
		terminal.Row(w, humanize.Comma(c.Others), "", "other reasons", "", "", "", "")
	}
	terminal.Row(w, humanize.Comma(c.Events), "", "in all", "", "", humanize.Comma(c.Again), humanize.Comma(c.Replayed))
}

// number is a run of digits that is no part of a word, such as int64, or else
// what has digits and is the same for each event: the name of a field, formats of
// times and of text.
var number = regexp.MustCompile(`(?:field|column) "[^"]*"|timestamp \([^)]*\)|\b2006-01-02[^,)"]*|\b(?:RFC |UTF-|ISO )[0-9]+|\b[0-9]+\b`)

// reasonClass is the reason of a dead letter with # for each number that tells
// where in the event, or by how much. Those of cleaning name a step of the spec,
// the same for each event.
func reasonClass(l *deadletter.Letter) string {
	switch l.Stage {
	case "fetch", "decode", "score":
		return number.ReplaceAllStringFunc(l.Reason, func(s string) string {
			if strings.Trim(s, "0123456789") == "" {
				return "#"
			}
			return s
		})
	}
	return l.Reason
}
