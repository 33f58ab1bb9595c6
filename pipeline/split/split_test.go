package split

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
)

var probabilities = []float64{0.7, 0.15, 0.15}

func plan(kind string) *pipeline.Plan {
	p := &pipeline.Plan{Spec: &pipeline.Spec{}}
	p.Spec.Spec.Preprocessing.Split = pipeline.Split{Type: kind, Column: "date", Probabilities: probabilities}
	p.Spec.Spec.Trainer.Seed = 42
	return p
}

// batchOf returns rows first, first+1, … with the given times; a negative time
// is null.
func batchOf(times []int64, first int64) arrow.Record {
	schema := table.Schema{Columns: []table.Column{{Name: "date", Type: table.Timestamp, Nullable: true}}}
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema.Arrow())
	defer b.Release()
	for i, t := range times {
		if t < 0 {
			b.Field(0).AppendNull()
		} else {
			b.Field(0).(*array.TimestampBuilder).Append(arrow.Timestamp(t))
		}
		b.Field(1).(*array.Int64Builder).Append(first + int64(i))
	}
	return b.NewRecord()
}

// finish observes the shards and returns the cuts, through JSON as a run does.
func finish(t *testing.T, p *pipeline.Plan, shards [][]int64) *Cuts {
	t.Helper()
	var partials [][]byte
	for _, s := range shards {
		o, err := NewObserver(p)
		if err != nil {
			t.Fatal(err)
		}
		batch := batchOf(s, 0)
		if err := o.Observe(batch); err != nil {
			t.Fatal(err)
		}
		batch.Release()
		data, err := o.Partial()
		if err != nil {
			t.Fatal(err)
		}
		partials = append(partials, data)
	}
	cuts, err := Finish(p, partials)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(cuts)
	if err != nil {
		t.Fatal(err)
	}
	var again Cuts
	if err := json.Unmarshal(data, &again); err != nil {
		t.Fatal(err)
	}
	if again != *cuts {
		t.Fatalf("JSON round trip: %+v, want %+v", again, *cuts)
	}
	return &again
}

func assign(t *testing.T, c *Cuts, shards [][]int64) (parts [][]uint8, share [Count]float64) {
	t.Helper()
	n := 0
	for i, s := range shards {
		batch := batchOf(s, 0)
		dst, err := c.Assign(batch, i, nil)
		if err != nil {
			t.Fatal(err)
		}
		batch.Release()
		for _, p := range dst {
			share[p]++
		}
		n += len(dst)
		parts = append(parts, dst)
	}
	for i := range share {
		share[i] /= float64(n)
	}
	return parts, share
}

func TestDatetimePutsTheEarliestRowsIntoTraining(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	shards := make([][]int64, 5)
	for i := range shards {
		for range 20_000 * (i + 1) {
			shards[i] = append(shards[i], r.Int64N(1e12))
		}
	}
	cuts := finish(t, plan("datetime"), shards)
	parts, share := assign(t, cuts, shards)
	for k, want := range probabilities {
		if math.Abs(share[k]-want) > 1e-3 {
			t.Errorf("%s has a share of %v, want %v", Names[k], share[k], want)
		}
	}
	for s, dst := range parts {
		for i, p := range dst {
			v := shards[s][i]
			want := uint8(Train)
			if v >= cuts.Times[0] {
				want = Validation
			}
			if v >= cuts.Times[1] {
				want = Test
			}
			if p != want {
				t.Fatalf("shard %d row %d at %d is %s, want %s", s, i, v, Names[p], Names[want])
			}
		}
	}
}

func TestDatetimeStaysExactBeyondTheBoundOfPoints(t *testing.T) {
	times := make([]int64, 5*maxPoints)
	for i := range times {
		times[i] = int64(i)
	}
	rand.New(rand.NewPCG(2, 2)).Shuffle(len(times), func(i, j int) { times[i], times[j] = times[j], times[i] })
	cuts := finish(t, plan("datetime"), [][]int64{times})
	for k, b := range cuts.Bounds {
		if off := math.Abs(float64(cuts.Times[k])/float64(len(times)) - b); off > 4.0/maxPoints {
			t.Errorf("cut %d is off by %v of the rows", k, off)
		}
	}
}

func TestDatetimeKeepsEqualTimesTogetherAndNullsInTraining(t *testing.T) {
	times := make([]int64, 1000)
	for i := range times {
		times[i] = int64(i / 100)
		if i%10 == 3 {
			times[i] = -1
		}
	}
	cuts := finish(t, plan("datetime"), [][]int64{times})
	parts, _ := assign(t, cuts, [][]int64{times})
	seen := map[int64]uint8{}
	for i, p := range parts[0] {
		if times[i] < 0 {
			if p != Train {
				t.Fatalf("row %d without a time is %s", i, Names[p])
			}
			continue
		}
		if q, ok := seen[times[i]]; ok && p != q {
			t.Fatalf("time %d is in %s and %s", times[i], Names[p], Names[q])
		}
		seen[times[i]] = p
	}
}

func TestDatetimeRefusesAColumnWithoutTimes(t *testing.T) {
	o, err := NewObserver(plan("datetime"))
	if err != nil {
		t.Fatal(err)
	}
	data, err := o.Partial()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Finish(plan("datetime"), [][]byte{data}); err == nil {
		t.Fatal("no error for a column without times")
	}
}

func TestRandomDependsOnTheRowAloneAndNotOnItsBatch(t *testing.T) {
	cuts := finish(t, plan("random"), [][]int64{{1}})
	whole := batchOf(make([]int64, 100_000), 0)
	defer whole.Release()
	want, err := cuts.Assign(whole, 3, nil)
	if err != nil {
		t.Fatal(err)
	}
	var share [Count]float64
	for _, p := range want {
		share[p] += 1.0 / float64(len(want))
	}
	for k, p := range probabilities {
		if math.Abs(share[k]-p) > 0.01 {
			t.Errorf("%s has a share of %v, want %v", Names[k], share[k], p)
		}
	}
	for from := int64(0); from < whole.NumRows(); from += 777 {
		part := whole.NewSlice(from, min(from+777, whole.NumRows()))
		got, err := cuts.Assign(part, 3, nil)
		part.Release()
		if err != nil {
			t.Fatal(err)
		}
		for i := range got {
			if got[i] != want[int(from)+i] {
				t.Fatalf("row %d is %s in a batch of its own, %s in a large one", int(from)+i, Names[got[i]], Names[want[int(from)+i]])
			}
		}
	}
	other, err := cuts.Assign(whole, 4, nil)
	if err != nil {
		t.Fatal(err)
	}
	same := 0
	for i := range other {
		if other[i] == want[i] {
			same++
		}
	}
	if same > 70_000 {
		t.Errorf("shards 3 and 4 agree on %d of 100,000 rows: the shard does not count", same)
	}
}

func BenchmarkAssign(b *testing.B) {
	for _, kind := range []string{"datetime", "random"} {
		b.Run(kind, func(b *testing.B) {
			c := &Cuts{Type: kind, Column: "date", Bounds: [2]float64{0.7, 0.85}, Times: [2]int64{700, 850}}
			times := make([]int64, 1<<16)
			for i := range times {
				times[i] = int64(i % 1000)
			}
			batch := batchOf(times, 0)
			defer batch.Release()
			var dst []uint8
			var err error
			for b.Loop() {
				if dst, err = c.Assign(batch, 0, dst); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*float64(len(times))/b.Elapsed().Seconds()/1e6, "Mrows/s")
		})
	}
}
