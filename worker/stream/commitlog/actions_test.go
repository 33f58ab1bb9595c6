package commitlog

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage/memory"
)

var (
	topicA = strings.Repeat("a", 32)
	topicB = strings.Repeat("b", 32)
)

func compactIntent() Intent {
	in := goldenIntent
	in.Model, in.ModelVersion, in.Checkpoint = "", 0, thalweg.CheckpointRef{}
	in.Action, in.To, in.Slots = Compact, in.From, [2]uint64{2, 6}
	return in
}

func skipIntent() Intent {
	in := compactIntent()
	in.Action, in.Slots, in.Missing, in.To, in.TopicID = Skip, [2]uint64{}, [2]int64{350, 400}, 12, topicB
	return in
}

func replayIntent() Intent {
	in := goldenIntent
	in.Action, in.Slots, in.Where = Replay, [2]uint64{0, 9}, `stage == "decode" && reason != "<none>"`
	return in
}

func compactDone() Done {
	d := goldenDone
	d.Objects, d.Dead, d.Dropped = d.Objects[1:], 0, 0
	d.Inputs, d.Offsets, d.Runs = []uint64{2, 4, 3}, [2]int64{100, 300}, []Run{{0, 1, 1}}
	d.Total = Counts{Scored: 390, Dead: 5, Dropped: 5, Missing: 17}
	return d
}

// What the actions add to records is promised to other programs too.
func TestActionsHaveOneEncoding(t *testing.T) {
	nothing := strings.NewReplacer(`"model":"flight-delays","model_version":3`, `"model":"","model_version":0`,
		`{"key":"checkpoints/ab/manifest.json","sha256":"`+strings.Repeat("ab", 32)+`"}`, `{"key":"","sha256":""}`).Replace(goldenIntentRecord)
	for _, c := range []struct {
		in   Intent
		want string
	}{
		{compactIntent(), strings.Replace(nothing, `"to":400`, `"to":350`, 1) + `,"action":"compact","slots":[2,6]`},
		{skipIntent(), strings.Replace(nothing, `"to":400`, `"to":12`, 1) + `,"action":"skip","topic_id":"` + topicB + `","missing":[350,400]`},
		{replayIntent(), goldenIntentRecord + `,"action":"replay","slots":[0,9],"where":"stage == \"decode\" && reason != \"<none>\""`},
	} {
		got, err := c.in.Encode()
		if err != nil || !bytes.Equal(got, sealed(c.want)) {
			t.Errorf("%s is encoded as\n%s%v, want\n%s", c.in.Action, got, err, sealed(c.want))
			continue
		}
		if in, err := DecodeIntent(got); err != nil || in != c.in {
			t.Errorf("%s comes back as %+v, %v", c.in.Action, in, err)
		}
	}
	got, err := compactDone().Encode()
	if err != nil || !bytes.Contains(got, []byte(`"kind":"scored"}],"inputs":[2,4,3],"offsets":[100,300],"runs":[[0,1,1]],"scored":48,"dead":0,"dropped":0,"total":{"scored":390,"dead":5,"dropped":5,"missing":17}`)) {
		t.Errorf("a compaction's done record is encoded as %s, %v", got, err)
	}
	if d, err := DecodeDone(got); err != nil || !slices.Equal(d.Inputs, []uint64{2, 4, 3}) {
		t.Errorf("it comes back as %+v, %v", d, err)
	}
}

func TestEachActionHasItsOwnFieldsAndNoOthers(t *testing.T) {
	for name, c := range map[string]struct {
		in     Intent
		change func(*Intent)
	}{
		"an unknown action":             {goldenIntent, func(in *Intent) { in.Action = "truncate" }},
		"a score with slots":            {goldenIntent, func(in *Intent) { in.Slots = [2]uint64{0, 1} }},
		"a score with a missing range":  {goldenIntent, func(in *Intent) { in.Missing = [2]int64{0, 1} }},
		"a score with a selection":      {goldenIntent, func(in *Intent) { in.Where = "true" }},
		"a topic ID of another form":    {goldenIntent, func(in *Intent) { in.TopicID = "AbCd" }},
		"a compaction of later slots":   {compactIntent(), func(in *Intent) { in.Slots[1] = in.Seq + 1 }},
		"a compaction of no slots":      {compactIntent(), func(in *Intent) { in.Slots[0] = in.Slots[1] }},
		"a compaction that moves on":    {compactIntent(), func(in *Intent) { in.To++ }},
		"a compaction with a model":     {compactIntent(), func(in *Intent) { in.Model = "m" }},
		"a compaction with a range":     {compactIntent(), func(in *Intent) { in.Missing = [2]int64{350, 351} }},
		"a skip with a version":         {skipIntent(), func(in *Intent) { in.ModelVersion = 1 }},
		"a skip of what was scored":     {skipIntent(), func(in *Intent) { in.Missing[0]-- }},
		"a skip of a range backwards":   {skipIntent(), func(in *Intent) { in.Missing[1] = in.From - 1 }},
		"a skip to before the topic":    {skipIntent(), func(in *Intent) { in.To = -1 }},
		"a skip back in no named topic": {skipIntent(), func(in *Intent) { in.TopicID = "" }},
		"a skip of nothing":             {skipIntent(), func(in *Intent) { in.TopicID, in.Missing[1], in.To = "", in.From, in.From }},
		"a skip at the beginning":       {skipIntent(), func(in *Intent) { in.Seq, in.Previous = 0, "" }},
		"a replay of no slots":          {replayIntent(), func(in *Intent) { in.Slots = [2]uint64{} }},
		"a replay without a model":      {replayIntent(), func(in *Intent) { in.Model = "" }},
		"a replay of no offsets":        {replayIntent(), func(in *Intent) { in.To = in.From }},
		"a selection without end":       {replayIntent(), func(in *Intent) { in.Where = strings.Repeat("x", MaxWhereBytes+1) }},
		"a selection that is bytes":     {replayIntent(), func(in *Intent) { in.Where = "\xff" }},
	} {
		if err := c.in.Validate(); err != nil {
			t.Errorf("before: %v", err)
		}
		c.change(&c.in)
		if err := c.in.Validate(); !thalweg.Is(err, thalweg.Invalid) {
			t.Errorf("%s: %v, want %q", name, err, thalweg.Invalid)
		}
	}
	for name, change := range map[string]func(*Done){
		"an input twice":            func(d *Done) { d.Inputs = []uint64{2, 2} },
		"an input that comes after": func(d *Done) { d.Inputs = []uint64{7} },
		"more inputs than fit":      func(d *Done) { d.Seq = 1000; d.Inputs = make([]uint64, MaxInputs+1) },
		"more runs than fit":        func(d *Done) { d.Runs = make([]Run, MaxRuns+1) },
		"a run of later slots":      func(d *Done) { d.Runs = []Run{{0, 2, 1}} },
		"an empty run":              func(d *Done) { d.Runs = []Run{{1, 1, 1}} },
		"runs out of order":         func(d *Done) { d.Runs = []Run{{1, 2, 5}, {0, 1, 1}} },
		"a run that was replaced":   func(d *Done) { d.Runs = []Run{{0, 1, 2}} },
		"offsets backwards":         func(d *Done) { d.Offsets = [2]int64{3, 2} },
		"a negative missing total":  func(d *Done) { d.Total.Missing = -1 },
	} {
		d := compactDone()
		if err := d.Validate(); err != nil {
			t.Errorf("before: %v", err)
		}
		change(&d)
		if err := d.Validate(); !thalweg.Is(err, thalweg.Invalid) {
			t.Errorf("done record with %s: %v, want %q", name, err, thalweg.Invalid)
		}
	}
}

// claimAndFinish takes the next slot with an intent that change makes of a
// usual one, and finishes it with a done record that finish makes.
func claimAndFinish(l *Log, change func(*Intent), finish func(Intent) (Done, error)) error {
	in := next(l.State(), 10)
	in.TopicID = l.State().TopicID
	change(&in)
	if _, _, err := l.Claim(context.Background(), in); err != nil {
		return err
	}
	if finish == nil {
		return carryOut(context.Background(), l)
	}
	d, err := finish(in)
	if err != nil {
		return err
	}
	_, _, err = l.Finish(context.Background(), d)
	return err
}

func empty(l *Log) func(Intent) (Done, error) {
	return func(Intent) (Done, error) { return l.Complete(Done{}) }
}

func asSkip(missingTo, to int64, topic string) func(*Intent) {
	return func(in *Intent) {
		in.Action, in.Missing, in.To, in.TopicID = Skip, [2]int64{in.From, missingTo}, to, topic
		in.Model, in.ModelVersion, in.Checkpoint = "", 0, thalweg.CheckpointRef{}
	}
}

func TestOnlyASkipLeadsOverMissingOffsets(t *testing.T) {
	b := memory.New()
	l := openLog(t, b)
	appendSlots(t, l, 2) // up to 120, of a topic that is not known
	named := func(id string) func(*Intent) { return func(in *Intent) { in.TopicID = id } }
	ok := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if again := openLog(t, b).State(); again != l.State() {
			t.Fatalf("%s: opened again the state is %+v, want %+v", what, again, l.State())
		}
	}
	refused := func(what string, err error) {
		t.Helper()
		if !thalweg.Is(err, thalweg.Invalid) {
			t.Errorf("%s: %v, want %q", what, err, thalweg.Invalid)
		}
	}
	refused("back without another topic", claimAndFinish(l, asSkip(150, 20, ""), empty(l)))
	ok("the topic becomes known", claimAndFinish(l, named(topicA), nil))
	refused("a topic that is forgotten", claimAndFinish(l, named(""), nil))
	refused("another topic without a skip", claimAndFinish(l, named(topicB), nil))
	refused("less than what is missing", claimAndFinish(l, asSkip(150, 140, topicA), empty(l)))
	refused("beyond what is missing", claimAndFinish(l, asSkip(150, 160, topicA), empty(l)))
	ok("a skip in the topic", claimAndFinish(l, asSkip(150, 150, topicA), empty(l)))
	ok("going on", claimAndFinish(l, named(topicA), nil))
	before := l.State().Total
	ok("a topic made anew", claimAndFinish(l, asSkip(175, 5, topicB), empty(l)))
	if s := l.State(); s.NextOffset != 5 || s.TopicID != topicB || s.Total.Missing != 20+15 || s.Total.Scored != before.Scored {
		t.Errorf("after two skips the state is %+v", s)
	}
	ok("going on from its beginning", claimAndFinish(l, named(topicB), nil))
	if err := claimAndFinish(l, asSkip(30, 30, topicB), func(in Intent) (Done, error) {
		return Done{Seq: in.Seq, Intent: in.ID, Dropped: 1, Total: l.State().Total}, nil
	}); err == nil {
		t.Error("a skip that counts events is finished")
	}
}

// TestASkipThatCannotBeCountedIsNotClaimed: no done record could ever finish it,
// and nothing else may have its slot.
func TestASkipThatCannotBeCountedIsNotClaimed(t *testing.T) {
	l := openLog(t, memory.New())
	named := func(id string) func(*Intent) { return func(in *Intent) { in.TopicID = id } }
	for _, err := range []error{claimAndFinish(l, named(topicA), nil), claimAndFinish(l, asSkip(math.MaxInt64, 5, topicB), empty(l))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := claimAndFinish(l, asSkip(math.MaxInt64, 5, topicA), empty(l)); !thalweg.Is(err, thalweg.Invalid) || l.State().Pending != nil {
		t.Errorf("%v, and the slot is held by %+v", err, l.State().Pending)
	}
	if err := claimAndFinish(l, asSkip(7, 0, topicA), empty(l)); err != nil {
		t.Errorf("a skip that names less: %v", err)
	}
}

// compactAs makes the next intent a compaction of slots.
func compactAs(slots [2]uint64) func(*Intent) {
	return func(in *Intent) {
		in.Action, in.To, in.Slots = Compact, in.From, slots
		in.Model, in.ModelVersion, in.Checkpoint = "", 0, thalweg.CheckpointRef{}
	}
}

// merged publishes the merged rows of inputs and returns the record.
func merged(l *Log, from, to int64, inputs ...uint64) func(Intent) (Done, error) {
	return func(in Intent) (Done, error) {
		var body []byte
		rows := int64(0)
		for _, slot := range inputs {
			e, err := l.Entry(context.Background(), slot)
			if err != nil {
				return Done{}, err
			}
			for _, o := range e.Done.Objects {
				if o.Kind == Scored {
					part, _, err := l.bucket.Get(context.Background(), o.Key)
					if err != nil {
						return Done{}, err
					}
					body, rows = append(body, part...), rows+o.Rows
				}
			}
		}
		o, err := l.Publish(context.Background(), Scored, "", rows, body, nil)
		if err != nil {
			return Done{}, err
		}
		return l.Complete(Done{Objects: []Object{o}, Inputs: inputs, Offsets: [2]int64{from, to}})
	}
}

func TestACompactionMovesRowsAndCountsNone(t *testing.T) {
	b := memory.New()
	l := openLog(t, b)
	appendSlots(t, l, 4)
	before := l.State()
	if err := claimAndFinish(l, compactAs([2]uint64{1, 3}), merged(l, 110, 130, 1, 2)); err != nil {
		t.Fatal(err)
	}
	after := l.State()
	if after.Total != before.Total || after.NextOffset != before.NextOffset || after.NextSeq != before.NextSeq+1 {
		t.Errorf("before %+v, after %+v", before, after)
	}
	if again := openLog(t, b).State(); again != after {
		t.Errorf("opened again: %+v, want %+v", again, after)
	}
	if _, err := l.Complete(Done{}); !thalweg.Is(err, thalweg.Invalid) {
		t.Errorf("a record without a claim: %v", err)
	}
	for name, finish := range map[string]func(Intent) (Done, error){
		"nothing moved":             empty(l),
		"an input from before them": merged(l, 110, 130, 0),
	} {
		if err := claimAndFinish(openLog(t, b), compactAs([2]uint64{2, 4}), finish); err == nil {
			t.Errorf("%s: it is finished", name)
		}
	}
}

func TestActionsBelongInTheirLog(t *testing.T) {
	b := memory.New()
	main := openLog(t, b)
	appendSlots(t, main, 2)
	config := testConfig
	config.Replay = true
	replay, err := New(b, config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := replay.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	asReplay := func(from int64) func(*Intent) {
		return func(in *Intent) {
			in.Action, in.Slots, in.Where, in.From, in.To = Replay, [2]uint64{0, 2}, "true", from, from+10
		}
	}
	for _, from := range []int64{110, 100, 115} { // in whatever order
		if err := claimAndFinish(replay, asReplay(from), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := claimAndFinish(replay, func(*Intent) {}, nil); !thalweg.Is(err, thalweg.Corrupt) && !thalweg.Is(err, thalweg.Invalid) {
		t.Errorf("a score in a replay log: %v", err)
	}
	if err := claimAndFinish(main, asReplay(120), nil); err == nil {
		t.Error("a replay is in a main log")
	}
	y := replay.Layout()
	if y.LogDir() != "scored/p/_log/events/00003-replay/" || y.DataDir() != "scored/p/data/events/00003-replay/" || y.DeadDir() != "scored/p/_dead/events/00003-replay/" {
		t.Errorf("%s, %s, %s", y.LogDir(), y.DataDir(), y.DeadDir())
	}
	if s := openLog(t, b).State(); s != main.State() {
		t.Errorf("the main log has become %+v", s)
	}
}

// liveRows reads the log as its readers do.
func liveRows(t *testing.T, l *Log) []string {
	t.Helper()
	var rows []string
	for e, err := range Live(l.ReadBack(t.Context())) {
		if err != nil {
			t.Fatal(err)
		}
		from, to := e.Offsets()
		for _, o := range e.Done.Objects {
			if o.Kind != Scored {
				continue
			}
			body, _, err := l.bucket.Get(t.Context(), o.Key)
			if err != nil {
				t.Fatal(err)
			}
			for line := range bytes.Lines(body) {
				var at int64
				fmt.Sscan(string(line), &at)
				if at < from || at >= to {
					t.Errorf("offset %d is in slot %d of [%d, %d)", at, e.Intent.Seq, from, to)
				}
				rows = append(rows, string(line))
			}
		}
	}
	slices.Sort(rows)
	return rows
}

func TestLiveObjectsHoldEachRowOnceAtEveryMoment(t *testing.T) {
	b := memory.New()
	l := openLog(t, b)
	rng := rand.New(rand.NewPCG(7, 7))
	// run is what carries the rows of consecutive slots, in order.
	type run struct {
		slots   [2]uint64
		offsets [2]int64
		slot    uint64
	}
	var runs []run
	var want []string
	for range 200 {
		s := l.State()
		if len(runs) >= 4 && rng.IntN(3) == 0 {
			at := rng.IntN(len(runs) - 2)
			n := 2 + rng.IntN(min(4, len(runs)-at)-1)
			part := runs[at : at+n]
			var inputs []uint64
			for _, r := range part {
				inputs = append(inputs, r.slot)
			}
			joined := run{[2]uint64{part[0].slots[0], part[n-1].slots[1]}, [2]int64{part[0].offsets[0], part[n-1].offsets[1]}, s.NextSeq}
			if err := claimAndFinish(l, compactAs(joined.slots), merged(l, joined.offsets[0], joined.offsets[1], inputs...)); err != nil {
				t.Fatal(err)
			}
			runs = slices.Replace(runs, at, at+n, joined)
		} else {
			in := next(s, 10)
			scored, _, _, _, _ := rows(in)
			for line := range bytes.Lines(scored) {
				want = append(want, string(line))
			}
			slices.Sort(want)
			appendSlots(t, l, 1)
			runs = append(runs, run{[2]uint64{s.NextSeq, s.NextSeq + 1}, [2]int64{in.From, in.To}, s.NextSeq})
		}
		if got := liveRows(t, l); !slices.Equal(got, want) {
			t.Fatalf("at slot %d the live objects hold %d rows, want %d", s.NextSeq, len(got), len(want))
		}
	}
	if _, _, err := l.Claim(t.Context(), next(l.State(), 10)); err != nil {
		t.Fatal(err)
	}
	if got := liveRows(t, l); !slices.Equal(got, want) {
		t.Error("a claim changes what is live")
	}
}

func TestReadingBackIsReadingTheOtherWay(t *testing.T) {
	b := memory.New()
	l := openLog(t, b)
	for range l.ReadBack(t.Context()) {
		t.Error("an empty log yields an entry")
	}
	appendSlots(t, l, 7)
	var forth, back []string
	for e, err := range l.Read(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		forth = append(forth, e.SHA256)
		if one, err := l.Entry(t.Context(), e.Intent.Seq); err != nil || one.SHA256 != e.SHA256 || one.Intent != e.Intent {
			t.Errorf("slot %d by its number: %+v, %v", e.Intent.Seq, one, err)
		}
	}
	for e, err := range l.ReadBack(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		back = append(back, e.SHA256)
	}
	slices.Reverse(back)
	if !slices.Equal(forth, back) {
		t.Errorf("forth %v, back %v", forth, back)
	}
	if _, err := l.Entry(t.Context(), 7); !thalweg.Is(err, thalweg.NotFound) {
		t.Errorf("a slot that is not there: %v", err)
	}
	for _, key := range []string{l.layout.DoneKey(3), l.layout.IntentKey(3)} {
		whole, _, _ := b.Get(t.Context(), key)
		for name, body := range map[string][]byte{"missing": nil, "another's": anotherRecord(t, whole)} {
			b.Delete(t.Context(), key)
			if body != nil {
				b.Put(t.Context(), key, body)
			}
			var last error
			n := 0
			for _, err := range l.ReadBack(t.Context()) {
				n, last = n+1, err
			}
			if !thalweg.Is(last, thalweg.Corrupt) || n > 5 {
				t.Errorf("%s is %s: %d entries, then %v", key, name, n, last)
			}
		}
		b.Delete(t.Context(), key)
		b.Put(t.Context(), key, whole)
	}
}

// anotherRecord returns a valid record that differs from the one given.
func anotherRecord(t *testing.T, record []byte) []byte {
	t.Helper()
	if in, err := DecodeIntent(record); err == nil {
		in.To++
		other, err := in.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return other
	}
	d, err := DecodeDone(record)
	if err != nil {
		t.Fatal(err)
	}
	d.Dropped++
	d.Total.Dropped++
	other, err := d.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return other
}
