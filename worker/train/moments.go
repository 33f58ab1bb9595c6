package train

import (
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/metric"
)

// momentRows is how many labels have their moments taken at once.
const momentRows = 1024

// labelMoments sums up the moments of the labels of a shard's rows. They depend on the rows and
// their order, and not on how they are cut into batches: a division for each row, as
// metric.Moments.Add has it, takes longer than the rest of what is done with a row.
type labelMoments struct {
	before     metric.Moments
	open       []float32
	rows, ones int64 // of binary labels
}

// addBinary adds so many labels, of which some are 1 and the others 0.
func (m *labelMoments) addBinary(rows, ones int64) {
	m.rows += rows
	m.ones += ones
}

// add adds the labels of some rows.
func (m *labelMoments) add(labels []float32, rows []int32) {
	for len(rows) > 0 {
		n := min(len(rows), momentRows-len(m.open))
		for _, row := range rows[:n] {
			m.open = append(m.open, labels[row])
		}
		rows = rows[n:]
		if len(m.open) == momentRows {
			m.before.Merge(momentsOf(m.open))
			m.open = m.open[:0]
		}
	}
}

// moments returns those of all labels, after which nothing may be added.
func (m *labelMoments) moments() metric.Moments {
	m.before.Merge(momentsOf(m.open))
	if m.rows > 0 {
		rows, ones := float64(m.rows), float64(m.ones)
		m.before.Merge(metric.Moments{Count: m.rows, Mean: ones / rows, Squares: float64(ones * (float64(m.rows-m.ones) / rows))})
	}
	return m.before
}

// momentsOf returns the moments of some values, each sum in four lanes.
func momentsOf(values []float32) metric.Moments {
	if len(values) == 0 {
		return metric.Moments{}
	}
	var lanes [4]float64
	for i, v := range values {
		lanes[i%4] += float64(v)
	}
	mean := (lanes[0] + lanes[1] + lanes[2] + lanes[3]) / float64(len(values))
	lanes = [4]float64{}
	for i, v := range values {
		d := float64(v) - mean
		lanes[i%4] += float64(d * d)
	}
	return metric.Moments{Count: int64(len(values)), Mean: mean, Squares: lanes[0] + lanes[1] + lanes[2] + lanes[3]}
}

// weightSums are sums over rows that have weights, in the order of the rows.
type weightSums struct {
	Weights float64 `json:"weights"`
	Labels  float64 `json:"labels"` // of labels times weights
	// Classes are the weights by class, where labels are classes.
	Classes []float64 `json:"classes,omitempty"`
}

// add adds some rows of a block, whose labels are so many classes, 0 if they are none.
func (s *weightSums) add(block *kernel.Block, rows []int32, classes int) {
	if s.Classes == nil && classes > 0 {
		s.Classes = make([]float64, classes)
	}
	for _, row := range rows {
		w := float64(block.Weights[row])
		s.Weights += w
		s.Labels += float64(w * float64(block.Labels[row]))
		if classes > 0 {
			s.Classes[int(block.Labels[row])] += w
		}
	}
}

// merge adds the sums of rows that come after.
func (s *weightSums) merge(other weightSums) {
	s.Weights += other.Weights
	s.Labels += other.Labels
	for k, w := range other.Classes {
		if k == len(s.Classes) {
			s.Classes = append(s.Classes, 0)
		}
		s.Classes[k] += w
	}
}

// means returns the mean of the labels as rows weigh, of classes the share of each.
func (s *weightSums) means() []float64 {
	if s.Classes == nil {
		return []float64{s.Labels / s.Weights}
	}
	out := make([]float64, len(s.Classes))
	for k, w := range s.Classes {
		out[k] = w / s.Weights
	}
	return out
}
