package clean

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
)

// checkFormats checks what the step says of the forms of text.
func (s *Cast) checkFormats(at pipeline.Place) {
	needs := func(field string, set bool, types ...table.Type) {
		fits := !set
		for _, t := range types {
			fits = fits || t == s.Type
		}
		if !fits {
			at.Problem(field, "", "%s needs type: %s", field, types[0])
		}
	}
	needs("timestamp_formats", len(s.TimestampFormats) > 0, table.Timestamp)
	needs("thousands", s.Thousands != "", table.Float64, table.Int64)
	needs("decimal_comma", s.DecimalComma, table.Float64)
	needs("true_words", len(s.TrueWords) > 0, table.Bool)
	needs("false_words", len(s.FalseWords) > 0, table.Bool)
	for i, f := range s.TimestampFormats {
		if !table.IsTimeFormat(f) {
			at.Problem(fmt.Sprintf("timestamp_formats[%d]", i), `write rfc3339, or a layout of Go's time package: "02.01.2006 15:04"`, "%q is not a layout with a date", f)
		}
	}
	if r, size := utf8.DecodeRuneInString(s.Thousands); s.Thousands != "" &&
		(size != len(s.Thousands) || unicode.In(r, unicode.Letter, unicode.Digit) || strings.ContainsRune("+-"+s.mark(), r)) {
		at.Problem("thousands", `such as "," or "'"`, "%q is not one character that can stand between digits", s.Thousands)
	}
	if (len(s.TrueWords) == 0) != (len(s.FalseWords) == 0) {
		at.Problem("", "", "true_words needs false_words, and they need it")
	}
	for i, word := range s.FalseWords {
		if isWord(word, s.TrueWords) {
			at.Problem(fmt.Sprintf("false_words[%d]", i), "", "%q is among true_words", word)
		}
	}
}

// mark is what stands before the fraction of a number; an int64 has none.
func (s *Cast) mark() string {
	if s.DecimalComma || s.Type == table.Int64 && s.Thousands == "." {
		return ","
	}
	return "."
}

// formats returns the conversion of text in the forms that the spec declares; nil
// where it declares none.
func (s *Cast) formats(zone *time.Location) converter {
	switch {
	case len(s.TimestampFormats) > 0:
		reader := table.NewTimeReader(s.TimestampFormats, zone)
		return fromText(func(text string, _ *time.Location) (int64, bool) { return reader.Read(text) }, timestampColumn)
	case len(s.TrueWords) > 0:
		return fromText(func(text string, _ *time.Location) (bool, bool) {
			yes := isWord(text, s.TrueWords)
			return yes, yes || isWord(text, s.FalseWords)
		}, boolColumn)
	case s.Thousands == "" && !s.DecimalComma:
		return nil
	case s.Type == table.Int64:
		return fromText(inFormat(s.Thousands, s.mark(), textToInt), int64Column)
	}
	return fromText(inFormat(s.Thousands, s.mark(), textToFloat), float64Column)
}

func isWord(text string, words []string) bool {
	for _, w := range words {
		if strings.EqualFold(text, w) {
			return true
		}
	}
	return false
}

// inFormat parses numbers that have a separator between groups of three digits, if
// any, and a mark before the fraction.
func inFormat[T any](thousands, mark string, parse func(string, *time.Location) (T, bool)) func(string, *time.Location) (T, bool) {
	return func(s string, zone *time.Location) (none T, ok bool) {
		end := strings.IndexAny(s, mark+"eE")
		if end < 0 {
			end = len(s)
		}
		whole, rest := s[:end], s[end:]
		if thousands != "" && strings.Contains(whole, thousands) {
			digits := strings.TrimLeft(whole, "+-")
			groups := strings.Split(digits, thousands)
			for i, g := range groups {
				if len(g) > 3 || len(g) < 3 && i > 0 || g == "" {
					return none, false
				}
			}
			whole = whole[:len(whole)-len(digits)] + strings.Join(groups, "")
		}
		if mark != "." {
			if strings.Contains(whole+rest, ".") {
				return none, false
			}
			rest = strings.Replace(rest, mark, ".", 1)
		}
		return parse(whole+rest, zone)
	}
}
