package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
)

func newExplain(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "explain [FIELD]",
		Short: "Explain a field of the spec: type, default, meaning, fields, an example",
		Example: "  thalweg explain spec.trainer.optimizer\n" +
			"  thalweg explain spec.input_features.encoder\n" +
			"  thalweg explain   # where a spec begins",
		RunE: func(cmd *cobra.Command, args []string) error {
			all, err := pipeline.Explain(catalog.All(), argument(args, 0))
			if err != nil {
				return err
			}
			return g.print(cmd.OutOrStdout(), all, func(w io.Writer) {
				for i, e := range all {
					if i > 0 {
						fmt.Fprintln(w)
					}
					explain(w, e)
				}
			})
		},
	}
}

// explain writes an explanation for people.
func explain(w io.Writer, e pipeline.Explanation) {
	if e.Path != "" {
		name := e.Path
		if e.Of != "" {
			name += " of " + e.Of
		}
		explainField(w, "", name, e)
	}
	of := ""
	if len(e.Fields) > 0 {
		fmt.Fprintln(w, "\nFIELDS")
	}
	for _, f := range e.Fields {
		indent := "  "
		if f.Of != "" {
			indent = "    "
			if f.Of != of {
				fmt.Fprintln(w, "  of "+f.Of)
			}
		}
		of = f.Of
		explainField(w, indent, f.Path[strings.LastIndexByte(f.Path, '.')+1:], f)
	}
	if e.Example != "" {
		fmt.Fprintln(w, "\nEXAMPLE")
		for line := range strings.Lines(e.Example) {
			fmt.Fprint(w, "  "+line)
		}
	}
}

// explainField writes a field in a line or two.
func explainField(w io.Writer, indent, name string, f pipeline.Explanation) {
	line := name + ": " + f.Type
	if f.Required {
		line += "; required"
	}
	if f.Default != "" {
		line += "; default " + f.Default
	}
	fmt.Fprintln(w, indent+line)
	for text := range strings.SplitSeq(wrap(f.Meaning, 96-len(indent)), "\n") {
		if text != "" {
			fmt.Fprintln(w, indent+"    "+text)
		}
	}
}

// wrap breaks a text into lines of at most so many bytes where words allow it.
func wrap(text string, most int) string {
	var b strings.Builder
	at := 0
	for _, word := range strings.Fields(text) {
		switch {
		case at == 0:
		case at+1+len(word) > most:
			b.WriteByte('\n')
			at = 0
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += len(word)
	}
	return b.String()
}
