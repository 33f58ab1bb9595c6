package bench

import (
	encoding "encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	arrowmemory "github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/feature"
	"github.com/thalweg/thalweg/pipeline/imported"
	"github.com/thalweg/thalweg/pipeline/model"
)

// What is compared with LightGBM's pred_contrib, which takes long.
const (
	explainedTrees  = 100
	explainedLeaves = 31
	explainedRows   = 4096
)

// peerColumns are the inputs of contributions.py; all but the first are categories.
var peerColumns = []string{"distance", "origin", "destination", "hour", "weekday"}

// BenchmarkExplainTrees explains flights by trees of LightGBM, imported, and has
// LightGBM explain the same rows by the same trees with one thread: the values must be
// the same. goal: at least as many rows a CPU-second.
func BenchmarkExplainTrees(b *testing.B) {
	folder := b.TempDir()
	out, err := exec.Command(filepath.FromSlash("../../.cache/python/lightgbm/bin/python"), filepath.FromSlash("../lightgbm/contributions.py"),
		flightsFile(), fmt.Sprint(explainedTrees), fmt.Sprint(explainedLeaves), fmt.Sprint(explainedRows), folder).Output()
	if err != nil {
		b.Fatalf("LightGBM: %v: run integration/python.sh lightgbm first", err)
	}
	var peer struct {
		Seconds float64 `json:"seconds"`
		Rows    int     `json:"rows"`
	}
	check(b, json.Unmarshal(out, &peer))
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(folder, name))
		check(b, err)
		return data
	}
	e, err := imported.Parse("model.txt", read("model.txt"))
	check(b, err)
	rows, want := numpyFloats(read("rows")), numpyFloats(read("shares"))

	from, err := feature.NewImported(e)
	check(b, err)
	block, err := from.Block(peerBatch(rows))
	check(b, err)
	m, err := model.NewImported(e, pipeline.Choice{Name: "cross_entropy", Options: new(model.CrossEntropy)}, from.Shape())
	check(b, err)
	in := model.Inputs{Names: from.Shape().CategoryNames}
	for slot := range in.Names {
		in.Categories = append(in.Categories, slot)
	}
	before := cpu(b)
	by, err := m.NewExplainer(make([]float32, m.Size()), in, model.Reference{})
	check(b, err)
	b.ReportMetric((cpu(b) - before).Seconds(), "compile-cpu-s")

	all, shares := make([]int32, block.Rows), make([][]float64, len(in.Names))
	for i := range all {
		all[i] = int32(i)
	}
	for i := range shares {
		shares[i] = make([]float64, block.Rows)
	}
	memory, seconds := new(model.Explaining), 0.0
	for b.Loop() {
		before := cpu(b)
		by.Explain(memory, block, all, 0, shares)
		seconds += (cpu(b) - before).Seconds()
	}
	for i := range block.Rows {
		for k, name := range peerColumns {
			slot := slices.Index(in.Names, name)
			if d := shares[slot][i] - want[i*(len(peerColumns)+1)+k]; math.Abs(d) > 1e-6 {
				b.Fatalf("row %d: %s brought %v, LightGBM says %v", i, name, shares[slot][i], shares[slot][i]-d)
			}
		}
	}
	ours := float64(b.N) * float64(block.Rows) / seconds
	theirs := float64(peer.Rows) / peer.Seconds
	b.ReportMetric(ours, "rows/core-s")
	b.ReportMetric(theirs, "lightgbm-rows/core-s")
	b.ReportMetric(ours/theirs, "of-lightgbm")
}

// numpyFloats are those that numpy has written.
func numpyFloats(data []byte) (out []float64) {
	for ; len(data) > 0; data = data[8:] {
		out = append(out, math.Float64frombits(encoding.LittleEndian.Uint64(data)))
	}
	return out
}

// peerBatch is rows of peerColumns.
func peerBatch(rows []float64) arrow.Record {
	var fields []arrow.Field
	var columns []arrow.Array
	for k, name := range peerColumns {
		if k == 0 {
			c := array.NewFloat64Builder(arrowmemory.DefaultAllocator)
			for i := 0; i < len(rows); i += len(peerColumns) {
				c.Append(rows[i])
			}
			columns = append(columns, c.NewArray())
		} else {
			c := array.NewInt64Builder(arrowmemory.DefaultAllocator)
			for i := k; i < len(rows); i += len(peerColumns) {
				c.Append(int64(rows[i]))
			}
			columns = append(columns, c.NewArray())
		}
		fields = append(fields, arrow.Field{Name: name, Type: columns[k].DataType()})
	}
	return array.NewRecord(arrow.NewSchema(fields, nil), columns, int64(len(rows)/len(peerColumns)))
}
