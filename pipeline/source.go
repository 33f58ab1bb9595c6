package pipeline

import (
	"strings"
	"unicode/utf8"
)

// source is the text that a spec was read from: where each of its fields
// stands.
type source struct {
	file   string
	lines  []string
	values map[string]position
}

// position counts from 1, columns in characters.
type position struct{ line, column int }

// has reports whether the text sets the field at path.
func (s *source) has(path string) bool {
	_, ok := s.values[path]
	return ok
}

// position returns where the field at path, or else what it is in, stands.
func (s *source) position(path string) position {
	if at, ok := s.values[path]; ok {
		return at
	}
	for outer := range around(path) {
		if at, ok := s.values[outer]; ok && outer != "" {
			return at
		}
	}
	return position{line: 1, column: 1}
}

// inside returns the position of a character of the string at path: exact
// where the text has the string as it is on one line, else where it begins.
func (s *source) inside(path, value string, character int) position {
	at := s.position(path)
	if !s.has(path) || at.line > len(s.lines) {
		return at
	}
	line := s.lines[at.line-1]
	for range at.column - 1 {
		_, size := utf8.DecodeRuneInString(line)
		line = line[size:]
	}
	quote := 0
	if line != "" && (line[0] == '"' || line[0] == '\'') {
		quote = 1
	}
	if !strings.HasPrefix(line[quote:], value) {
		return at
	}
	return position{line: at.line, column: at.column + quote + character}
}
