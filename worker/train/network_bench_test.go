package train

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/optim"
)

// BenchmarkNetwork is an epoch of one replica on one core, of a network of 64 numbers, layers of
// 128 and 64 values, and one output, by adam at the default batch of 256 rows, and the same with the
// default dropout; the same without dropout by MLPClassifier without shuffle, of float32s and of
// float64s, which are numpy's default; and how many multiplications and additions the processor
// does in registers (testdata/fma.c), which needs a C compiler. goal: at least 0.65 of what the
// processor does, and five times MLPClassifier.
func BenchmarkNetwork(b *testing.B) {
	const rows, epochs, numbers = 1 << 17, 2, 64
	// Products and sums of a row: forward, the gradient by weights, and that by all values but the first.
	const work = 2 * (3*(64*128+128*64+64) - 64*128)
	peak := filepath.Join(b.TempDir(), "fma")
	if out, err := exec.Command("cc", "-O3", "-march=native", "-o", peak, "testdata/fma.c").CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	trained := func(dropout float64) (epoch func() []float64) {
		job := flightsJob(b, rows, 1)
		var err error
		if job.Model, err = (&model.MLP{Hidden: []int{128, 64}, Activation: "relu", Dropout: dropout}).New(new(model.CrossEntropy), numberShape(numbers)); err != nil {
			b.Fatal(err)
		}
		job.Rows, job.Trainer.BatchSize = dense{rows, numbers}, 256
		t, m, ln := oneReplica(b, job, 1<<30)
		t.state.Vector = make([]float32, t.algorithm.Size())
		job.Model.Init(t.state.Vector[:job.Model.Size()], 1, 0.5)
		at := optim.Round{Count: t.state.plan.schedule.Rounds}
		return func() []float64 { return epochsOf(b, t, m, ln, &at, epochs) }
	}
	epoch, thinned := trained(0), trained(0.1)
	var ours, dropped, peaks []float64
	peers := make(map[string][]float64)
	for b.Loop() {
		ours = append(ours, epoch()...)
		peaks = append(peaks, peerEpochs(b, peak)...)
		dropped = append(dropped, thinned()...)
		for _, of := range []string{"float32", "float64"} {
			peers[of] = append(peers[of], peerEpochs(b, scikit, "testdata/mlp.py", fmt.Sprint(rows), fmt.Sprint(epochs), of)...)
		}
	}
	rate := work * rows / median(ours) / 1e9
	b.ReportMetric(rows/median(ours), "rows/cpu-s")
	b.ReportMetric(rows/median(dropped), "dropout-rows/cpu-s")
	b.ReportMetric(rate, "GFLOP/cpu-s")
	b.ReportMetric(1/median(peaks), "peak-GFLOP/cpu-s")
	b.ReportMetric(rate*median(peaks), "of-peak")
	for of, seconds := range peers {
		b.ReportMetric(rows/median(seconds), "mlpclassifier-"+of+"-rows/cpu-s")
		b.ReportMetric(median(seconds)/median(ours), "x-mlpclassifier-"+of)
	}
}
