// Package pattern compiles the regular expressions of specs, which come from outside, within
// bounds.
package pattern

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
)

// Bounds of one pattern, far above what people write: a counted repetition is written out, so
// that seven bytes may stand for a thousand instructions.
const (
	MaxBytes = 4096
	// MaxSize is about a megabyte while a pattern is compiled.
	MaxSize = 4096
)

// Compile returns an RE2 pattern and how many instructions it has at most. The error says what is
// wrong, as text for a user.
func Compile(text string) (re *regexp.Regexp, size int, err error) {
	if len(text) > MaxBytes {
		return nil, 0, fmt.Errorf("the pattern has %d bytes, at most %d", len(text), MaxBytes)
	}
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, 0, plain(err)
	}
	if size = sizeOf(tree); size > MaxSize {
		return nil, 0, fmt.Errorf("with its repetitions written out the pattern is too large: write fewer or smaller counts")
	}
	re, err = regexp.Compile(text)
	return re, size, plain(err)
}

// plain is an error without what a reader knows.
func plain(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
}

// sizeOf returns about how many instructions a tree is compiled to, and no more than what is
// certainly too many. The depth of the tree is bounded by the library.
func sizeOf(re *syntax.Regexp) int {
	size := 1
	if re.Op == syntax.OpLiteral {
		size = len(re.Rune)
	}
	for _, sub := range re.Sub {
		if size += sizeOf(sub); size > MaxSize {
			return MaxSize + 1
		}
	}
	if re.Op == syntax.OpRepeat {
		size *= max(re.Min, re.Max, 1)
	}
	return min(size+1, MaxSize+1)
}
