package metric

import (
	"encoding/json"
	"fmt"
	"math/bits"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

// binarySums accumulates probabilities against labels 0 and 1.
type binarySums struct {
	binaryCounts
	loss   kernel.LogSum // of the labels' probabilities
	counts histogram
	known
}

type binaryCounts struct {
	Count     int64   `json:"rows"`
	Ones      int64   `json:"ones"`
	Hits      int64   `json:"hits"`    // rows labelled 1 from the threshold on
	Alarms    int64   `json:"alarms"`  // rows labelled 0 from the threshold on
	Squared   float64 `json:"squared"` // sum of the squares of prediction - label
	Threshold float64 `json:"threshold"`
	coverage
}

func (a *binarySums) Observe(predictions, labels []float32) {
	if len(predictions) != len(labels) {
		panic("metric: not one label per prediction")
	}
	labels = labels[:len(predictions)]
	for i, p := range predictions {
		at, p := a.counts.bin(p), float64(p)
		if labels[i] != 0 {
			a.counts.add(at, 1, 1)
			a.Ones++
			a.loss.Add(p)
			a.Squared += float64((1 - p) * (1 - p))
			if p >= a.Threshold {
				a.Hits++
			}
		} else {
			a.counts.add(at, 0, 1)
			a.loss.Add(1 - p)
			a.Squared += float64(p * p)
			if p >= a.Threshold {
				a.Alarms++
			}
		}
	}
	a.Count += int64(len(predictions))
	a.observe(predictions, labels, 1)
}

func (a *binarySums) Merge(other Accumulator) error {
	b, ok := other.(*binarySums)
	if !ok || b.Threshold != a.Threshold || b.counts.shift != a.counts.shift {
		return mergeError(a, other)
	}
	if b.Count == 0 {
		return nil
	}
	a.counts.merge(&b.counts)
	a.loss.Merge(b.loss.Value())
	a.Count += b.Count
	a.Ones += b.Ones
	a.Hits += b.Hits
	a.Alarms += b.Alarms
	a.Squared += b.Squared
	a.merge(&b.coverage)
	return nil
}

func (a *binarySums) Rows() int64 { return a.Count }

func (a *binarySums) Values() map[string]float64 {
	out := a.known.values(a)
	if a.Count > 0 {
		out[BaseRate] = float64(a.Ones) / float64(a.Count)
	}
	return out
}

// auc returns the area under the ROC curve: the share of pairs of a positive and
// a negative row in which the positive has the higher bin, pairs in one bin
// counting one half. It has no value where a class is missing.
func (a *binarySums) auc() (area float64, ok bool) {
	zeros := a.zeros()
	if a.Ones == 0 || zeros == 0 {
		return 0, false
	}
	// Twice the pairs won, as an integer of 128 bits: the sum is exact and its order
	// does not matter.
	var won [2]uint64
	var below uint64
	for _, pair := range a.counts.pairs {
		n, p := uint64(pair[0]), uint64(pair[1])
		add(&won, p, 2*below+n)
		below += n
	}
	return float(won) / 2 / (float64(a.Ones) * float64(zeros)), true
}

// add adds x*y to a sum of 128 bits, high word first.
func add(sum *[2]uint64, x, y uint64) {
	high, low := bits.Mul64(x, y)
	var carry uint64
	sum[1], carry = bits.Add64(sum[1], low, 0)
	sum[0], _ = bits.Add64(sum[0], high, carry)
}

func float(sum [2]uint64) float64 {
	return float64(float64(sum[0])*(1<<64)) + float64(sum[1])
}

// binaryJSON is the form of a binary accumulator at rest.
type binaryJSON struct {
	binaryCounts
	LogSum    float64 `json:"log_sum"`
	Positives []byte  `json:"positives"` // see histogram.encode
	Negatives []byte  `json:"negatives"`
}

func (a *binarySums) MarshalJSON() ([]byte, error) {
	return json.Marshal(binaryJSON{a.binaryCounts, a.loss.Value(), a.counts.encode(1), a.counts.encode(0)})
}

func (a *binarySums) UnmarshalJSON(data []byte) error {
	var in binaryJSON
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	if in.Threshold != a.Threshold {
		return fmt.Errorf("threshold is %v, not %v", in.Threshold, a.Threshold)
	}
	in.by = a.by
	if flaw := in.flaw(in.Count); flaw != "" {
		return fmt.Errorf("the sums contradict each other: %s", flaw)
	}
	out := binarySums{binaryCounts: in.binaryCounts, known: a.known, counts: histogram{shift: a.counts.shift}}
	ones, err := out.counts.decode(1, in.Positives)
	if err != nil {
		return fmt.Errorf("positives: %w", err)
	}
	zeros, err := out.counts.decode(0, in.Negatives)
	if err != nil {
		return fmt.Errorf("negatives: %w", err)
	}
	if ones != in.Ones || zeros != in.Count-in.Ones {
		return fmt.Errorf("the histograms count %d and %d rows, not %d and %d", ones, zeros, in.Ones, in.Count-in.Ones)
	}
	if in.Ones < 0 || in.Ones > in.Count || in.Hits < 0 || in.Hits > in.Ones || in.Alarms < 0 || in.Alarms > in.Count-in.Ones || !(in.LogSum <= 0) || !(in.Squared >= 0) {
		return fmt.Errorf("the sums contradict each other: %d rows, %d ones, %d hits, %d alarms, log sum %v, squares %v", in.Count, in.Ones, in.Hits, in.Alarms, in.LogSum, in.Squared)
	}
	out.loss.Merge(in.LogSum)
	*a = out
	return nil
}

// mergeError is the error of merging accumulators of different kinds.
func mergeError(into, from Accumulator) error {
	return &thalweg.Error{Op: "merge metrics", Kind: thalweg.Invalid, Err: fmt.Errorf("cannot add a %T to a %T", from, into)}
}
