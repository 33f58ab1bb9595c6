package verb

import (
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
)

// Argument returns the i-th argument; empty if there is none.
func Argument(args []string, i int) string {
	if i < len(args) {
		return args[i]
	}
	return ""
}

// ParseSpec reads and parses a spec file.
func ParseSpec(file string) (spec *pipeline.Spec, text string, err error) {
	data, err := ReadSpec(file)
	if err != nil {
		return nil, "", err
	}
	spec, err = pipeline.Parse(catalog.All(), file, data)
	return spec, string(data), err
}

// ReadSpec reads a spec file, or standard input if its name is -.
func ReadSpec(file string) ([]byte, error) {
	return terminal.ReadFile("read spec", file, pipeline.MaxSpecBytes, "name a file of YAML, or - for standard input")
}

// Must is for mistakes in this program's own tables.
func Must(err error) {
	if err != nil {
		panic(err)
	}
}
