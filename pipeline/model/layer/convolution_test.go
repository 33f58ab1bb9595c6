package layer

import (
	"fmt"
	"math"
	"syscall"
	"testing"
	"time"

	"github.com/thalweg/thalweg/pipeline/kernel"
)

// images are a sequence, an image, and one of channels.
var images = []Array{{7, 1, 2}, {5, 4, 1}, {4, 5, 3}}

func TestConvolutionsAndPoolsHaveTheSlopesOfTheirValues(t *testing.T) {
	for _, in := range images {
		for _, padded := range []bool{true, false} {
			for stride := 1; stride <= 2; stride++ {
				t.Run(fmt.Sprint(in, padded, stride), func(t *testing.T) {
					l, _ := NewConvolution("conv", in, 2, 3, stride, padded, 1)
					l.(*convolution).tiles = 3 // several a row
					check(t, l, nil, values(in.Size()*layerRows))
				})
			}
		}
		for _, mean := range []bool{false, true} {
			l, _ := NewPool(in, 2, mean)
			apart := values(in.Size() * layerRows)
			for i := range apart {
				apart[i] = float32(i * 37 % 101) // no two of a window are near
			}
			check(t, l, nil, apart)
		}
	}
}

// The values are those of the formulas.
func TestConvolutionsAndPoolsAreThoseOfTheirWindows(t *testing.T) {
	for _, in := range images {
		for _, padded := range []bool{true, false} {
			const size, channels, stride = 3, 2, 2
			l, out := NewConvolution("conv", in, channels, size, stride, padded, 1)
			if l.Outputs() != out.Size() || padded && (out.Rows != (in.Rows+1)/2 || out.Columns != (in.Columns+1)/2) {
				t.Errorf("%v becomes %v of %d values", in, out, l.Outputs())
			}
			high, wide := min(size, in.Rows), size
			if in.Columns == 1 {
				wide = 1
			}
			top, left := 0, 0
			if padded {
				top, left = (high-1)/2, (wide-1)/2
			}
			params := values(high*wide*in.Channels*channels + channels)
			v, got := values(2*in.Size()), make([]float32, 2*out.Size())
			var kept any
			l.Forward(&Chunk{To: 2, In: v, Keep: &kept}, params, got)
			for row := range 2 {
				for y := range out.Rows {
					for x := range out.Columns {
						for o := range channels {
							want := float64(params[len(params)-channels+o])
							for h := range high {
								for w := range wide {
									a, b := y*stride+h-top, x*stride+w-left
									for k := range in.Channels {
										if a >= 0 && a < in.Rows && b >= 0 && b < in.Columns {
											want += float64(params[((h*wide+w)*in.Channels+k)*channels+o]) * float64(v[((row*in.Rows+a)*in.Columns+b)*in.Channels+k])
										}
									}
								}
							}
							if have := float64(got[((row*out.Rows+y)*out.Columns+x)*channels+o]); math.Abs(have-want) > 1e-4*(1+math.Abs(want)) {
								t.Errorf("%v, padded %v: place %d, %d of row %d is %v, not %v", in, padded, y, x, row, have, want)
							}
						}
					}
				}
			}
		}
	}
	l, out := NewPool(Array{2, 5, 1}, 2, false)
	got := make([]float32, out.Size())
	l.Forward(&Chunk{To: 1, In: []float32{1, 2, 3, 3, 9, 0, 5, 3, -1, 9}, Scratch: make([]float32, l.Scratch())}, nil, got)
	if out != (Array{1, 2, 1}) || got[0] != 5 || got[1] != 3 {
		t.Errorf("%v of array %v", got, out)
	}
}

// BenchmarkConvolution is forward, and forward and backward, of rows of 28x28 places, 3x3, 32 to
// 64 channels, by turns with as many products of small matrices that memory does not slow. Rates
// are by processor time, which others on the machine do not take.
func BenchmarkConvolution(b *testing.B) {
	in := Array{28, 28, 32}
	l, out := NewConvolution("conv", in, 64, 3, 1, true, 1)
	params := values(3*3*32*64 + 64)
	grad := make([]float32, len(params))
	const rows = 4
	var kept any
	c := &Chunk{To: rows, In: values(rows * in.Size()), InGrad: make([]float32, rows*in.Size()), Keep: &kept}
	v, d := make([]float32, rows*out.Size()), values(rows*out.Size())
	x, y, z := values(96*256), values(256*64), make([]float32, 96*64)
	const work = 2 * 3 * 3 * 32 * 64 * 28 * 28 * rows
	const product = 2 * 96 * 64 * 256
	names := []string{"forward", "both", "gemm"}
	did := []float64{work, 3 * work, work / product * product}
	took := make([]time.Duration, len(names))
	for b.Loop() {
		for i, do := range []func(){
			func() { l.Forward(c, params, v) },
			func() {
				l.Forward(c, params, v)
				l.Backward(c, params, d, grad)
			},
			func() {
				for range work / product {
					kernel.Gemm(z, 64, kernel.Strided{Values: x, Row: 256, Column: 1}, y, 64, 96, 64, 256)
				}
			},
		} {
			began := processorTime(b)
			do()
			took[i] += processorTime(b) - began
		}
	}
	rate := func(i int) float64 { return did[i] * float64(b.N) / took[i].Seconds() / 1e9 }
	for i, name := range names {
		b.ReportMetric(rate(i), name+"-GFLOP/cpu-s")
	}
	b.ReportMetric(rate(0)/rate(2), "forward/gemm")
	b.ReportMetric(rate(1)/rate(2), "both/gemm")
}

func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
