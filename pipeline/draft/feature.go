package draft

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/thalweg/thalweg/pipeline/expression"
	"github.com/thalweg/thalweg/pipeline/table"
)

// What names tell of a column.
var (
	timeName  = regexp.MustCompile(`(?i)time|date|stamp|epoch|(^|[_ .-])(ts|at|on)$|[a-z]At$`)
	birthName = regexp.MustCompile(`(?i)birth|dob`)
)

// Whole numbers that are times count seconds from 1998 to 2100, or thousandths or
// millionths of them.
const (
	firstEpoch = 883_612_800
	lastEpoch  = 4_102_444_800
)

func count(is bool) int {
	if is {
		return 1
	}
	return 0
}

// isText reports whether a column's texts are not numbers.
func (c *column) isText() bool { return c.Type == table.String && !c.isNumeric() }

// proseWords is how many words texts have on average that are read by them.
const proseWords = 4

// isProse reports whether texts are sentences, most rows another: there is more in their
// words than in which text it is.
func (c *column) isProse(known int) bool {
	return c.isText() && c.micros == nil && c.words >= proseWords*len(c.counts) && known < rowsOfAValue*c.distinct()
}

// isNumeric reports whether each of more texts than categories have is a number.
func (c *column) isNumeric() bool {
	return c.Type == table.String && len(c.counts) > rowsOfAValue && c.numeric == len(c.counts)
}

// inOrder counts a row that is not before the last.
func (c *column) inOrder(x float64) {
	if c.Type == table.String {
		x = float64(c.times[int(x)])
	}
	c.late += count(x >= c.last)
	c.last = x
}

// epoch is what a whole number counts: microseconds, or so many of them; 0: no time.
func (c *column) epoch() int64 {
	if c.Type == table.Int64 && timeName.MatchString(c.Name) {
		for _, unit := range []int64{1_000_000, 1_000, 1} {
			if perSecond := 1_000_000 / float64(unit); c.min >= firstEpoch*perSecond && c.max < lastEpoch*perSecond {
				return unit
			}
		}
	}
	return 0
}

// readTimes says how values are times.
func (c *column) readTimes() {
	unit := c.epoch()
	switch {
	case c.Type == table.Timestamp:
		unit = 1
	case c.Type == table.String && len(c.counts) > 0 && c.timed == len(c.counts):
		c.micros = func(x float64) int64 { return c.times[int(x)] }
		return
	}
	if unit > 0 {
		c.micros = func(x float64) int64 { return int64(x) * unit }
	}
}

// splits reports whether to split by the time of this column, rather than by that of
// another: none is missing, more of its rows come in order, and each part that it cuts
// has labels to learn from or to judge by.
func (c *column) splits(other *column, labels []float32) bool {
	if c.nulls > 0 || birthName.MatchString(c.Name) || other != nil && c.late <= other.late {
		return false
	}
	times := make([]int64, len(c.numbers))
	for i, x := range c.numbers {
		times[i] = c.micros(float64(x))
	}
	sorted := slices.Sorted(slices.Values(times))
	first, second := sorted[len(sorted)*70/100], sorted[len(sorted)*85/100]
	var parts [3]int
	for i, at := range times {
		if labels[i] == labels[i] {
			parts[count(at >= first)+count(at >= second)]++
		}
	}
	return parts[0] > 0 && parts[1] > 0 && parts[2] > 0
}

// features returns the steps that make the column what features need, and the
// features, as a spec has them; or why there are none.
func (c *column) features(rows int) (steps, features []string, why string) {
	name := plainOrQuoted(c.Name)
	switch {
	case c.micros != nil:
		if unit := c.epoch(); unit > 1 {
			steps = append(steps, fmt.Sprintf("derive: {column: %s, expression: %s}  # to microseconds", name, quote(fmt.Sprintf("%s * %d", expression.Reference(c.Name), unit))))
		}
		if c.Type != table.Timestamp {
			steps = append(steps, fmt.Sprintf("cast: {column: %s, type: timestamp}", name))
		}
		hours, days := map[int]bool{}, map[time.Weekday]bool{}
		for x := range c.values {
			at := time.UnixMicro(c.micros(x)).UTC()
			hours[at.Hour()], days[at.Weekday()] = true, true
		}
		for part, n := range map[string]int{"hour": len(hours), "weekday": len(days)} {
			if n > 1 {
				features = append(features, fmt.Sprintf("{name: %s, type: category, expression: %s}", plainOrQuoted(c.Name+"_"+part), quote(part+"("+expression.Reference(c.Name)+")")))
			}
		}
		slices.Sort(features)
		return steps, features, "its hour and weekday are the same in every row"
	case c.isNumeric():
		steps = append(steps, fmt.Sprintf("cast: {column: %s, type: float64}", name))
		return steps, []string{fmt.Sprintf("{name: %s, type: number}  # %d numbers, written as text", name, c.distinct())}, ""
	case c.Type.Element() != "":
		return nil, []string{fmt.Sprintf("{name: %s, type: list, length: %d}  # %s", name, c.length(), c.says(rows))}, ""
	case c.isProse(len(c.numbers) - c.nulls):
		return nil, []string{fmt.Sprintf("{name: %s, type: text}  # %d words on average", name, c.words/len(c.counts))}, ""
	case c.Type == table.String || c.Type == table.Bool:
		return nil, []string{fmt.Sprintf("{name: %s, type: category}  # %s", name, c.says(rows))}, ""
	}
	return nil, []string{fmt.Sprintf("{name: %s, type: number}  # %s", name, c.says(rows))}, ""
}

// positive returns which of two values a label is, as an expression has it, and
// what to say of it; nothing where it has others, or is true or false as it is.
func (c *column) positive() (value, says string) {
	if c.Type != table.String {
		if c.distinct() != 2 || c.Type == table.Bool || c.Type == table.Timestamp || c.isBinary() {
			return "", ""
		}
		return strconv.FormatFloat(c.max, 'f', -1, 64), ", the larger of two values"
	}
	values := c.common()
	if len(values) != 2 {
		return "", ""
	}
	for _, v := range values {
		if slices.Contains([]string{"yes", "y", "true", "t", "1", "positive", "pos"}, strings.ToLower(v)) {
			return quote(v), ""
		}
	}
	return quote(values[1]), ", the rarer of two values"
}

// condition is what could be predicted of a column that cannot be itself.
func (c *column) condition() string {
	switch {
	case c == nil || c.Type != table.String || len(c.counts) == 0:
		return `a condition such as status == "late"`
	case c.numeric == len(c.counts):
		return "float(" + expression.Reference(c.Name) + ")"
	case len(c.counts) == 1 && c.nulls > 0:
		return "a condition such as " + expression.Reference(c.Name) + " != null"
	}
	return "a condition such as " + expression.Reference(c.Name) + " == " + quote(c.common()[0])
}
