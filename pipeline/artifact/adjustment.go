package artifact

import (
	"encoding/json"
	"fmt"

	"github.com/thalweg/thalweg/pipeline/calibration"
	"github.com/thalweg/thalweg/pipeline/conformal"
)

// Adjustment is what is made of a trained model by the validation rows that are kept for it.
type Adjustment struct {
	// Calibration makes probabilities of the model's outputs; nil: they are the loss's.
	Calibration *calibration.Calibration `json:"calibration,omitempty"`
	// Conformal makes intervals or sets of labels of predictions; nil: there are none.
	Conformal *conformal.Conformal `json:"conformal,omitempty"`
}

// encode returns the part.
func (a *Adjustment) encode() []byte {
	data, err := json.Marshal(a)
	if err != nil {
		panic(fmt.Sprintf("artifact: %v", err)) // finite numbers can always be written
	}
	return data
}

// hash returns the sha256 of the part, "" where there is none.
func (a *Adjustment) hash() string {
	if a == nil {
		return ""
	}
	return sum(a.encode())
}

// Adjust makes the artifact of a trained model, which nobody else has yet, one of what was
// made of it. threshold is the one that was chosen, where the spec says how.
func (a *Artifact) Adjust(by *Adjustment, threshold *float64) {
	a.Adjustment, a.Model = by, a.Model.Calibrated(by.Calibration)
	a.Provenance.Calibration = by.hash()
	if threshold != nil {
		a.Provenance.Threshold = threshold
	}
}

// Uncalibrated returns the artifact that scores as the loss has it.
func (a *Artifact) Uncalibrated() *Artifact {
	out := *a
	out.Model, out.Adjustment, out.bare = a.Model.Calibrated(nil), nil, true
	return &out
}

// Raw returns the artifact whose predictions are the model's outputs.
func (a *Artifact) Raw() *Artifact {
	out := *a.Uncalibrated()
	out.Model = a.Model.Raw()
	return &out
}

func (a *Artifact) decodeAdjustment(data []byte) error {
	if !a.Spec.Halves() {
		return fmt.Errorf("the spec asks for none")
	}
	by := new(Adjustment)
	if err := strict(data, by); err != nil {
		return err
	}
	if have, want := by.Calibration != nil, a.Spec.Calibration() != ""; have != want || have && by.Calibration.Method != a.Spec.Calibration() {
		return fmt.Errorf("its calibration is not the spec's, %q", a.Spec.Calibration())
	}
	if by.Calibration != nil {
		if err := by.Calibration.Check(); err != nil {
			return err
		}
	}
	want, conforms := a.Spec.Conformal()
	if have := by.Conformal; have == nil && conforms || have != nil && (!conforms || have.Method != want.Method || have.Coverage != want.Coverage || have.Positive != want.Positive) {
		return fmt.Errorf("its intervals or sets of labels are not those of the spec")
	}
	if by.Conformal != nil {
		if err := by.Conformal.Check(); err != nil {
			return err
		}
	}
	a.Adjustment, a.Model = by, a.Model.Calibrated(by.Calibration)
	return nil
}
