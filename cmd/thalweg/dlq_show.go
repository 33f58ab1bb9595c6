package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg/worker/stream/deadletter"
)

// flushLetters is how many lines of a table are aligned together.
const flushLetters = 1000

func newDLQShow(g *globals) *cobra.Command {
	var flags letterFlags
	var limit int
	cmd := &cobra.Command{
		Use:   "show PIPELINE",
		Short: "Show dead letters: origin, reason and event, oldest first",
		Long: "show prints dead letters, partition by partition, oldest first. With -o json each is\n" +
			"a line of JSON with the raw bytes in base64, and what replays made of it.",
		Example: "  thalweg dlq show flight-delays --where \"stage == 'decode' && partition == 3\"\n" +
			"  thalweg dlq show flight-delays --limit 0 -o json | jq -r .raw",
		RunE: g.ask(func(cmd *cobra.Command, c *cluster, args []string) (answer, error) {
			out := bufio.NewWriter(cmd.OutOrStdout())
			p, err := newLetterPrinter(g.output, out)
			if err != nil {
				return answer{}, err
			}
			n := 0
			for l, err := range flags.letters(cmd.Context(), c, args[0]) {
				if err != nil {
					return answer{}, err
				}
				if limit > 0 && n == limit {
					break
				}
				n++
				if err := p.print(l); err != nil {
					return answer{}, err
				}
			}
			if err := p.flush(); err != nil {
				return answer{}, err
			}
			return answer{}, out.Flush()
		}),
	}
	flags.register(cmd)
	cmd.Flags().IntVar(&limit, "limit", 100, "how many to show; 0: all")
	return cmd
}

// letterPrinter prints dead letters one by one, whatever their number.
type letterPrinter struct {
	out   io.Writer
	table *tabwriter.Writer // nil: not as a table
	yaml  bool
	lines int // of the table
}

func newLetterPrinter(output string, w io.Writer) (*letterPrinter, error) {
	switch output {
	case "table":
		tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
		row(tw, "PARTITION", "OFFSET", "TIME", "VERSION", "STAGE", "REASON", "SIZE", "EVENT", "REPLAYS")
		return &letterPrinter{table: tw}, nil
	case "json", "yaml":
		return &letterPrinter{out: w, yaml: output == "yaml"}, nil
	}
	return nil, usageError("--output", output, "table, json or yaml")
}

func (p *letterPrinter) print(l *deadletter.Letter) error {
	if p.table != nil {
		row(p.table, l.Partition, l.Offset, time.UnixMicro(l.TimestampUS).UTC().Format(time.RFC3339), l.ModelVersion, l.Stage, shorten(l.Reason, 80),
			thousands(int64(l.SizeBytes)), eventShown(l), replaysShown(l))
		if p.lines++; p.lines%flushLetters == 0 {
			return p.table.Flush()
		}
		return nil
	}
	var line bytes.Buffer
	e := json.NewEncoder(&line)
	e.SetEscapeHTML(false)
	err := e.Encode(l)
	data := line.Bytes()
	if err == nil && p.yaml {
		data, err = yaml.JSONToYAML(data)
		data = append([]byte("---\n"), data...)
	}
	if err == nil {
		_, err = p.out.Write(data)
	}
	return err
}

func (p *letterPrinter) flush() error {
	if p.table != nil {
		return p.table.Flush()
	}
	return nil
}

// eventShown is an event for a table.
func eventShown(l *deadletter.Letter) string {
	switch {
	case l.Text != nil:
		return shorten(*l.Text, 60)
	case l.Raw == nil:
		return "null"
	}
	return shorten(fmt.Sprintf("%x", l.Raw[:min(len(l.Raw), 30)]), 60)
}

// replaysShown says what replays made of a dead letter.
func replaysShown(l *deadletter.Letter) string {
	switch {
	case l.Replayed != nil:
		return fmt.Sprintf("scored by version %d", l.Replayed.ModelVersion)
	case l.Last != nil:
		return fmt.Sprintf("failed %d times, last by version %d: %s", l.Replays, l.Last.ModelVersion, shorten(l.Last.Reason, 60))
	}
	return ""
}
