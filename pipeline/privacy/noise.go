package privacy

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"math"
	"math/rand/v2"

	"github.com/thalweg/thalweg/pipeline/kernel"
)

// Source draws what a private step draws: all of it follows from a secret, so that whoever has
// the secret can repeat a run, and nobody else can take the noise off.
type Source struct{ secret [sha256.Size]byte }

// NewSource returns the source of one job: another job's noise must be independent, as the
// difference of two results with the same noise would show the rows without any.
func NewSource(secret [sha256.Size]byte, job string) Source {
	return Source{derive(secret, "job", []byte(job))}
}

// stream is a cipher's key stream (ChaCha8), which nobody predicts who has not its seed.
func (s Source) stream(purpose string, numbers ...uint64) *rand.ChaCha8 {
	var at []byte
	for _, n := range numbers {
		at = binary.BigEndian.AppendUint64(at, n)
	}
	return rand.NewChaCha8(derive(s.secret, purpose, at))
}

func derive(secret [sha256.Size]byte, purpose string, at []byte) (out [sha256.Size]byte) {
	mac := hmac.New(sha256.New, secret[:])
	_, _ = io.WriteString(mac, purpose) // never fails
	_, _ = mac.Write(append([]byte{0}, at...))
	copy(out[:], mac.Sum(nil))
	return out
}

// Sample appends to in which of a batch's rows are in the Poisson sample of a step, each with
// probability rate. batch tells batches of a step apart.
func (s Source) Sample(in []int, step int64, batch uint64, rows int, rate float64) []int {
	if rate >= 1 {
		for i := range rows {
			in = append(in, i)
		}
		return in
	}
	bound := uint64(math.Ldexp(rate, 64))
	draw := s.stream("sample", uint64(step), batch)
	for i := range rows {
		if draw.Uint64() < bound {
			in = append(in, i)
		}
	}
	return in
}

// Add adds the noise of a step to sums, Gaussian with mean 0: the same bits on every
// processor. It is drawn in float64, whose least bits depend on the sum (Mironov 2012): who sees
// them all could tell more than ε says. Released are float32 weights behind an optimizer.
func (s Source) Add(sums []float64, step int64, deviation float64) {
	draw := s.stream("noise", uint64(step))
	for i := 0; i < len(sums); i += 2 {
		a, b := normals(draw)
		sums[i] += float64(deviation * a)
		if i+1 < len(sums) {
			sums[i+1] += float64(deviation * b)
		}
	}
}

// normals draws two standard normal variables by the polar method (Marsaglia and Bray 1964), whose
// logarithm is the only function in it that processors compute differently, and this one does not.
func normals(draw *rand.ChaCha8) (a, b float64) {
	for {
		u, v := unit(draw.Uint64()), unit(draw.Uint64())
		s := float64(u*u) + float64(v*v)
		if s > 0 && s < 1 {
			f := math.Sqrt(-2 * kernel.Log(s) / s)
			return u * f, v * f
		}
	}
}

// unit is a number between -1 and 1.
func unit(bits uint64) float64 { return float64(int64(bits)>>10) / (1 << 53) }
