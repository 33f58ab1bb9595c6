package dlq

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg/cmd/thalweg/jobs"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	"github.com/thalweg/thalweg/worker/cluster"
	"github.com/thalweg/thalweg/worker/stream/deadletter"
)

// flushLetters is how many lines of a table are aligned together.
const flushLetters = 1000

func newShow(g *verb.Globals) *cobra.Command {
	var flags letterFlags
	var limit int
	cmd := &cobra.Command{
		Use:   "show PIPELINE",
		Short: "Show dead letters: origin, reason and event, oldest first",
		Long: "show prints dead letters, partition by partition, oldest first. With -o json each is\n" +
			"a line of JSON with the raw bytes in base64, and what replays made of it. Of a pipeline\n" +
			"whose columns have pii, events are withheld: it has their columns hashed or masked.",
		Example: "  thalweg dlq show flight-delays --where \"stage == 'decode' && partition == 3\"\n" +
			"  thalweg dlq show flight-delays --limit 0 -o json | jq -r .raw",
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, args []string) (verb.Answer, error) {
			out := bufio.NewWriter(cmd.OutOrStdout())
			p, err := newLetterPrinter(g.Output, out)
			if err != nil {
				return verb.Answer{}, err
			}
			selected, err := flags.selected(limit)
			if err != nil {
				return verb.Answer{}, err
			}
			answer, err := jobs.Open(cmd, c, args[0], "dlq-show", selected)
			if err != nil {
				return verb.Answer{}, err
			}
			for lines := json.NewDecoder(answer); ; {
				l := new(deadletter.Letter)
				if err := lines.Decode(l); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					return verb.Answer{}, err
				}
				if err := p.print(l); err != nil {
					return verb.Answer{}, err
				}
			}
			if err := p.flush(); err != nil {
				return verb.Answer{}, err
			}
			return verb.Answer{}, out.Flush()
		}),
	}
	flags.register(cmd)
	cmd.Flags().IntVar(&limit, "limit", 100, "how many to show; 0: all")
	return cmd
}

// letterPrinter prints dead letters one by one, whatever their number.
type letterPrinter struct {
	print func(*deadletter.Letter) error
	flush func() error
}

func newLetterPrinter(output string, w io.Writer) (letterPrinter, error) {
	none := func() error { return nil }
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	switch output {
	case "table":
		tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
		terminal.Row(tw, "PARTITION", "OFFSET", "TIME", "VERSION", "STAGE", "REASON", "SIZE", "EVENT", "REPLAYS")
		lines := 0
		return letterPrinter{func(l *deadletter.Letter) error {
			terminal.Row(tw, l.Partition, l.Offset, time.UnixMicro(l.TimestampUS).UTC().Format(time.RFC3339), l.ModelVersion, l.Stage, terminal.Shorten(l.Reason, 80),
				humanize.Comma(int64(l.SizeBytes)), eventShown(l), replaysShown(l))
			if lines++; lines%flushLetters == 0 {
				return tw.Flush()
			}
			return nil
		}, tw.Flush}, nil
	case "json":
		return letterPrinter{func(l *deadletter.Letter) error { return encoder.Encode(l) }, none}, nil
	case "yaml":
		return letterPrinter{func(l *deadletter.Letter) error {
			data, err := yaml.MarshalWithOptions(l, yaml.UseJSONMarshaler())
			if err == nil {
				_, err = fmt.Fprintf(w, "---\n%s", data)
			}
			return err
		}, none}, nil
	}
	return letterPrinter{}, terminal.UsageError("--output", output, "table, json or yaml")
}

// eventShown is an event for a table.
func eventShown(l *deadletter.Letter) string {
	switch {
	case l.Text != nil:
		return terminal.Shorten(*l.Text, 60)
	case l.Withheld:
		return terminal.Shorten("withheld "+string(l.Columns), 60)
	case l.Raw == nil:
		return "null"
	}
	return terminal.Shorten(fmt.Sprintf("%x", l.Raw[:min(len(l.Raw), 30)]), 60)
}

// replaysShown says what replays made of a dead letter.
func replaysShown(l *deadletter.Letter) string {
	switch {
	case l.Replayed != nil:
		return fmt.Sprintf("scored by version %d", l.Replayed.ModelVersion)
	case l.Last != nil:
		return fmt.Sprintf("failed %d times, last by version %d: %s", l.Replays, l.Last.ModelVersion, terminal.Shorten(l.Last.Reason, 60))
	}
	return ""
}
