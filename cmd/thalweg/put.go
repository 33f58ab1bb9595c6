package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
)

// maxPutBytes bounds a file, which is held in memory; files of training data are
// best far smaller, so that workers share them.
const maxPutBytes = 2 << 30

// putFile is an object that put has written.
type putFile struct {
	File      string `json:"file"`
	Object    string `json:"object"`
	SizeBytes int64  `json:"size_bytes"`
}

func newPut(g *globals) *cobra.Command {
	var connection string
	cmd := &cobra.Command{
		Use:   "put FILE s3://BUCKET/KEY",
		Short: "Copy a file on this machine into the object store",
		Long: "put copies a file, or those that a pattern in quotes matches, into the store that --store\n" +
			"names, which is that of `thalweg dev` by default. A key that ends in / is a folder, and the\n" +
			"object gets the file's name. An object of that name is replaced.",
		Example: "  thalweg put flights.parquet s3://lake/flights/\n" +
			"  thalweg put 'flights-*.parquet' s3://lake/flights/",
		RunE: func(cmd *cobra.Command, args []string) error {
			const op = "put"
			bucketName, key, err := pipeline.SplitS3Path(args[1])
			if err != nil {
				return usageError("s3://BUCKET/KEY", args[1], "s3://bucket/folder/ or s3://bucket/folder/file")
			}
			files, err := filepath.Glob(args[0])
			if err == nil && len(files) == 0 {
				err = errors.New("no such file")
			}
			if err != nil {
				return &thalweg.Error{Op: op, Kind: thalweg.NotFound, Subject: args[0], Err: err, Hint: "name a file on this machine, or several by a pattern in quotes"}
			}
			folder := key == "" || strings.HasSuffix(key, "/")
			if !folder && (len(files) > 1 || path.Ext(key) != filepath.Ext(files[0])) {
				return &thalweg.Error{Op: op, Kind: thalweg.Invalid, Subject: args[1], Err: errors.New("it names one object of another kind than the file"),
					Hint: "for a folder write " + args[1] + "/"}
			}
			// What can be wrong here is found before anything is written.
			for _, file := range files {
				switch info, err := os.Stat(file); {
				case err != nil:
					return &thalweg.Error{Op: op, Kind: thalweg.NotFound, Err: err}
				case info.IsDir():
					return &thalweg.Error{Op: op, Kind: thalweg.Invalid, Subject: file, Err: errors.New("is a directory"),
						Hint: "name its files by a pattern in quotes: '" + filepath.Join(file, "*") + "'"}
				case info.Size() > maxPutBytes:
					return &thalweg.Error{Op: op, Kind: thalweg.Exhausted, Subject: file, Err: fmt.Errorf("it has %s bytes, at most %s are put", thousands(info.Size()), thousands(maxPutBytes)),
						Hint: "cut it into files of some 100 MB, which workers share"}
				}
			}
			conns, err := g.connections.open()
			if err != nil {
				return err
			}
			defer conns.Close()
			bucket, err := conns.bucket(cmd.Context(), connection, bucketName)
			if err != nil {
				return err
			}
			var put []putFile
			for _, file := range files {
				body, err := readFile(op, file, maxPutBytes, "")
				if err != nil {
					return err
				}
				to := key
				if folder {
					to += filepath.Base(file)
				}
				if _, err := bucket.Put(cmd.Context(), to, body); err != nil {
					return err
				}
				put = append(put, putFile{File: file, Object: "s3://" + bucketName + "/" + to, SizeBytes: int64(len(body))})
			}
			return g.print(cmd.OutOrStdout(), put, func(w io.Writer) {
				for _, p := range put {
					fmt.Fprintf(w, "%s bytes of %s in %s\n", thousands(p.SizeBytes), p.File, p.Object)
				}
			})
		},
	}
	cmd.Flags().StringVar(&connection, "connection", "", "the store, by its name in the file of --connections")
	return cmd
}
