package layer

import (
	"math"

	"github.com/thalweg/thalweg/pipeline/kernel"
)

// Periodic embeddings of numbers, as RealMLP has them (Holzmüller, Grinsztajn and Steinwart 2024,
// "PBLD"): beside itself a number x enters as a few values
//
//	y_e = shift_e + sum over h of mix_he * cos(2π (frequency_h*x + phase_h))
//
// all of whose constants are learned, by number. With them a network bends within a deviation
// where weights of x alone take many units to.
const (
	waves = 16 // cosines of a number
	wavy  = 3  // values of a number beside itself
	// waveDeviation is that of frequencies at first, in turns for each deviation of a number: slow
	// ones, so that values far from the others do not become noise.
	waveDeviation = 0.1
)

// The parts of a number's parameters, which lie one after the other.
const (
	frequencyAt = 0
	phaseAt     = frequencyAt + waves
	mixAt       = phaseAt + waves
	shiftAt     = mixAt + waves*wavy
	waveParams  = shiftAt + wavy
)

// NewPeriodicInput is NewInput whose numbers have periodic embeddings.
func NewPeriodicInput(shape kernel.Shape, outputs int, gain float64) Layer {
	l := newInput(shape, "weight", outputs, wavy)
	l.gain = gain
	l.waves = l.all
	add := func(name, part string, bias bool, dimensions ...int) {
		v := View{Name: "number." + name + "." + part, Shape: dimensions, Offset: l.all, Bias: bias}
		l.views, l.all = append(l.views, v), l.all+v.Size()
	}
	for _, name := range shape.NumberNames {
		add(name, "frequency", true, waves) // of which a penalty would make constants
		add(name, "phase", true, waves)
		add(name, "mix", false, waves, wavy)
		add(name, "shift", true, wavy)
	}
	return l.withBias()
}

// initWaves sets what training starts from.
func (l *input) initWaves(params []float32, seed uint64) {
	for k := range l.embeddedNumbers() {
		p, at := l.waveOf(params, k), kernel.Mix(seed+uint64(k)*kernel.Golden)
		spread(p[frequencyAt:phaseAt], kernel.Mix(at), waveDeviation)
		spread(p[phaseAt:mixAt], kernel.Mix(at+1), 1/math.Sqrt(12)) // evenly over a turn
		spread(p[mixAt:shiftAt], kernel.Mix(at+2), math.Sqrt(2.0/waves))
		clear(p[shiftAt:])
	}
}

// embeddedNumbers is how many numbers have periodic embeddings: all or none.
func (l *input) embeddedNumbers() int {
	if l.wavy == 0 {
		return 0
	}
	return l.shape.Numbers
}

// waveOf returns the part of a vector that belongs to a number's embedding.
func (l *input) waveOf(v []float32, k int) []float32 {
	return v[l.waves+k*waveParams:][:waveParams]
}

// waveScratch is how much of the scratch embeddings take for each row: by number the sines and
// cosines, and by value the gradient.
func (l *input) waveScratch() int { return l.embeddedNumbers() * (2*waves + wavy) }

// embedNumbers fills the columns of the embeddings, given those of the numbers. What the way back
// needs is kept in scratch.
func (l *input) embedNumbers(columns, scratch, params []float32, rows int) {
	for k := range l.embeddedNumbers() {
		p, x := l.waveOf(params, k), columns[k*rows:][:rows]
		out := columns[(l.shape.Numbers+k*wavy)*rows:][:wavy*rows]
		for e := range wavy {
			kernel.Fill(out[e*rows:][:rows], p[shiftAt+e])
		}
		for h := range waves {
			sines, cosines := l.wave(scratch, k, h, rows)
			for i, v := range x {
				sin, cos := kernel.SinCos(float64(turns(p, h, v)))
				sines[i], cosines[i] = float32(sin), float32(cos)
			}
			for e := range wavy {
				kernel.AddScaled(out[e*rows:][:rows], cosines, p[mixAt+h*wavy+e])
			}
		}
	}
}

// turns is how far round wave h of a number is.
func turns(p []float32, h int, x float32) float32 {
	return float32(p[frequencyAt+h]*x) + p[phaseAt+h]
}

// wave returns the sines and cosines of wave h of number k.
func (l *input) wave(scratch []float32, k, h, rows int) (sines, cosines []float32) {
	at := scratch[(k*waves+h)*2*rows:][:2*rows]
	return at[:rows], at[rows:]
}

// descendWaves adds the gradient by the parameters of embeddings. A row's gradient by a value is
// the sum over outputs of that by the output times the weight.
func (l *input) descendWaves(columns, scratch, params, outGrad, grad []float32, transposed []float32, rows int) {
	n, width := l.embeddedNumbers()*wavy, l.outputs
	if n == 0 {
		return
	}
	slopes := scratch[l.embeddedNumbers()*2*waves*rows:][:n*rows] // row-major
	clear(slopes)
	kernel.Transpose(transposed, n, params[l.shape.Numbers*width:], width, n, width)
	kernel.Gemm(slopes, n, kernel.Strided{Values: outGrad, Row: width, Column: 1}, transposed, n, rows, n, width)
	for k := range l.embeddedNumbers() {
		p, g, x := l.waveOf(params, k), l.waveOf(grad, k), columns[k*rows:][:rows]
		for h := range waves {
			sines, cosines := l.wave(scratch, k, h, rows)
			mix := p[mixAt+h*wavy:][:wavy]
			for i, v := range x {
				back := float32(0)
				for e, d := range slopes[i*n+k*wavy:][:wavy] {
					g[mixAt+h*wavy+e] += float32(d * cosines[i])
					back += float32(d * mix[e])
				}
				back = float32(back * (float32(-2*math.Pi) * sines[i])) // rounded before it is added
				g[frequencyAt+h] += float32(back * v)
				g[phaseAt+h] += back
			}
		}
		for i := range rows {
			for e, d := range slopes[i*n+k*wavy:][:wavy] {
				g[shiftAt+e] += d
			}
		}
	}
}

// addWaves adds what the embedding of number k brings where it is x.
func (l *input) addWaves(params []float32, k int, x float64, sums []float64) {
	if l.wavy == 0 {
		return
	}
	p := l.waveOf(params, k)
	for e := range wavy {
		y := float64(p[shiftAt+e])
		for h := range waves {
			_, cos := kernel.SinCos(float64(turns(p, h, float32(x))))
			y += float64(cos * float64(p[mixAt+h*wavy+e]))
		}
		addRow(params[(l.shape.Numbers+k*wavy+e)*l.outputs:], y, sums)
	}
}
