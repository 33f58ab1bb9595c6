package profile

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/thalweg/thalweg/pipeline/table"
)

// kind is what a text may be written as.
type kind struct {
	name  string
	match func(s string) bool
}

// kinds are the kinds that texts are tried for. To add one is a line here. Of those
// that most values of a column are of, the first is named.
var kinds = []kind{
	{"whole numbers", func(s string) bool { return IsNumber(s) && strings.Trim(s, "+-0123456789") == "" }},
	{"numbers", IsNumber},
	{"numbers with separators", matches(`^[+-]?(\d{1,3}(,\d{3})+(\.\d+)?|\d{1,3}(\.\d{3})+(,\d+)?|\d+,\d+|\d{1,3}([ '\x{a0}\x{202f}]\d{3})+([.,]\d+)?)$`)},
	{"times", func(s string) bool { _, ok := table.ParseTime(s, time.UTC); return ok }},
	{"dates in a declared form", IsDate},
	{"booleans", isBoolean},
}

// likelyFrom is the share of a column's texts, but for empty ones, that must be of a kind.
const likelyFrom = 0.95

var (
	leadingZero = regexp.MustCompile(`^[+-]?0\d`)
	dateLike    = matches(`^\d{1,4}[./-]\d{1,2}[./-]\d{1,4}\b`)
)

// IsNumber reports whether a text is a number, and no code as 007 is one.
func IsNumber(s string) bool {
	_, ok := table.ParseFloat(s)
	return ok && !leadingZero.MatchString(s)
}

// IsDate reports whether a text begins as dates in figures do, in whatever order.
func IsDate(s string) bool { return dateLike(s) }

// matches tries an expression on texts that begin as numbers do.
func matches(expression string) func(string) bool {
	re := regexp.MustCompile(expression)
	return func(s string) bool {
		return s != "" && (s[0]-'0' <= 9 || s[0] == '-' || s[0] == '+') && re.MatchString(s)
	}
}

func isBoolean(s string) bool {
	return len(s) <= len("false") && slices.Contains([]string{"true", "false", "yes", "no", "y", "n", "t", "f", "on", "off"}, strings.ToLower(s))
}

// forms counts the kinds that texts are of, and the personal data that they may be.
type forms struct {
	kinds    []int64
	personal [][2]int64 // matched, of the shape
}

func newForms() forms { return forms{make([]int64, len(kinds)), make([][2]int64, len(personals))} }

func (f *forms) judge(s string, n int64) {
	for i, k := range kinds {
		if k.match(s) {
			f.kinds[i] += n
		}
	}
	for i, p := range personals {
		if p.shape != nil && p.shape(s) {
			f.personal[i][1] += n
		}
		if p.match(s) {
			f.personal[i][0] += n
		}
	}
}

func (f *forms) merge(o *forms) {
	for i, n := range o.kinds {
		f.kinds[i] += n
	}
	for i, n := range o.personal {
		f.personal[i][0] += n[0]
		f.personal[i][1] += n[1]
	}
}
