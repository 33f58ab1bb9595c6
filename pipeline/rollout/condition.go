package rollout

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// The metrics that a condition can have.
const (
	ErrorRate         = "error_rate"          // dead letters and errors of the candidate, of its events
	ErrorRateIncrease = "error_rate_increase" // by how much that is more than of the champion's
	PSI               = "psi(score)"          // how far the candidate's scores are from the champion's
	ScoreShift        = "score_shift"         // how far the means of their scores are apart, either way
	LatencyP99        = "latency_p99"         // within which 99 % of the candidate's events were scored, with their batch
	LatencyRatio      = "latency_ratio"       // the same, of the champion's
)

// metrics are those, and whether their bounds are durations or may be percentages.
var metrics = [...]struct {
	name     string
	duration bool
	share    bool
}{{ErrorRate, false, true}, {ErrorRateIncrease, false, true}, {PSI, false, false}, {ScoreShift, false, false}, {LatencyP99, true, false}, {LatencyRatio, false, false}}

// Metrics names those that a condition can have.
func Metrics() (names []string) {
	for _, m := range metrics {
		names = append(names, m.name)
	}
	return names
}

// Condition says of a metric above which a candidate is bad.
type Condition struct {
	Metric string  `json:"metric"`
	Above  float64 `json:"above"` // a share, a number, or seconds
}

// ParseCondition reads a condition: "error_rate > 0.5%", "psi(score) > 0.25",
// "latency_p99 > 20ms".
func ParseCondition(text string) (c Condition, err error) {
	name, bound, ok := strings.Cut(text, ">")
	name, bound = strings.TrimSpace(name), strings.TrimSpace(bound)
	wrong := func(format string, args ...any) (Condition, error) {
		return Condition{}, fmt.Errorf("%q: %s", text, fmt.Sprintf(format, args...))
	}
	if !ok {
		return wrong("want METRIC > BOUND, such as error_rate > 0.5%%")
	}
	for _, m := range metrics {
		if m.name != name {
			continue
		}
		c.Metric = name
		switch share, isShare := strings.CutSuffix(bound, "%"); {
		case m.duration:
			var d time.Duration
			if d, err = time.ParseDuration(bound); err != nil {
				return wrong("%q is no duration, such as 20ms", bound)
			}
			c.Above = d.Seconds()
		case isShare && m.share:
			if c.Above, err = strconv.ParseFloat(strings.TrimSpace(share), 64); err == nil {
				c.Above /= 100
			}
		default:
			c.Above, err = strconv.ParseFloat(bound, 64)
		}
		if err != nil || !(c.Above >= 0) || math.IsInf(c.Above, 0) {
			return wrong("%q is no bound of %s", bound, name)
		}
		return c, nil
	}
	return wrong("there is no metric %q, but %s", name, strings.Join(Metrics(), ", "))
}

// String returns the condition as a spec has it.
func (c Condition) String() string { return c.Metric + " > " + format(c.Metric, c.Above) }

// format prints a value of a metric.
func format(metric string, v float64) string {
	for _, m := range metrics {
		switch {
		case m.name != metric:
		case m.share:
			return strconv.FormatFloat(round(100*v), 'g', -1, 64) + "%"
		case m.duration:
			return time.Duration(v * float64(time.Second)).Round(time.Microsecond).String()
		}
	}
	return strconv.FormatFloat(round(v), 'g', -1, 64)
}

// round keeps four digits.
func round(v float64) float64 {
	v, _ = strconv.ParseFloat(strconv.FormatFloat(v, 'g', 4, 64), 64)
	return v
}
