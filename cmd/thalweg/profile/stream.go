package profile

import (
	"context"
	"errors"
	"fmt"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/localdata"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/worker/cluster"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

func newStream(g *verb.Globals) *cobra.Command {
	var o choices
	cmd := &cobra.Command{
		Use:   "stream PIPELINE",
		Short: "Say what the scored rows of a stream hold",
		Long: "stream profiles the scored rows that `thalweg results` lists, each once: what came in, and\n" +
			"what the model made of it. A stretch of them is named by their places.",
		Example: "  thalweg profile stream flight-delays\n" +
			"  thalweg profile stream flight-delays --where '_partition == 0 and _offset >= 1000 and _offset < 2000'\n" +
			"  thalweg profile stream flight-delays --where '_model_version == 3' --label probability",
		Annotations: map[string]string{verb.UsesFlags: verb.Reads},
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, args []string) (verb.Answer, error) {
			s, err := c.OpenStream(cmd.Context(), args[0])
			if err != nil {
				return verb.Answer{}, err
			}
			partitions, err := s.Partitions(cmd.Context())
			if err != nil {
				return verb.Answer{}, err
			}
			files, err := s.Files(cmd.Context(), partitions)
			if err == nil && len(files) == 0 {
				err = &thalweg.Error{Op: "profile stream", Kind: thalweg.NotFound, Subject: args[0], Err: errors.New("no file is committed yet"),
					Hint: "`thalweg stream status " + args[0] + "` says how far scoring is"}
			}
			if err != nil {
				return verb.Answer{}, err
			}
			rows, err := rowsOf(cmd.Context(), s.Live.Bucket, files)
			if err != nil {
				return verb.Answer{}, err
			}
			p, err := o.profile(cmd.Context(), rows, args[0])
			if err != nil {
				return verb.Answer{}, err
			}
			return verb.Answer{Value: p, Table: p.WriteTable}, nil
		}),
	}
	o.register(cmd)
	return cmd
}

// rowsOf returns the scored rows of files, with the columns of all of them: one that a
// file lacks is null in its rows.
func rowsOf(ctx context.Context, bucket storage.Bucket, files []cluster.File) (localdata.Rows, error) {
	var rows localdata.Rows
	each := func(ctx context.Context, fn func(file string, batch engine.RowBatch) (more bool, err error)) error {
		for _, f := range files {
			body, _, err := bucket.Get(ctx, f.Key)
			if err != nil {
				return err
			}
			for batch, err := range engine.ReadRows(f.Key, body) {
				more := false
				if err == nil {
					more, err = fn(f.Path, batch)
				}
				if err != nil {
					return err
				}
				if !more {
					break
				}
			}
		}
		return nil
	}
	err := each(ctx, func(file string, batch engine.RowBatch) (bool, error) {
		for _, c := range batch.Schema.Columns {
			_, known, ok := rows.Schema.Lookup(c.Name)
			if !ok {
				rows.Schema.Columns = append(rows.Schema.Columns, c)
			} else if known.Type != c.Type {
				return false, &thalweg.Error{Op: "profile stream", Kind: thalweg.Unsupported, Subject: file,
					Err: fmt.Errorf("column %s is %s, in files before it %s", c.Name, c.Type, known.Type), Hint: "rows of two types have no profile in common"}
			}
		}
		return false, nil
	})
	rows.Each = func(ctx context.Context, fn func(arrow.Record) error) error {
		return each(ctx, func(_ string, batch engine.RowBatch) (bool, error) {
			n := int(batch.Rows.NumRows())
			columns := make([]arrow.Array, 0, len(rows.Schema.Columns)+1)
			for _, c := range rows.Schema.Columns {
				if i, _, ok := batch.Schema.Lookup(c.Name); ok {
					columns = append(columns, batch.Rows.Column(i))
				} else {
					columns = append(columns, array.MakeArrayOfNull(memory.DefaultAllocator, c.Type.ArrowType(), n))
				}
			}
			all := array.NewRecord(rows.Schema.Arrow(), append(columns, batch.Rows.Column(int(batch.Rows.NumCols())-1)), int64(n))
			defer all.Release()
			return true, fn(all)
		})
	}
	return rows, err
}
