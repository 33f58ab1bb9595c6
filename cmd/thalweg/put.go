package main

import (
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/localdata"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
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

func newPut(g *verb.Globals) *cobra.Command {
	var connection string
	cmd := &cobra.Command{
		Use:   "put FILE s3://BUCKET/KEY",
		Short: "Copy a file on this machine into the object store",
		Long: "put copies a file, the data files of a folder, or what a pattern in quotes matches, into\n" +
			"the store that --store names, which is that of `thalweg dev` by default. A key that ends in\n" +
			"/ is a folder: an object in it gets the file's name, below the folder that was named or the\n" +
			"part of the pattern before its first *. An object of that name is replaced.",
		Example: "  thalweg put flights.parquet s3://lake/flights/\n" +
			"  thalweg put visits s3://lake/visits/\n" +
			"  thalweg put 'visits-*.parquet' s3://lake/visits/",
		RunE: func(cmd *cobra.Command, args []string) error {
			const op = "put"
			bucketName, key, err := pipeline.SplitS3Path(args[1])
			if err != nil {
				return terminal.UsageError("s3://BUCKET/KEY", args[1], "s3://bucket/folder/ or s3://bucket/folder/file")
			}
			files, _, err := localdata.FindFiles(op, args[0])
			if err != nil {
				return err
			}
			folder := key == "" || strings.HasSuffix(key, "/")
			if !folder && (len(files) > 1 || path.Ext(key) != filepath.Ext(files[0].Path)) {
				return &thalweg.Error{Op: op, Kind: thalweg.Invalid, Subject: args[1], Err: errors.New("it names one object of another kind than the file"),
					Hint: "for a folder write " + args[1] + "/"}
			}
			// What can be wrong here is found before anything is written.
			for _, file := range files {
				if file.SizeBytes > maxPutBytes {
					return &thalweg.Error{Op: op, Kind: thalweg.Exhausted, Subject: file.Path, Err: fmt.Errorf("it has %s bytes, at most %s are put", humanize.Comma(file.SizeBytes), humanize.Comma(maxPutBytes)),
						Hint: "cut it into files of some 100 MB, which workers share"}
				}
			}
			conns, err := g.Connections.Open()
			if err != nil {
				return err
			}
			defer conns.Close()
			bucket, err := conns.Bucket(cmd.Context(), connection, bucketName)
			if err != nil {
				return err
			}
			var put []putFile
			for _, file := range files {
				body, err := terminal.ReadFile(op, file.Path, maxPutBytes, "")
				if err != nil {
					return err
				}
				to := key
				if folder {
					to += file.Key
				}
				if _, err := bucket.Put(cmd.Context(), to, body); err != nil {
					return err
				}
				put = append(put, putFile{File: file.Path, Object: "s3://" + bucketName + "/" + to, SizeBytes: int64(len(body))})
			}
			return g.Print(cmd.OutOrStdout(), put, func(w io.Writer) {
				for _, p := range put {
					fmt.Fprintf(w, "%s bytes of %s in %s\n", humanize.Comma(p.SizeBytes), p.File, p.Object)
				}
			})
		},
	}
	cmd.Flags().StringVar(&connection, "connection", "", "the store, by its name in the file of --connections")
	return cmd
}
