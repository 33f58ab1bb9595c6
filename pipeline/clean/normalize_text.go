package clean

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/thalweg/thalweg/pipeline"
)

// NormalizeText gives text that looks the same one form: of its letters, of its
// white space, or of both.
type NormalizeText struct {
	// Columns are those to normalise, of strings.
	Columns []string `yaml:"columns" json:"columns" jsonschema:"minItems=1"`
	// Form is the Unicode normalisation form that text gets (UAX 15): é is one
	// character in nfc and two in nfd; nfkc and nfkd also make ﬁ two letters and ① a
	// 1. After 30 marks on one letter a joiner is put in, as stream-safe text has it.
	Form string `yaml:"form,omitempty" json:"form,omitempty" jsonschema:"enum=nfc,enum=nfkc,enum=nfd,enum=nfkd"`
	// CollapseSpace makes one blank of each run of white space, as Unicode defines
	// it, also at the ends (trim takes it away there).
	CollapseSpace       bool `yaml:"collapse_space,omitempty" json:"collapse_space,omitempty"`
	pipeline.StepPhases `yaml:",inline" json:",inline"`
}

// Check implements pipeline.Checker.
func (s *NormalizeText) Check(at pipeline.Place) {
	if s.Form == "" && !s.CollapseSpace {
		at.Problem("", "", "the step needs form or collapse_space")
	}
}

var forms = map[string]norm.Form{"nfc": norm.NFC, "nfkc": norm.NFKC, "nfd": norm.NFD, "nfkd": norm.NFKD}

// Bind implements pipeline.StepSpec. The form comes before the white space, since
// some of it is none before (nfkc makes U+00A8 a blank and a mark).
func (s *NormalizeText) Bind(at *pipeline.Columns) pipeline.Op {
	return bindText(at, s.Columns, func(text string) string {
		if form, ok := forms[s.Form]; ok {
			text = form.String(text)
		}
		if s.CollapseSpace {
			text = collapse(text)
		}
		return text
	})
}

// collapse makes one blank of each run of white space. Bytes that are not UTF-8
// stay as they are.
func collapse(s string) string {
	inRun := false
	first := strings.IndexFunc(s, func(r rune) bool {
		odd := unicode.IsSpace(r) && (inRun || r != ' ')
		inRun = unicode.IsSpace(r)
		return odd
	})
	if first < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	b.WriteString(s[:first])
	inRun = first > 0 && s[first-1] == ' '
	for i, r := range s[first:] {
		space := unicode.IsSpace(r)
		if space && !inRun {
			b.WriteByte(' ')
		} else if !space {
			_, size := utf8.DecodeRuneInString(s[first+i:])
			b.WriteString(s[first+i:][:size])
		}
		inRun = space
	}
	return b.String()
}
