package artifact

import (
	"math"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/pipeline/model"
)

// sampling predicts rows several times, by networks that are drawn: behind the outputs of a
// row's prediction come mean, deviation and quantiles of its samples.
type sampling struct {
	samples int
	levels  []float64
	seed    uint64
	values  []float32 // of a row, one sample after the other
	sorted  []float64 // of one row
	// members are the memory of models that were trained beside the version's; none: samples
	// are of the model itself.
	members   []*model.Workspace
	predicted []float32
}

// sample makes the scorer predict rows several times.
func (s *Scorer) sample(by pipeline.SamplingSpec) {
	m := s.artifact.Model
	s.sampling = newSampling(by, s.artifact.Spec.Spec.Trainer.Seed)
	s.width = s.outputs + s.sampling.width()
	if members, ok := by.(pipeline.MemberSpec); ok {
		for range members.MemberModels() {
			s.sampling.members = append(s.sampling.members, m.NewPredictor())
		}
	} else {
		s.workspace = m.NewSampler()
	}
}

func newSampling(of pipeline.SamplingSpec, seed uint64) *sampling {
	s := &sampling{seed: kernel.Mix(seed ^ kernel.Golden)} // other draws than those of training
	s.samples, s.levels = of.Sampling()
	s.sorted = make([]float64, s.samples)
	return s
}

// width is how many values a row has besides the outputs.
func (p *sampling) width() int { return 2 + len(p.levels) }

// predict makes predictions of the rows' outputs and samples.
func (p *sampling) predict(s *Scorer, n int) {
	p.values = slices.Grow(p.values[:0], n*p.samples)[:n*p.samples]
	middle := 0
	if s.answer.Type == model.Quantiles {
		middle = s.answer.Middle()
	}
	which := func(row int) int { // the output that is looked at
		if s.answer.Type == model.Category {
			return metric.Likeliest(s.predicted[row*s.outputs : (row+1)*s.outputs])
		}
		return middle
	}
	take := func(sample, from int, predictions []float32) {
		for i := 0; i*s.outputs < len(predictions); i++ {
			p.values[(from+i)*p.samples+sample] = predictions[i*s.outputs+which(from+i)]
		}
	}
	for k, w := range p.members {
		p.predicted = slices.Grow(p.predicted[:0], n*s.outputs)[:n*s.outputs]
		s.artifact.Model.Predict(w, s.artifact.member(k), &s.block, p.predicted)
		take(k, 0, p.predicted)
	}
	if p.members == nil {
		s.artifact.Model.Sample(s.workspace, s.artifact.Params, &s.block, p.seed, p.samples, take)
	}
	for i := range s.applier.Blank().Marked() { // nothing that was drawn bears on them
		for k := range p.samples {
			p.values[i*p.samples+k] = s.predicted[i*s.outputs+which(i)]
		}
	}
	for i := range n {
		row := s.predictions[i*s.width : (i+1)*s.width]
		copy(row, s.predicted[i*s.outputs:(i+1)*s.outputs])
		p.summarize(row[s.outputs:], p.values[i*p.samples:(i+1)*p.samples])
	}
}

// summarize sets out to the mean of a row's samples, their standard deviation (of n-1), and
// their quantiles, linear between two samples.
func (p *sampling) summarize(out, samples []float32) {
	sum := 0.0
	for k, v := range samples {
		p.sorted[k] = float64(v)
		sum += float64(v)
	}
	mean, squares := sum/float64(len(samples)), 0.0
	for _, v := range p.sorted {
		squares += float64((v - mean) * (v - mean))
	}
	out[0], out[1] = float32(mean), float32(math.Sqrt(squares/float64(len(samples)-1)))
	slices.Sort(p.sorted)
	for k, level := range p.levels {
		at := float64(level * float64(len(p.sorted)-1))
		below := int(at)
		v := p.sorted[below]
		if below+1 < len(p.sorted) {
			v += float64((p.sorted[below+1] - v) * (at - float64(below)))
		}
		out[2+k] = float32(v)
	}
}

// parted returns the outputs of rows, and what samples say besides, row after row.
func (s *Scorer) parted(predictions []float32, n int) (outputs, besides []float32) {
	if s.sampling == nil {
		return predictions, nil
	}
	for i := range n {
		row := predictions[i*s.width : (i+1)*s.width]
		outputs, besides = append(outputs, row[:s.outputs]...), append(besides, row[s.outputs:]...)
	}
	return outputs, besides
}

// columns adds what samples say of rows.
func (p *sampling) columns(s *Scorer, columns []arrow.Array, sampled []float32) []arrow.Array {
	var mean, deviation, quantiles []float32
	for i := 0; i < len(sampled); i += p.width() {
		mean, deviation, quantiles = append(mean, sampled[i]), append(deviation, sampled[i+1]), append(quantiles, sampled[i+2:i+p.width()]...)
	}
	return append(columns, s.widened(mean), s.widened(deviation), s.lists(quantiles, len(p.levels)))
}
