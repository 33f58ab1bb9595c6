package clean

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/thalweg/thalweg/pipeline"
)

// newCase makes the operator that changes the case of letters by Unicode's
// simple mappings, one letter for one letter and the same in every locale:
// upper, lower, or title, which raises the first letter of each word and lowers
// the others. A byte that is not UTF-8 becomes U+FFFD where the text changes.
func newCase(step pipeline.Step, b builder) (pipeline.Op, error) {
	s := step.Spec.Case
	op := &textOp{name: step.Name, columns: s.Columns, mem: b.mem}
	switch s.To {
	case "upper":
		op.f = strings.ToUpper
	case "lower":
		op.f = strings.ToLower
	case "title":
		op.f = title
	default:
		return nil, fmt.Errorf("case to %q is none of upper, lower, title", s.To)
	}
	return op, nil
}

// title raises the first letter of each word, a run of letters, digits, marks
// and apostrophes.
func title(s string) string {
	inWord := false
	return strings.Map(func(r rune) rune {
		was := inWord
		inWord = unicode.In(r, unicode.Letter, unicode.Digit, unicode.Mark) || inWord && (r == '\'' || r == '’')
		if was {
			return unicode.ToLower(r)
		}
		return unicode.ToTitle(r)
	}, s)
}
