package train

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"iter"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/optim"
	"github.com/thalweg/thalweg/pipeline/table"
)

func TestBlocksComeBackAsPacked(t *testing.T) {
	shape := kernel.Shape{Numbers: 2, NumberNames: []string{"x", "y"},
		Cardinalities: []int{1 << 8, 1<<8 + 1, 1 << 16, 1<<16 + 1}, CategoryNames: []string{"a", "b", "c", "d"},
		Lists: [][]int{{3}, {2, 2}}, ListNames: []string{"l", "m"}, Terms: []int{9, 1 << 18}, TermNames: []string{"t", "u"}}
	random := rand.New(rand.NewPCG(1, 2))
	const rows = 37
	b := &kernel.Block{Rows: rows, Labels: make([]float32, rows)}
	for range shape.Numbers {
		column := make([]float32, rows)
		for i := range column {
			column[i] = float32(random.NormFloat64())
		}
		b.Numbers = append(b.Numbers, column)
	}
	for _, dimensions := range shape.Lists {
		column := make([]float32, rows*kernel.Elements(dimensions))
		for i := range column {
			column[i] = float32(random.NormFloat64())
		}
		b.Lists = append(b.Lists, column)
	}
	for _, n := range shape.Terms {
		column := make([][]kernel.Term, rows)
		for i := range column {
			for id := range random.IntN(5) {
				column[i] = append(column[i], kernel.Term{ID: uint32(id * n / 5), Weight: float32(random.NormFloat64())})
			}
		}
		b.Terms = append(b.Terms, column)
	}
	for _, n := range shape.Cardinalities {
		column := make([]uint32, rows)
		for i := range column {
			column[i] = random.Uint32N(uint32(n))
		}
		column[0], column[1] = 0, uint32(n-1)
		b.Categories = append(b.Categories, column)
	}
	for _, label := range []string{"binary", "number"} {
		m, err := model.New(pipeline.Choice{Name: "linear", Options: new(model.Linear)}, lossOf(label), shape)
		if err != nil {
			t.Fatal(err)
		}
		for i := range b.Labels {
			b.Labels[i] = float32(random.IntN(2))
			if label == "number" {
				b.Labels[i] = float32(random.NormFloat64()) * 1e6
			}
		}
		l := newLayout(m, false)
		if !slices.Equal(l.widths, []int{1, 2, 2, 4}) {
			t.Errorf("widths %v", l.widths)
		}
		for _, bytes := range []int64{1 << 20, 0} {
			s := &store{layout: l, space: space{memory: &memory{limit: bytes}, dir: t.TempDir()}}
			p := newPacker(l, rows+5)
			var want RowSet
			var all []int32
			var ids []uint64
			var places []int
			for i := range rows {
				all, ids = append(all, int32(i)), append(ids, rowID(shardID(42, 0), int64(i)))
				want.add(ids[i])
			}
			records, ones, _, err := l.appendRecords(nil, b, all, ids)
			for at := 0; at < len(records); at += l.size(records[at:]) {
				places = append(places, at)
			}
			if err != nil || len(places) != rows {
				t.Fatalf("%d records of %d bytes, %v", len(places), len(records), err)
			}
			sum := float32(0)
			for _, y := range b.Labels {
				sum += y
			}
			if label == "binary" && float32(ones) != sum {
				t.Errorf("%d labels are 1, want %v", ones, sum)
			}
			p.add(records, places[:3])
			p.add(records, places[3:])
			packed, err := s.put(p)
			if err != nil {
				t.Fatal(err)
			}
			sc := l.newScratch()
			if err := s.open(&packed, sc); err != nil {
				t.Fatal(err)
			}
			s.layout.label(sc, model.Scale{})
			equal := packed.rows == rows && packed.set == want && slices.Equal(sc.Labels, b.Labels)
			for k := range b.Numbers {
				equal = equal && slices.Equal(sc.Numbers[k], b.Numbers[k])
			}
			for j := range b.Categories {
				equal = equal && slices.Equal(idsOf(&sc.Block, j), b.Categories[j])
			}
			for i := range b.Lists {
				equal = equal && slices.Equal(sc.Lists[i], b.Lists[i])
			}
			for i := range b.Terms {
				equal = equal && slices.EqualFunc(sc.Terms[i], b.Terms[i], slices.Equal[[]kernel.Term])
			}
			if !equal {
				t.Errorf("%s, memory of %d: other rows came back", label, bytes)
			}
			if label == "number" {
				if err := s.open(&packed, sc); err != nil {
					t.Fatal(err)
				}
				s.layout.label(sc, model.Scale{Mean: 100, Deviation: 50})
				if want := float32((float64(b.Labels[3]) - 100) * (1 / 50.0)); sc.Labels[3] != want {
					t.Errorf("scaled label %v, want %v", sc.Labels[3], want)
				}
			}
			s.close()
			if used := s.memory.used.Load(); used != 0 {
				t.Errorf("%d bytes were not given back", used)
			}
		}
	}
}

// idsOf returns the ids of a slot, whatever their width.
func idsOf(b *kernel.Block, j int) (ids []uint32) {
	bytes, shorts, words := b.Slot(j)
	for _, id := range bytes {
		ids = append(ids, uint32(id))
	}
	for _, id := range shorts {
		ids = append(ids, uint32(id))
	}
	return append(ids, words...)
}

func TestDivisionGivesEachRowOneReplica(t *testing.T) {
	for _, d := range []division{{1, 1}, {1, 8}, {3, 8}, {127, 8}, {128, 8}, {200, 3}} {
		counts := make([]int, d.replicas)
		for shard := range d.shards {
			for ordinal := int64(0); ordinal < 40*stripeRows; ordinal += stripeRows / 2 {
				r := d.replica(shard, ordinal)
				if !d.reads(r, shard) {
					t.Fatalf("%+v: replica %d owns rows of shard %d and does not read it", d, r, shard)
				}
				counts[r]++
			}
		}
		if d.striped() != (d.shards < 16*d.replicas) {
			t.Errorf("%+v: striped is %v", d, d.striped())
		}
		if lo, hi := slices.Min(counts), slices.Max(counts); float64(hi) > 1.35*float64(lo) {
			t.Errorf("%+v: replicas have from %d to %d rows", d, lo, hi)
		}
	}
}

func TestEpochVisitsEachBlockOnce(t *testing.T) {
	m := &matrix{training: make([]block, 23), epoch: -1}
	var first []int
	for epoch := range 3 {
		var all []int
		for round := range 6 {
			all = append(all, m.blocks(42, 1, epoch, 4*round, 4*round+4)...)
		}
		if len(m.blocks(42, 1, epoch, 24, 28)) != 0 {
			t.Error("blocks after the last round")
		}
		order := slices.Clone(all)
		slices.Sort(all)
		for i, b := range all {
			if i != b {
				t.Fatalf("epoch %d visits %v", epoch, order)
			}
		}
		if len(all) != 23 || slices.Equal(order, first) {
			t.Errorf("epoch %d has %d blocks, in the order of the first", epoch, len(all))
		}
		if epoch == 0 {
			first = order
		}
	}
	// Coming back to an epoch in its middle, as a resumed run does.
	again := &matrix{training: make([]block, 23), epoch: -1}
	if !slices.Equal(again.blocks(42, 1, 0, 8, 12), first[8:12]) {
		t.Error("the order of an epoch depends on what came before")
	}
}

func TestPermutationsAreSpread(t *testing.T) {
	const n, draws = 6, 60_000
	var counts [n][n]int
	order := make([]int, n)
	for seed := range uint64(draws) {
		permutation(order, seed)
		for at, v := range order {
			counts[at][v]++
		}
	}
	for at := range counts {
		for v, c := range counts[at] {
			// Six deviations of a binomial around draws/n.
			if c < draws/n-550 || c > draws/n+550 {
				t.Errorf("%d is at place %d in %d of %d permutations", v, at, c, draws)
			}
		}
	}
}

func TestPlanRefusesRowsThatDoNotAddUp(t *testing.T) {
	job := flightsJob(t, 0, 2)
	algorithm, err := optim.New(job.Model, &job.Trainer)
	if err != nil {
		t.Fatal(err)
	}
	half := RowSet{Rows: 5, Digest: 50}
	whole := RowSet{Rows: 10, Digest: 100}
	labels := metric.Moments{Count: 5, Mean: 0.5, Squares: 1}
	good := []facts{{Rows: half, Blocks: 1, Read: whole, Labels: labels}, {Rows: half, Blocks: 1, Read: whole, Labels: labels}}
	if _, err := newPlan(job, algorithm, good); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(f []facts){
		"a row used twice":  func(f []facts) { f[0].Rows.Digest++ },
		"a row missed":      func(f []facts) { f[1].Rows.Rows-- },
		"other rows read":   func(f []facts) { f[1].Read.Digest++ },
		"fewer rows read":   func(f []facts) { f[1].Read.Rows-- },
		"no rows anywhere":  func(f []facts) { clear(f) },
		"more rows on both": func(f []facts) { f[0].Read.Rows++; f[1].Read.Rows++ },
	} {
		f := slices.Clone(good)
		spoil(f)
		if _, err := newPlan(job, algorithm, f); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestLedgerNoticesRowsUsedTwiceOrNever(t *testing.T) {
	l := Ledger{Expected: RowSet{Rows: 2, Digest: Digest(rowID(shardID(42, 0), 1) + rowID(shardID(42, 0), 2))}, Passes: 1}
	l.Epochs = []RowSet{l.Expected, {Rows: 2, Digest: Digest(2 * rowID(shardID(42, 0), 1))}, {Rows: 1, Digest: Digest(rowID(shardID(42, 0), 1))}}
	for epoch, ok := range []bool{true, false, false} {
		if err := l.check("r", epoch); (err == nil) != ok {
			t.Errorf("epoch %d: %v", epoch, err)
		}
	}
	// An algorithm that passes over the rows twice.
	l.Passes, l.Epochs = 2, []RowSet{{Rows: 4, Digest: 2 * l.Expected.Digest}, l.Expected}
	for epoch, ok := range []bool{true, false} {
		if err := l.check("r", epoch); (err == nil) != ok {
			t.Errorf("two passes, epoch %d: %v", epoch, err)
		}
	}
}

// FuzzDecodeState reads checkpoints: bytes as they are, and positions in a file
// that is otherwise sound, which few mutations of bytes would reach.
func FuzzDecodeState(f *testing.F) {
	tr, err := newTrainer(flightsJob(f, 0, 1), Config{}.withDefaults())
	if err != nil {
		f.Fatal(err)
	}
	rows := RowSet{Rows: 10, Digest: 7}
	s := &state{best: make([]float32, tr.params)}
	s.position = position{Format: formatVersion, Fingerprint: tr.state.Fingerprint, Sequence: 4, Best: 1, Metrics: map[string]float64{"rows": 3},
		Facts: []facts{{Rows: rows, Blocks: 1, Read: rows, Labels: metric.Moments{Count: 10, Mean: 0.5, Squares: 2}}}, Ledger: Ledger{Expected: rows, Passes: 1, Epochs: []RowSet{rows, rows}},
		State: optim.State{Vector: make([]float32, tr.algorithm.Size()), Candidate: make([]float32, tr.params), Blended: 1}}
	whole, err := s.encode(tr.params)
	if err != nil {
		f.Fatal(err)
	}
	text, err := json.Marshal(s.position)
	if err != nil {
		f.Fatal(err)
	}
	if _, err := tr.load(whole); err != nil {
		f.Fatal(err)
	}
	f.Add(whole, "")
	f.Add([]byte{}, string(text))
	f.Fuzz(func(t *testing.T, data []byte, text string) {
		if text != "" {
			vector := slices.Concat(s.Vector, s.Candidate, s.best)
			data = model.EncodeTensors(map[string]string{"position": text}, s.position.views(tr.params, len(s.Vector)-tr.params), vector)
		}
		loaded, err := tr.load(data)
		if err != nil {
			return
		}
		again, err := loaded.encode(tr.params)
		if err != nil {
			t.Fatal(err)
		}
		reloaded, err := tr.load(again)
		if err != nil {
			t.Fatalf("%+v does not come back: %v", loaded.position, err)
		}
		if twice, _ := reloaded.encode(tr.params); !bytes.Equal(again, twice) {
			t.Fatalf("%+v came back as %+v", loaded.position, reloaded.position)
		}
	})
}

func TestEpochIsJudgedByTheMeanOverItsSecondHalf(t *testing.T) {
	job := flightsJob(t, 0, 1)
	algorithm, err := optim.New(job.Model, &job.Trainer)
	if err != nil {
		t.Fatal(err)
	}
	s, params := &optim.State{}, job.Model.Size()
	for round := range 5 {
		mean := make([]float32, algorithm.Size())
		mean[0], mean[params] = float32(round*round), 99
		if _, err := algorithm.Apply(s, optim.Round{Index: round, Count: 5}, kernel.Vector{Float32: mean}); err != nil {
			t.Fatal(err)
		}
		if round < 2 && s.Candidate != nil {
			t.Errorf("round %d of 5 is in the mean", round)
		}
	}
	// Rounds 2, 3 and 4 count; the optimizer's state does not.
	if s.Blended != 3 || len(s.Candidate) != params || s.Candidate[0] != float32((4+9+16)/3.0) {
		t.Errorf("mean of %d rounds: %v of %d elements", s.Blended, s.Candidate[0], len(s.Candidate))
	}
}

func TestPositionsThatContradictThemselvesAreRefused(t *testing.T) {
	job := flightsJob(t, 0, 1)
	tr, err := newTrainer(job, Config{}.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	rows := RowSet{Rows: 10, Digest: 7}
	good := position{Format: formatVersion, Fingerprint: tr.state.Fingerprint, Sequence: 2, State: optim.State{Blended: 1}, // one round, then the evaluation
		Facts: []facts{{Rows: rows, Blocks: 1, Read: rows, Labels: metric.Moments{Count: 10, Mean: 0.5, Squares: 2}}}, Ledger: Ledger{Expected: rows, Passes: 1, Epochs: []RowSet{rows}}}
	load := func(p position) error {
		s := &state{position: p}
		s.Vector = make([]float32, tr.algorithm.Size())
		if p.Blended > 0 {
			s.Candidate = make([]float32, tr.params)
		}
		data, err := s.encode(tr.params)
		if err != nil {
			t.Fatal(err)
		}
		_, err = tr.load(data)
		return err
	}
	if err := load(good); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(p *position){
		"no mean to evaluate": func(p *position) { p.Blended = 0 },
		"an epoch too few":    func(p *position) { p.Ledger.Epochs = nil },
		"an epoch too many":   func(p *position) { p.Sequence = 3; p.Ledger.Epochs = []RowSet{rows, rows} },
		"other passes":        func(p *position) { p.Ledger.Passes++ },
		"other rows expected": func(p *position) { p.Ledger.Expected.Rows++ },
		"before the facts":    func(p *position) { p.Sequence = 0 },
		"another replica":     func(p *position) { p.Facts = append(p.Facts, p.Facts[0]) },
	} {
		p := good
		spoil(&p)
		if err := load(p); !thalweg.Is(err, thalweg.Corrupt) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// chosen is flights of which only the rows that are asked for are made, and counted.
type chosen struct {
	flights
	filled *int
}

func (c chosen) Read(_ context.Context, shard int) iter.Seq2[*Batch, error] {
	return func(yield func(*Batch, error) bool) {
		c.read(shard, func(whole *Batch, _ error) bool {
			b := &Batch{Split: make([]uint8, len(whole.Split)), Row: whole.Row, Block: new(kernel.Block)}
			for i, row := range b.Row {
				b.Split[i] = uint8(kernel.Mix(uint64(row)) % 3) // the last of which is test
			}
			b.Fill = func(keep table.Mask) error {
				*b.Block = kernel.Block{Rows: keep.Count(), Numbers: make([][]float32, 1), Categories: make([][]uint32, 4)}
				*c.filled += keep.Count()
				for i := range keep.Marked() {
					b.Block.Numbers[0] = append(b.Block.Numbers[0], whole.Block.Numbers[0][i])
					b.Block.Labels = append(b.Block.Labels, whole.Block.Labels[i])
					for j, ids := range whole.Block.Categories {
						b.Block.Categories[j] = append(b.Block.Categories[j], ids[i])
					}
				}
				return nil
			}
			return yield(b, nil)
		})
	}
}

// A worker transforms the rows of the replicas that it holds, and no others; they are
// the same whoever else it holds.
func TestOnlyRowsOfHeldReplicasAreTransformed(t *testing.T) {
	const rows, replicas = 1 << 17, 3
	job := flightsJob(t, rows, replicas)
	filled := 0
	job.Rows = chosen{flights{rows}, &filled}
	of := func(held ...int) []*matrix {
		filled = 0
		config := Config{Dir: t.TempDir(), Parallelism: 1}
		matrices, err := build(t.Context(), job, &config, &memory{limit: 1 << 20}, held)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range matrices {
			t.Cleanup(m.close)
		}
		return matrices
	}
	all := of(0, 1, 2)
	if most := rows * 7 / 10; filled == 0 || filled > most {
		t.Errorf("%d of %d rows were transformed, where a third is test", filled, rows)
	}
	sc, want := newLayout(job.Model, false).newScratch(), newLayout(job.Model, false).newScratch()
	for replica, m := range all {
		alone := of(replica)[0]
		if share := int(m.facts.Rows.Rows + m.facts.Validation); !reflect.DeepEqual(alone.facts, m.facts) || filled != share {
			t.Errorf("replica %d alone: %v of %d rows, want %v of %d", replica, alone.facts, filled, m.facts, share)
		}
		blocks := slices.Concat(m.training, m.validation)
		for i, b := range slices.Concat(alone.training, alone.validation) {
			if err := errors.Join(alone.open(&b, sc), m.open(&blocks[i], want)); err != nil {
				t.Fatal(err)
			}
			m.layout.label(sc, model.Scale{})
			m.layout.label(want, model.Scale{})
			if !reflect.DeepEqual(sc.Block, want.Block) {
				t.Fatalf("replica %d alone has another block %d", replica, i)
			}
		}
	}
}
