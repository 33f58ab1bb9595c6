package draft

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/pipeline/profile"
	"github.com/thalweg/thalweg/pipeline/table"
)

// column is what a draft knows of a column.
type column struct {
	table.Column
	nulls    int
	numbers  []float32 // by row, NaN where it is null; of a text, the number of it
	moments  metric.Moments
	min, max float64
	rising   bool // each value is larger than the one before
	values   map[float64]bool
	texts    map[string]int
	counts   []int       // of the texts
	lengths  map[int]int // of lists, how many rows have each

	// micros is the time of a value, in microseconds since 1970; nil: it is none.
	micros func(x float64) int64
	late   int     // rows that come in order of time
	last   float64 // value
	// times of the texts, and how many of the texts are times, look like dates in
	// another form, and are numbers.
	times                 []int64
	timed, dated, numeric int
	words                 int // of the texts
}

func newColumn(c table.Column) *column {
	return &column{Column: c, min: math.Inf(1), max: math.Inf(-1), rising: true, values: map[float64]bool{}, texts: map[string]int{}, lengths: map[int]int{}}
}

// observe adds the values of a canonical column.
func (c *column) observe(a arrow.Array) {
	for i := range a.Len() {
		if a.IsNull(i) {
			c.nulls++
			c.numbers = append(c.numbers, float32(math.NaN()))
			continue
		}
		var x float64
		switch a := a.(type) {
		case *array.List: // known by its length alone
			from, to := a.ValueOffsets(i)
			c.lengths[int(to-from)]++
			c.numbers = append(c.numbers, float32(math.NaN()))
			continue
		case *array.Dictionary:
			x = c.text(a.Dictionary().(*array.String).Value(a.GetValueIndex(i)))
		case *array.Int64:
			x = float64(a.Value(i))
		case *array.Float64:
			if x = a.Value(i); x != x {
				c.nulls++
				c.numbers = append(c.numbers, float32(x))
				continue
			}
		case *array.Timestamp:
			x = float64(a.Value(i))
		case *array.Boolean:
			if a.Value(i) {
				x = 1
			}
		}
		c.rising = c.rising && x > c.max
		c.inOrder(x)
		c.min, c.max = min(c.min, x), max(c.max, x)
		c.moments.Add(x)
		c.values[x] = true
		c.numbers = append(c.numbers, float32(x))
	}
}

// text returns the number of a text.
func (c *column) text(s string) float64 {
	n, known := c.texts[s]
	if !known {
		n = len(c.counts)
		c.texts[strings.Clone(s)] = n
		c.counts = append(c.counts, 0)
		us, timed := table.ParseTime(s, time.UTC)
		c.times = append(c.times, us)
		c.timed += count(timed)
		c.dated += count(profile.IsDate(s))
		c.words += len(strings.Fields(s))
		c.numeric += count(profile.IsNumber(s))
	}
	c.counts[n]++
	return float64(n)
}

func (c *column) distinct() int { return len(c.values) }

// common returns the texts, the most frequent first.
func (c *column) common() []string {
	return slices.SortedFunc(maps.Keys(c.texts), func(a, b string) int {
		return cmp.Or(cmp.Compare(c.counts[c.texts[b]], c.counts[c.texts[a]]), strings.Compare(a, b))
	})
}

// isBinary reports whether a number is 0 or 1 wherever it is.
func (c *column) isBinary() bool {
	return c.distinct() == 2 && c.values[0] && c.values[1]
}

// rowsOfAValue is the rows that a value must have on average to be judged by.
const rowsOfAValue = 20

// reasonToLeaveOut says why a column makes no feature, "" if it does.
func (c *column) reasonToLeaveOut(rows int, labels []float32) string {
	known := rows - c.nulls
	c.readTimes()
	switch alone := c.alone(labels); {
	case strings.HasPrefix(c.Name, "_"):
		return "names that begin with _ are Thalweg's own"
	case known == 0:
		return "it is null in every row"
	case c.Type.Element() != "":
		return c.reasonToLeaveOutList(known)
	case c.distinct() == 1 && c.nulls > 0:
		return "it has one value where it is not missing"
	case c.distinct() == 1:
		return "it has one value, and says nothing"
	case c.micros != nil:
	case c.isText() && c.dated == len(c.counts):
		return "it looks like dates in a form that is not read: write 2006-01-31, or with the time 2006-01-31T15:04:05Z"
	case c.isProse(known):
	case (c.Type != table.String || c.isText()) && profile.IsIdentifier(c.Name, c.Type, int64(c.distinct()), int64(known), c.distinct() == known && c.rising):
		return "it looks like an identifier, which says nothing of new rows"
	case metric.IsLeak(alone, known):
		return fmt.Sprintf("it predicts the label alone (%.4g, 1 is always): is it made of it, or known only after it?", alone)
	}
	return ""
}

// alone returns how well the column predicts the label by itself.
func (c *column) alone(labels []float32) float64 {
	known := len(c.numbers) - c.nulls
	byValue := c.isText() || c.Type == table.Bool
	if c.distinct() < 2 || byValue && known < rowsOfAValue*c.distinct() || known < rowsOfAValue {
		return 0
	}
	var scores, of []float32
	means := map[float32]*metric.Moments{}
	binary := true
	for i, x := range c.numbers {
		if y := labels[i]; x == x && y == y {
			scores, of = append(scores, x), append(of, y)
			binary = binary && (y == 0 || y == 1)
			if means[x] == nil {
				means[x] = new(metric.Moments)
			}
			means[x].Add(float64(y))
		}
	}
	if byValue {
		for i, x := range scores {
			scores[i] = float32(means[x].Mean)
		}
	}
	return metric.Alone(scores, of, binary)
}

// says describes the values for a comment.
func (c *column) says(rows int) string {
	text := fmt.Sprintf("%.4g to %.4g", c.min, c.max)
	if c.isText() || c.Type == table.Bool {
		text = fmt.Sprintf("%d values", c.distinct())
	}
	if c.Type.Element() != "" {
		text = c.saysOfLists(rows)
	}
	if c.nulls > 0 {
		text += fmt.Sprintf(", missing in %.2g %%", 100*float64(c.nulls)/float64(rows))
	}
	return text
}
