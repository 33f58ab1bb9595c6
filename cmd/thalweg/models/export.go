package models

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/jobs"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/onnx"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/worker/cluster"
)

// exportFormats are the forms of one file that a version is exported in.
func exportFormats() map[string]func(parts map[string][]byte) ([]byte, error) {
	return map[string]func(parts map[string][]byte) ([]byte, error){
		"onnx": func(parts map[string][]byte) ([]byte, error) {
			a, err := artifact.Decode(catalog.All(), parts)
			if err != nil {
				return nil, err
			}
			m, err := onnx.Export(a)
			if err != nil {
				return nil, err
			}
			return m.Bytes, nil
		},
		"safetensors": func(parts map[string][]byte) ([]byte, error) { return parts[artifact.PartModel], nil },
	}
}

// exported is a file that a version was exported to.
type exported struct {
	File      string `json:"file"`
	Format    string `json:"format"`
	SizeBytes int    `json:"size_bytes"`
	SHA256    string `json:"sha256"`
}

func newExport(g *verb.Globals) *cobra.Command {
	var dir, format, into string
	cmd := &cobra.Command{
		Use:   "export MODEL [VERSION]",
		Short: "Write a version, champion by default: as ONNX, its parameters as safetensors, or all its files to a directory",
		Long: "export writes a version's verified files (safetensors, transform, spec, provenance) to a\n" +
			"directory. With --format onnx it writes one ONNX model of features and model, which reads\n" +
			"cleaned rows, a tensor a column, and gives the columns that scoring adds; docs/export.md says\n" +
			"how nulls are given. With --format safetensors it writes the parameters alone.",
		Example: "  thalweg models export flight-delays --format onnx --into flight-delays.onnx\n" +
			"  thalweg models export flight-delays 1 --format safetensors\n" +
			"  thalweg models export flight-delays 1 --dir ./flight-delays-v1",
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, args []string) (verb.Answer, error) {
			write, ok := exportFormats()[format]
			if !ok && format != "files" {
				return verb.Answer{}, terminal.UsageError("--format", format, "files, "+strings.Join(slices.Sorted(maps.Keys(exportFormats())), " or "))
			}
			if write == nil && into != "" {
				return verb.Answer{}, terminal.UsageError("--into", into, "--format onnx or safetensors beside it: files go to the directory --dir")
			}
			m, v, err := c.FindRegistered(cmd.Context(), args[0], cmp.Or(verb.Argument(args, 1), thalweg.DefaultAlias))
			if err != nil {
				return verb.Answer{}, err
			}
			parts, err := jobs.Checkpoint(cmd, c, m.Name, v)
			if err != nil {
				return verb.Answer{}, err
			}
			if write == nil {
				names, err := terminal.WriteFiles(dir, parts)
				return verb.Answer{Value: names, Table: func(w io.Writer) { fmt.Fprintln(w, strings.Join(names, "\n")) }}, err
			}
			data, err := write(parts)
			if err != nil {
				return verb.Answer{}, err
			}
			if into == "" {
				into = filepath.Join(dir, fmt.Sprintf("%s-v%d.%s", m.Name, v.Version, format))
			}
			out := exported{into, format, len(data), storage.SHA256(data)}
			return verb.Answer{Value: out, Table: func(w io.Writer) {
				fmt.Fprintf(w, "%s (%s), version %d of %s, sha256 %s\n", into, humanize.IBytes(uint64(len(data))), v.Version, m.Name, out.SHA256)
			}}, os.WriteFile(into, data, 0o644)
		}),
	}
	cmd.Flags().StringVar(&format, "format", "files", "files, onnx or safetensors")
	cmd.Flags().StringVar(&into, "into", "", "the file to write, of onnx and safetensors; default MODEL-vVERSION.FORMAT in --dir")
	cmd.Flags().StringVar(&dir, "dir", ".", "where to write")
	return cmd
}
