package jobs

import (
	"context"
	"io"
	"strings"

	"github.com/thalweg/thalweg/pipeline/endpoint"
	"github.com/thalweg/thalweg/pipeline/event"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/worker/cluster"
	"github.com/thalweg/thalweg/worker/product"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// Results asks for the files that hold each row of a pipeline once, or for rows.
type Results struct {
	Head int `json:"head,omitempty"` // the answer is so many rows at most, as lines of JSON
}

// Found answers Results: of a stream its files, or of a table its manifest, nil while no
// run has written one.
type Found struct {
	Table    string            `json:"table,omitempty"` // where it is, of a pipeline with output
	Manifest *product.Manifest `json:"manifest,omitempty"`
	Files    []cluster.File    `json:"files"`
	HowTo    []string          `json:"how_to_read,omitempty"` // in a line each
}

func runResults(ctx context.Context, j *Job, p Results) error {
	t, err := j.OpenTable(ctx, j.Pipeline)
	if err != nil {
		return err
	}
	var found Found
	var bucket storage.Bucket
	var keys []string
	if t != nil {
		found.Table, bucket = t.String(), t.Bucket
		if found.Manifest, err = t.Manifest(ctx); err != nil {
			return err
		}
		if found.Manifest != nil {
			for _, f := range found.Manifest.Files {
				keys = append(keys, t.Prefix+f.Path)
			}
			found.HowTo = t.Spec.Spec.Output.Table.Options.(endpoint.Table).HowToRead(j.Conns.Reach(t.Spec.Spec.Output.Connection), t.Name+"/"+strings.TrimSuffix(t.Prefix, "/"))
		}
	} else {
		s, err := j.OpenStream(ctx, j.Pipeline)
		if err != nil {
			return err
		}
		partitions, err := s.Partitions(ctx)
		if err != nil {
			return err
		}
		if found.Files, err = s.Files(ctx, partitions); err != nil {
			return err
		}
		bucket = s.Live.Bucket
		for _, f := range found.Files {
			keys = append(keys, f.Key)
		}
		if found.HowTo, err = HowToRead(ctx, s); err != nil {
			return err
		}
	}
	if p.Head > 0 {
		return writeHead(ctx, j, bucket, keys, p.Head)
	}
	return j.Reply(found)
}

// HowToRead says in a line each how the rows are read as one table; nothing
// where the spec wants none or it has not been written yet.
func HowToRead(ctx context.Context, s *cluster.Stream) ([]string, error) {
	table := s.Sink().Table.Options.(endpoint.Table)
	lines := table.HowToRead(s.Conns.Reach(s.Sink().Connection), s.Live.Name+"/"+strings.TrimSuffix(s.Live.Prefix, "/"))
	for _, err := range s.Live.Bucket.List(ctx, s.Live.Prefix+table.LogDir(), "") {
		return lines, err
	}
	return nil, nil
}

// writeHead writes the first n rows of objects as JSON lines.
func writeHead(ctx context.Context, w io.Writer, bucket storage.Bucket, keys []string, n int) error {
	for _, key := range keys {
		if n == 0 {
			break
		}
		body, _, err := bucket.Get(ctx, key)
		if err != nil {
			return err
		}
		for batch, err := range engine.ReadRows(key, body) {
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
