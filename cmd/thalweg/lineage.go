package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/jobs"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/worker/cluster"
	work "github.com/thalweg/thalweg/worker/jobs"
	"github.com/thalweg/thalweg/worker/stream/lineage"
)

func newLineage(g *verb.Globals) *cobra.Command {
	var f lineageFlags
	cmd := &cobra.Command{
		Use:   "lineage [PIPELINE] --partition P --offset N",
		Short: "Show where a scored row came from, and prove it by scoring the event again",
		Long: "lineage names the slot of the log and the object that hold a row or dead letter, the\n" +
			"event with its sha256, the model version and its checkpoint, the run and its training\n" +
			"objects with sizes, ETags and versions, and the generation of the spec. It also finds\n" +
			"rows that a compaction moved and dead letters that were replayed.\n" +
			"\n" +
			"--key finds the event by a value of a column of the scored rows: the one that was scored\n" +
			"last, or last at the time of --at, so that it says what was known and answered then. Rows\n" +
			"hold personal data as the spec has them masked, and a value is given as they have it.\n" +
			"\n" +
			"--verify scores the event again from these alone and compares every column bit for\n" +
			"bit. A document written by -o json is enough: --from-file needs no coordinator, only\n" +
			"the store and the topic. If the topic does not have the event any more, --event gives\n" +
			"its bytes.\n" +
			"\n" +
			"A worker looks, as a job (thalweg jobs), so no keys of the store or the broker are needed;\n" +
			"with --from-file this process looks, and needs them.\n" +
			"\n" +
			"Exit code 0: the row was found, and with --verify every column is equal. Otherwise 1.",
		Example: "  thalweg lineage flight-delays --partition 0 --offset 4711\n" +
			"  thalweg lineage flight-delays --key origin=ORD\n" +
			"  thalweg lineage flight-delays --partition 0 --offset 4711 -o json > row.json\n" +
			"  thalweg lineage --from-file row.json --verify",
		RunE: g.Ask(f.run),
	}
	flags := cmd.Flags()
	flags.StringVar(&f.topic, "topic", "", "the topic; default: the pipeline's")
	flags.StringVar(&f.topicID, "topic-id", "", "ID of the topic, if it was deleted and created again; default: the newest")
	flags.IntVar(&f.partition, "partition", 0, "the partition of the event")
	flags.Int64Var(&f.offset, "offset", notGiven, "the offset of the event")
	flags.StringVar(&f.at, "at", "", "look in the rows of a replay: s3://bucket/prefix/; with --key: the time as of which, such as 2026-01-31T12:00:00Z; default now")
	flags.StringVar(&f.key, "key", "", "instead of partition and offset: COLUMN=VALUE of the scored rows")
	flags.BoolVar(&f.verify, "verify", false, "score the event again and compare")
	flags.StringVar(&f.fromFile, "from-file", "", "read the lineage from a document that -o json wrote")
	flags.StringVar(&f.event, "event", "", "with --verify: a file with the event's bytes, if the topic does not have it any more")
	flags.BoolVar(&f.keep, "with-event", false, "include the event itself in the document")
	return cmd
}

// notGiven is no offset.
const notGiven = -1

type lineageFlags struct {
	topic, topicID, at, key, fromFile, event string
	partition                                int
	offset                                   int64
	verify, keep                             bool
}

func (f *lineageFlags) run(cmd *cobra.Command, c *cluster.Client, args []string) (a verb.Answer, err error) {
	ctx := cmd.Context()
	var given []byte
	if f.event != "" {
		if given, err = terminal.ReadFile("--event", f.event, terminal.MaxFileBytes, ""); err != nil {
			return a, err
		}
	}
	var doc *lineage.Document
	switch {
	case f.fromFile != "":
		doc, err = f.read(ctx, c, given)
	case len(args) == 0 && f.topic == "":
		return a, terminal.UsageError("PIPELINE", "", "a pipeline, --topic or --from-file")
	default:
		doc, err = f.trace(cmd, c, args, given)
	}
	if err != nil {
		return a, err
	}
	a.Value, a.Table = doc, func(w io.Writer) { printLineage(w, doc) }
	if v, e := doc.Verification, doc.Event; v != nil && !v.OK {
		a.Failed = &thalweg.Error{Op: "verify", Kind: thalweg.Corrupt, Subject: fmt.Sprintf("%s/%d offset %d", e.Topic, e.Partition, e.Offset),
			Err: fmt.Errorf("%d of %d columns differ", len(v.Differences), v.Columns)}
	}
	return a, nil
}

// read takes the lineage from a file, and scores the event again, from what the file names,
// if that is asked for.
func (f *lineageFlags) read(ctx context.Context, c *cluster.Client, event []byte) (*lineage.Document, error) {
	data, err := terminal.ReadFile("--from-file", f.fromFile, terminal.MaxFileBytes, "")
	if err != nil {
		return nil, err
	}
	doc, err := lineage.Parse(pipeline.WithoutMark(data))
	if err != nil {
		return nil, &thalweg.Error{Op: "--from-file", Kind: thalweg.KindOf(err), Subject: f.fromFile, Err: err}
	}
	if doc.Verification = nil; !f.verify { // one in the file is of an earlier --verify
		return doc, nil
	}
	from, err := work.OpenSources(ctx, c.Conns, doc.Places, doc.Event.Topic)
	if from.Events != nil {
		defer from.Events.Close()
	}
	if err == nil {
		doc.Verification, err = lineage.Verify(ctx, from, doc, event)
	}
	return doc, err
}

// trace has a worker find the lineage of an event, and score it again if that is asked for.
func (f *lineageFlags) trace(cmd *cobra.Command, c *cluster.Client, args []string, event []byte) (doc *lineage.Document, err error) {
	ask := work.Lineage{Topic: f.topic, TopicID: f.topicID, Partition: f.partition, Offset: f.offset, At: f.at, WithEvent: f.keep, Verify: f.verify, Event: event}
	switch {
	case f.key != "":
		if err := f.byKey(cmd, &ask); err != nil {
			return nil, err
		}
	case f.offset < 0:
		given := fmt.Sprint(f.offset)
		if f.offset == notGiven {
			given = ""
		}
		return nil, terminal.UsageError("--offset", given, "the offset of an event")
	}
	name := verb.Argument(args, 0)
	if name == "" {
		if name, err = c.PipelineOf(cmd.Context(), f.topic); err != nil {
			return nil, err
		}
	}
	answer, err := jobs.Open(cmd, c, name, "lineage", ask)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(answer)
	if err != nil {
		return nil, err
	}
	if doc, err = lineage.Parse(data); err == nil {
		doc.Build = buildOf()
	}
	return doc, err
}

// byKey asks by a key instead of an offset.
func (f *lineageFlags) byKey(cmd *cobra.Command, ask *work.Lineage) error {
	for _, other := range []string{"partition", "offset", "topic-id"} {
		if cmd.Flags().Changed(other) {
			return terminal.UsageError("--"+other, cmd.Flag(other).Value.String(), "either it or --key, which finds the event")
		}
	}
	if _, err := lineage.ParseKey(f.key); err != nil {
		return err
	}
	ask.Key, ask.Offset, ask.At, ask.AsOfUS = f.key, 0, "", time.Now().UnixMicro()
	if f.at != "" {
		at, err := time.Parse(time.RFC3339, f.at)
		if err != nil {
			return terminal.UsageError("--at", f.at, "with --key a time such as 2026-01-31T12:00:00Z")
		}
		ask.AsOfUS = at.UnixMicro()
	}
	return nil
}

// shownObjects is how many training objects a table lists.
const shownObjects = 8

func printLineage(w io.Writer, d *lineage.Document) {
	in := d.Slot.Intent
	line := func(name, format string, args ...any) { fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	e := d.Event
	line("event", "%s/%d offset %d%s", e.Topic, e.Partition, e.Offset, optional(", topic id ", e.TopicID))
	if e.TimestampUS != 0 {
		line("", "of %s, %s bytes%s", time.UnixMicro(e.TimestampUS).UTC().Format(time.RFC3339Nano), humanize.Comma(e.SizeBytes), optional(", sha256 ", e.SHA256))
	}
	line("", "%s", map[bool]string{true: "the broker has it", false: "not at the broker"}[e.Held])
	line("outcome", "%s at %s", d.Outcome, d.ScoredAt)
	if l := d.DeadLetter; l != nil {
		line("", "dead in slot %d: %s: %s", l.Slot, l.Stage, l.Reason)
	}
	action := string(in.Action)
	if action != "" {
		action = " (" + action + ")"
	}
	line("slot", "%d%s of %s", in.Seq, action, d.Slot.Log)
	line("", "intent %s of offsets [%d, %d)", in.ID, in.From, in.To)
	line("object", "%s", d.Object.Path)
	line("", "%s %d of %s, sha256 %s", map[bool]string{true: "row", false: "line"}[d.Row != nil], d.Object.Index, humanize.Comma(d.Object.Rows), d.Object.SHA256)
	if d.Object.Slot != in.Seq {
		line("", "moved there by the compaction in slot %d", d.Object.Slot)
	}
	line("model", "%s %d%s%s%s", d.Model.Name, d.Model.Version, optional(", the rollout's ", d.Model.Arm), optional(", registered ", d.Model.RegisteredAt), optional(", run ", d.Model.RunID))
	line("", "checkpoint %s", d.Model.Checkpoint)
	line("", "parameters sha256 %s, transform %s", cmp.Or(d.Model.SHA256, "-"), cmp.Or(d.Model.TransformHash, "-"))
	if tr := d.Training; tr != nil {
		line("training", "%s rows in %s bytes of %s, objects: %d", humanize.Comma(tr.Rows), humanize.Comma(tr.SizeBytes), tr.Path, len(tr.Objects))
		line("", "manifest sha256 %s, spec sha256 %s", tr.Dataset, tr.Spec)
		line("", "seed %d, %d replicas, %d epochs, %d rounds", tr.Seed, tr.Replicas, tr.Epochs, tr.Rounds)
		for i, o := range tr.Objects {
			if i == shownObjects {
				line("", "… and %d more (-o json lists all)", len(tr.Objects)-i)
				break
			}
			line("", "%s  etag %s%s, %s bytes, %s rows", o.Key, cmp.Or(o.ETag, "-"), optional(", version ", o.Version), humanize.Comma(o.SizeBytes), humanize.Comma(o.Rows))
		}
		for _, s := range tr.Skipped {
			line("", "left out: %s: %s", s.Place, s.Reason)
		}
		if l := tr.LabelFile; l != nil {
			line("", "label file, %s rows, objects: %d, manifest sha256 %s", humanize.Comma(l.Rows), l.Objects, l.Manifest)
		}
		for _, l := range tr.Lookups {
			line("", "table %s, %s rows, sha256 %s", l.Name, humanize.Comma(int64(l.Rows)), l.SHA256)
		}
	}
	line("spec", "generation %d%s", d.Spec.Generation, optional(", sha256 ", d.Spec.SHA256))
	if d.Row != nil {
		cells := make([]string, len(d.Row))
		for i, c := range d.Row {
			cells[i] = c.Name + "=" + c.String()
		}
		line("row", "%s", strings.Join(cells, " "))
	}
	line("build", "%s wrote this", d.Build)
	for _, n := range d.Notes {
		line("note", "%s", n)
	}
	if d.Verification != nil {
		printVerification(line, d)
	}
}

func printVerification(line func(name, format string, args ...any), d *lineage.Document) {
	v := d.Verification
	line("verify", "event from the %s%s", v.Event, optional(", sha256 ", v.EventSHA256))
	line("", "object: %s", v.Object)
	for _, m := range v.Differences {
		line("", "%s: recorded %s, again %s", m.Name, m.Recorded, m.Again)
	}
	switch {
	case !v.OK:
		line("", "NOT the same")
	case d.Outcome == lineage.Dead:
		line("", "dead again, for the same reason")
	default:
		line("", "all %d columns have the same bits", v.Equal)
	}
}

// optional is text with a label before it; empty without text.
func optional(label, text string) string {
	if text == "" {
		return ""
	}
	return label + text
}
