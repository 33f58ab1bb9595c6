package quality

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/dustin/go-humanize"

	"github.com/thalweg/thalweg/pipeline"
)

// Judgement is what the tests say of all training rows.
type Judgement struct {
	// Errors and Warnings are what is wrong, by the severity that it has.
	Errors, Warnings []string
	// Table has a line for each test.
	Table string
}

// Judge holds what was found in all rows against the limits of the tests; lines are the
// failing rows that are kept, champion is nil where there is none.
func (t *Tests) Judge(rep *pipeline.Report, lines []Line, champion *Champion) (j Judgement) {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "TEST\tSEVERITY\tFAILED\tSHARE\tRESULT")
	for i := range t.tests {
		of := &t.tests[i]
		var failed int64
		var share, wrong string
		var fails, warns bool
		count, compares := of.Count(), of.compares()
		switch {
		case count != nil:
			wrong = count.Misses(rep.Tested)
			fails, warns = wrong != "" && of.Spec.Fails(), wrong != ""
		case compares != nil:
			c := compares.judge(of.Spec.Column, of.Spec.Fails(), rep.Seen[of.Spec.Column], champion)
			share, wrong, warns, fails = c.found, c.wrong, c.warns, c.fails
		default:
			if found := rep.Tests[of.Name]; found != nil {
				failed = found.Failed
			}
			share = fmt.Sprintf("%.4g%%", 100*float64(failed)/float64(max(1, rep.Tested)))
			field, limit := "warn_if", of.Spec.WarnIf
			if fails = of.Spec.ErrorIf.Met(failed, rep.Tested); fails {
				field, limit = "error_if", of.Spec.ErrorIf
			}
			warns = of.Spec.WarnIf.Met(failed, rep.Tested)
			wrong = fmt.Sprintf("%s of %s rows fail %s, %s: %s is %s", humanize.Comma(failed), humanize.Comma(rep.Tested),
				of.rule(), share, field, limit)
			if k := slices.IndexFunc(lines, func(l Line) bool { return l.Test == of.Name }); k >= 0 {
				wrong += fmt.Sprintf("; the first is row %d of object %s", lines[k].Row, lines[k].Object)
			}
		}
		wrong = "test " + of.Name + ": " + wrong
		result := "passed"
		switch {
		case fails:
			result = "failed"
			j.Errors = append(j.Errors, wrong)
		case warns:
			result = "warned"
			j.Warnings = append(j.Warnings, wrong)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", of.Name, of.Spec.Severity, humanize.Comma(failed), share, result)
	}
	_ = table.Flush() // into memory
	j.Table = strings.TrimSpace(text.String())
	return j
}

// rule is what is asked of rows, cut to what a line has room for; "" of a number of rows.
func (t *test) rule() string {
	text := ""
	switch {
	case t.condition != nil:
		text = t.condition.Source()
	case t.Key != nil:
		text = "unique " + strings.Join(t.Key.Keys, ", ")
	}
	const most = 200
	if r := []rune(text); len(r) > most {
		return string(r[:most]) + "…"
	}
	return text
}

// Line is a failing row as a run keeps it.
type Line struct {
	Run  string `json:"run"`
	Test string `json:"test"`
	Rule string `json:"rule"`
	pipeline.FailedRow
}

// Lines returns the failing rows that a run keeps of all shards, the first of each test,
// one test after the other. shard returns what observers kept of one, by test; it is not
// called for those of which nothing is needed.
func (t *Tests) Lines(run string, shards int, shard func(i int) (map[string][]pipeline.FailedRow, error)) ([]Line, error) {
	room, rows := make([]stored, len(t.tests)), make([][]pipeline.FailedRow, len(t.tests))
	for k := range room {
		room[k] = t.room(k)
	}
	for i := range shards {
		if !slices.ContainsFunc(room, func(s stored) bool { return s.rows > 0 }) {
			break
		}
		found, err := shard(i)
		if err != nil {
			return nil, err
		}
		for k := range t.tests {
			rows[k] = append(rows[k], room[k].take(found[t.tests[k].Name])...)
		}
	}
	var lines []Line
	for k := range t.tests {
		for _, row := range rows[k] {
			lines = append(lines, Line{run, t.tests[k].Name, t.tests[k].rule(), row})
		}
	}
	return lines, nil
}
