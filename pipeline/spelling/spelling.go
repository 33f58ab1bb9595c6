// Package spelling finds the name that was meant by one that is not known.
package spelling

import (
	"fmt"
	"iter"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// look returns what is seen of a name: in one Unicode form, in lower case, without
// blanks and characters that have no width.
func look(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || unicode.In(r, unicode.Cf, unicode.Cc) {
			return -1
		}
		return unicode.ToLower(r)
	}, norm.NFKC.String(name))
}

// Nearest returns the name in names that word is most likely a misspelling of,
// or "" where none is close: at most a third of the letters may differ, and
// upper case counts as lower. A name that looks the same is nearest of all,
// whatever its Unicode form and its blanks. Of equally near names the first wins.
func Nearest(word string, names iter.Seq[string]) string {
	// Far beyond any name of a spec; it bounds the work on hostile input.
	const maxLen = 128
	if len(word) > maxLen {
		return ""
	}
	seen := look(word)
	word = strings.ToLower(word)
	best, bestDistance := "", max(1, len(word)/3)+1
	for name := range names {
		if len(name) > maxLen {
			continue
		}
		d := Distance(word, strings.ToLower(name))
		if seen != "" && look(name) == seen {
			d = min(d, 0)
		}
		if d < bestDistance {
			best, bestDistance = name, d
		}
	}
	return best
}

// Hint returns the sentence that offers the nearest of names, or "".
func Hint(word string, names iter.Seq[string]) string {
	name := Nearest(word, names)
	switch {
	case name == "":
		return ""
	case norm.NFC.String(name) == norm.NFC.String(word):
		return fmt.Sprintf("did you mean %+q? It is another Unicode form of the same letters", name)
	case look(name) == look(word) && !strings.EqualFold(name, word) || strings.TrimSpace(name) != name:
		return fmt.Sprintf("did you mean %+q? Blanks and forms of letters count", name)
	}
	return "did you mean " + name + "?"
}

// Distance is the number of bytes to insert, delete, replace or swap with
// their neighbour that turns a into b (optimal string alignment; Damerau 1964).
func Distance(a, b string) int {
	// Rows of the table for the last two prefixes of a and for the current one.
	before, above, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, above, row = above, row, before
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replaced := above[j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			row[j] = min(replaced, above[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
