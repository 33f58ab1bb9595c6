package rollout

import "fmt"

// The outcomes of a verdict, and of each condition.
const (
	Good         = "good"
	Bad          = "bad"
	Inconclusive = "inconclusive"
)

// MaxConditions bounds the conditions of a rollout.
const MaxConditions = 16

// Verdict is what was found of a candidate in some time, and explains itself.
type Verdict struct {
	AtMS    int64  `json:"at_ms"` // when; milliseconds since 1970 UTC
	Percent uint32 `json:"percent"`
	Outcome string `json:"outcome"` // good, bad or inconclusive
	Why     string `json:"why"`     // for people
	// Rows are the events of each arm that it goes by.
	Rows     [Arms]int64 `json:"rows"`
	Findings []Finding   `json:"findings,omitempty"`
	// Times counts how often in a row it was the same, where it says only that there are too
	// few rows.
	Times uint32 `json:"times,omitempty"`
}

// Finding is a metric, with the interval that it is in with 95 % confidence, and the bound.
type Finding struct {
	Metric  string  `json:"metric"`
	Value   float64 `json:"value"`
	Low     float64 `json:"low"`
	High    float64 `json:"high"`
	Bound   float64 `json:"bound"`
	Outcome string  `json:"outcome"`
}

// String says what was found: "error_rate 1.2% (0.9% to 1.6%), bound 0.5%".
func (f Finding) String() string {
	return fmt.Sprintf("%s %s (%s to %s), bound %s", f.Metric, format(f.Metric, f.Value), format(f.Metric, f.Low), format(f.Metric, f.High), format(f.Metric, f.Bound))
}
