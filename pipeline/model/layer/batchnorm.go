package layer

import "github.com/thalweg/thalweg/pipeline/kernel"

// batchNorm brings each value to mean 0 and deviation 1 over the rows of a chunk, and gives
// it a scale and a shift (Ioffe and Szegedy 2015); the statistics are those of a part of the
// batch where it has more rows than a chunk (Hoffer, Hubara and Soudry 2017). Predictions
// have running means of mean and variance, which are parameters that no gradient moves:
// Track does, and they are averaged over the replicas with all others.
type batchNorm struct {
	name  string
	width int
}

// NewBatchNorm returns the layer for so many values.
func NewBatchNorm(name string, width int) Layer { return &batchNorm{name, width} }

// Tracker is a Layer that keeps statistics of the rows that it is trained on among its
// parameters.
type Tracker interface {
	// Track takes what the layer has kept since the last call into them.
	Track(keep *any, params []float32)
}

// trackedShare is the share of a step in the running means, PyTorch's.
const trackedShare = 0.1

// batchStatistics are those of a chunk, and the sums over a step's chunks, by their rows.
type batchStatistics struct {
	mean, by, slope  []float32
	means, variances []float32
	rows             float32
}

func (l *batchNorm) Outputs() int { return l.width }
func (l *batchNorm) Scratch() int { return l.width } // normalised values

func (l *batchNorm) Views() []View {
	return append(affineViews(l.name, l.width),
		View{Name: l.name + ".mean", Shape: []int{l.width}, Offset: 2 * l.width, Bias: true, Tracked: true},
		View{Name: l.name + ".variance", Shape: []int{l.width}, Offset: 3 * l.width, Bias: true, Tracked: true})
}

func (l *batchNorm) Init(params []float32, _ uint64) {
	clear(params)
	kernel.Fill(params[:l.width], 1)
	kernel.Fill(params[3*l.width:], 1)
}

func (l *batchNorm) kept(keep *any) *batchStatistics {
	s, _ := (*keep).(*batchStatistics)
	if s == nil {
		v := make([]float32, 5*l.width)
		part := func(i int) []float32 { return v[i*l.width : (i+1)*l.width] }
		s = &batchStatistics{part(0), part(1), part(2), part(3), part(4), 0}
		*keep = s
	}
	return s
}

// coupled reports whether a chunk's own statistics count: of one row they say nothing.
func coupled(c *Chunk) bool { return c.Training && c.To-c.From > 1 }

func (l *batchNorm) Forward(c *Chunk, params, out []float32) {
	w, s := l.width, l.kept(c.Keep)
	if c.Training && c.From == 0 {
		clear(s.means)
		clear(s.variances)
		s.rows = 0
	}
	mean, variance := params[2*w:3*w], s.slope
	copy(variance, params[3*w:])
	if coupled(c) {
		rows := float32(c.To - c.From)
		mean = s.mean
		clear(mean)
		kernel.AddColumns(mean, c.In)
		kernel.Scale(mean, 1/rows)
		clear(variance)
		for i := 0; i < len(c.In); i += w {
			for k, v := range c.In[i : i+w] {
				d := v - mean[k]
				variance[k] += float32(d * d)
			}
		}
		kernel.Scale(variance, 1/rows)
		kernel.AddScaled(s.means, mean, rows)
		kernel.AddScaled(s.variances, variance, rows*(rows/(rows-1)))
		s.rows += rows
	}
	for k, v := range variance {
		s.by[k] = 1 / kernel.Sqrt(max(v, 0)+NormEpsilon)
	}
	for i := 0; i < len(out); i += w {
		in, row, kept := c.In[i:i+w], out[i:i+w], c.Scratch[i:i+w]
		for k, v := range in {
			n := float32((v - mean[k]) * s.by[k])
			kept[k] = n
			row[k] = float32(n*params[k]) + params[w+k]
		}
	}
}

func (l *batchNorm) Backward(c *Chunk, params, outGrad, grad []float32) {
	w, s := l.width, l.kept(c.Keep)
	sum, slope := s.mean, s.slope // of this chunk
	clear(sum)
	clear(slope)
	kernel.AddColumns(sum, outGrad)
	for i := 0; i < len(outGrad); i += w {
		for k, v := range outGrad[i : i+w] {
			slope[k] += float32(v * c.Scratch[i+k])
		}
	}
	kernel.AddScaled(grad[w:2*w], sum, 1)
	kernel.AddScaled(grad[:w], slope, 1)
	inverse := float32(0)
	if coupled(c) {
		inverse = 1 / float32(c.To-c.From)
	}
	kernel.Scale(sum, inverse)
	kernel.Scale(slope, inverse)
	for i := 0; i < len(outGrad); i += w {
		for k, v := range outGrad[i : i+w] {
			c.InGrad[i+k] = float32(params[k]*s.by[k]) * (v - sum[k] - float32(c.Scratch[i+k]*slope[k]))
		}
	}
}

// Track implements Tracker.
func (l *batchNorm) Track(keep *any, params []float32) {
	s, w := l.kept(keep), l.width
	if s.rows == 0 {
		return
	}
	for k := range w {
		mean, variance := &params[2*w+k], &params[3*w+k]
		*mean += float32(trackedShare * (s.means[k]/s.rows - *mean))
		*variance += float32(trackedShare * (s.variances[k]/s.rows - *variance))
	}
	s.rows = 0
	clear(s.means)
	clear(s.variances)
}
