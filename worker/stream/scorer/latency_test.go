package scorer

import "testing"

func TestLatencyQuantilesAreWithinATenth(t *testing.T) {
	var l latency
	for us := int64(0); us < 100_000; us++ {
		l.observe(us, []int64{0})
	}
	for _, q := range []float64{0.01, 0.5, 0.99, 1} {
		got, want := float64(l.quantile(q).Microseconds()), q*100_000
		if got < 0.97*want || got > 1.13*want {
			t.Errorf("quantile %v is %v µs, want about %v", q, got, want)
		}
	}
	for us := int64(1); us < 1<<41; us += us/3 + 1 {
		if b := bucketOf(us); b < buckets-1 && (boundOf(b) < us || b > 0 && boundOf(b-1) >= us) {
			t.Fatalf("%d µs is in bucket %d, which ends at %d after %d", us, b, boundOf(b), boundOf(b-1))
		}
	}
}
