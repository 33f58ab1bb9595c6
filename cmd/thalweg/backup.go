package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/worker/cluster"
)

func newBackup(g *verb.Globals) *cobra.Command {
	return &cobra.Command{
		Use:   "backup FILE",
		Short: "Write all that the coordinators know to a file",
		Long: "backup writes pipelines with their specs, runs, models and aliases to a new file, as of now.\n" +
			"Rows, tables, checkpoints and the logs of streams are in object storage, and not in it.\n" +
			"`thalweg restore` reads it into a new cluster.",
		Example: "  thalweg backup thalweg.backup",
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, args []string) (verb.Answer, error) {
			if _, err := os.Lstat(args[0]); err == nil {
				return verb.Answer{}, &thalweg.Error{Op: "backup", Kind: thalweg.Exists, Subject: args[0], Hint: "name a new file: nothing is overwritten"}
			}
			res, err := c.Backup(cmd.Context(), &apiv1.BackupRequest{})
			if err != nil {
				return verb.Answer{}, err
			}
			if err := writeNew(args[0], res.Backup); err != nil {
				return verb.Answer{}, &thalweg.Error{Op: "backup", Kind: thalweg.KindOf(err), Subject: args[0], Err: err}
			}
			value := struct {
				File         string `json:"file"`
				Bytes        int    `json:"bytes"`
				AppliedIndex uint64 `json:"appliedIndex"`
			}{args[0], len(res.Backup), res.AppliedIndex}
			return verb.Answer{Value: value, Table: func(w io.Writer) {
				fmt.Fprintf(w, "%s: %s bytes, all up to log entry %d\n", value.File, humanize.Comma(int64(value.Bytes)), value.AppliedIndex)
			}}, nil
		}),
	}
}

// writeNew writes a file that only its owner reads. It is there whole after a
// crash, or not at all, and never in another's place.
func writeNew(path string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Link(tmp.Name(), path) // a rename would overwrite
	}
	err = cmp.Or(err, os.Remove(tmp.Name()))
	if errors.Is(err, fs.ErrExist) {
		err = &thalweg.Error{Op: "backup", Kind: thalweg.Exists, Subject: path, Hint: "name a new file: nothing is overwritten"}
	}
	return err
}
