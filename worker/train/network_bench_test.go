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
// 128 and 64 values, and one output, by adam at the default batch of 256 rows; the same by
// MLPClassifier without shuffle; and how many multiplications and additions the processor does in
// registers (testdata/fma.c), which needs a C compiler. goal: at least 0.65 of what the processor
// does, and five times MLPClassifier.
func BenchmarkNetwork(b *testing.B) {
	const rows, epochs, numbers = 1 << 17, 2, 64
	// Products and sums of a row: forward, the gradient by weights, and that by all values but the first.
	const work = 2 * (3*(64*128+128*64+64) - 64*128)
	peak := filepath.Join(b.TempDir(), "fma")
	if out, err := exec.Command("cc", "-O3", "-march=native", "-o", peak, "testdata/fma.c").CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	job := flightsJob(b, rows, 1)
	var err error
	if job.Model, err = (&model.MLP{Hidden: []int{128, 64}, Activation: "relu"}).New(new(model.CrossEntropy), numberShape(numbers)); err != nil {
		b.Fatal(err)
	}
	job.Rows, job.Trainer.BatchSize = dense{rows, numbers}, 256
	t, m, ln := oneReplica(b, job, 1<<30)
	t.state.Vector = make([]float32, t.algorithm.Size())
	job.Model.Init(t.state.Vector[:job.Model.Size()], 1, 0.5)
	at := optim.Round{Count: t.state.plan.schedule.Rounds}
	var ours, peers, peaks []float64
	for b.Loop() {
		ours = append(ours, epochsOf(b, t, m, ln, &at, epochs)...)
		peaks = append(peaks, peerEpochs(b, peak)...)
		peers = append(peers, peerEpochs(b, scikit, "testdata/mlp.py", fmt.Sprint(rows), fmt.Sprint(epochs))...)
	}
	rate := work * rows / median(ours) / 1e9
	b.ReportMetric(rows/median(ours), "rows/cpu-s")
	b.ReportMetric(rate, "GFLOP/cpu-s")
	b.ReportMetric(1/median(peaks), "peak-GFLOP/cpu-s")
	b.ReportMetric(rate*median(peaks), "of-peak")
	b.ReportMetric(rows/median(peers), "mlpclassifier-rows/cpu-s")
	b.ReportMetric(median(peers)/median(ours), "x-mlpclassifier")
}
