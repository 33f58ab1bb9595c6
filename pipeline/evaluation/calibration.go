package evaluation

import (
	"slices"

	"github.com/thalweg/thalweg/pipeline/calibration"
	"github.com/thalweg/thalweg/pipeline/metric"
)

// Calibration is what calibration has changed, by rows that it was not fitted to.
type Calibration struct {
	Method string `json:"method"`
	// Rows are those that it was fitted to.
	Rows int64 `json:"rows"`
	// Before and After are the metrics of probabilities: log_loss, brier and
	// calibration_error.
	Before map[string]metric.Estimate `json:"before"`
	After  map[string]metric.Estimate `json:"after"`
}

// calibrated are the metrics of probabilities.
var calibrated = []string{metric.LogLoss, metric.Brier, metric.CalibrationError}

// NewCalibration tells what a calibration changed of the rows of a sample.
func NewCalibration(c *calibration.Calibration, before, after *metric.Sample) (*Calibration, error) {
	out := &Calibration{Method: c.Method, Rows: c.Rows}
	for _, side := range []struct {
		into *map[string]metric.Estimate
		of   *metric.Sample
	}{{&out.Before, before}, {&out.After, after}} {
		all, err := side.of.Estimates()
		if err != nil {
			return nil, err
		}
		*side.into = make(map[string]metric.Estimate)
		for name, e := range all {
			if slices.Contains(calibrated, name) {
				(*side.into)[name] = e
			}
		}
	}
	return out, nil
}

// Table shows both sides as a text of so many bytes at most; "" of a nil one.
func (c *Calibration) Table(most int) string {
	if c == nil {
		return ""
	}
	rows := [][]string{{c.Method, "before", "after"}}
	for _, name := range calibrated {
		before, ok := c.Before[name]
		if after, both := c.After[name]; ok && both {
			rows = append(rows, []string{name, before.String(), after.String()})
		}
	}
	return TableText(rows, most)
}
