package replay

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sort"
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

// Diff compares a replay with the live rows of the same events, and lists at most
// so many differences of each sort. It reads both sets side by side in the order
// of offsets; memory is that of the largest slot of each. progress is called with
// the number of offsets that were passed.
func Diff(ctx context.Context, m *Manifest, live, replayed storage.Place, most int, progress func(offsets int64)) (*Report, error) {
	d := &differ{most: most, pairs: make(map[[2]thalweg.ModelVersion]*VersionTally), report: &Report{Pipeline: m.Pipeline, Topic: m.Topic,
		Live: live.String(), Replayed: replayed.String(), Ranges: m.Partitions, Largest: []Difference{}, Deaths: []Difference{}, Versions: []VersionTally{}}}
	passed := int64(0)
	for _, part := range m.Partitions {
		err := d.partition(ctx, m, part, live, replayed, func(offset int64) { progress(passed + offset - part.From) })
		if err != nil {
			return nil, err
		}
		passed += part.To - part.From
		progress(passed)
	}
	return d.finish(), nil
}

// differ is one Diff.
type differ struct {
	report *Report
	most   int
	pairs  map[[2]thalweg.ModelVersion]*VersionTally
}

// progressEvery is how many events are compared between reports of progress.
const progressEvery = 10_000

func (d *differ) partition(ctx context.Context, m *Manifest, part Range, live, replayed storage.Place, progress func(offset int64)) error {
	stream, l, err := openSet(ctx, live, m, part)
	if err != nil {
		return err
	}
	defer l.stop()
	_, r, err := openSet(ctx, replayed, m, part)
	if err != nil {
		return err
	}
	defer r.stop()
	for n := 1; l.current != nil || r.current != nil; n++ {
		at := min(l.offset(), r.offset())
		switch {
		case r.offset() > at:
			d.report.OnlyLive++
		case l.offset() > at && at >= stream.reached:
			d.report.Uncommitted++
		case l.offset() > at:
			d.report.OnlyReplayed++
		default:
			d.compare(part.Partition, l.current, r.current)
		}
		if n%progressEvery == 0 {
			progress(at)
			if err := ctx.Err(); err != nil {
				return &thalweg.Error{Op: "compare", Kind: thalweg.Canceled, Err: err}
			}
		}
		for _, c := range []*cursor{l, r} {
			if c.offset() > at {
				continue
			}
			if err := c.advance(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *differ) compare(partition int, l, r *outcome) {
	if l.dead != "" || r.dead != "" {
		switch {
		case l.dead != "" && r.dead != "":
			d.report.DeadBoth++
			return
		case l.dead != "":
			d.report.DeadLive++
		default:
			d.report.DeadReplayed++
		}
		if len(d.report.Deaths) < d.most {
			d.report.Deaths = append(d.report.Deaths, difference(partition, l, r, 0))
		}
		return
	}
	equal, delta := l.bits == r.bits, 0.0
	if !equal {
		delta = finite(math.Abs(r.value - l.value)) // where one of them is no number they could not be further apart
	}
	for _, t := range []*Tally{&d.report.Tally, d.pair(l.version, r.version)} {
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

// pair returns the tally of a pair of versions; where there are too many, one that
// nobody sees.
func (d *differ) pair(live, replayed thalweg.ModelVersion) *Tally {
	key := [2]thalweg.ModelVersion{live, replayed}
	t := d.pairs[key]
	if t == nil {
		t = &VersionTally{Live: live, Replayed: replayed}
		if len(d.pairs) < maxPairs {
			d.pairs[key] = t
		}
	}
	return &t.Tally
}

// keep lists a difference if it is among the largest. Of equal ones the first
// stays.
func (d *differ) keep(partition int, l, r *outcome, delta float64) {
	list := d.report.Largest
	at := sort.Search(len(list), func(i int) bool { return list[i].Delta < delta })
	if at < d.most {
		list = slices.Insert(list, at, difference(partition, l, r, delta))
		d.report.Largest = list[:min(len(list), d.most)]
	}
}

func difference(partition int, l, r *outcome, delta float64) Difference {
	text := cmp.Or(l.event(), r.event())
	if len(text) > maxEventText {
		text = strings.ToValidUTF8(text[:maxEventText], "") + "…"
	}
	return Difference{Partition: partition, Offset: l.offset, Delta: delta, Live: answerOf(l), Replayed: answerOf(r), Event: text}
}

func answerOf(o *outcome) Answer {
	if o.dead != "" {
		return Answer{Version: o.version, Dead: o.dead}
	}
	value := finite(o.value)
	a := Answer{Version: o.version, Value: &value, Prediction: o.answer}
	if f, ok := o.answer.(float64); ok {
		a.Prediction = finite(f)
	}
	return a
}

// finite makes a number of what JSON cannot carry.
func finite(f float64) float64 {
	if math.IsNaN(f) {
		return math.MaxFloat64
	}
	return max(-math.MaxFloat64, min(f, math.MaxFloat64))
}

func (d *differ) finish() *Report {
	d.report.Delta = d.report.deltas.quantiles()
	for _, t := range d.pairs {
		t.Delta = t.deltas.quantiles()
		d.report.Versions = append(d.report.Versions, *t)
	}
	slices.SortFunc(d.report.Versions, func(a, b VersionTally) int {
		return cmp.Or(cmp.Compare(a.Live, b.Live), cmp.Compare(a.Replayed, b.Replayed))
	})
	return d.report
}
