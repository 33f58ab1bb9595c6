package localdata

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"path"
	"path/filepath"
	"strings"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/storage/dataset"
	"github.com/thalweg/thalweg/storage/records"
)

// dataFormats are the formats of files by how their names end.
var dataFormats = map[string]string{".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl",
	".arrow": "arrow", ".arrows": "arrow", ".feather": "arrow", ".ipc": "arrow"}

// formatOf returns the format that the name of a file says.
func formatOf(key string) string {
	if name := dataFormats[records.Extension(key)]; name != "" {
		return name
	}
	return "parquet"
}

// extension is how the name of a file ends, what says how it is compressed included.
func extension(key string) string {
	ext := path.Ext(key)
	if records.Compression(key) != "" {
		ext = path.Ext(strings.TrimSuffix(key, ext)) + ext
	}
	return ext
}

// maxLooked bounds the files of a folder that are looked at to tell its format.
const maxLooked = 1000

// dataExtension returns how the names of the data in a folder end: those of Parquet if
// there is any, else those of the first file whose name says a format. Files of that
// which are compressed otherwise are an error: they would be left out unsaid.
func dataExtension(names iter.Seq2[string, error]) (string, error) {
	other, beside, n := "", "", 0
	for name, err := range names {
		if n++; err != nil || n > maxLooked {
			break
		}
		base := path.Base(filepath.ToSlash(name))
		switch ext := extension(name); {
		case strings.ContainsAny(base[:1], "._"):
		case ext == ".parquet":
			return ext, nil
		case other == "" && formatOf(name) != "parquet":
			other = ext
		case ext != other && records.Extension(name) == records.Extension(other):
			beside = ext
		}
	}
	if beside != "" {
		return "", &thalweg.Error{Op: "look at folder", Kind: thalweg.Invalid, Err: fmt.Errorf("it has files that end in %s, and in %s", other, beside),
			Hint: "name them by a pattern in quotes: '*" + records.Extension(other) + "*'"}
	}
	return cmp.Or(other, ".parquet"), nil
}

// guessed returns a spec of nothing but the format that the files seem to have, and
// notes how it is written.
func (d *Dataset) guessed(ctx context.Context) (*pipeline.Spec, error) {
	options := make(map[string]any)
	name := formatOf(d.source.Pattern)
	if name == "csv" {
		first, err := dataset.FirstLines(ctx, d.source.Bucket, d.source.Pattern, dialectLines)
		if err != nil {
			return nil, err
		}
		options = dialect(first.Text)
		if first.Encoding != "" {
			options["encoding"] = first.Encoding
		}
	}
	text, err := json.Marshal(options)
	if err != nil {
		return nil, err
	}
	d.format = "{type: " + name
	for _, field := range []string{"delimiter", "quote", "header", "columns", "encoding", "decimal_comma"} {
		if value, ok := options[field]; ok {
			quoted, _ := json.Marshal(value) // of texts and a bool
			d.format += ", " + field + ": " + strings.ReplaceAll(string(quoted), `","`, `", "`)
		}
	}
	d.format += "}"
	spec := new(pipeline.Spec)
	train := &spec.Spec.Sources.Train
	if train.Format, err = catalog.All().Choose(pipeline.DatasetFormats, name, text); err == nil {
		train.Format.Options, err = pipeline.Complete(train.Format.Options)
	}
	return spec, err
}
