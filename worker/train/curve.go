package train

import "github.com/thalweg/thalweg/pipeline/metric"

// Loss is what the rows of an epoch lost on average, as the model's loss says: the log
// loss of a binary label or of classes, the squared error of a number.
type Loss struct {
	Epoch int `json:"epoch"` // from 1
	// Train is of the training rows as the epoch met them, whose first ones it met
	// with the parameters of its beginning.
	Train float64 `json:"train"`
	// Validation is of the validation rows at its end, nil without any.
	Validation *float64 `json:"validation,omitempty"`
}

// maxLosses bounds a curve: of a longer training fewer and fewer epochs are in it.
const maxLosses = 48

// observe adds an epoch to the curve, if it is one that the curve keeps.
func (p *position) observe(at Loss, last bool) {
	stride := max(1, p.Stride)
	if (at.Epoch-1)%stride != 0 && !last {
		return
	}
	curve := append(make([]Loss, 0, len(p.Curve)+1), p.Curve...) // a state is immutable
	if len(curve) >= maxLosses {
		stride *= 2
		kept := curve[:0]
		for _, l := range curve {
			if (l.Epoch-1)%stride == 0 {
				kept = append(kept, l)
			}
		}
		curve = kept
	}
	p.Stride = stride
	if (at.Epoch-1)%stride == 0 || last {
		curve = append(curve, at)
	}
	p.Curve = curve
}

// lossOf returns what an epoch lost, in the unit of the validation metrics.
func (t *trainer) lossOf(s *state, epoch int, values map[string]float64) Loss {
	out := Loss{Epoch: epoch + 1, Train: s.Loss / float64(s.Ledger.Expected.Rows)}
	factor, name := t.job.Model.Loss().Reported(s.plan.labels.Deviation)
	if t.job.weighs() {
		name = "" // validation rows have no weights
	}
	out.Train *= factor
	if v, ok := values[name]; ok && values[metric.Rows] > 0 {
		out.Validation = &v
	}
	return out
}
