package metric

import (
	"encoding/binary"
	"errors"
	"math"
)

// Bins is the count of bins of the histogram behind ROC AUC.
const Bins = 1 << 16

const (
	halfBins = Bins / 2
	// mantissaBits of a probability's 23 choose among the bins of one power of
	// two; with 32 powers of two below 1/2 that makes halfBins.
	mantissaBits = 10
	// floor is the lower end of the 32 powers of two below 1/2, and floorBits its
	// bit pattern. All smaller probabilities share the first bin.
	floor     = 1.0 / (1 << 33)
	floorBits = (127 - 33) << 23
)

// bin returns the bin of a probability. Bins are as fine near 0 and near 1 as
// in the middle, because a rare label has all its probabilities at one end: p
// below 1/2 goes by its exponent and the first ten bits of its mantissa, p from
// 1/2 likewise by 1-p, which is exact, mirrored. So two probabilities in one
// bin differ by less than 1/1024 of their distance from the nearer end. NaN
// and what is below 0 goes to the first bin, what is above 1 to the last.
func bin(p float32) int {
	if p < 0.5 {
		return lowBin(p)
	}
	if p >= 0.5 {
		return Bins - 1 - lowBin(1-p)
	}
	return 0
}

// lowBin is bin for p in [0, 1/2], in [0, halfBins).
func lowBin(p float32) int {
	if p < floor {
		return 0
	}
	return min(int((math.Float32bits(p)-floorBits)>>(23-mantissaBits)), halfBins-1)
}

// appendCounts appends a histogram: pairs of unsigned varints, the count of
// empty bins skipped and the count of the next bin.
func appendCounts(dst []byte, counts []int64) []byte {
	skipped := uint64(0)
	for _, n := range counts {
		if n == 0 {
			skipped++
			continue
		}
		dst = binary.AppendUvarint(dst, skipped)
		dst = binary.AppendUvarint(dst, uint64(n))
		skipped = 0
	}
	return dst
}

var errCounts = errors.New("the histogram is damaged")

// decodeCounts is the inverse of appendCounts; it returns the sum too.
func decodeCounts(data []byte) (counts []int64, total int64, err error) {
	counts = make([]int64, Bins)
	at := uint64(0)
	for len(data) > 0 {
		skip, n := binary.Uvarint(data)
		if n <= 0 || skip > Bins {
			return nil, 0, errCounts
		}
		data = data[n:]
		count, n := binary.Uvarint(data)
		if n <= 0 || count == 0 || count > math.MaxInt64-uint64(total) {
			return nil, 0, errCounts
		}
		data = data[n:]
		at += skip
		if at >= Bins {
			return nil, 0, errCounts
		}
		counts[at] = int64(count)
		total += int64(count)
		at++
	}
	return counts, total, nil
}
