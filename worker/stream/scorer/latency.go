package scorer

import (
	"math"
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

// dropBits are those of a float's mantissa that are dropped: three are left.
const dropBits = 23 - 3

// buckets go up to 2^40 µs, twelve days.
const buckets = 40 << 3

// bucketOf returns the bucket of a latency in microseconds, of which there are
// eight for each binary exponent of a float.
func bucketOf(us int64) int {
	return min(buckets-1, int((math.Float32bits(float32(max(us, 1)))-math.Float32bits(1))>>dropBits))
}

// boundOf returns the largest latency in microseconds of a bucket.
func boundOf(bucket int) int64 {
	return int64(math.Ceil(float64(math.Float32frombits(math.Float32bits(1)+uint32(bucket+1)<<dropBits)))) - 1
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
	rank, bucket := uint64(q*float64(l.mu.n-1)), 0
	for seen := l.mu.counts[0]; seen <= rank && bucket < buckets-1; seen += l.mu.counts[bucket] {
		bucket++
	}
	return time.Duration(boundOf(bucket)) * time.Microsecond
}
