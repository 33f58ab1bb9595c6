package evaluation

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/thalweg/thalweg/pipeline/search"
)

// plotColumns is how wide the plot of trials is in a terminal.
const plotColumns = 60

// SearchTable shows the trials of a search: how the best came about, and as many as fit
// into so many bytes, the best first.
func SearchTable(r *search.Result, most int) string {
	var w strings.Builder
	failed := make(map[string]int)
	for _, t := range r.Trials {
		if t.Failed != "" {
			failed[t.Failed]++
		}
	}
	values := func(t search.Trial) string { return shortened(t.Values.Text(), most/8) }
	best := r.Trials[r.Best-1]
	of := ""
	if r.Folds > 0 {
		of = fmt.Sprintf(" by %d folds", r.Folds)
	}
	fmt.Fprintf(&w, "%s, %d trials%s; the best is %d, %s %.6g: %s\n", r.Algorithm, len(r.Trials), of, best.Number, r.Metric, *best.Score, values(best))
	reasons := slices.Sorted(maps.Keys(failed))
	for i, why := range reasons {
		if i == 3 {
			fmt.Fprintf(&w, "and %d other reasons\n", len(reasons)-i)
			break
		}
		fmt.Fprintf(&w, "%d failed: %s\n", failed[why], shortened(why, 200))
	}
	w.WriteString(searchPlot(r))
	rows := [][]string{{"trial", r.Metric, "epochs", "values"}}
	for _, t := range r.Ranked() {
		score := "failed"
		if t.Score != nil {
			score = fmt.Sprintf("%.6g", *t.Score)
		}
		if t.Partial {
			score += " (part)"
		}
		rows = append(rows, []string{fmt.Sprint(t.Number), score, fmt.Sprint(t.Epochs), values(t)})
	}
	return w.String() + TableText(rows, most-w.Len())
}

// TrialLine is a trial on one line.
func TrialLine(metric string, t search.Trial) string {
	found := shortened("failed: "+t.Failed, 100)
	if t.Score != nil {
		found = fmt.Sprintf("%s %.6g", metric, *t.Score)
	}
	return shortened(fmt.Sprintf("trial %d, %s: %s", t.Number, found, t.Values.Text()), 500)
}

// shortened is the beginning of a text on one line.
func shortened(text string, most int) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

// searchPlot draws the scores of trials from left to right, and below the best so far.
// Where there are more trials than columns, a column is the best of several.
func searchPlot(r *search.Result) string {
	var w strings.Builder
	numbers, found := r.Found()
	scores := make(map[int]float64)
	for _, t := range r.Trials {
		if t.Score != nil {
			scores[t.Number] = *t.Score
		}
	}
	if len(scores) < 2 || len(found) == 0 {
		return ""
	}
	least, most := found[0], found[0]
	for _, v := range scores {
		least, most = min(least, v), max(most, v)
	}
	bars := []rune("▁▂▃▄▅▆▇█")
	bar := func(v float64) rune {
		if most == least {
			return bars[0]
		}
		at := (v - least) / (most - least)
		return bars[min(int(at*float64(len(bars))), len(bars)-1)]
	}
	each := (len(r.Trials) + plotColumns - 1) / plotColumns
	var trials, best []rune
	for from := 0; from < len(r.Trials); from += each {
		trial, at := ' ', ' '
		var top *float64
		for n := from + 1; n <= min(from+each, len(r.Trials)); n++ {
			if v, ok := scores[n]; ok && (top == nil || r.Maximize == (v > *top)) {
				top, trial = &v, bar(v)
			}
			if i := n - numbers[0]; i >= 0 {
				at = bar(found[i])
			}
		}
		trials, best = append(trials, trial), append(best, at)
	}
	fmt.Fprintf(&w, "trials  %s  %.4g to %.4g\nbest    %s  %.4g to %.4g\n", string(trials), least, most, string(best), found[0], found[len(found)-1])
	return w.String()
}
