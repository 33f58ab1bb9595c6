package encoding

import (
	"math/rand/v2"
	"testing"
)

func packed(values []uint32, start int, width uint) []byte {
	out := make([]byte, (start+len(values)*int(width)+7)/8)
	for i, v := range values {
		for b := range int(width) {
			if v>>b&1 != 0 {
				bit := start + i*int(width) + b
				out[bit>>3] |= 1 << (bit & 7)
			}
		}
	}
	return out
}

func TestUnpackEveryWidthAndStart(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for width := uint(0); width <= 32; width++ {
		for _, n := range []int{0, 1, 7, 8, 9, 31, 64, 257} {
			values := make([]uint32, n)
			for i := range values {
				values[i] = rng.Uint32() & uint32(1<<width-1)
			}
			for _, skip := range []int{0, 1, 3, 8} {
				start := skip * int(width)
				src := packed(values, start, width)
				got := make([]uint32, n)
				Unpack(got, src[:len(src):len(src)], start, width)
				for i := range values {
					if got[i] != values[i] {
						t.Fatalf("width %d, start %d: value %d of %d is %d, not %d", width, start, i, n, got[i], values[i])
					}
				}
			}
		}
	}
}

func BenchmarkUnpack(b *testing.B) {
	for _, width := range []uint{1, 4, 8, 9, 11, 13, 16, 20, 32} {
		b.Run(string(rune('0'+width/10))+string(rune('0'+width%10)), func(b *testing.B) {
			src := make([]byte, 1024*int(width)/8+8)
			dst := make([]uint32, 1024)
			for b.Loop() {
				Unpack(dst, src, 0, width)
			}
			b.ReportMetric(float64(b.N)*1024/b.Elapsed().Seconds()/1e6, "M/s")
		})
	}
}
