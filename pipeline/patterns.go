package pipeline

import (
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/thalweg/thalweg/pipeline/spelling"
	"github.com/thalweg/thalweg/pipeline/table"
)

// Patterns name columns: each is a name, or has *, which stands for any characters.
// A column that has a pattern for its name is the only one that it names. In a spec
// one pattern may stand for the list of it, and the word all for ["*"].
type Patterns []string

// allColumns is the pattern of all columns.
const allColumns = "*"

// decodeShort implements shortForm: a scalar stands for a list of it.
func (p *Patterns) decodeShort(_ *decoder, n ast.Node, _ string) bool {
	s, ok := n.(*ast.StringNode)
	switch {
	case !ok || isNumber(n):
		return false
	case s.Value == "all":
		*p = Patterns{allColumns}
	default:
		*p = Patterns{s.Value}
	}
	return true
}

// matches reports whether a pattern, cut at its stars, names a column.
func matches(parts []string, name string) bool {
	first, last := parts[0], parts[len(parts)-1]
	if len(name) < len(first)+len(last) || !strings.HasPrefix(name, first) || !strings.HasSuffix(name, last) {
		return false
	}
	name = name[len(first) : len(name)-len(last)]
	for _, part := range parts[1 : len(parts)-1] {
		_, after, ok := strings.Cut(name, part)
		if !ok {
			return false
		}
		name = after
	}
	return true
}

// maxPatterns bounds the patterns of a spec, each of which is held against all columns.
const maxPatterns = 1000

// match returns which columns patterns name. A pattern that names none is a problem
// of the field at path.
func (c *compiler) match(path string, patterns Patterns, in table.Schema, at *stage) map[string]bool {
	named := make(map[string]bool)
	if c.patterns += len(patterns); c.patterns > maxPatterns {
		c.found.add(path, "", "a spec has at most %d names and patterns of columns", maxPatterns)
		return named
	}
	for i, pattern := range patterns {
		found := false
		if _, _, exact := in.Lookup(pattern); exact && pattern != allColumns {
			named[pattern], found = true, true
		} else if parts := strings.Split(pattern, allColumns); len(parts) > 1 {
			for name := range in.Names() {
				if matches(parts, name) {
					named[name], found = true, true
				}
			}
		}
		item := Place{path, c.found}.item(i).path
		switch {
		case found, pattern == allColumns:
		case strings.ContainsAny(pattern, "?[{"):
			c.found.add(item, "only * stands for others", "no column matches %s", quoteShort(pattern))
		case !strings.Contains(pattern, allColumns) && at == c.scoring && c.trainingOnly(pattern) != "":
			c.found.add(item, "take it out of the list", "column %s is not there when events are scored: %s", pattern, c.trainingOnly(pattern))
		case !strings.Contains(pattern, allColumns):
			c.missing(item, pattern, in, at)
		default:
			c.found.add(item, nearestOf(pattern, in.Names()), "no column matches %s", quoteShort(pattern))
		}
	}
	return named
}

// nearestOf names a column that a pattern without a match may have been meant for.
func nearestOf(pattern string, names iter.Seq[string]) string {
	bare := strings.ReplaceAll(pattern, allColumns, "")
	beginnings := make(map[string]string) // which patterns give most often
	for name := range names {
		if cut := name[:min(len(name), len(bare))]; beginnings[cut] == "" {
			beginnings[cut] = name
		}
	}
	if near := spelling.Nearest(bare, slices.Values(slices.Sorted(maps.Keys(beginnings)))); near != "" {
		return "the nearest is " + beginnings[near]
	}
	return firstOf(names)
}

// firstOf says what some columns are called.
func firstOf(names iter.Seq[string]) string {
	const most = 5
	text, n := "the first are", 0
	for name := range names {
		if n++; n > most {
			break
		}
		text += " " + quoteShort(name)
	}
	return text
}
