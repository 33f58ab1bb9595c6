package split

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/table"
)

// maxStrata bounds the values that rows are stratified by.
const maxStrata = 1000

// Stratum is a value of a stratified column, nil of rows without one, and the hashes of
// its rows at which validation and test begin.
type Stratum struct {
	Value *string   `json:"value"`
	Cuts  [2]uint64 `json:"cuts"`
	// Folds are the hashes at which the second and later folds begin: of the training
	// rows, and then of the validation rows where there are any.
	Folds []uint64 `json:"folds,omitempty"`
}

// strata observes the values of one shard. The rows of a value are split by the rank of
// their hashes: the exact cut is a hash near the share that it stands for, and of a
// shard's hashes those that can be it are kept.
type strata struct {
	cuts *Cuts
	from Origin
	all  strataByValue
	// targets are those of cuts.
	targets []uint64
}

// strataByValue are the strata so far, by value.
type strataByValue struct {
	column string
	// targets is how many windows each has, most how many values there may be.
	targets, most int
	list          []*stratum
	null          *stratum
	texts         map[string]*stratum
}

// stratum is what is known of one value's rows.
type stratum struct {
	Value *string `json:"value"`
	Rows  int64   `json:"rows"`
	// Windows are those around the hashes that the shares stand for.
	Windows []window `json:"windows"`
}

// window is the hashes around a target.
type window struct {
	// Below counts the hashes below the target that are not kept.
	Below int64 `json:"below"`
	// Limit is how near a hash is that is kept: all that are nearer.
	Limit uint64 `json:"limit"`
	// Kept are the hashes, ascending, of eight bytes each, once they are handed on.
	Kept []byte `json:"kept"`

	near []uint64
}

// strataPartial is what a shard's observer hands on.
type strataPartial struct {
	Strata []*stratum `json:"strata"`
}

func observeStrata(c *Cuts, from Origin) Observer {
	return &strata{cuts: c, from: from, all: newStrata(c), targets: c.targets()}
}

// newStrata returns no strata yet. Each fold is two windows more of each value, so that
// there may be fewer values: up to a thousand with two folds, 400 with five.
func newStrata(c *Cuts) strataByValue {
	return strataByValue{column: c.Column, targets: len(c.shares()), most: min(maxStrata, 2*maxStrata/max(1, c.Folds))}
}

// of returns the stratum of a value.
func (s *strataByValue) of(value *string) (*stratum, error) {
	out := s.null
	if value != nil {
		out = s.texts[*value]
	}
	if out != nil {
		return out, nil
	}
	if len(s.list) == s.most {
		return nil, &thalweg.Error{Op: "split rows", Kind: thalweg.Exhausted, Subject: "column " + s.column, Err: fmt.Errorf("more than %d values to stratify by", s.most),
			Hint: "derive a column of fewer values, or write fewer folds where there are any, of a search folds: 1; to keep all rows of a key in one split, write type: hash"}
	}
	out = &stratum{Windows: make([]window, s.targets)}
	for k := range out.Windows {
		out.Windows[k].Limit = math.MaxUint64
	}
	s.list = append(s.list, out)
	if value == nil {
		s.null = out
		return out, nil
	}
	if s.texts == nil {
		s.texts = make(map[string]*stratum)
	}
	text := strings.Clone(*value)
	out.Value, s.texts[text] = &text, out
	return out, nil
}

// Observe implements Observer.
func (o *strata) Observe(batch arrow.Record) error {
	rows, err := rowNumbers(batch)
	if err != nil {
		return err
	}
	var failed error
	of := func(value *string) *stratum {
		s, err := o.all.of(value)
		failed = cmp.Or(failed, err)
		return s
	}
	values, err := eachStratum(batch, o.cuts.Column, func(s string) *stratum { return of(&s) })
	if err = cmp.Or(err, failed); err != nil {
		return err
	}
	hash, targets := o.from.hash(o.cuts.Seed), o.targets
	for i, s := range values {
		if s == nil {
			if s = of(nil); s == nil {
				return failed
			}
		}
		s.Rows++
		h := hash(rows[i])
		for k := range targets {
			s.Windows[k].add(h, targets[k], s.Rows)
		}
	}
	return nil
}

// eachStratum returns what text says of each row's value, zero of a row without one.
func eachStratum[T any](batch arrow.Record, column string, text func(string) T) ([]T, error) {
	return resolve(batch, column, text, table.ByText(text))
}

// shares are the cumulative shares at which validation, test, and the second and later
// folds of the training and the validation rows begin.
func (c *Cuts) shares() []float64 {
	all := c.Bounds[:]
	from := 0.0
	for _, to := range c.Bounds {
		for fold := 1; fold < c.Folds && to > from; fold++ {
			all = append(all, from+float64((to-from)*float64(fold))/float64(c.Folds))
		}
		from = to
	}
	return all
}

// targets are the hashes that the shares stand for.
func (c *Cuts) targets() []uint64 {
	var all []uint64
	for _, share := range c.shares() {
		all = append(all, threshold(share))
	}
	return all
}

// room is how many hashes are kept of so many rows: at least three times the root of the
// rows on either side of a target, which is six standard deviations of how many hashes lie
// below it.
func room(rows int64) int { return int(6*math.Sqrt(float64(rows))) + 64 }

func distance(a, b uint64) uint64 { return max(a, b) - min(a, b) }

// add takes up the hash of one of so many rows.
func (w *window) add(hash, target uint64, rows int64) {
	if distance(hash, target) >= w.Limit {
		if hash < target {
			w.Below++
		}
		return
	}
	w.near = append(w.near, hash)
	if most := room(rows); len(w.near) >= 2*most {
		w.shrink(target, most)
	}
}

// shrink keeps at most so many hashes, the nearest.
func (w *window) shrink(target uint64, most int) {
	if len(w.near) <= most {
		return
	}
	slices.SortFunc(w.near, func(a, b uint64) int { return cmp.Compare(distance(a, target), distance(b, target)) })
	w.narrow(target, distance(w.near[most], target))
}

// narrow keeps the hashes that are nearer than limit.
func (w *window) narrow(target, limit uint64) {
	w.Limit = min(w.Limit, limit)
	w.near = slices.DeleteFunc(w.near, func(h uint64) bool {
		far := distance(h, target) >= w.Limit
		if far && h < target {
			w.Below++
		}
		return far
	})
}

// merge adds the hashes of o.
func (w *window) merge(o *window, target uint64, rows int64) {
	w.narrow(target, o.Limit)
	o.narrow(target, w.Limit)
	w.Below += o.Below
	w.near = append(w.near, o.near...)
	w.shrink(target, room(rows))
}

// cut returns the hash below which a share of so many rows lies, rounded to whole ones,
// and false where more lie below all hashes that are kept.
func (w *window) cut(share float64, rows int64) (cut uint64, ok bool) {
	rank := int64(math.Round(share*float64(rows))) - w.Below
	slices.Sort(w.near)
	switch {
	case rank < 0:
		return 0, false
	case rank >= int64(len(w.near)):
		return math.MaxUint64, true
	}
	return w.near[rank], true
}

// Partial implements Observer.
func (o *strata) Partial() ([]byte, error) {
	targets := o.targets
	o.all.sort()
	for _, s := range o.all.list {
		for k := range s.Windows {
			w := &s.Windows[k]
			w.shrink(targets[k], room(s.Rows))
			slices.Sort(w.near)
			w.Kept = make([]byte, 0, 8*len(w.near))
			for _, h := range w.near {
				w.Kept = binary.LittleEndian.AppendUint64(w.Kept, h)
			}
		}
	}
	return json.Marshal(strataPartial{o.all.list})
}

// sort orders the strata by their values, the one without a value first.
func (s *strataByValue) sort() {
	slices.SortFunc(s.list, func(a, b *stratum) int {
		if a.Value == nil || b.Value == nil {
			return cmp.Compare(given(a.Value), given(b.Value))
		}
		return strings.Compare(*a.Value, *b.Value)
	})
}

// given is 0 for nil, else 1.
func given(value *string) int {
	if value == nil {
		return 0
	}
	return 1
}

// load reads the hashes that were handed on.
func (s *stratum) load(windows int) error {
	if s == nil || len(s.Windows) != windows {
		return errors.New("no value")
	}
	for k := range s.Windows {
		w := &s.Windows[k]
		if s.Rows <= 0 || w.Below < 0 || len(w.Kept)%8 != 0 || int64(len(w.Kept)/8) > s.Rows-w.Below {
			return errors.New("no hashes of so many rows")
		}
		for at := 0; at < len(w.Kept); at += 8 {
			w.near = append(w.near, binary.LittleEndian.Uint64(w.Kept[at:]))
		}
		w.Kept = nil
	}
	return nil
}

// finishStrata finds the cuts of each value.
func finishStrata(c *Cuts, partials [][]byte) error {
	all := newStrata(c)
	var many error
	targets := c.targets()
	err := each(partials, func(p strataPartial) error {
		for _, s := range p.Strata {
			if err := s.load(len(targets)); err != nil {
				return err
			}
			into, err := all.of(s.Value)
			if many = cmp.Or(many, err); many != nil {
				return nil
			}
			into.Rows += s.Rows
			for k := range targets {
				into.Windows[k].merge(&s.Windows[k], targets[k], into.Rows)
			}
		}
		return nil
	})
	if err = cmp.Or(err, many); err != nil {
		return err
	}
	all.sort()
	for _, s := range all.list {
		out := Stratum{Value: s.Value}
		for k, share := range c.shares() {
			cut, ok := s.Windows[k].cut(share, s.Rows)
			if k < len(out.Cuts) {
				out.Cuts[k] = cut
			} else {
				out.Folds = append(out.Folds, cut)
			}
			if !ok {
				return &thalweg.Error{Op: "merge split", Kind: thalweg.Corrupt, Subject: "column " + c.Column, Err: errors.New("no hashes of so many rows")}
			}
		}
		c.Strata = append(c.Strata, out)
	}
	return nil
}

// assignStrata goes by the hashes of rows, and the cuts of their values.
func assignStrata(c *Cuts, batch arrow.Record, from Origin, dst []uint8) error {
	return c.eachRow(batch, from, func(i int, hash uint64, of *Stratum) { dst[i] = part(hash, of.Cuts[0], of.Cuts[1]) })
}

// foldStrata goes by the same hashes: a fold is a stretch of those of each split, and has
// the same share of each value's rows, to the row.
func foldStrata(c *Cuts, batch arrow.Record, from Origin, dst []uint8) error {
	return c.eachRow(batch, from, func(i int, hash uint64, of *Stratum) {
		begin := 0
		if dst[i] == Validation {
			begin = len(of.Folds) - (c.Folds - 1)
		}
		if dst[i] == Test {
			return
		}
		fold := 1
		for _, cut := range of.Folds[begin : begin+c.Folds-1] {
			if hash >= cut {
				fold++
			}
		}
		dst[i] = WithFold(dst[i], fold)
	})
}

// eachRow calls do with the hash of each row and the stratum of its value. A value that the
// cuts do not know, since a step has made it of others, is cut where any hashes are.
func (c *Cuts) eachRow(batch arrow.Record, from Origin, do func(i int, hash uint64, of *Stratum)) error {
	rows, err := rowNumbers(batch)
	if err != nil {
		return err
	}
	targets := c.targets()
	any := &Stratum{Cuts: [2]uint64(targets[:2]), Folds: targets[2:]}
	known := c.Strata
	null := any
	if len(known) > 0 && known[0].Value == nil {
		null, known = &known[0], known[1:]
	}
	strata, err := eachStratum(batch, c.Column, func(value string) *Stratum {
		k, ok := slices.BinarySearchFunc(known, value, func(s Stratum, v string) int { return strings.Compare(*s.Value, v) })
		if !ok {
			return any
		}
		return &known[k]
	})
	if err != nil {
		return err
	}
	hash := from.hash(c.Seed)
	for i, row := range rows {
		do(i, hash(row), cmp.Or(strata[i], null))
	}
	return nil
}
