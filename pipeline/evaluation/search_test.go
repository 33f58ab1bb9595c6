package evaluation

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/search"
)

// found returns a search of so many trials, the scores of which rise; the second failed.
func found(n int) *search.Result {
	r := &search.Result{Algorithm: "simulated_annealing", Metric: "roc_auc", Maximize: true, Best: n}
	for i := range n {
		score := 0.5 + float64(i)/1000
		t := search.Trial{Number: i + 1, Generation: 1, Score: &score, Epochs: 3,
			Values: pipeline.Values{"trainer.optimizer.learning_rate": fmt.Sprint(score), "model.dropout": "0.25"}}
		if i == 1 {
			t.Score, t.Failed = nil, "a gradient is <not finite> & it \"diverged\"\nat once"
		}
		r.Trials = append(r.Trials, t)
	}
	return r
}

func TestTrialsAreShownTheBestFirstInTheBytesThatThereAre(t *testing.T) {
	text := SearchTable(found(4), 4096)
	want := `simulated_annealing, 4 trials; the best is 4, roc_auc 0.503: dropout=0.25 learning_rate=0.503
1 failed: a gradient is <not finite> & it "diverged" at once
trials  ▁ ▆█  0.5 to 0.503
best    ▁▁▆█  0.5 to 0.503
trial  roc_auc  epochs  values
4      0.503    3       dropout=0.25 learning_rate=0.503
3      0.502    3       dropout=0.25 learning_rate=0.502
1      0.5      3       dropout=0.25 learning_rate=0.5
2      failed   3       dropout=0.25 learning_rate=0.501`
	if text != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
	for _, n := range []int{1, 3, 60, 61, 1000} {
		text := SearchTable(found(n), 4096)
		lines := strings.Split(text, "\n")
		if len(text) > 4096 || !utf8.ValidString(text) || !strings.Contains(lines[0], fmt.Sprintf("%d trials; the best is %d", n, n)) {
			t.Errorf("of %d trials\n%s", n, text)
		}
		for _, line := range lines {
			if plot, ok := strings.CutPrefix(line, "trials  "); ok && utf8.RuneCountInString(plot) > plotColumns+30 {
				t.Errorf("the plot of %d trials is %q", n, plot)
			}
		}
	}
}

// Values may have as many bytes as the whole text.
func TestTrialsOfLongValuesAreShownInTheBytesThatThereAre(t *testing.T) {
	r := found(3)
	r.Trials[2].Values["model.hidden"] = "[" + strings.Repeat("64, ", 1000) + "64]"
	text := SearchTable(r, 4096)
	if len(text) > 4096 || !strings.Contains(text, "\n3 ") || !strings.Contains(text, "\n1 ") || !strings.Contains(text, "…") {
		t.Errorf("%d bytes:\n%s", len(text), text)
	}
}

func TestThePlotOfTrialsIsWellFormed(t *testing.T) {
	for _, n := range []int{1, 2, 40, 1000} {
		r := found(n)
		r.Trials[0].Partial = n > 2
		svg := SearchSVG(r)
		d, circles := xml.NewDecoder(strings.NewReader(svg)), 0
		for {
			token, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("of %d trials: %v\n%s", n, err, svg)
			}
			if e, ok := token.(xml.StartElement); ok && e.Name.Local == "circle" {
				circles++
			}
		}
		if want := max(1, n-1); circles != want && n > 1 || strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
			t.Errorf("%d circles of %d trials\n%s", circles, n, svg)
		}
	}
}
