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

// edge returns where a bin begins and the one before it ends, within a rounding.
func edge(bin int) float64 {
	switch {
	case bin <= 0:
		return 0
	case bin > halfBins:
		return 1 - edge(Bins-bin)
	}
	return float64(math.Float32frombits(floorBits + uint32(bin)<<(23-mantissaBits)))
}

// least returns the smallest probability of a bin or of one after it.
func least(at int) float32 {
	p := float32(edge(at))
	for p < 1 && bin(p) < at {
		p = math.Nextafter32(p, 1)
	}
	for p > 0 && bin(math.Nextafter32(p, 0)) >= at {
		p = math.Nextafter32(p, 0)
	}
	return p
}

// windowBins is the multiple of bins that a histogram's window grows by.
const windowBins = 1 << 10

// histogram counts rows by bin and label. It holds a window of the bins only:
// the predictions of one model lie in a part of them, and a histogram is merged
// and sent for each replica and epoch.
type histogram struct {
	// shift makes bins coarser: 1 << shift of them are one.
	shift int
	first int        // the bin of pairs[0]
	pairs [][2]int64 // rows labelled 0 and 1
}

// bin returns the bin of a probability.
func (h *histogram) bin(p float32) int { return bin(p) >> h.shift }

// include widens the window to hold bins [from, to), at least to twice what it was, so that
// rows in no order do not have it copied for each few bins.
func (h *histogram) include(from, to int) {
	window := windowBins >> h.shift
	from, to = from&^(window-1), (to+window-1)&^(window-1)
	if len(h.pairs) > 0 {
		from, to = min(from, h.first), max(to, h.first+len(h.pairs))
	}
	if to-from == len(h.pairs) {
		return
	}
	if more := 2*len(h.pairs) - (to - from); more > 0 {
		to = min(to+more, (Bins>>h.shift+window-1)&^(window-1)) // above, and below what that leaves
		from = max(min(from, to-2*len(h.pairs)), 0)
	}
	pairs := make([][2]int64, to-from)
	if len(h.pairs) > 0 {
		copy(pairs[h.first-from:], h.pairs)
	}
	h.first, h.pairs = from, pairs
}

// add counts n rows of a label.
func (h *histogram) add(bin, label int, n int64) {
	at := bin - h.first
	if uint(at) >= uint(len(h.pairs)) {
		h.include(bin, bin+1)
		at = bin - h.first
	}
	h.pairs[at][label] += n
}

// merge adds the counts of other.
func (h *histogram) merge(other *histogram) {
	if len(other.pairs) == 0 {
		return
	}
	h.include(other.first, other.first+len(other.pairs))
	into := h.pairs[other.first-h.first:]
	for i, n := range other.pairs {
		into[i][0] += n[0]
		into[i][1] += n[1]
	}
}

// encode returns the counts of a label: pairs of unsigned varints, the count of
// empty bins skipped and the count of the next bin.
func (h *histogram) encode(label int) []byte {
	var out []byte
	skipped := uint64(h.first)
	for _, n := range h.pairs {
		if n[label] == 0 {
			skipped++
			continue
		}
		out = binary.AppendUvarint(out, skipped)
		out = binary.AppendUvarint(out, uint64(n[label]))
		skipped = 0
	}
	return out
}

var errCounts = errors.New("the histogram is damaged")

// decode adds the counts of a label that encode wrote, and returns their sum.
func (h *histogram) decode(label int, data []byte) (total int64, err error) {
	at := uint64(0)
	for len(data) > 0 {
		skip, n := binary.Uvarint(data)
		if n <= 0 || skip > Bins>>h.shift {
			return 0, errCounts
		}
		data = data[n:]
		count, n := binary.Uvarint(data)
		if n <= 0 || count == 0 || count > uint64(math.MaxInt64-total) {
			return 0, errCounts
		}
		data = data[n:]
		if at += skip; at >= Bins>>h.shift {
			return 0, errCounts
		}
		h.add(int(at), label, int64(count))
		total += int64(count)
		at++
	}
	return total, nil
}
