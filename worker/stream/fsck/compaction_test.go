package fsck

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	bucketmem "github.com/thalweg/thalweg/storage/memory"
)

// tiered is a log with two compactions, the second of which replaces the first
// and a slot beside it.
func tiered() []slot {
	return []slot{
		{from: 0, to: 10, dead: []int64{3}},
		{from: 10, to: 20, gap: [][2]int64{{12, 14}}},
		{from: 20, moves: [2]uint64{0, 2}, inputs: []uint64{0, 1}},
		{from: 20, to: 30},
		{from: 30, to: 35},
		{from: 35, moves: [2]uint64{0, 4}, inputs: []uint64{2, 3}},
		{from: 35, to: 40},
	}
}

// drop deletes the data objects of slots.
func drop(t *testing.T, b *bucketmem.Bucket, slots ...int) {
	t.Helper()
	for _, slot := range slots {
		under := fmt.Sprintf("%sdata/flights/00000/%012d-", prefix, slot)
		for info, err := range b.List(context.Background(), under, "") {
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Delete(context.Background(), info.Key); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestReplacedObjectsMayBeThereOrNot(t *testing.T) {
	for _, gone := range [][]int{nil, {0}, {0, 1}, {2}, {0, 1, 2, 3}, {1, 3}} {
		b := write(t, tiered()...)
		drop(t, b, gone...)
		v := run(t, b)
		if !v.OK() {
			t.Errorf("without the objects of slots %v:\n%s", gone, v)
		}
		if v.Scored != 37 || v.Dead != 1 || v.Absent != 2 || v.Compactions != 2 || v.Replaced != 4 || v.Kept != int64(4-len(gone)) || v.Partitions[0].Live != 3 {
			t.Errorf("without the objects of slots %v: %+v", gone, v)
		}
		if text := v.String(); !strings.Contains(text, "2 compactions replaced 4 files") || !strings.Contains(text, "3 live files") {
			t.Error(text)
		}
	}
}

func TestEachWrongCompactionIsNamed(t *testing.T) {
	change := func(at int, how func(*slot)) func(*testing.T) *bucketmem.Bucket {
		return func(t *testing.T) *bucketmem.Bucket {
			s := tiered()
			how(&s[at])
			return write(t, s...)
		}
	}
	without := func(slots ...int) func(*testing.T) *bucketmem.Bucket {
		return func(t *testing.T) *bucketmem.Bucket {
			b := write(t, tiered()...)
			drop(t, b, slots...)
			return b
		}
	}
	rows := func(how func([]testRow) []testRow) func(*slot) { return func(s *slot) { s.moved = how } }
	record := func(how func(*doneRecord)) func(*slot) { return func(s *slot) { s.done = how } }
	for _, c := range []struct {
		name string
		rule int
		make func(*testing.T) *bucketmem.Bucket
	}{
		{"an input is deleted, and its compaction's object too", 4, without(0, 1, 2, 5)},
		{"an object is deleted that nothing replaced", 4, without(4)},
		{"the last file of a merge is dropped", 9, change(5, rows(func(r []testRow) []testRow { return r[:len(r)-10] }))},
		{"a row is dropped", 9, change(2, rows(func(r []testRow) []testRow { return r[1:] }))},
		{"a row appears twice", 5, change(2, rows(func(r []testRow) []testRow { return append(r, r[0]) }))},
		{"a row of another slot", 9, change(2, rows(func(r []testRow) []testRow { return append(r, testRow{22, 3}) }))},
		{"a dead letter becomes a row", 5, change(2, rows(func(r []testRow) []testRow { r[3].offset = 3; r[2].offset = 3; return r }))},
		{"a gap becomes a row", 5, change(2, rows(func(r []testRow) []testRow { r[11].offset = 12; return r }))},
		{"rows out of order", 9, change(2, rows(func(r []testRow) []testRow { slices.Reverse(r); return r }))},
		{"a row takes the version of another", 6, change(2, rows(func(r []testRow) []testRow { r[5].version = 4; return r }))},
		{"a row is changed", 9, change(2, rows(func(r []testRow) []testRow { r[5].version = 4; return r }))},
		{"inputs that another compaction replaced", 9, change(5, func(s *slot) { s.inputs = []uint64{0, 1, 3} })},
		{"an input is forgotten", 9, change(5, func(s *slot) { s.inputs = []uint64{2} })},
		{"a part of what another compaction moved", 9, change(5, func(s *slot) { s.moves[0] = 1 })},
		{"slots that come later", 9, change(2, func(s *slot) { s.intent = func(in *intentRecord) { in.Slots[1] = 4 } })},
		{"another generation", 9, change(2, func(s *slot) { s.intent = func(in *intentRecord) { in.Generation = 2 } })},
		{"a model of its own", 7, change(2, func(s *slot) { s.intent = func(in *intentRecord) { in.Model = "m" } })},
		{"offsets of its own", 3, change(2, func(s *slot) { s.intent = func(in *intentRecord) { in.To++ } })},
		{"another topic", 9, func(t *testing.T) *bucketmem.Bucket {
			s := tiered()
			for i := range 2 {
				s[i].intent = func(in *intentRecord) { in.TopicID = strings.Repeat(fmt.Sprint(i+1), 32) }
			}
			return write(t, s...)
		}},
		{"other bounds of offsets", 9, change(2, record(func(d *doneRecord) { d.Offsets[1]-- }))},
		{"dead letters", 9, change(2, record(func(d *doneRecord) { d.Dead = 1 }))},
		{"moved rows count again", 8, change(2, record(func(d *doneRecord) { d.Total.Scored += d.Scored }))},
		{"a run that is no compaction", 9, change(5, record(func(d *doneRecord) { d.Runs = [][3]uint64{{4, 5, 4}} }))},
		{"a run that was replaced", 9, change(5, record(func(d *doneRecord) { d.Runs = [][3]uint64{{0, 2, 2}} }))},
		{"a run that is not listed", 9, func(t *testing.T) *bucketmem.Bucket {
			s := tiered()
			s[5].moves, s[5].inputs = [2]uint64{3, 5}, []uint64{3, 4}
			s = append(s, slot{from: 40, moves: [2]uint64{0, 2}, inputs: []uint64{2}})
			return write(t, s...)
		}},
		{"a score slot that replaces", 9, change(4, record(func(d *doneRecord) { d.Inputs = []uint64{3} }))},
		{"an action that nobody knows", 1, change(3, func(s *slot) { s.intent = func(in *intentRecord) { in.Action = "truncate" } })},
	} {
		t.Run(c.name, func(t *testing.T) { named(t, run(t, c.make(t)), c.rule) })
	}
}

func named(t *testing.T, v *Verdict, rule int) {
	t.Helper()
	if !slices.ContainsFunc(v.Violations, func(x Violation) bool { return x.Rule == rule && x.Subject != "" && x.Message != "" }) {
		t.Fatalf("rule %d is not named:\n%s", rule, v)
	}
}

// TestACompactionAfterTheListingExplainsWhatIsGone: fsck runs beside the
// stream, so a compaction may be finished and its inputs deleted meanwhile.
func TestACompactionAfterTheListingExplainsWhatIsGone(t *testing.T) {
	b := write(t, tiered()...)
	drop(t, b, 0, 1, 2, 3)
	late := &growing{Bucket: bucketmem.New(), late: map[string][]byte{}, seen: ".intent.json"}
	for info, err := range b.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		body, _, err := b.Get(t.Context(), info.Key)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(info.Key, "000000000005") || strings.Contains(info.Key, "000000000006") {
			late.late[info.Key] = body
		} else {
			put(t, late.Bucket, info.Key, body)
		}
	}
	v, err := Run(t.Context(), late, "flights", prefix, registered)
	if err != nil || !v.OK() {
		t.Errorf("%v\n%s", err, v)
	}
}

func TestOnlyASkipGivesOffsetsUp(t *testing.T) {
	const a, b = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	of := func(id string) func(*intentRecord) { return func(in *intentRecord) { in.TopicID = id } }
	good := func() []slot {
		return []slot{
			{from: 100, to: 110}, {from: 110, to: 120, intent: of(a)},
			{from: 120, to: 140, skip: true, goOn: 140, intent: of(a)},
			{from: 140, to: 150, intent: of(a)},
			{from: 150, to: 155, skip: true, goOn: 7, intent: of(b)},
			{from: 7, to: 12, intent: of(b)},
		}
	}
	if v := run(t, write(t, good()...)); !v.OK() || v.Missing != 25 || v.Scored != 35 || !strings.Contains(v.String(), "25 offsets skipped") {
		t.Errorf("%+v\n%s", v, v)
	}
	for _, c := range []struct {
		name string
		rule int
		slot int
		how  func(*slot)
	}{
		{"it goes on before the end", 3, 2, func(s *slot) { s.goOn = 139 }},
		{"it goes back in the same topic", 3, 4, func(s *slot) { s.intent = of(a) }},
		{"it begins elsewhere", 3, 2, func(s *slot) { s.intent = func(in *intentRecord) { in.TopicID, in.Missing[0] = a, 121 } }},
		{"the topic changes without a word", 3, 3, func(s *slot) { s.intent = of(b) }},
		{"the topic is forgotten", 3, 3, func(s *slot) { s.intent = of("") }},
		{"it has a model", 7, 2, func(s *slot) { s.intent = func(in *intentRecord) { in.TopicID, in.Model = a, "m" } }},
		{"it counts events", 5, 2, func(s *slot) { s.done = func(d *doneRecord) { d.Scored = 3 } }},
		{"what is missing is not counted", 8, 2, func(s *slot) { s.done = func(d *doneRecord) { d.Total.Missing = 0 } }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := good()
			c.how(&s[c.slot])
			named(t, run(t, write(t, s...)), c.rule)
		})
	}
}

func TestAReplayScoresDeadLettersOnce(t *testing.T) {
	main := []slot{{from: 0, to: 10, dead: []int64{3, 5}}, {from: 10, to: 20, dead: []int64{12}}}
	scores := func(offsets ...int64) func([]int64) []int64 { return func([]int64) []int64 { return offsets } }
	good := func() []slot {
		return []slot{
			{from: 3, to: 13, replay: [2]uint64{0, 2}, rows: scores(3), dead: []int64{12}},
			{from: 5, to: 13, replay: [2]uint64{0, 2}, rows: scores(5, 12)},
		}
	}
	judged := func(t *testing.T, replay ...slot) *Verdict {
		b := write(t, main...)
		writeTo(t, b, "00000-replay", replay...)
		return run(t, b)
	}
	if v := judged(t, good()...); !v.OK() || v.Scored != 17 || v.Dead != 3 || v.Replayed != 3 || !strings.Contains(v.String(), "3 dead letters were scored by replays") {
		t.Errorf("%+v\n%s", v, v)
	}
	for _, c := range []struct {
		name string
		rule int
		how  func([]slot)
	}{
		{"an event that was scored", 10, func(s []slot) { s[0].rows = scores(4) }},
		{"an event twice", 10, func(s []slot) { s[1].rows, s[1].from = scores(3), 3 }},
		{"an event dead after it was scored", 10, func(s []slot) { s[1].dead, s[1].rows, s[1].from = []int64{3}, scores(5), 3 }},
		{"an event of a slot that is not named", 10, func(s []slot) { s[0].replay = [2]uint64{1, 2} }},
		{"slots that are not there", 10, func(s []slot) { s[0].replay = [2]uint64{0, 3} }},
		{"an event out of bounds", 5, func(s []slot) { s[0].from = 4 }},
		{"scored and dead at once", 5, func(s []slot) { s[0].dead = []int64{3} }},
		{"rows of another version", 6, func(s []slot) { s[0].version = 9 }},
		{"another action", 1, func(s []slot) { s[0].intent = func(in *intentRecord) { in.Action, in.Slots = "", [2]uint64{} } }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := good()
			c.how(s)
			named(t, judged(t, s...), c.rule)
		})
	}
	t.Run("without a main log", func(t *testing.T) {
		b := bucketmem.New()
		writeTo(t, b, "00000-replay", good()...)
		named(t, run(t, b), 10)
	})
	t.Run("in a main log", func(t *testing.T) { named(t, run(t, write(t, good()...)), 1) })
}
