package split

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"pgregory.net/rapid"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
)

var probabilities = []float64{0.7, 0.15, 0.15}

func plan(kind string) *pipeline.Plan {
	p := &pipeline.Plan{Spec: &pipeline.Spec{}}
	for _, e := range Catalog() {
		if e.Name == kind {
			p.Split = e.Options.(Method)
		}
	}
	p.Spec.Spec.Preprocessing.Split = pipeline.Split{Type: kind, Column: "date", Probabilities: probabilities}
	if p.Split.Given() {
		p.Spec.Spec.Preprocessing.Split.Probabilities = nil
	}
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

// observe returns the partial of one shard, read in batches of so many rows.
func observe(t *testing.T, p *pipeline.Plan, shard []int64, rows int) []byte {
	t.Helper()
	o, err := NewObserver(p, Origin{})
	if err != nil {
		t.Fatal(err)
	}
	for batch := range slices.Chunk(shard, max(rows, 1)) {
		rec := batchOf(batch, 0)
		if err := o.Observe(rec); err != nil {
			t.Fatal(err)
		}
		rec.Release()
	}
	data, err := o.Partial()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// finish observes the shards and returns the cuts, through JSON as a run does.
func finish(t *testing.T, p *pipeline.Plan, shards [][]int64) *Cuts {
	t.Helper()
	var partials [][]byte
	for _, s := range shards {
		partials = append(partials, observe(t, p, s, len(s)))
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
	if !reflect.DeepEqual(again, *cuts) {
		t.Fatalf("JSON round trip: %+v, want %+v", again, *cuts)
	}
	return &again
}

func assign(t *testing.T, c *Cuts, shards [][]int64) (parts [][]uint8, share [Count]float64) {
	t.Helper()
	n := 0
	for i, s := range shards {
		batch := batchOf(s, 0)
		dst, err := c.Assign(plan(c.Type), batch, Origin{Object: strconv.Itoa(i)}, nil)
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

func TestDatetimeCutsOneTimeBesideIt(t *testing.T) {
	// All rows have the same time: they stay together, and training gets them.
	cuts := finish(t, plan("datetime"), [][]int64{make([]int64, 1000)})
	_, share := assign(t, cuts, [][]int64{make([]int64, 1000)})
	if share[Train] != 1 {
		t.Errorf("shares %v", share)
	}
}

func TestDatetimeCountsRowsWithoutATime(t *testing.T) {
	cuts := finish(t, plan("datetime"), [][]int64{{1, -1, 2, 3}, {-1, -1}})
	if cuts.Missing != 3 {
		t.Errorf("%d rows are without a time, want 3", cuts.Missing)
	}
}

func TestPartialsDoNotDependOnTheBatches(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	shard := make([]int64, 3*maxPoints+17)
	for i := range shard {
		if shard[i] = r.Int64N(1e9); i%11 == 0 {
			shard[i] = -1
		}
	}
	want := observe(t, plan("datetime"), shard, len(shard))
	for _, rows := range []int{1000, maxPoints, 77_777} {
		if got := observe(t, plan("datetime"), shard, rows); !bytes.Equal(got, want) {
			t.Errorf("batches of %d rows give another partial", rows)
		}
	}
}

func TestTimesAreSorted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.SliceOf(rapid.OneOf(rapid.Int64(), rapid.Int64Range(-300, 300))).Draw(t, "times")
		want := slices.Sorted(slices.Values(v))
		sortTimes(v)
		if !slices.Equal(v, want) {
			t.Fatalf("%v, want %v", v, want)
		}
	})
}

func TestFinishRefusesADamagedPartial(t *testing.T) {
	// A point without a count; two at one time; a count of 0; half of a number; no unit.
	for _, data := range []string{`{`, `{"times":[1],"counts":[1]}`, `{"unit":1,"times":"AA=="}`, `{"unit":1,"times":"AAEAAQ=="}`, `{"unit":1,"times":"AAA="}`, `{"unit":1,"times":"gA=="}`, `{"times":"AAE="}`} {
		if _, err := Finish(plan("datetime"), [][]byte{[]byte(data)}); !thalweg.Is(err, thalweg.Corrupt) {
			t.Errorf("%s: error %v", data, err)
		}
	}
}

// Ranks of a sketch stay within the bound that its comment states.
func TestSketchKeepsRanks(t *testing.T) {
	for name, value := range map[string]func(i, n int, r *rand.Rand) int64{
		"rising":  func(i, _ int, _ *rand.Rand) int64 { return int64(i) },
		"falling": func(i, n int, _ *rand.Rand) int64 { return int64(n - i) },
		"random":  func(_, _ int, r *rand.Rand) int64 { return r.Int64() },
		"lumpy":   func(_, _ int, r *rand.Rand) int64 { return int64(r.ExpFloat64() * 1000) },
	} {
		t.Run(name, func(t *testing.T) {
			const n = 10 * maxPoints
			r := rand.New(rand.NewPCG(7, 7))
			var s sketch
			all := make([]int64, n)
			for i := range all {
				all[i] = value(i, n, r)
			}
			s.add(all)
			slices.Sort(all)
			s.close()
			if len(s.points) > maxPoints || s.total() != n {
				t.Fatalf("%d points for %d values", len(s.points), s.total())
			}
			for _, share := range []float64{0, 0.1, 0.5, 0.7, 0.85, 1} {
				cut := s.before(share)
				below, _ := slices.BinarySearch(all, cut)
				upTo, _ := slices.BinarySearch(all, cut+1)
				// The nearest cut of equal times, and ten thinnings.
				slack := float64(upTo-below)/2 + 10*n/maxPoints + 1
				if math.Abs(float64(below)-share*n) > slack {
					t.Errorf("before %v lie %d values, want %v within %v", share, below, share*n, slack)
				}
			}
		})
	}
}

func TestDatetimeRefusesAColumnWithoutTimes(t *testing.T) {
	o, err := NewObserver(plan("datetime"), Origin{})
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
	want, err := cuts.Assign(plan("random"), whole, Origin{Object: "a"}, nil)
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
		got, err := cuts.Assign(plan("random"), part, Origin{Object: "a"}, nil)
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
	other, err := cuts.Assign(plan("random"), whole, Origin{Object: "b"}, nil)
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
		t.Errorf("objects a and b agree on %d of 100,000 rows: the object does not count", same)
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
			p := plan(kind)
			var dst []uint8
			var err error
			for b.Loop() {
				if dst, err = c.Assign(p, batch, Origin{}, dst); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*float64(len(times))/b.Elapsed().Seconds()/1e6, "Mrows/s")
		})
	}
}

func BenchmarkObserve(b *testing.B) {
	for name, time := range map[string]func(i int, r *rand.Rand) int64{
		"sorted": func(i int, _ *rand.Rand) int64 { return int64(i) * 50e6 },
		"random": func(_ int, r *rand.Rand) int64 { return r.Int64N(1e15) },
	} {
		b.Run(name, func(b *testing.B) {
			r := rand.New(rand.NewPCG(3, 3))
			times := make([]int64, 1<<20)
			for i := range times {
				times[i] = time(i, r)
			}
			batch := batchOf(times, 0)
			defer batch.Release()
			for b.Loop() {
				o := observeTimes(&Cuts{Column: "date"}, Origin{})
				if err := o.Observe(batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*float64(len(times))/b.Elapsed().Seconds()/1e6, "Mrows/s")
		})
	}
}
