package clean

import (
	"strings"
	"unicode"

	"github.com/thalweg/thalweg/pipeline"
)

// Case changes the case of letters.
type Case struct {
	// Columns are those to change, of strings.
	Columns []string `yaml:"columns" json:"columns" jsonschema:"minItems=1"`
	// To is the case that letters get; title: the first of each word in upper case.
	To                  string `yaml:"to" json:"to" jsonschema:"enum=upper,enum=lower,enum=title"`
	pipeline.StepPhases `yaml:",inline" json:",inline"`
}

// cases map text by Unicode's simple mappings, one letter for one letter and the
// same in every locale. A byte that is not UTF-8 becomes U+FFFD where the text
// changes.
var cases = map[string]func(string) string{"upper": strings.ToUpper, "lower": strings.ToLower, "title": title}

// Bind implements pipeline.StepSpec.
func (s *Case) Bind(at *pipeline.Columns) pipeline.Op { return bindText(at, s.Columns, cases[s.To]) }

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
