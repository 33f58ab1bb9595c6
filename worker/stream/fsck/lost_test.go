package fsck

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// partly is a log with a slot of which the topic had lost [10, 15) when it was
// carried out: rows of 11 and 12 were written before, and dead letter 13.
func partly() []slot {
	return []slot{
		{from: 0, to: 10},
		{from: 10, to: 20, kept: 15, held: []int64{11, 12}, dead: []int64{13, 17}, gap: [][2]int64{{18, 19}}},
		{from: 20, to: 30, kept: 30},
		{from: 30, to: 40},
	}
}

// under returns where a slot's object of a directory lies.
func under(dir string, slot, from, to int64, ending string) string {
	in := intentRecord{Seq: uint64(slot), From: from, To: to, ID: fmt.Sprintf("%032x", slot+1)}
	return prefix + dir + "/flights/00000" + objectStem(in) + ending
}

func TestWhatTheTopicHasLostOfAClaimIsCounted(t *testing.T) {
	if v := run(t, write(t, partly()...)); !v.OK() || v.Missing != 2+10 || v.Scored != 10+5+10 || v.Dead != 2 || v.Absent != 1 || v.Late != 0 {
		t.Errorf("%+v\n%s", v, v)
	}
	all := partly()
	all[1].held, all[1].gap = []int64{10, 11, 12, 14}, nil
	if v := run(t, write(t, all...)); !v.OK() || v.Missing != 10 {
		t.Errorf("nothing of it is given up: %+v\n%s", v, v)
	}
	for _, c := range []struct {
		name string
		rule int
		slot int
		how  func(*slot)
	}{
		{"it is not counted", 8, 1, func(s *slot) { s.done = func(d *doneRecord) { d.Total.Missing = 0 } }},
		{"it does not begin where the slot does", 5, 1, func(s *slot) { s.done = func(d *doneRecord) { d.Lost[0]++ } }},
		{"it ends beyond the slot", 5, 2, func(s *slot) { s.done = func(d *doneRecord) { d.Lost[1]++ } }},
		{"it is empty", 5, 1, func(s *slot) { s.done = func(d *doneRecord) { d.Lost[1] = d.Lost[0] } }},
		{"an event that was kept is in no row", 5, 1, func(s *slot) { s.rows = func(o []int64) []int64 { return o[:len(o)-1] } }},
		{"an event of it is a row twice", 5, 1, func(s *slot) { s.rows = func(o []int64) []int64 { return append(o, 11) } }},
		{"an event of it is a row and a dead letter", 5, 1, func(s *slot) { s.rows = func(o []int64) []int64 { return append(o, 13) } }},
		{"a gap within it", 5, 1, func(s *slot) { s.gap = [][2]int64{{14, 15}, {18, 19}} }},
		{"a slot without it misses events", 5, 1, func(s *slot) { s.done = func(d *doneRecord) { d.Lost = [2]int64{} } }},
		{"a skip has it", 5, 3, func(s *slot) {
			s.skip, s.goOn, s.done = true, 40, func(d *doneRecord) { d.Lost = [2]int64{30, 40} }
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := partly()
			c.how(&s[c.slot])
			named(t, run(t, write(t, s...)), c.rule)
		})
	}
}

func TestALateFileMayHoldNothingButWhatIsGivenUp(t *testing.T) {
	rows := func(offsets ...int64) []byte {
		var r []testRow
		for _, o := range offsets {
			r = append(r, testRow{o, 3})
		}
		return parquetOf(t, r, "abc")
	}
	for _, c := range []struct {
		name string
		rule int // 0: none is broken
		key  string
		body []byte
	}{
		{"rows of a slot that is lost as a whole", 0, under("data", 2, 20, 30, "00.parquet"), rows(20, 22)},
		{"rows of what is lost, of another day", 0, under("data", 1, 10, 20, "01.parquet"), rows(10, 14)},
		{"no dead letters", 0, under("_dead", 2, 20, 30, "00.jsonl"), nil},
		{"no dead letters of a slot that has lost nothing", 0, under("_dead", 0, 0, 10, "00.jsonl"), nil},
		{"a row that was kept", 5, under("data", 1, 10, 20, "01.parquet"), rows(10, 15)},
		{"a row of what is lost that is there", 5, under("data", 1, 10, 20, "01.parquet"), rows(11)},
		{"a row twice", 5, under("data", 1, 10, 20, "01.parquet"), rows(10, 10)},
		{"rows of another slot", 5, under("data", 1, 10, 20, "01.parquet"), rows(20)},
		{"no rows at all", 4, under("data", 1, 10, 20, "01.parquet"), []byte("PAR1")},
		{"rows of another version", 6, under("data", 2, 20, 30, "00.parquet"), parquetOf(t, []testRow{{20, 2}}, "abc")},
		{"a file of a slot that has lost nothing", 4, under("data", 3, 30, 40, "01.parquet"), rows(30)},
		{"a file under the name of another claim", 4, strings.Replace(under("data", 2, 20, 30, "00.parquet"), fmt.Sprintf("%032x", 3), fmt.Sprintf("%032x", 9), 1), rows(20)},
		{"dead letters of what is lost", 4, under("_dead", 2, 20, 30, "00.jsonl"), []byte(`{"topic":"flights","partition":0,"offset":20,"reason":"x","model":"m","model_version":3,"spec_generation":1}` + "\n")},
		{"an empty file beside dead letters", 4, under("_dead", 1, 10, 20, "01.jsonl"), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := write(t, partly()...)
			put(t, b, c.key, c.body)
			v := run(t, b)
			if c.rule != 0 {
				named(t, v, c.rule)
				return
			}
			if late := len(c.body) > 0; !v.OK() || v.Missing != 12 || (v.Late == 1) != late || (v.LateRows == 2) != late || strings.Contains(v.String(), "late files") != late {
				t.Errorf("%+v\n%s", v, v)
			}
		})
	}
}

func TestWhatIsLostOfAClaimStaysSoWhenItsRowsMove(t *testing.T) {
	merged := func() []slot {
		return append(partly(), slot{from: 40, moves: [2]uint64{0, 4}, inputs: []uint64{0, 1, 3}})
	}
	for _, gone := range [][]int{nil, {1}, {0, 1, 3}} {
		b := write(t, merged()...)
		drop(t, b, gone...)
		if v := run(t, b); !v.OK() || v.Missing != 12 || v.Scored != 25 {
			t.Errorf("without the objects of slots %v: %+v\n%s", gone, v, v)
		}
	}
	for _, c := range []struct {
		name    string
		rule    int // 0: none is broken
		offsets []int64
	}{
		{"the whole claim", 0, []int64{10, 11, 12, 14, 15, 16, 19}},
		{"less of it", 0, []int64{16, 19}},
		{"an offset of another slot", 5, []int64{20}},
		{"an offset of a gap", 5, []int64{18}},
	} {
		t.Run("an object is back with "+c.name, func(t *testing.T) {
			b := write(t, merged()...)
			drop(t, b, 1)
			var rows []testRow
			for _, o := range c.offsets {
				rows = append(rows, testRow{o, 3})
			}
			put(t, b, under("data", 1, 10, 20, "00.parquet"), parquetOf(t, rows, "abc"))
			if v := run(t, b); c.rule != 0 {
				named(t, v, c.rule)
			} else if !v.OK() {
				t.Errorf("%s", v)
			}
		})
	}
	t.Run("an event that was kept is not among the moved ones", func(t *testing.T) {
		s := merged()
		s[4].moved = func(rows []testRow) []testRow {
			i := slices.IndexFunc(rows, func(r testRow) bool { return r.offset == 15 })
			rows[i].offset = 14
			return rows
		}
		b := write(t, s...)
		drop(t, b, 0, 1, 3)
		named(t, run(t, b), 9)
	})
}
