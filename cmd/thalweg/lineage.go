package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/cluster"
	"github.com/thalweg/thalweg/cmd/thalweg/connections"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	"github.com/thalweg/thalweg/connectors"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/worker/stream/engine"
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
			"--verify scores the event again from these alone and compares every column bit for\n" +
			"bit. A document written by -o json is enough: --from-file needs no coordinator, only\n" +
			"the store and the topic. If the topic does not have the event any more, --event gives\n" +
			"its bytes.\n" +
			"\n" +
			"lineage runs in this process. The coordinators know the version, the run and the spec\n" +
			"(ListModels, GetRun, GetPipeline); everything else is in the store.\n" +
			"\n" +
			"Exit code 0: the row was found, and with --verify every column is equal. Otherwise 1.",
		Example: "  thalweg lineage flight-delays --partition 0 --offset 4711\n" +
			"  thalweg lineage flight-delays --partition 0 --offset 4711 -o json > row.json\n" +
			"  thalweg lineage --from-file row.json --verify",
		RunE: g.Ask(f.run),
	}
	flags := cmd.Flags()
	flags.StringVar(&f.topic, "topic", "", "the topic; default: the pipeline's")
	flags.StringVar(&f.topicID, "topic-id", "", "ID of the topic, if it was deleted and created again; default: the newest")
	flags.IntVar(&f.partition, "partition", 0, "the partition of the event")
	flags.Int64Var(&f.offset, "offset", notGiven, "the offset of the event")
	flags.StringVar(&f.at, "at", "", "look in the rows of a replay: s3://bucket/prefix/")
	flags.BoolVar(&f.verify, "verify", false, "score the event again and compare")
	flags.StringVar(&f.fromFile, "from-file", "", "read the lineage from a document that -o json wrote")
	flags.StringVar(&f.event, "event", "", "with --verify: a file with the event's bytes, if the topic does not have it any more")
	flags.BoolVar(&f.keep, "with-event", false, "include the event itself in the document")
	return cmd
}

// notGiven is no offset.
const notGiven = -1

type lineageFlags struct {
	topic, topicID, at, fromFile, event string
	partition                           int
	offset                              int64
	verify, keep                        bool
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
	var from lineage.Sources
	switch {
	case f.fromFile != "":
		doc, from, err = f.read(ctx, c)
	case len(args) == 0 && f.topic == "":
		return a, terminal.UsageError("PIPELINE", "", "a pipeline, --topic or --from-file")
	default:
		doc, from, err = f.trace(ctx, c, args)
	}
	if from.Events != nil {
		defer from.Events.Close()
	}
	if err != nil {
		return a, err
	}
	a.Value, a.Table = doc, func(w io.Writer) { printLineage(w, doc) }
	if doc.Verification = nil; !f.verify { // one in the file is of an earlier --verify
		return a, nil
	}
	if doc.Verification, err = lineage.Verify(ctx, from, doc, given); err != nil {
		return a, err
	}
	if v, e := doc.Verification, doc.Event; !v.OK {
		a.Failed = &thalweg.Error{Op: "verify", Kind: thalweg.Corrupt, Subject: fmt.Sprintf("%s/%d offset %d", e.Topic, e.Partition, e.Offset),
			Err: fmt.Errorf("%d of %d columns differ", len(v.Differences), v.Columns)}
	}
	return a, nil
}

// read takes the lineage from a file and opens what it names.
func (f *lineageFlags) read(ctx context.Context, c *cluster.Client) (doc *lineage.Document, from lineage.Sources, err error) {
	data, err := terminal.ReadFile("--from-file", f.fromFile, terminal.MaxFileBytes, "")
	if err != nil {
		return nil, from, err
	}
	if doc, err = lineage.Parse(pipeline.WithoutMark(data)); err != nil {
		return nil, from, &thalweg.Error{Op: "--from-file", Kind: thalweg.KindOf(err), Subject: f.fromFile, Err: err}
	}
	from, err = openSources(ctx, c.Conns, doc.Places, doc.Event.Topic)
	return doc, from, err
}

// openSources opens what a document's places name. The caller closes the events.
func openSources(ctx context.Context, conns *connections.Set, p lineage.Places, topic string) (from lineage.Sources, err error) {
	from.Catalog, from.Schemas, from.Keys = catalog.All(), conns.EventSchemas, conns.Key
	from.Sink = storage.Place{Name: p.Bucket, Prefix: p.SinkPrefix}
	if from.Sink.Bucket, err = conns.Bucket(ctx, p.Sink, p.Bucket); err != nil {
		return from, err
	}
	if from.State, err = conns.Bucket(ctx, "", p.State); err != nil {
		return from, err
	}
	stream, err := from.Catalog.Choose(pipeline.Streams, p.Stream, p.Options)
	if err != nil {
		return from, err
	}
	source, err := conns.Source(p.Events, stream, connectors.Reading{Topic: topic})
	if err == nil { // else it may be a nil pointer
		from.Events = source
	}
	return from, err
}

// trace finds the lineage of an event.
func (f *lineageFlags) trace(ctx context.Context, c *cluster.Client, args []string) (doc *lineage.Document, from lineage.Sources, err error) {
	if f.offset < 0 {
		given := fmt.Sprint(f.offset)
		if f.offset == notGiven {
			given = ""
		}
		return nil, from, terminal.UsageError("--offset", given, "the offset of an event")
	}
	name := verb.Argument(args, 0)
	if name == "" {
		if name, err = c.PipelineOf(ctx, f.topic); err != nil {
			return nil, from, err
		}
	}
	s, err := c.OpenStream(ctx, name)
	if err != nil {
		return nil, from, err
	}
	events := s.Spec.Spec.Sources.Events
	options, err := json.Marshal(events.Stream.Options)
	if err != nil {
		return nil, from, err
	}
	places := lineage.Places{Sink: s.Sink().Connection, Bucket: s.Live.Name, SinkPrefix: s.Live.Prefix, State: c.StateBucket,
		Events: events.Connection, Stream: events.Stream.Name, Options: options}
	if f.at != "" {
		at, err := s.Place(ctx, "", f.at)
		if err != nil {
			return nil, from, err
		}
		places.Bucket, places.SinkPrefix = at.Name, at.Prefix
	}
	topic := cmp.Or(f.topic, s.Config.Topic)
	if from, err = openSources(ctx, c.Conns, places, topic); err != nil {
		return nil, from, err
	}
	doc, err = lineage.Trace(ctx, from, registry{c}, lineage.Query{Pipeline: s.Config.Pipeline, Topic: topic, TopicID: f.topicID,
		Partition: f.partition, Offset: f.offset}, f.keep)
	if err != nil {
		return nil, from, err
	}
	doc.Places, doc.Build = places, buildOf()
	return doc, from, nil
}

// registry is the coordinators' as lineage asks it.
type registry struct{ *cluster.Client }

// Version implements lineage.Registry.
func (r registry) Version(ctx context.Context, m engine.Model) (lineage.Registered, error) {
	model, err := r.FindModel(ctx, string(m.Name))
	if err != nil {
		return lineage.Registered{}, err
	}
	for _, v := range model.Versions {
		if v.Version == uint64(m.Version) && v.Checkpoint == m.Checkpoint.String() {
			return lineage.Registered{RunID: v.RunId, RegisteredAt: time.UnixMilli(v.RegisteredAtUnixMs)}, nil
		}
	}
	return lineage.Registered{}, &thalweg.Error{Op: "find model version", Kind: thalweg.NotFound, Subject: m.String() + " with that checkpoint"}
}

// Spec implements lineage.Registry.
func (r registry) Spec(ctx context.Context, name thalweg.PipelineName, generation thalweg.Generation) ([]byte, error) {
	res, err := r.GetPipeline(ctx, &apiv1.GetPipelineRequest{Name: string(name), Generation: uint64(generation)})
	if err != nil {
		return nil, err
	}
	return []byte(res.Pipeline.RenderedSpec), nil
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
	line("model", "%s %d%s%s", d.Model.Name, d.Model.Version, optional(", registered ", d.Model.RegisteredAt), optional(", run ", d.Model.RunID))
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
