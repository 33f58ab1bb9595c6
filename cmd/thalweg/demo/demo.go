// Package demo is the verb of that name: the main job, run once on an embedded cluster.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/embedded"
	"github.com/thalweg/thalweg/cmd/thalweg/localdata"
	"github.com/thalweg/thalweg/cmd/thalweg/process"
	"github.com/thalweg/thalweg/cmd/thalweg/produce"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	"github.com/thalweg/thalweg/connectors/kafka"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/retry"
	"github.com/thalweg/thalweg/worker/cluster"
)

// The demo's stream: the rows that the split holds out as test set.
const (
	heldOut    = 0.85 // where they begin, as a fraction of the rows
	seconds    = 12   // how long streaming them takes
	partitions = 4
)

// New is the verb.
func New(*verb.Globals) *cobra.Command {
	d := demo{}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run the main job once on an embedded cluster: train, stream, retrain under load, check",
		Example: "  thalweg demo\n" +
			"  thalweg demo --data flights-3m.parquet",
		RunE: func(cmd *cobra.Command, _ []string) error {
			d.out, d.errs = cmd.OutOrStdout(), cmd.ErrOrStderr()
			return d.run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&d.dir, "dir", filepath.Join(".thalweg", "demo"), "where the demo keeps everything; emptied first")
	cmd.Flags().StringVar(&d.data, "data", filepath.Join("deploy", "demo", "flights.parquet"), "the flights, as Parquet")
	cmd.Flags().StringVar(&d.spec, "spec", filepath.Join("deploy", "demo", "flights.yaml"), "the pipeline")
	return cmd
}

// demo is one run of the main job, end to end.
type demo struct {
	dir, data, spec string
	out, errs       io.Writer

	cluster *embedded.Cluster
	client  *cluster.Client
	parsed  *pipeline.Spec
	text    string
	local   *localdata.Dataset
}

func (d *demo) run(ctx context.Context) error {
	if err := embedded.Require("demo"); err != nil {
		return err
	}
	process.PrivateFiles()
	began, shown := time.Now(), d.dir
	if err := d.prepare(ctx); err != nil {
		return err
	}
	// So that the screen is the demo's.
	log, err := os.Create(filepath.Join(d.dir, "cluster.log"))
	if err != nil {
		return err
	}
	defer log.Close()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d.say("Starting three coordinators, two workers, a Kafka broker and an S3 endpoint in one process.")
	d.cluster, err = embedded.New(ctx, slog.New(slog.NewTextHandler(log, nil)), embedded.Config{Dir: filepath.Join(d.dir, "cluster"), Workers: 2, FreePorts: true})
	if err != nil {
		return err
	}
	var g errgroup.Group
	g.Go(func() error { return d.cluster.Run(ctx) })
	result, err := d.job(ctx)
	cancel()
	if stopped := g.Wait(); err == nil && stopped != nil && !errors.Is(stopped, context.Canceled) {
		err = stopped
	}
	if err != nil {
		return err
	}
	result.Seconds = time.Since(began).Seconds()
	if err := result.write(filepath.Join(d.dir, "summary.json")); err != nil {
		return err
	}
	result.print(d.out, shown)
	return nil
}

// job is the main job on a running cluster.
func (d *demo) job(ctx context.Context) (*summary, error) {
	if err := d.cluster.WaitReady(ctx); err != nil {
		return nil, err
	}
	d.cluster.Endpoints.Print(d.out)
	d.client = &cluster.Client{Client: d.cluster.Client, Conns: d.cluster.Connections}
	if err := d.upload(ctx); err != nil {
		return nil, err
	}
	d.say("Training version 1: %s, %s rows.", d.spec, humanize.Comma(d.local.Manifest.Rows))
	first, err := d.train(ctx, d.text)
	if err != nil {
		return nil, err
	}
	sent, second, err := d.stream(ctx)
	if err != nil {
		return nil, err
	}
	d.say("Waiting until every event is scored and committed.")
	if err := d.drained(ctx, sent); err != nil {
		return nil, err
	}
	return d.summarise(ctx, first, second, sent)
}

func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.out, "\n"+format+"\n", args...)
}

// prepare empties the demo's directory and reads its inputs.
func (d *demo) prepare(ctx context.Context) (err error) {
	// The embedded S3 endpoint changes the working directory.
	for _, path := range []*string{&d.dir, &d.data, &d.spec} {
		abs, err := filepath.Abs(*path)
		if err != nil {
			return err
		}
		*path = abs
	}
	if entries, err := os.ReadDir(d.dir); err == nil && len(entries) > 0 {
		if _, err := os.Stat(filepath.Join(d.dir, "cluster")); err != nil {
			return &thalweg.Error{Op: "empty demo directory", Kind: thalweg.Invalid, Subject: d.dir,
				Hint: "it holds something that is not a demo's: name another with --dir"}
		}
		if err := os.RemoveAll(d.dir); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(d.dir, 0o755); err != nil {
		return err
	}
	if d.parsed, d.text, err = verb.ParseSpec(d.spec); err != nil {
		return err
	}
	d.local, err = localdata.OpenFiles(ctx, d.data, d.parsed)
	return err
}

// upload puts the sample where the spec looks for it.
func (d *demo) upload(ctx context.Context) error {
	body, err := os.ReadFile(d.data)
	if err != nil {
		return err
	}
	bucket, err := d.cluster.Connections.Bucket(ctx, "", embedded.Bucket)
	if err != nil {
		return err
	}
	_, err = bucket.Put(ctx, "flights/"+filepath.Base(d.data), body)
	return err
}

// train applies a spec and follows its run to the end.
func (d *demo) train(ctx context.Context, text string) (*apiv1.Run, error) {
	res, err := d.client.Apply(ctx, &apiv1.ApplyRequest{Spec: text, File: d.spec})
	if err != nil {
		return nil, err
	}
	return terminal.Follow(ctx, d.client.Client, d.errs, res.RunId)
}

// stream sends the held-out rows while a second version is trained with other
// settings, so that the champion changes under load: the replay does not pass
// its last quarter before the new version serves.
func (d *demo) stream(ctx context.Context) (int64, *apiv1.Run, error) {
	topic := d.parsed.Spec.Sources.Events.Reading().Topic
	producer, err := kafka.NewProducer(kafka.Config{Brokers: []string{d.cluster.Endpoints.Kafka}, Topic: topic}, kafka.ProducerConfig{})
	if err != nil {
		return 0, nil, err
	}
	defer producer.Close()
	if err := producer.CreateTopic(ctx, partitions); err != nil {
		return 0, nil, err
	}
	events, err := os.Create(filepath.Join(d.dir, "events.jsonl"))
	if err != nil {
		return 0, nil, err
	}
	defer events.Close()
	total := d.local.Manifest.Rows - int64(heldOut*float64(d.local.Manifest.Rows))
	d.say("Streaming the last 15 %% of the flights, %s events, into topic %s; training version 2 meanwhile.", humanize.Comma(total), topic)
	retrained := make(chan struct{})
	halfway := make(chan struct{})
	replay := produce.Rows{Producer: producer, Form: produce.JSON(d.local), Rate: float64(total) / seconds, From: heldOut, Copy: events,
		Sent: func(ctx context.Context, n int64) error {
			if n >= total/4 && n-produce.Batch < total/4 {
				close(halfway)
			}
			if n < 3*total/4 {
				return nil
			}
			select {
			case <-retrained:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}}
	var sent int64
	var second *apiv1.Run
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		sent, err = replay.Run(ctx, d.local)
		return err
	})
	g.Go(func() (err error) {
		select {
		case <-halfway:
		case <-ctx.Done():
			return ctx.Err()
		}
		if second, err = d.train(ctx, d.otherSettings()); err != nil {
			return err
		}
		close(retrained)
		return nil
	})
	return sent, second, g.Wait()
}

// otherSettings is the spec with another optimizer.
func (d *demo) otherSettings() string {
	return strings.TrimRight(d.text, "\n") + "\n  trainer: {optimizer: {type: momentum, learning_rate: 0.1}, seed: 7}\n"
}

// drained waits until the log of each partition has reached the topic's end.
func (d *demo) drained(ctx context.Context, sent int64) error {
	for {
		res, err := d.client.StreamStatus(ctx, &apiv1.StreamStatusRequest{Pipeline: d.parsed.Metadata.Name})
		if err != nil {
			return err
		}
		var committed int64
		for _, p := range res.Partitions {
			committed += max(0, p.Committed)
		}
		if committed >= sent && len(res.Partitions) == partitions {
			return nil
		}
		if err := retry.Sleep(ctx, terminal.FollowEvery); err != nil {
			return err
		}
	}
}
