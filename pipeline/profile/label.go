package profile

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/thalweg/thalweg/pipeline/metric"
)

// Bounds of what columns are compared with the label in: groups of a column's values,
// and classes of the label's.
const (
	maxGroups  = 64
	maxClasses = 16
)

// Association is what a column tells of the label, in the rows that have both.
type Association struct {
	Rows int64 `json:"rows"`
	// Correlation is Pearson's, of numbers.
	Correlation *float64 `json:"correlation,omitempty"`
	// MutualInformation is in bits, of at most 64 groups of values and 16 of the label's,
	// less what as many groups have by chance; Share is its part of the label's entropy.
	MutualInformation float64 `json:"mutual_information"`
	Share             float64 `json:"share"`
	// Alone is how well the column predicts the label by itself: the area under the ROC
	// curve of one that has two values, the squared correlation with a number.
	Alone *float64 `json:"alone,omitempty"`
}

// groups divide the values of a column: each for itself while there are few, else
// numbers by their order, and texts into the most frequent ones and the others.
type groups struct {
	c     *column
	byKey counter // group+1 of a value
	edges []float64
	n     int
}

func newGroups(c *column, most int) *groups {
	g := &groups{c: c}
	switch {
	case c.sketch == nil && c.exact.used <= most || c.isText():
		if c.sketch == nil {
			top := c.top(&c.exact, c.texts)
			top = top[:min(len(top), most-1)+btoi(len(top) == most)]
			if !c.isText() { // in order
				slices.SortFunc(top, func(a, b Value) int { return cmp.Compare(a.key, b.key) })
			}
			for i, v := range top {
				g.byKey.add(v.key, int64(i+1))
			}
			g.n = len(top)
		}
		g.n += btoi(c.isText()) // the others
	default:
		s := c.sketch
		if s == nil {
			s = c.sketched()
		}
		var open int64
		for v, n := range s.quantiles.Points() {
			if open += n; open*int64(most) >= s.quantiles.Count() && len(g.edges) < most-1 {
				g.edges, open = append(g.edges, v), 0
			}
		}
		g.n = len(g.edges) + 1
	}
	return g
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// of returns the group of a value.
func (g *groups) of(key uint64) int {
	if g.edges != nil {
		at, _ := slices.BinarySearch(g.edges, g.c.number(key))
		return at
	}
	if n := g.byKey.get(key); n > 0 {
		return int(n - 1)
	}
	return g.n - 1
}

// all returns the groups of rows, -1 of those without a value.
func (g *groups) all(k *keys) []int {
	out := make([]int, len(k.of))
	for i, key := range k.of {
		if out[i] = -1; k.valid.Has(i) {
			out[i] = g.of(key)
		}
	}
	return out
}

// unit is the deviation of a column as a whole number: sums of products of such are
// exact, in whatever order, for 2^33 rows.
const unit = 1 << 14

// link is the contingency table of a column and the label, and of two numbers the sums
// that their correlation is of.
type link struct {
	c, label *column
	groups   *groups
	classes  int
	table    []int64 // by group and class
	// Of numbers, in units from the mean: x, y, xx, yy, xy.
	numeric      bool
	sums         [5]int64
	scale, other [2]float64 // mean and deviation
}

func newLink(c, label *column, classes *groups) *link {
	l := &link{c: c, label: label, groups: newGroups(c, maxGroups), classes: classes.n}
	l.table = make([]int64, l.groups.n*l.classes)
	if l.numeric = !c.isText() && !label.isText(); l.numeric {
		l.scale, l.other = c.scale(), label.scale()
	}
	return l
}

func (c *column) scale() [2]float64 {
	s := c.sketch
	if s == nil {
		s = c.sketched()
	}
	return [2]float64{s.moments.Mean(), s.moments.Deviation()}
}

// units returns a value in units.
func units(x float64, scale [2]float64) int64 {
	if scale[1] == 0 {
		return 0
	}
	return int64(math.RoundToEven(2 * unit * ((float64(x/2) - float64(scale[0]/2)) / scale[1]))) // halves, whose difference is finite
}

func (l *link) observe(k, label *keys, classes []int) {
	for i, key := range k.of {
		if classes[i] < 0 || !k.valid.Has(i) {
			continue
		}
		l.table[l.groups.of(key)*l.classes+classes[i]]++
		if l.numeric {
			x, y := units(l.c.number(key), l.scale), units(l.label.number(label.of[i]), l.other)
			for at, v := range [5]int64{x, y, x * x, y * y, x * y} {
				l.sums[at] += v
			}
		}
	}
}

func (l *link) merge(o *link) {
	for i, n := range o.table {
		l.table[i] += n
	}
	for i, v := range o.sums {
		l.sums[i] += v
	}
}

// profile adds the association to what is known of the column.
func (l *link) profile(out *Column) {
	a := &Association{}
	groups, classes := make([]int64, l.groups.n), make([]int64, l.classes)
	for i, n := range l.table {
		groups[i/l.classes] += n
		classes[i%l.classes] += n
		a.Rows += n
	}
	if a.Rows == 0 {
		return
	}
	var used [3]float64
	h := func(of int, counts []int64) (bits float64) {
		for _, n := range counts {
			if n > 0 {
				p := float64(n) / float64(a.Rows)
				bits -= float64(p * math.Log2(p))
				used[of]++
			}
		}
		return bits
	}
	x, y, both := h(0, groups), h(1, classes), h(2, l.table)
	chance := (used[0] - 1) * (used[1] - 1) / (2 * float64(a.Rows) * math.Ln2) // Miller and Madow
	if a.MutualInformation = max(0, x+y-both-chance); y > 0 {
		a.Share = min(1, a.MutualInformation/y)
	}
	if l.numeric {
		n := float64(a.Rows)
		sx, sy, xx, yy, xy := float64(l.sums[0]), float64(l.sums[1]), float64(l.sums[2]), float64(l.sums[3]), float64(l.sums[4])
		vx, vy := xx-float64(sx*sx)/n, yy-float64(sy*sy)/n
		if vx > 0 && vy > 0 {
			r := min(max((xy-float64(sx*sy)/n)/math.Sqrt(vx*vy), -1), 1)
			a.Correlation = &r
		}
	}
	const rowsOfAGroup = 20
	switch {
	case l.classes-btoi(l.label.isText()) == 2 && used[1] == 2:
		if !l.c.isText() || a.Rows >= int64(rowsOfAGroup*used[0]) {
			area := l.area()
			a.Alone = &area
		}
	case a.Correlation != nil:
		squared := *a.Correlation * *a.Correlation
		a.Alone = &squared
	}
	out.Association = a
	if a.Alone != nil && metric.IsLeak(*a.Alone, int(a.Rows)) {
		out.Suspects = append(out.Suspects, Suspect{Kind: "leak", Confidence: Medium,
			Why: fmt.Sprintf("predicts the label alone (%.4g, 1 is always): is it made of it, or known only after it?", *a.Alone)})
	}
}

// area is that under the ROC curve of groups in their order, of texts in that of how
// often the label is the second class, whichever way round.
func (l *link) area() float64 {
	order := make([]int, l.groups.n)
	for i := range order {
		order[i] = i
	}
	at := func(g int) (falses, trues float64) {
		return float64(l.table[g*l.classes]), float64(l.table[g*l.classes+1])
	}
	if l.c.isText() {
		slices.SortStableFunc(order, func(a, b int) int {
			fa, ta := at(a)
			fb, tb := at(b)
			return cmp.Compare(ta*fb, tb*fa)
		})
	}
	return metric.Area(func(yield func(falses, trues float64) bool) {
		for _, g := range order {
			if !yield(at(g)) {
				return
			}
		}
	})
}
