package monitor

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/drift"
)

const (
	// maxWindows bounds the windows of a sketch. A backfill has many, and events with wrong
	// times any number; rows of more windows are counted without a time.
	maxWindows = 1 << 12
	// maxCells bounds the features, slices and reasons of all windows, each of some 100 bytes
	// as JSON: rows beyond are counted without a time, too. cellBytes is about what one takes
	// in memory.
	maxCells  = 1 << 16
	cellBytes = 256
	// room is how many times as many windows and cells a sum of many sketches has.
	room = 16
	// maxReasons bounds the reasons of dead letters that a window tells apart.
	maxReasons = 64
	// otherReasons is what is counted for the reasons beyond.
	otherReasons = "other reasons"
)

// Key says what rows are counted together.
type Key struct {
	// FromUS is when the window begins, and WidthUS how long it is: microseconds, since 1970
	// UTC. Untimed is for rows that have no time, or are in too many windows.
	FromUS  int64 `json:"from_us"`
	WidthUS int64 `json:"width_us"`
	Untimed bool  `json:"untimed,omitempty"`
	// Version scored them.
	Version thalweg.ModelVersion `json:"version"`
	// OneIn: one in so many rows is counted.
	OneIn int64 `json:"one_in"`
	// By is the column by some of whose values a rollout gave them to the version, so that they
	// are not like those of the stream; "": none.
	By string `json:"by,omitempty"`
}

func (k Key) compare(o Key) int {
	untimed := func(k Key) int {
		if k.Untimed {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(untimed(k), untimed(o)), cmp.Compare(k.FromUS, o.FromUS), cmp.Compare(k.WidthUS, o.WidthUS),
		cmp.Compare(k.Version, o.Version), cmp.Compare(k.OneIn, o.OneIn), cmp.Compare(k.By, o.By))
}

// Window is what was counted of the rows of a window that a version scored.
type Window struct {
	Key
	// Rows were counted, and are in Score and each of Features where the version has a
	// reference.
	Rows     int64               `json:"rows,omitempty"`
	Score    drift.Counts        `json:"score,omitempty"`
	Features map[string]*Feature `json:"features,omitempty"`
	// Slices are the scores of those that the reference has, by name.
	Slices map[string]drift.Counts `json:"slices,omitempty"`
	// Dead counts all dead letters, by stage and reason.
	Dead map[string]int64 `json:"dead,omitempty"`

	cells *int // of the sketch
}

// size is how many cells it has.
func (w *Window) size() int { return 1 + len(w.Features) + len(w.Slices) + len(w.Dead) }

// Feature is one feature's part of a window. Missing values are in the first bin.
type Feature struct {
	Counts drift.Counts `json:"bins,omitempty"`
	// Unknown are values of a category that training gave no id, and Clipped numbers that
	// were cut to the finite range of a slot.
	Unknown int64 `json:"unknown,omitempty"`
	Clipped int64 `json:"clipped,omitempty"`
}

// Sketch is windows. The zero Sketch has none.
type Sketch struct {
	windows map[Key]*Window
	cells   *int // of all windows; nil: there is none
	room    int  // times the bounds; 0: once
}

// NewSum returns a sketch that has room for what many add up to.
func NewSum() *Sketch { return &Sketch{room: room} }

// SizeBytes returns about the memory that it takes.
func (s *Sketch) SizeBytes() int64 {
	if s.cells == nil {
		return 0
	}
	return int64(*s.cells) * cellBytes
}

// Windows returns them in order.
func (s *Sketch) Windows() []*Window {
	return slices.SortedFunc(maps.Values(s.windows), func(a, b *Window) int { return a.Key.compare(b.Key) })
}

// Empty reports whether nothing was counted.
func (s *Sketch) Empty() bool { return len(s.windows) == 0 }

// Spans is how many windows of a length rows are in.
func (s *Sketch) Spans(width time.Duration) int {
	starts := make(map[int64]struct{})
	for k := range s.windows {
		if !k.Untimed {
			starts[begin(k.FromUS, width)] = struct{}{}
		}
	}
	return len(starts)
}

// Newest returns when the oldest of the newest so many windows of a length begins that have
// begun and that rows are in. It is not ok where there are fewer.
func (s *Sketch) Newest(width time.Duration, windows int, now time.Time) (us int64, ok bool) {
	starts := make(map[int64]struct{})
	for k, w := range s.windows {
		if !k.Untimed && w.Rows > 0 && k.FromUS <= now.UnixMicro() {
			starts[begin(k.FromUS, width)] = struct{}{}
		}
	}
	if windows < 1 || len(starts) < windows {
		return 0, false
	}
	return slices.Sorted(maps.Keys(starts))[len(starts)-windows], true
}

// DropAhead forgets the windows that have not begun, and returns how many rows they have.
func (s *Sketch) DropAhead(now time.Time) (rows int64) {
	for k, w := range s.windows {
		if !k.Untimed && k.FromUS > now.UnixMicro() {
			rows += w.Rows
			*s.cells -= w.size()
			delete(s.windows, k)
		}
	}
	return rows
}

// begin returns when the window begins that a time is in.
func begin(us int64, width time.Duration) int64 {
	w := width.Microseconds()
	from := us - us%w
	if us%w < 0 {
		from -= w
	}
	return from
}

// at returns the window of a key.
func (s *Sketch) at(k Key) *Window {
	w := s.windows[k]
	if times := max(1, s.room); w == nil && !k.Untimed && s.cells != nil && (len(s.windows) >= times*maxWindows || *s.cells >= times*maxCells) {
		k.FromUS, k.Untimed = 0, true
		w = s.windows[k]
	}
	if w == nil {
		w = &Window{Key: k}
		s.put(w)
	}
	return w
}

// put adds a window that is not there.
func (s *Sketch) put(w *Window) {
	if s.windows == nil {
		s.windows, s.cells = make(map[Key]*Window), new(int)
	}
	s.windows[w.Key], w.cells = w, s.cells
	*s.cells += w.size()
}

// die counts dead letters of one reason.
func (w *Window) die(reason string, n int64) {
	if w.Dead == nil {
		w.Dead = make(map[string]int64)
	}
	if _, known := w.Dead[reason]; !known && len(w.Dead) >= maxReasons {
		reason = otherReasons
	}
	before := len(w.Dead)
	w.Dead[reason] += n
	*w.cells += len(w.Dead) - before
}

// feature returns the part of a feature.
func (w *Window) feature(name string) *Feature {
	if w.Features == nil {
		w.Features = make(map[string]*Feature)
	}
	f := w.Features[name]
	if f == nil {
		f = new(Feature)
		w.Features[name] = f
		*w.cells++
	}
	return f
}

// slice adds scores of a slice.
func (w *Window) slice(name string, scores drift.Counts) error {
	if w.Slices == nil {
		w.Slices = make(map[string]drift.Counts)
	}
	sum, known := w.Slices[name]
	if !known {
		*w.cells++
	}
	err := sum.Merge(scores)
	w.Slices[name] = sum
	return err
}

// merge adds the counts of other rows.
func (w *Window) merge(o *Window) error {
	if err := w.Score.Merge(o.Score); err != nil {
		return fmt.Errorf("scores: %w", err)
	}
	w.Rows += o.Rows
	for name, f := range o.Features {
		into := w.feature(name)
		if err := into.Counts.Merge(f.Counts); err != nil {
			return fmt.Errorf("feature %s: %w", name, err)
		}
		into.Unknown += f.Unknown
		into.Clipped += f.Clipped
	}
	for name, scores := range o.Slices {
		if err := w.slice(name, scores); err != nil {
			return fmt.Errorf("slice %s: %w", name, err)
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(o.Dead)) {
		w.die(reason, o.Dead[reason])
	}
	return nil
}

// Merge adds what was counted of other rows.
func (s *Sketch) Merge(o *Sketch) error {
	for _, w := range o.Windows() {
		if err := s.at(w.Key).merge(w); err != nil {
			return &thalweg.Error{Op: "add up counts", Kind: thalweg.Corrupt, Subject: fmt.Sprintf("version %d", w.Version), Err: err}
		}
	}
	return nil
}

// MarshalJSON returns the windows as a list: the same counts give the same bytes.
func (s *Sketch) MarshalJSON() ([]byte, error) {
	all := s.Windows()
	if all == nil {
		all = []*Window{}
	}
	return json.Marshal(all)
}

// UnmarshalJSON is the inverse of MarshalJSON.
func (s *Sketch) UnmarshalJSON(data []byte) error {
	var all []*Window
	if err := thalweg.DecodeStrict(data, &all); err != nil {
		return err
	}
	s.windows, s.cells = make(map[Key]*Window, len(all)), new(int)
	for _, w := range all {
		if w == nil || w.Rows < 0 || w.OneIn < 1 || w.WidthUS <= 0 {
			return fmt.Errorf("a window that no rows have")
		}
		if s.windows[w.Key] != nil {
			return fmt.Errorf("a window is there twice")
		}
		for _, f := range w.Features {
			if f == nil {
				return fmt.Errorf("a feature without counts")
			}
		}
		s.put(w)
	}
	return nil
}
