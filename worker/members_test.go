package worker

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/thalweg/thalweg/pipeline/feature"
	"github.com/thalweg/thalweg/worker/train"
)

// memberSpec is flightSpec with two members beside the model.
var memberSpec = strings.Replace(flightSpec, "  trainer:", "  model: {type: linear, uncertainty: {type: bootstrap, members: 2}}\n  trainer:", 1)

func TestMembersAreOfRowsDrawnForThemAndTheSameWhoeverTrainsThem(t *testing.T) {
	b := newBatchHalf(t)
	b.spec = memberSpec
	want, metrics, _ := b.all(flightShards)
	a, err := b.worker.artifact(t.Context(), b.inputs["checkpoint"])
	if err != nil {
		t.Fatal(err)
	}
	size := a.Model.Size()
	if len(a.Members) != 2*size || slices.Equal(a.Members[:size], a.Members[size:]) || slices.Equal(a.Members[:size], a.Params) {
		t.Errorf("%d parameters of members of %d", len(a.Members), size)
	}
	plain := newBatchHalf(t)
	_, without, _ := plain.all(1)
	if metrics["test.log_loss"] != without["test.log_loss"] || b.inputs["model_sha256"] != plain.inputs["model_sha256"] {
		t.Error("members change the model that they are beside")
	}
	again := newBatchHalf(t)
	again.spec = memberSpec
	if got, _, _ := again.all(1); !maps.Equal(got, want) {
		t.Errorf("by 1 task: %v, by one a shard: %v", got, want)
	}
}

// A model that cannot be of the fitted features, or of so many training rows, is refused before
// anything is trained.
func TestAModelThatCannotBeIsRefusedWhenTheTransformIsFitted(t *testing.T) {
	b := newBatchHalf(t)
	b.spec = strings.Replace(flightSpec, "  trainer: {epochs: 2, batch_size: 64, distributed: {replicas: 2, sync_every: 4}}\n", "  model: {type: knn, neighbours: 1024}\n", 1)
	b.spec = strings.Replace(b.spec, "  preprocessing:\n", "  preprocessing:\n    split: {probabilities: [0.3, 0.35, 0.35]}\n", 1)
	if r := b.upTo("fit", 1); !strings.Contains(r.Error, "training rows have no 1024 neighbours: lower model.neighbours") || !r.Permanent {
		t.Errorf("%q", r.Error)
	}
}

// Members that no version can have are refused before anything is trained.
func TestTooManyParametersOfMembersAreRefusedWhenTheTransformIsFitted(t *testing.T) {
	b := newBatchHalf(t)
	b.spec = strings.Replace(flightSpec, "  trainer:", "  model: {type: mlp, hidden: [1000, 1000], uncertainty: {type: bootstrap, members: 100}}\n  trainer:", 1)
	if r := b.upTo("fit", 1); !strings.Contains(r.Error, "model.uncertainty.members") {
		t.Errorf("%q", r.Error)
	}
}

// Rows are drawn in the same order whether those that are prepared are kept or not, where
// a feature drops some too.
func TestRowsAreDrawnInTheSameOrderWhereTheyAreKept(t *testing.T) {
	text := "distance,delay,origin\n"
	for i := range 3 * partRows {
		text += fmt.Sprintf("%s,%d,%d\n", strings.TrimPrefix(fmt.Sprint(i%7), "3"), i%31, i%5)
	}
	spec := strings.NewReplacer("*.parquet", "*.csv", "type: parquet", "type: csv", "{name: distance, type: number}", "{name: distance, type: number, missing_value_strategy: drop_row}",
		"    - {name: gates, type: list}\n", "", "    - {name: first, type: number, expression: \"gates[0]\"}\n", "", "distance > 0", "delay > 0").Replace(memberSpec)
	of := func(bytes int64) (order []int64) {
		b := newBatchHalf(t)
		b.spec, b.shards, b.worker.cfg.KeepBytes = spec, 1, bytes
		if _, err := b.lake.Put(t.Context(), "flights/a.csv", []byte(text)); err != nil {
			t.Fatal(err)
		}
		if r := b.upTo("fit", 1); r.Error != "" {
			t.Fatal(r.Error)
		}
		rows, err := b.worker.openRows(t.Context(), b.lease())
		if err != nil {
			t.Fatal(err)
		}
		rows.member = 1
		for batch, err := range rows.Read(t.Context(), 0) {
			if err != nil {
				t.Fatal(err)
			}
			for i, row := range batch.Row {
				if batch.Split[i] == train.Training {
					order = append(order, row)
				}
			}
		}
		return order
	}
	if kept, read := of(1<<30), of(1); len(kept) < partRows || !slices.Equal(kept, read) {
		t.Errorf("%d rows drawn of kept ones, %d of those that were read, in another order", len(kept), len(read))
	}
}

// As many rows are there so often as Poisson's distribution says, of each member others.
func TestRowsAreDrawnByPoisson(t *testing.T) {
	b := newBatchHalf(t)
	if r := b.upTo("clean", 1); r.Error != "" {
		t.Fatal(r.Error)
	}
	d, err := b.worker.openData(t.Context(), b.lease())
	if err != nil {
		t.Fatal(err)
	}
	const rows = 20_000
	first, second := d.drawn(0, 1), d.drawn(0, 2)
	var counts [10]float64
	same := 0
	for row := range int64(rows) {
		counts[first(row)]++
		if first(row) == second(row) {
			same++
		}
	}
	p := math.Exp(-1)
	for k := range 6 {
		if got := counts[k] / rows; math.Abs(got-p) > 4*math.Sqrt(p*(1-p)/rows) {
			t.Errorf("%v of rows are there %d times, want %v", got, k, p)
		}
		p /= float64(k + 1)
	}
	if share := float64(same) / rows; share < 0.28 || share > 0.34 { // the sum of the squares
		t.Errorf("%v of rows are drawn alike for two members", share)
	}
}

// Members of which one may be drawn no row that differs from most are refused when the
// transform is fitted, with the numbers; as many rows as the message asks for are enough.
func TestMembersThatMayBeDrawnRowsOfOneLabelAreRefused(t *testing.T) {
	binary := func(rows, trues int64) feature.Label {
		return feature.Label{Type: "binary", Statistics: feature.Moments{Count: rows, Mean: float64(trues) / float64(rows)}}
	}
	for _, c := range []struct {
		members int
		label   feature.Label
		wants   []string
	}{
		{10, binary(60, 3), []string{"model.uncertainty.members", "only 3 of 60 training rows", "10 members", "0.4", "at least 17"}},
		{10, binary(60, 57), []string{"only 3 of 60"}},
		{2, feature.Label{Type: "category", Statistics: feature.Moments{Count: 30}, Classes: []string{"a", "b", "c"}, Counts: []int64{26, 3, 1}}, []string{"only 4 of 30", "at least 15"}},
		{10, binary(60, 17), nil},
		{10, binary(60, 0), nil}, // training says so
		{10, feature.Label{Type: "number", Statistics: feature.Moments{Count: 60}}, nil},
	} {
		err := checkDraws(c.members, c.label)
		if (err == nil) != (c.wants == nil) || err != nil && !isWrongInput(err) {
			t.Errorf("%d members of %+v: %v", c.members, c.label, err)
		}
		for _, want := range c.wants {
			if !strings.Contains(fmt.Sprint(err), want) {
				t.Errorf("%v: want %q", err, want)
			}
		}
	}
}
