package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/pipeline/endpoint"
	"github.com/thalweg/thalweg/pipeline/event"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

func newResults(g *globals) *cobra.Command {
	var head int
	cmd := &cobra.Command{
		Use:   "results PIPELINE",
		Short: "List the committed files of scored rows, or what a table of cleaned rows was made of, or show the first rows",
		Long: "results reads the commit logs and lists the files that hold each scored row once. Where the\n" +
			"sink has a compaction section, a plain glob over data/ also finds files that a merged one has\n" +
			"replaced, for as long as its retention: read the files that are listed here, or the table.\n\n" +
			"Of a pipeline with output it shows the manifest of its table: the objects that were read, with\n" +
			"their ETags, sizes and rows, and what became of the rows; with -o json also its files.",
		Example: "  thalweg results flight-delays\n" +
			"  thalweg results flight-delays --head 5",
		RunE: g.ask(func(cmd *cobra.Command, c *cluster, args []string) (answer, error) {
			if table, err := c.openTable(cmd.Context(), args[0]); err != nil || table != nil {
				if err != nil {
					return answer{}, err
				}
				return table.results(cmd.Context(), cmd.OutOrStdout(), head)
			}
			s, err := c.openStream(cmd.Context(), args[0])
			if err != nil {
				return answer{}, err
			}
			partitions, err := s.partitions(cmd.Context())
			if err != nil {
				return answer{}, err
			}
			files, err := s.files(cmd.Context(), partitions)
			if err != nil {
				return answer{}, err
			}
			if head > 0 && len(files) > 0 {
				return answer{}, s.head(cmd.Context(), cmd.OutOrStdout(), files, head)
			}
			howToRead, err := s.howToRead(cmd.Context())
			if err != nil {
				return answer{}, err
			}
			return answer{value: files, table: func(w io.Writer) {
				if len(files) == 0 {
					fmt.Fprintf(w, "no file is committed yet: `rolling` of the sink says when one is (10 s after its first row by default), `thalweg stream status %s` how far scoring is\n", args[0])
					return
				}
				terminal.Row(w, "FILE", "PARTITION", "OFFSETS", "ROWS", "BYTES", "VERSION")
				for _, f := range files {
					terminal.Row(w, f.Path, f.Partition, fmt.Sprintf("[%d, %d)", f.From, f.To), humanize.Comma(f.Rows), humanize.Comma(f.SizeBytes), f.version())
				}
				for _, line := range howToRead {
					fmt.Fprintln(w, line)
				}
			}}, nil
		}),
	}
	cmd.Flags().IntVar(&head, "head", 0, "show this many rows as JSON instead of the files")
	return cmd
}

// howToRead says in a line each how the rows are read as one table; nothing
// where the spec wants none or it has not been written yet.
func (s *stream) howToRead(ctx context.Context) ([]string, error) {
	table := s.sink().Table.Options.(endpoint.Table)
	lines := table.HowToRead(s.conns.Reach(s.sink().Connection), s.live.Name+"/"+strings.TrimSuffix(s.live.Prefix, "/"))
	for _, err := range s.live.Bucket.List(ctx, s.live.Prefix+table.LogDir(), "") {
		return lines, err
	}
	return nil, nil
}

// committedFile is one object that a done record names.
type committedFile struct {
	Path         string `json:"path"`
	Key          string `json:"-"`
	Topic        string `json:"topic"`
	Partition    int    `json:"partition"`
	From         int64  `json:"from"`
	To           int64  `json:"to"`
	Rows         int64  `json:"rows"`
	SizeBytes    int64  `json:"size_bytes"`
	SHA256       string `json:"sha256"`
	ModelVersion uint64 `json:"model_version"`      // 0 of a merged file, whose rows tell
	Merged       bool   `json:"merged,omitempty"`   // by a compaction
	Replayed     bool   `json:"replayed,omitempty"` // dead letters that were scored later

	slots [2]uint64 // whose rows are in it
}

// version says which model version scored a file.
func (f committedFile) version() string {
	switch {
	case f.Merged:
		return "merged"
	case f.Replayed:
		return fmt.Sprintf("%d (replay)", f.ModelVersion)
	}
	return fmt.Sprint(f.ModelVersion)
}

// files lists the live objects of scored rows, in the order of the log: those
// that hold each row once. Replays of dead letters have a log of their own,
// which follows that of their partition.
func (s *stream) files(ctx context.Context, partitions int) ([]committedFile, error) {
	files := []committedFile{}
	for p := range partitions {
		for _, replay := range []bool{false, true} {
			log, err := commitlog.New(s.live.Bucket, s.log(p, replay))
			if err != nil {
				return nil, err
			}
			first := len(files)
			for e, err := range commitlog.Live(log.ReadBack(ctx)) {
				if err != nil {
					return nil, err
				}
				files = append(files, s.filesOf(e)...)
			}
			slices.SortStableFunc(files[first:], func(a, b committedFile) int { return cmp.Compare(a.slots[0], b.slots[0]) })
		}
	}
	return files, nil
}

// filesOf returns an entry's objects of scored rows.
func (s *stream) filesOf(e commitlog.Entry) (files []committedFile) {
	in := e.Intent
	from, to := e.Offsets()
	slots := [2]uint64{in.Seq, in.Seq + 1}
	if in.Action == commitlog.Compact {
		slots = in.Slots
	}
	for _, o := range e.Done.Objects {
		if o.Kind == commitlog.Scored {
			files = append(files, committedFile{Path: "s3://" + s.live.Name + "/" + o.Key, Key: o.Key, Topic: in.Topic, Partition: in.Partition,
				From: from, To: to, Rows: o.Rows, SizeBytes: o.SizeBytes, SHA256: o.SHA256, ModelVersion: uint64(in.ModelVersion),
				Merged: in.Action == commitlog.Compact, Replayed: in.Action == commitlog.Replay, slots: slots})
		}
	}
	return files
}

// head writes the first n rows as JSON lines.
func (s *stream) head(ctx context.Context, w io.Writer, files []committedFile, n int) error {
	for _, f := range files {
		if n == 0 {
			break
		}
		body, _, err := s.live.Bucket.Get(ctx, f.Key)
		if err != nil {
			return err
		}
		for batch, err := range engine.ReadRows(f.Key, body) {
			if err != nil {
				return err
			}
			for i := 0; i < int(batch.Rows.NumRows()) && n > 0; i++ {
				n--
				if _, err := w.Write(append(event.AppendJSON(nil, batch.Rows, i), '\n')); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
