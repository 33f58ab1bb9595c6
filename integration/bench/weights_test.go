package bench

import (
	"math"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/thalweg/thalweg/pipeline/kernel"
)

// BenchmarkFeatureWeights compares two ways to average replicas on wide, sparse rows whose labels
// follow a generated linear model: by their rows, as training does, and each weight by how many rows
// of the round had its feature. It is a plain float64 model of training, without its blocks
// and exchanges, so that only the average differs. `log-loss` is the best of five epochs on rows that
// were not trained on.
func BenchmarkFeatureWeights(b *testing.B) {
	rows := sparseRows(1<<17 + 1<<15)
	for _, rule := range []string{"sgd", "adagrad"} {
		for _, rate := range map[string][]float64{"sgd": {1, 3}, "adagrad": {0.03, 0.1, 0.3}}[rule] {
			for _, byFeature := range []bool{false, true} {
				name := rule + "/" + strconv.FormatFloat(rate, 'g', -1, 64) + "/by rows"
				if byFeature {
					name = rule + "/" + strconv.FormatFloat(rate, 'g', -1, 64) + "/by feature"
				}
				b.Run(name, func(b *testing.B) {
					for b.Loop() {
						a := averaging{rate: rate, adaptive: rule == "adagrad", byFeature: byFeature}
						b.ReportMetric(a.train(rows[:1<<17], rows[1<<17:]), "log-loss")
					}
				})
			}
		}
	}
}

const (
	sparseWeights = 1 << 18
	averaged      = 8 // replicas
)

// sparseRow has one hashed value in each slot.
type sparseRow struct {
	ids [wideSlots]uint32
	y   float64
}

// sparseRows draws rows whose values are as unequal as words are, some slots of few and some of many.
func sparseRows(n int) []sparseRow {
	random := rand.New(rand.NewPCG(3, 1))
	var keys []*rand.Zipf
	for slot := range wideSlots {
		keys = append(keys, rand.NewZipf(random, 1.1+0.02*float64(slot), 2, uint64(1000+20_000*slot*slot)))
	}
	rows := make([]sparseRow, n)
	for i := range rows {
		z := -1.0
		for slot, k := range keys {
			h := kernel.Mix(k.Uint64()*kernel.Golden + uint64(slot))
			rows[i].ids[slot] = uint32(h % sparseWeights)
			z += 1.2 * (float64(kernel.Mix(h+1)>>11)/(1<<53) - 0.5)
		}
		if random.Float64() < 1/(1+math.Exp(-z)) {
			rows[i].y = 1
		}
	}
	return rows
}

// averaging trains a logistic model in replicas that are averaged after 64 steps.
type averaging struct {
	rate                float64
	adaptive, byFeature bool
}

func (a averaging) train(rows, unseen []sparseRow) float64 {
	const batch, steps = 128, 64
	var weights, squares, counts [averaged][]float64
	for r := range averaged {
		weights[r], squares[r], counts[r] = make([]float64, sparseWeights), make([]float64, sparseWeights), make([]float64, sparseWeights)
	}
	per, best := len(rows)/averaged, math.Inf(1)
	order := rand.New(rand.NewPCG(5, 5)).Perm(len(rows))
	for range 5 {
		for from := 0; from < per; from += steps * batch {
			for r := range averaged {
				for at := from; at < min(from+steps*batch, per); at += batch {
					a.step(rows, order[r*per+at:r*per+min(at+batch, per)], weights[r], squares[r], counts[r])
				}
			}
			a.average(&weights, &squares, &counts)
		}
		sum := 0.0
		for i := range unseen {
			z := unseen[i].margin(weights[0])
			sum += math.Log1p(math.Exp(-math.Abs(z))) + max(z, 0) - z*unseen[i].y
		}
		best = min(best, sum/float64(len(unseen)))
	}
	return best
}

func (x *sparseRow) margin(w []float64) (z float64) {
	for _, j := range x.ids {
		z += w[j]
	}
	return z
}

func (a averaging) step(rows []sparseRow, batch []int, w, squares, counts []float64) {
	gradient := map[uint32]float64{}
	for _, i := range batch {
		d := 1/(1+math.Exp(-rows[i].margin(w))) - rows[i].y
		for _, j := range rows[i].ids {
			gradient[j] += d / float64(len(batch))
			counts[j]++
		}
	}
	for j, d := range gradient {
		scale := 1.0
		if a.adaptive {
			squares[j] += d * d
			scale = math.Sqrt(squares[j]) + 1e-8
		}
		w[j] -= a.rate * d / scale
	}
}

func (a averaging) average(weights, squares, counts *[averaged][]float64) {
	for j := range sparseWeights {
		var sum, total, square, touched float64
		for r := range averaged {
			k := 1.0
			if a.byFeature {
				k = counts[r][j]
			}
			sum, total = sum+k*weights[r][j], total+k
			square, touched = square+squares[r][j]/averaged, touched+counts[r][j]
		}
		if touched == 0 {
			continue
		}
		for r := range averaged {
			weights[r][j], squares[r][j], counts[r][j] = sum/total, square, 0
		}
	}
}
