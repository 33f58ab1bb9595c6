package terminal

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
)

// PrintEvaluation shows the tables of data tests, folds, gates, confusions and slices
// that a run has left.
func PrintEvaluation(w io.Writer, r *apiv1.Run) {
	for _, name := range []string{"tests", "trials", "folds", "gates", "confusion", "calibration", "slices", "permutation", "balanced", "label_rates", "reweighed", "fairness"} {
		if text := r.Outputs[name]; text != "" {
			fmt.Fprintln(w, "\n"+strings.ToUpper(name)+"\n"+text)
		}
	}
}

// MetricOf returns the metric whose interval ends at the metric of a name; of what is no
// end the name itself.
func MetricOf(metrics map[string]float64, name string) string {
	of := strings.TrimSuffix(strings.TrimSuffix(name, ".high"), ".low")
	if _, ok := metrics[of]; ok {
		return of
	}
	return name
}

// PrintMetrics shows metrics, those with an interval together with it.
func PrintMetrics(w io.Writer, metrics map[string]float64) {
	Row(w, "\nMETRIC", "VALUE", "95 % INTERVAL")
	for _, k := range slices.Sorted(maps.Keys(metrics)) {
		if MetricOf(metrics, k) != k {
			continue
		}
		interval := ""
		if low, ok := metrics[k+".low"]; ok {
			interval = fmt.Sprintf("%.6g to %.6g", low, metrics[k+".high"])
		}
		Row(w, k, fmt.Sprintf("%.6g", metrics[k]), interval)
	}
}
