package replay

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
)

// Tally counts what became of the same events in two sets, the live one and
// the replayed one.
type Tally struct {
	Both    int64 `json:"in_both"`    // scored in both sets
	Equal   int64 `json:"equal_bits"` // of Both: every bit of prediction and probability or score
	Differ  int64 `json:"different"`  // of Both: the others
	Flipped int64 `json:"flipped"`    // of Differ: another prediction
	// Delta describes |replayed − live| of the probability or score over Both.
	Delta  Quantiles `json:"absolute_difference"`
	deltas histogram // until the end
}

// VersionTally is the Tally of the events that one pair of versions scored.
type VersionTally struct {
	Live     thalweg.ModelVersion `json:"live_version"`
	Replayed thalweg.ModelVersion `json:"replayed_version"`
	Tally
}

// Report says how a replayed set and the live rows of the same events differ.
type Report struct {
	Pipeline thalweg.PipelineName `json:"pipeline"`
	Topic    string               `json:"topic"`
	Live     string               `json:"live"`
	Replayed string               `json:"replayed"`
	Ranges   []Range              `json:"ranges"`
	Tally
	OnlyLive     int64 `json:"only_live"`     // committed by the stream, neither scored nor dead in the replay
	OnlyReplayed int64 `json:"only_replayed"` // and the other way round
	// Uncommitted are events of the replay that the stream has not come to yet.
	Uncommitted  int64 `json:"not_committed_live"`
	DeadBoth     int64 `json:"dead_in_both"`
	DeadLive     int64 `json:"dead_only_live"`     // a dead letter of the stream, a row of the replay
	DeadReplayed int64 `json:"dead_only_replayed"` // and the other way round
	// Versions has one entry for each pair of versions, by version.
	Versions []VersionTally `json:"versions"`
	// Largest are the events whose answers are furthest apart, the furthest first;
	// Deaths are the first that are dead in one set only.
	Largest []Difference `json:"largest"`
	Deaths  []Difference `json:"deaths"`
}

// Difference is one event that the two sets tell otherwise.
type Difference struct {
	Partition int     `json:"partition"`
	Offset    int64   `json:"offset"`
	Delta     float64 `json:"absolute_difference"`
	Live      Answer  `json:"live"`
	Replayed  Answer  `json:"replayed"`
	// Event is the user's columns of the row.
	Event string `json:"event"`
}

// Answer is what one set has of an event.
type Answer struct {
	Version    thalweg.ModelVersion `json:"model_version"`
	Prediction any                  `json:"prediction,omitempty"`
	Value      *float64             `json:"value,omitempty"` // the probability or score; absent of dead letters
	Dead       string               `json:"dead,omitempty"`  // why it is one
}

// Same reports whether every event that was compared has the same outcome in both
// sets: a dead letter, or a row of the same bits.
func (r *Report) Same() bool {
	return r.Differ == 0 && r.OnlyLive == 0 && r.OnlyReplayed == 0 && r.Uncommitted == 0 && r.DeadLive == 0 && r.DeadReplayed == 0
}

// maxPairs bounds the pairs of versions that are counted apart.
const maxPairs = 1000

// maxEventText bounds the text of an event in a report.
const maxEventText = 4 << 10

// DiffConfig bounds a report.
type DiffConfig struct {
	Largest int // differences that are listed, of each sort; default 10
}

// Diff compares a replay with the live rows of the same events. It reads both
// sets side by side in the order of offsets; memory is that of the largest slot
// of each. progress, which may be nil, is called with the number of offsets
// that were passed.
func Diff(ctx context.Context, m *Manifest, live, replayed storage.Place, cfg DiffConfig, progress func(offsets int64)) (*Report, error) {
	if cfg.Largest == 0 {
		cfg.Largest = 10
	}
	d := &differ{report: &Report{Pipeline: m.Pipeline, Topic: m.Topic, Live: live.String(), Replayed: replayed.String(), Ranges: m.Partitions,
		Largest: []Difference{}, Deaths: []Difference{}, Versions: []VersionTally{}},
		most: cfg.Largest, pairs: make(map[[2]thalweg.ModelVersion]*Tally), progress: progress}
	for _, part := range m.Partitions {
		if err := d.partition(ctx, m, part, live, replayed); err != nil {
			return nil, err
		}
	}
	return d.finish(), nil
}

// differ is one Diff.
type differ struct {
	report   *Report
	most     int
	pairs    map[[2]thalweg.ModelVersion]*Tally
	progress func(int64)
	passed   int64 // offsets
}

// progressEvery is how many events are compared between reports of progress.
const progressEvery = 10_000

func (d *differ) partition(ctx context.Context, m *Manifest, part Range, live, replayed storage.Place) error {
	var sides [2]side
	for i, place := range []storage.Place{live, replayed} {
		set, err := newSet(place, m, part.Partition)
		if err != nil {
			return err
		}
		at, err := newCursor(set.outcomes(ctx, part.From, part.To))
		if err != nil {
			return err
		}
		defer at.stop()
		sides[i] = side{at, set}
	}
	l, r := &sides[0], &sides[1]
	for n := 1; l.current != nil || r.current != nil; n++ {
		at := min(l.offset(), r.offset())
		inLive, inReplayed := l.offset() == at, r.offset() == at
		switch {
		case !inReplayed:
			d.report.OnlyLive++
		case !inLive && at >= l.set.reached:
			d.report.Uncommitted++
		case !inLive:
			d.report.OnlyReplayed++
		default:
			d.compare(part.Partition, l.current, r.current)
		}
		if n%progressEvery == 0 {
			d.tell(d.passed + at - part.From)
			if err := ctx.Err(); err != nil {
				return &thalweg.Error{Op: "compare", Kind: thalweg.Canceled, Err: err}
			}
		}
		for i := range sides {
			if sides[i].offset() == at {
				if err := sides[i].advance(); err != nil {
					return err
				}
			}
		}
	}
	d.passed += part.To - part.From
	d.tell(d.passed)
	return nil
}

// side is a position in the outcomes of one set.
type side struct {
	*cursor
	set *set
}

func (d *differ) tell(offsets int64) {
	if d.progress != nil {
		d.progress(offsets)
	}
}

func (d *differ) compare(partition int, l, r *outcome) {
	if l.dead || r.dead {
		switch {
		case l.dead && r.dead:
			d.report.DeadBoth++
			return
		case l.dead:
			d.report.DeadLive++
		default:
			d.report.DeadReplayed++
		}
		if len(d.report.Deaths) < d.most {
			d.report.Deaths = append(d.report.Deaths, difference(partition, l, r, 0))
		}
		return
	}
	equal := l.bits == r.bits
	delta := 0.0
	if !equal {
		delta = math.Abs(r.value - l.value)
		if math.IsNaN(delta) {
			delta = math.Inf(1) // one of them is no number: they could not be further apart
		}
	}
	tallies := []*Tally{&d.report.Tally}
	if p := d.pair(l.version, r.version); p != nil {
		tallies = append(tallies, p)
	}
	for _, t := range tallies {
		t.Both++
		t.deltas.add(delta)
		if equal {
			t.Equal++
			continue
		}
		t.Differ++
		if l.bits[0] != r.bits[0] {
			t.Flipped++
		}
	}
	if !equal {
		d.keep(partition, l, r, delta)
	}
}

// pair returns the tally of a pair of versions, nil if there are too many.
func (d *differ) pair(live, replayed thalweg.ModelVersion) *Tally {
	key := [2]thalweg.ModelVersion{live, replayed}
	s := d.pairs[key]
	if s == nil && len(d.pairs) < maxPairs {
		s = new(Tally)
		d.pairs[key] = s
	}
	return s
}

// keep lists a difference if it is among the largest. Of equal ones the first
// stays.
func (d *differ) keep(partition int, l, r *outcome, delta float64) {
	list := d.report.Largest
	if len(list) == d.most && delta <= list[len(list)-1].Delta {
		return
	}
	at := len(list)
	for at > 0 && list[at-1].Delta < delta {
		at--
	}
	list = slices.Insert(list, at, difference(partition, l, r, delta))
	d.report.Largest = list[:min(len(list), d.most)]
}

func difference(partition int, l, r *outcome, delta float64) Difference {
	out := Difference{Partition: partition, Offset: l.offset, Delta: finite(delta), Live: answerOf(l), Replayed: answerOf(r)}
	for _, o := range []*outcome{l, r} {
		switch {
		case out.Event != "":
		case o.event != nil:
			out.Event = cut(o.event())
		}
	}
	return out
}

func cut(text string) string {
	if len(text) > maxEventText {
		text = strings.ToValidUTF8(text[:maxEventText], "") + "…"
	}
	return text
}

func answerOf(o *outcome) Answer {
	a := Answer{Version: o.version, Dead: o.reason}
	if !o.dead {
		v := finite(o.value)
		a.Value = &v
		a.Prediction = o.answer
		if f, ok := o.answer.(float64); ok {
			a.Prediction = finite(f)
		}
	}
	return a
}

// finite makes a number of what JSON cannot carry.
func finite(f float64) float64 {
	switch {
	case math.IsNaN(f), f > math.MaxFloat64:
		return math.MaxFloat64
	case f < -math.MaxFloat64:
		return -math.MaxFloat64
	}
	return f
}

func (d *differ) finish() *Report {
	d.report.Delta = d.report.deltas.quantiles()
	for key, t := range d.pairs {
		t.Delta = t.deltas.quantiles()
		d.report.Versions = append(d.report.Versions, VersionTally{Live: key[0], Replayed: key[1], Tally: *t})
	}
	slices.SortFunc(d.report.Versions, func(a, b VersionTally) int {
		return cmp.Or(cmp.Compare(a.Live, b.Live), cmp.Compare(a.Replayed, b.Replayed))
	})
	return d.report
}

// String is the report's verdict in one line.
func (r *Report) String() string {
	return fmt.Sprintf("%d events in both: %d equal, %d different, %d flipped", r.Both, r.Equal, r.Differ, r.Flipped)
}
