// Package produce is the verb of that name: it writes rows into a topic as events.
package produce

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/localdata"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	"github.com/thalweg/thalweg/connectors/kafka"
	"github.com/thalweg/thalweg/retry"
)

// Batch is how many events go to the broker at once, and so the grain
// of --rate.
const Batch = 1000

// New is the verb.
func New(g *verb.Globals) *cobra.Command {
	var p Rows
	var topic, copyTo, spec, format string
	var partitions int
	cmd := &cobra.Command{
		Use:   "produce FILE --topic TOPIC",
		Short: "Write the rows of training data into a topic as events",
		Example: "  thalweg produce flights.parquet --topic flights --rate 5000\n" +
			"  thalweg produce flights.parquet --topic flights --spec flights.yaml   # in the format that it reads\n" +
			"  thalweg produce flights.parquet --topic flights --from 0.85   # the last 15 % of the rows",
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			conns, err := g.Connections.Open()
			if err != nil {
				return err
			}
			defer conns.Close()
			cfg, err := conns.Kafka("")
			if err != nil {
				return err
			}
			// What can be wrong here is found before a topic is made.
			src, err := localdata.Open(ctx, conns, "", args[0], nil)
			if err != nil {
				return err
			}
			if p.Form, err = NewForm(ctx, conns, src, topic, spec, format); err != nil {
				return err
			}
			cfg.Topic = topic
			producer, err := kafka.NewProducer(cfg, kafka.ProducerConfig{})
			if err != nil {
				return err
			}
			defer producer.Close()
			if err := producer.CreateTopic(ctx, partitions); err != nil && !thalweg.Is(err, thalweg.Exists) {
				return err
			}
			p.Producer = producer
			if copyTo != "" {
				f, err := os.Create(copyTo)
				if err != nil {
					return err
				}
				defer f.Close()
				p.Copy = f
			}
			n, err := p.Run(ctx, src)
			if err != nil {
				return err
			}
			return g.Print(cmd.OutOrStdout(), map[string]any{"topic": topic, "events": n}, func(w io.Writer) {
				fmt.Fprintf(w, "%s events in topic %s\n", humanize.Comma(n), topic)
			})
		},
	}
	cmd.Flags().StringVar(&topic, "topic", "", "the topic")
	cmd.Flags().StringVar(&spec, "spec", "", "write events in the form that this spec reads: format, keys, headers, timestamps")
	cmd.Flags().StringVar(&format, "format", "", "json, csv, or avro by the schema registry of --schema-registry, without a spec; default json")
	cmd.MarkFlagsMutuallyExclusive("spec", "format")
	cmd.Flags().IntVar(&partitions, "partitions", 2, "how many partitions a new topic gets")
	cmd.Flags().Float64Var(&p.Rate, "rate", 0, "events a second; 0: as fast as possible")
	cmd.Flags().Float64Var(&p.From, "from", 0, "where to start, as a fraction of the rows")
	cmd.Flags().StringVar(&copyTo, "copy", "", "also write the events to this file, one a line")
	verb.Must(cmd.MarkFlagRequired("topic"))
	return cmd
}

// Rows sends rows as events.
type Rows struct {
	Producer *kafka.Producer
	Rate     float64 // events a second; 0: no limit
	From     float64 // fraction of the rows left out at the front
	Form     *Form
	Copy     io.Writer // also gets the events, one a line; nil: none
	// Sent is told the number of events sent so far after each batch; it may
	// hold the sending up. nil: nobody asks.
	Sent func(ctx context.Context, n int64) error
}

// Run sends the rows and returns how many there were.
func (p *Rows) Run(ctx context.Context, d *localdata.Dataset) (sent int64, err error) {
	skip := int64(p.From * float64(d.Manifest.Rows))
	began := time.Now()
	messages := make([]kafka.Message, 0, Batch)
	flush := func() error {
		if err := p.send(ctx, messages); err != nil {
			return err
		}
		sent += int64(len(messages))
		messages = messages[:0]
		if p.Sent != nil {
			if err := p.Sent(ctx, sent); err != nil {
				return err
			}
		}
		if p.Rate <= 0 {
			return nil
		}
		due := began.Add(time.Duration(float64(sent) / p.Rate * float64(time.Second)))
		return retry.Sleep(ctx, time.Until(due))
	}
	err = d.Each(ctx, func(batch arrow.Record) error {
		from := min(skip, batch.NumRows())
		skip -= from
		for m, err := range p.Form.Messages(batch, int(from)) {
			if err != nil {
				return err
			}
			if messages = append(messages, m); len(messages) < cap(messages) {
				continue
			}
			if err := flush(); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && len(messages) > 0 {
		err = flush()
	}
	return sent, err
}

// send produces messages, and copies them.
func (p *Rows) send(ctx context.Context, messages []kafka.Message) error {
	if err := p.Producer.Produce(ctx, messages); err != nil || p.Copy == nil {
		return err
	}
	var lines bytes.Buffer
	for _, m := range messages {
		lines.Write(m.Value)
		lines.WriteByte('\n')
	}
	_, err := p.Copy.Write(lines.Bytes())
	return err
}
