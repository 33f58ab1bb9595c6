package pki

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"
)

// ExpiryGauge tells for how much longer a node's certificate holds; nil credentials:
// a node without.
func ExpiryGauge(c *Credentials, labels prometheus.Labels) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "thalweg_certificate_seconds_left", ConstLabels: labels,
		Help: "Seconds until the certificate of this node expires; +Inf without one."}, func() float64 {
		if c == nil {
			return math.Inf(1)
		}
		return c.ExpiresIn().Seconds()
	})
}
