// Package text cuts texts into the terms that a model tells apart: words by the word
// boundaries of Unicode (UAX 29), in lower case, and runs of them.
package text

import (
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/clipperhouse/uax29/v2/words"
	"github.com/kljensen/snowball/english"
)

// stemmers are the languages whose words can be brought to their stems, by Snowball's
// algorithms.
func stemmers() map[string]func(word string) string {
	return map[string]func(word string) string{
		"english": func(word string) string { return english.Stem(word, true) },
	}
}

// Languages lists the languages that have stems.
func Languages() []string { return slices.Sorted(maps.Keys(stemmers())) }

// maxStems bounds the stems that a cutter remembers, maxStemmed the bytes of their words.
const (
	maxStems   = 1 << 14
	maxStemmed = 64
)

// Cutter cuts texts into terms. It is for one goroutine.
type Cutter struct {
	least, most int
	separator   string                   // of values, where texts are not cut into words
	stem        func(word string) string // nil: words stay as they are
	stems       map[string]string

	words []byte // of the last text, with a space between each two
	at    []int  // where each word begins, and where one more would
}

// NewCutter returns a cutter into runs of least to most words, which stand for
// themselves or, where a language is named, for their stems.
func NewCutter(least, most int, language string) *Cutter {
	return &Cutter{least: least, most: most, stem: stemmers()[language], stems: make(map[string]string)}
}

// NewSplitter returns a cutter into what is between separators, without white space around
// it. What is empty is no term.
func NewSplitter(separator string) *Cutter { return &Cutter{separator: separator} }

// Each calls yield with each term of a text: one word after the other, then the pairs,
// and so on. The words of a term have a space between them. A term is valid until yield
// returns.
func (c *Cutter) Each(text string, yield func(term []byte)) {
	if c.separator != "" {
		for value := range strings.SplitSeq(text, c.separator) {
			if value = strings.TrimSpace(value); value != "" {
				c.words = append(c.words[:0], value...)
				yield(c.words)
			}
		}
		return
	}
	c.words, c.at = c.words[:0], append(c.at[:0], 0)
	for all := words.FromString(text); all.Next(); {
		word := all.Value()
		if !strings.ContainsFunc(word, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) }) {
			continue
		}
		c.words = append(append(c.words, c.stemmed(strings.ToLower(word))...), ' ')
		c.at = append(c.at, len(c.words))
	}
	for n := c.least; n <= c.most; n++ {
		for i := 0; i+n < len(c.at); i++ {
			yield(c.words[c.at[i] : c.at[i+n]-1])
		}
	}
}

// stemmed returns what a word stands for.
func (c *Cutter) stemmed(word string) string {
	if c.stem == nil {
		return word
	}
	if len(word) > maxStemmed {
		return c.stem(word)
	}
	stem, known := c.stems[word]
	if !known {
		if len(c.stems) == maxStems {
			clear(c.stems)
		}
		stem = c.stem(word)
		c.stems[strings.Clone(word)] = strings.Clone(stem)
	}
	return stem
}
