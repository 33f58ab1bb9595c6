package scorer

import (
	"math/bits"
	"sync"
	"time"
)

// latency is a histogram of microseconds whose buckets grow by 1/8: eight for
// each power of two.
type latency struct {
	mu struct {
		sync.Mutex
		counts [buckets]uint64
		n      uint64
	}
}

const (
	subBits = 3
	buckets = (40 - subBits) << subBits // up to 2^40 µs, twelve days
)

// bucketOf returns the bucket of a latency in microseconds: its leading bit and
// the three after it.
func bucketOf(us int64) int {
	u := uint64(max(us, 0))
	if u < 1<<subBits {
		return int(u)
	}
	exponent := bits.Len64(u) - 1 - subBits
	return min(buckets-1, exponent<<subBits+int(u>>exponent))
}

// boundOf returns the largest latency in microseconds of a bucket.
func boundOf(bucket int) int64 {
	if bucket < 2<<subBits {
		return int64(bucket)
	}
	exponent := bucket>>subBits - 1
	return (int64(bucket&(1<<subBits-1)|1<<subBits)+1)<<exponent - 1
}

func (l *latency) observe(now int64, timestamps []int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range timestamps {
		l.mu.counts[bucketOf(now-t)]++
	}
	l.mu.n += uint64(len(timestamps))
}

// quantile returns the latency that a share q of the events did not exceed, 0
// if there are none.
func (l *latency) quantile(q float64) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.n == 0 {
		return 0
	}
	rank := uint64(q * float64(l.mu.n-1))
	seen := uint64(0)
	for i, c := range l.mu.counts {
		if seen += c; seen > rank {
			return time.Duration(boundOf(i)) * time.Microsecond
		}
	}
	return time.Duration(boundOf(buckets-1)) * time.Microsecond
}
