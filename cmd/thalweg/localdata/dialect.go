package localdata

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/thalweg/thalweg/pipeline/table"
)

// dialectLines are the lines that the dialect of CSV is told by.
const dialectLines = 200

var (
	commaNumber = regexp.MustCompile(`^[+-]?[0-9]*,[0-9]+$`)
	pointNumber = regexp.MustCompile(`^[+-]?[0-9]*\.[0-9]+$`)
	commaInText = regexp.MustCompile(`(^|[^0-9]),|,([^0-9]|$)`)
	yearNumber  = regexp.MustCompile(`^[12][0-9]{3}$`)
)

// dialect returns the options of CSV that the first lines of a file show, where they are
// not the defaults.
func dialect(lines [][]byte) map[string]any {
	options := make(map[string]any)
	if len(lines) == 0 {
		return options
	}
	delimiter := delimiterOf(lines)
	if delimiter != ',' {
		options["delimiter"] = string(delimiter)
	}
	quote := byte('"')
	rows := make([][]string, len(lines))
	for i, line := range lines {
		rows[i] = fieldsOf(line, delimiter, quote)
	}
	if single(lines, rows) {
		quote = '\''
		options["quote"] = string(quote)
		for i, line := range lines {
			rows[i] = fieldsOf(line, delimiter, quote)
		}
	}
	comma, point := false, false
	for _, row := range rows {
		for _, field := range row {
			comma = comma || commaNumber.MatchString(field)
			point = point || pointNumber.MatchString(field)
		}
	}
	if delimiter != ',' && comma && !point {
		options["decimal_comma"] = true
	}
	if headless(rows) {
		names := make([]string, len(rows[0]))
		for i := range names {
			names[i] = fmt.Sprintf("column_%d", i+1)
		}
		options["header"], options["columns"] = false, names
	}
	return options
}

// delimiterOf returns the character that most likely stands between fields: the one that
// each line has the same number of, or else that the first has most of. A comma that is
// only in numbers is none where there is another.
func delimiterOf(lines [][]byte) byte {
	best, most := byte(','), 0
	for _, c := range []byte(",;\t|") {
		n := len(fieldsOf(lines[0], c, '"')) - 1
		same := n > 0
		for _, line := range lines[1:] {
			same = same && (len(line) == 0 || len(fieldsOf(line, c, '"'))-1 == n)
		}
		if same {
			n += 1 << 20
		}
		inNumbers := best == ',' && same && len(lines) > 1
		for _, line := range lines[1:] {
			inNumbers = inNumbers && !commaInText.Match(line)
		}
		if n > most || inNumbers && c != ',' {
			best, most = c, n
		}
	}
	return best
}

// fieldsOf returns the fields of a line, without the quotes around them.
func fieldsOf(line []byte, delimiter, quote byte) (fields []string) {
	quoted, begin := false, 0
	for i := 0; i <= len(line); i++ {
		switch {
		case i < len(line) && line[i] == quote:
			quoted = !quoted
		case i == len(line) || line[i] == delimiter && !quoted:
			field := line[begin:i]
			if n := len(field); n >= 2 && field[0] == quote && field[n-1] == quote {
				field = field[1 : n-1]
			}
			fields, begin = append(fields, string(field)), i+1
		}
	}
	return fields
}

// single reports whether fields stand in single quotes.
func single(lines [][]byte, rows [][]string) bool {
	found := false
	for i, row := range rows {
		for _, field := range row {
			n := len(field)
			found = found || n >= 2 && field[0] == '\'' && field[n-1] == '\''
		}
		if bytes.IndexByte(lines[i], '"') >= 0 {
			return false
		}
	}
	return found
}

// headless reports whether the first row is one of values: some column has numbers or
// times throughout, and none has them everywhere but in the first row. Years may be names.
func headless(rows [][]string) bool {
	found := false
	for at, first := range rows[0] {
		measured := false
		for _, row := range rows[1:] {
			if at >= len(row) || row[at] == "" {
				continue
			}
			if measured = isMeasure(row[at]); !measured {
				break
			}
		}
		if !measured || first == "" {
			continue
		}
		if !isMeasure(first) {
			return false
		}
		found = found || !yearNumber.MatchString(first)
	}
	return found
}

// isMeasure reports whether a text is a number or a time.
func isMeasure(text string) bool {
	if _, err := strconv.ParseFloat(text, 64); err == nil || commaNumber.MatchString(text) {
		return true
	}
	_, ok := table.ParseTime(text, time.UTC)
	return ok
}
