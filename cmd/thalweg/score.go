package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/worker/cluster"
)

func newScore(g *verb.Globals) *cobra.Command {
	var model, from, fromConnection, into, intoConnection, format, maxRejected string
	cmd := &cobra.Command{
		Use:   "score PIPELINE --from s3://BUCKET/FILES --into s3://BUCKET/PREFIX/",
		Short: "Score the rows of a dataset with a version of a pipeline's model",
		Long: "score has the workers score files as they score the stream: the same row gets the same\n" +
			"bits. The rows are written as one table (Parquet files with a Delta log), which is\n" +
			"replaced whole when all are there. Each row of the dataset is in the table, or dropped\n" +
			"by a cleaning step, or rejected, and kept with its place and the reason.\n" +
			"\n" +
			"A row has the columns of the version's scored rows, and _object and _row instead of\n" +
			"topic, partition and offset. Shards that were scored before, with the same version and\n" +
			"from objects that did not change, are not scored again: run the same command after an\n" +
			"interruption, or once there are new files.\n" +
			"\n" +
			"Files on this machine are copied to the store by `thalweg put` first.",
		Example: "  thalweg score flight-delays --from 's3://lake/flights/*.parquet' --into s3://lake/scored/2026-11/\n" +
			"  thalweg score flight-delays --model 2 --from 's3://lake/flights/*.parquet' --into s3://lake/scored/v2/ --max-rejected 0.1%",
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, args []string) (verb.Answer, error) {
			ctx := cmd.Context()
			for flag, path := range map[string]string{"--from": from, "--into": into} {
				if fault, hint := pipeline.S3PathFault(path); fault != "" {
					return verb.Answer{}, &thalweg.Error{Op: flag, Kind: thalweg.Invalid, Subject: path, Err: fmt.Errorf("it %s", fault), Hint: strings.TrimPrefix(hint+"; `thalweg put` copies files of this machine there", "; ")}
				}
			}
			from = filesOf(from)
			spec, _, err := c.FetchSpec(ctx, args[0])
			if err != nil {
				return verb.Answer{}, err
			}
			if !spec.Trains() {
				return verb.Answer{}, &thalweg.Error{Op: "score dataset", Kind: thalweg.Invalid, Subject: "pipeline " + args[0], Err: errors.New("it writes a table of cleaned rows, and trains no model"),
					Hint: "name a pipeline that trains one"}
			}
			version, err := c.FindVersion(ctx, spec.Spec.Registry.Model, model)
			if err != nil {
				return verb.Answer{}, err
			}
			fromConnection = cmp.Or(fromConnection, spec.Spec.Sources.Train.Connection)
			arguments := map[string]string{
				stages.ModelArgument: string(version.Name), stages.VersionArgument: fmt.Sprintf("%d %s", version.Version, version.Checkpoint),
				stages.FromArgument: from, stages.FromConnection: fromConnection,
				stages.IntoArgument: into, stages.IntoConnection: cmp.Or(intoConnection, fromConnection),
				stages.FormatArgument: format, stages.MaxRejectArgument: maxRejected,
			}
			started, err := c.StartRun(ctx, &apiv1.StartRunRequest{Pipeline: args[0], Verb: stages.ScoreVerb, Arguments: arguments})
			if err != nil {
				return verb.Answer{}, err
			}
			run, err := terminal.Follow(ctx, c.Client, cmd.ErrOrStderr(), started.RunId)
			return verb.Answer{Value: run, Table: func(w io.Writer) { printScored(w, run, version.String()) }}, err
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&model, "model", thalweg.DefaultAlias, "a version, an alias, or a checkpoint (key#sha256)")
	flags.StringVar(&from, "from", "", "the files: s3://bucket/key, * and ** as in sources.train.s3.path; or a folder, s3://bucket/folder/, with all below it")
	flags.StringVar(&fromConnection, "from-connection", "", "store connection of --from; default: that of the training data")
	flags.StringVar(&into, "into", "", "where the table is: s3://bucket/prefix/")
	flags.StringVar(&intoConnection, "into-connection", "", "store connection of --into; default: that of --from")
	flags.StringVar(&format, "format", "", "format of the files, csv or '{type: csv, delimiter: \";\"}'; default: that of the training data")
	flags.StringVar(&maxRejected, "max-rejected", "5%", "the share of rows that may be rejected; with more the table stays as it is")
	verb.Must(cmd.MarkFlagRequired("from"))
	verb.Must(cmd.MarkFlagRequired("into"))
	return cmd
}

// filesOf returns the pattern of the files that a path names: of a folder, which ends in
// a slash, all below it.
func filesOf(path string) string {
	if strings.HasSuffix(path, "/") {
		return path + "**"
	}
	return path
}

// printScored says what became of the rows of a dataset.
func printScored(w io.Writer, r *apiv1.Run, model string) {
	of := func(name string) string { return humanize.Comma(r.Counts[name]) }
	fmt.Fprintf(w, "%s rows with %s: %s scored, %s rejected, %s dropped\n", of("rows_in"), model, of("rows_out"), of("rows_rejected"), of("rows_dropped"))
	fmt.Fprintln(w, r.Outputs["table"])
	for _, text := range append(r.Warnings, r.Outputs["bad_rows"]) {
		if text != "" {
			fmt.Fprintln(w, "\n"+text)
		}
	}
}
