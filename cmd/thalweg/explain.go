package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/expression"
)

func newExplain(g *verb.Globals) *cobra.Command {
	return &cobra.Command{
		Use:   "explain [FIELD|expressions] [FUNCTION]",
		Short: "Explain a field of the spec, or the language of expressions",
		Long: "Explain a field of the spec: its type, default and meaning, the fields in it, and an\n" +
			"example. `explain expressions` explains the language of expressions, and with a name\n" +
			"one of its functions or operators.",
		Example: "  thalweg explain spec.trainer.optimizer\n" +
			"  thalweg explain spec.input_features.encoder\n" +
			"  thalweg explain   # where a spec begins\n" +
			"  thalweg explain expressions\n" +
			"  thalweg explain expressions coalesce",
		RunE: func(cmd *cobra.Command, args []string) error {
			field, of := verb.Argument(args, 0), verb.Argument(args, 1)
			switch {
			case field == "expressions" && of == "":
				l := expression.Explain()
				return g.Print(cmd.OutOrStdout(), l, func(w io.Writer) { explainLanguage(w, l) })
			case field == "expressions":
				e, err := expression.ExplainOne(of)
				if err != nil {
					return err
				}
				return g.Print(cmd.OutOrStdout(), e, func(w io.Writer) { explainEntry(w, "", e) })
			case of != "":
				return &thalweg.Error{Op: "explain", Kind: thalweg.Invalid, Subject: of, Hint: "a name stands behind expressions alone"}
			}
			x, err := pipeline.NewExplainer(catalog.All())
			if err != nil {
				return err
			}
			all, err := x.Explain(field)
			if err != nil {
				return err
			}
			return g.Print(cmd.OutOrStdout(), all, func(w io.Writer) {
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

// explainLanguage writes the language of expressions for people.
func explainLanguage(w io.Writer, l expression.Language) {
	for _, r := range l.Rules {
		fmt.Fprintln(w, strings.ToUpper(r.About))
		for _, text := range r.Says {
			fmt.Fprintln(w, "  "+strings.ReplaceAll(wrap(text, 94), "\n", "\n    "))
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w, "THE ROW of which the examples are")
	for _, s := range l.Sample {
		fmt.Fprintf(w, "  %-12s %-10s %s\n", s.Name, s.Type, s.Value)
	}
	for _, part := range []struct {
		title   string
		entries []expression.Entry
	}{{"OPERATORS, the one that binds tightest first", l.Operators}, {"FUNCTIONS", l.Functions}} {
		fmt.Fprintln(w, "\n"+part.title)
		for _, e := range part.entries {
			explainEntry(w, "  ", e)
		}
	}
}

// explainEntry writes an operator or a function in three lines.
func explainEntry(w io.Writer, indent string, e expression.Entry) {
	fmt.Fprintf(w, "%s%s\n", indent, strings.Join(e.Forms, "   "))
	text := "Takes " + e.Takes + "; yields " + e.Yields + ". " + e.Meaning
	fmt.Fprintf(w, "%s    %s\n", indent, strings.ReplaceAll(wrap(text, 92-len(indent)), "\n", "\n    "+indent))
	fmt.Fprintf(w, "%s    %s is %s\n", indent, e.Example, e.Value)
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

// explainField writes a field in a few lines.
func explainField(w io.Writer, indent, name string, f pipeline.Explanation) {
	line := name + ": " + f.Type
	if f.Required {
		line += "; required"
	}
	if f.Default != "" {
		line += "; default " + f.Default
	}
	fmt.Fprintln(w, indent+strings.ReplaceAll(wrap(line, 100-len(indent)), "\n", "\n"+indent+"    "))
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
