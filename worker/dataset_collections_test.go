package worker

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	storememory "github.com/thalweg/thalweg/storage/memory"
)

// refusals are the cases of testdata/collections.json that are read otherwise than their
// collection reads them: rows that are rejected, each by line and reason, or all of the file.
var refusals = map[string][]string{
	"csv-spectrum/location_coordinates.csv":                                                                   {"line 2: malformed CSV: a quote in field 2 at byte 23"},
	"papaparse/12 Unquoted field with quotes at end of field":                                                 {"line 1: malformed CSV: a quote in field 2 at byte 3"},
	"papaparse/17 Quoted field with whitespace around quotes":                                                 {"line 1: malformed CSV: a quote in field 2 at byte 3"},
	"papaparse/18 Misplaced quotes in data, not as opening quotes":                                            {"line 1: malformed CSV: a quote in field 2 at byte 4"},
	"papaparse/19 Quoted field has no closing quote":                                                          {"line 1: malformed CSV: a quote is not closed, and all that follows is in it"},
	"papaparse/20 Quoted field has invalid trailing quote after delimiter with a valid closer":                {"line 1: malformed CSV: text behind the closing quote in field 1 at byte 4", "line 2: wrong number of fields: want 1, found 3"},
	"papaparse/21 Quoted field has invalid trailing quote after delimiter":                                    {"line 1: malformed CSV: text behind the closing quote in field 2 at byte 6", "line 2: wrong number of fields: want 2, found 3"},
	"papaparse/22 Quoted field has invalid trailing quote before delimiter":                                   {"line 1: malformed CSV: text behind the closing quote in field 2 at byte 5", "line 2: wrong number of fields: want 2, found 3"},
	"papaparse/23 Quoted field has invalid trailing quote after new line":                                     {"line 1: malformed CSV: text behind the closing quote in field 2 at byte 9"},
	"papaparse/37 Input is just empty fields":                                                                 {"line 2: wrong number of fields: want 3, found 4"},
	"papaparse/45 Entire file is comment lines":                                                               {"discover: a.csv: no record in 1 objects"},
	"papaparse/49 Input with only a commented line":                                                           {"discover: a.csv: no record in 1 objects"},
	"papaparse/50 Input with only a commented line and blank line after":                                      {"discover: a.csv: no record in 1 objects"},
	"papaparse/63 Two rows, just \\r":                                                                         {"look for records: object a.csv: read lines: lines end with carriage returns alone (write line feeds: tr '\\r' '\\n')"},
	"papaparse/68 Quoted fields with spaces between closing quote and next delimiter":                         {"line 1: malformed CSV: text behind the closing quote in field 2 at byte 5", "line 2: malformed CSV: text behind the closing quote in field 3 at byte 7"},
	"papaparse/69 Quoted fields with spaces between closing quote and next new line":                          {"line 1: malformed CSV: text behind the closing quote in field 4 at byte 9", "line 2: malformed CSV: text behind the closing quote in field 4 at byte 9"},
	"papaparse/70 Quoted fields with spaces after closing quote":                                              {"line 1: malformed CSV: text behind the closing quote in field 2 at byte 5", "line 2: malformed CSV: text behind the closing quote in field 3 at byte 7", "line 3: malformed CSV: text behind the closing quote in field 3 at byte 7"},
	"papaparse/71 Misplaced quotes in data twice, not as opening quotes":                                      {"line 1: malformed CSV: a quote in field 2 at byte 3", "line 2: malformed CSV: a quote in field 2 at byte 3"},
	"papaparse/72 Mixed slash n and slash r should choose first as precident":                                 {"line 2: wrong number of fields: want 3, found 5"},
	"papaparse/74 Header row only":                                                                            {"discover: a.csv: no record in 1 objects, but headers: the first is \"A,B,C\""},
	"papaparse/75 Row with too few fields":                                                                    {"line 2: wrong number of fields: want 3, found 2"},
	"papaparse/76 Row with too many fields":                                                                   {"line 2: wrong number of fields: want 3, found 5"},
	"papaparse/108 Blank line in middle with whitespace":                                                      {"line 2: wrong number of fields: want 3, found 1"},
	"papaparse/126 Skip empty lines, with first line only whitespace":                                         {"line 2: wrong number of fields: want 1, found 3"},
	"papaparse/138 Custom escape character not used for escaping":                                             {"line 1: malformed CSV: an escape of something else than a quote in field 3 at byte 6"},
	"papaparse/154 Quoted fields with spaces between closing quote and next delimiter and contains delimiter": {"line 1: malformed CSV: text behind the closing quote in field 2 at byte 6"},
	"papaparse/155 Quoted fields with spaces between closing quote and newline and contains newline":          {"line 1: malformed CSV: text behind the closing quote in field 3 at byte 8"},
	"agate-1.14.2/empty.csv":                                                                                  {"discover: a.csv: no record in 1 objects"},
	"agate-1.14.2/test_cr.csv":                                                                                {"look for records: object a.csv: read lines: lines end with carriage returns alone (write line feeds: tr '\\r' '\\n')"},
	"agate-1.14.2/test_csv_sniff.csv":                                                                         {"read header: object a.csv: its only field is \"number|text|boolean|date|datetime|timedelta\" (look at delimiter and quote; files without a header have header: false)"},
	"csvkit-2.2.0/bad.csv":                                                                                    {"line 2: wrong number of fields: want 3, found 4", "line 3: wrong number of fields: want 3, found 2"},
	"csvkit-2.2.0/bad_skip_lines.csv":                                                                         {"line 5: wrong number of fields: want 3, found 4", "line 6: wrong number of fields: want 3, found 2"},
	"csvkit-2.2.0/join_a_short.csv":                                                                           {"line 2: wrong number of fields: want 3, found 2", "line 3: wrong number of fields: want 3, found 1"},
	"csvkit-2.2.0/mac_newlines.csv":                                                                           {"look for records: object a.csv: read lines: lines end with carriage returns alone (write line feeds: tr '\\r' '\\n')"},
	"csvkit-2.2.0/sniff_limit.csv":                                                                            {"read header: object a.csv: its only field is \"a;b;c\" (look at delimiter and quote; files without a header have header: false)"},
	"csvkit-2.2.0/test_empty_columns.csv":                                                                     {"line 3: wrong number of fields: want 5, found 4"},
	"csvkit-2.2.0/test_empty_columns_long_row.csv":                                                            {"line 2: wrong number of fields: want 3, found 4"},
	"csvkit-2.2.0/test_empty_columns_short_row.csv":                                                           {"line 2: wrong number of fields: want 3, found 2"},
	"csvkit-2.2.0/test_extra_header.csv":                                                                      {"line 2: wrong number of fields: want 4, found 3"},
	"csvkit-2.2.0/test_join_short_rows.csv":                                                                   {"line 2: wrong number of fields: want 3, found 2", "line 3: wrong number of fields: want 3, found 2"},
}

// The files of CSV collections hold the rows that their makers say, or a row is rejected by
// line and reason: testdata/collections.py says where they come from.
func TestFilesOfCSVCollections(t *testing.T) {
	data, err := os.ReadFile("testdata/collections.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Name, Text string
		Format     json.RawMessage
		Columns    []string
		Rows       [][]string
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	bucket := storememory.New()
	for _, c := range cases {
		text, err := base64.StdEncoding.DecodeString(c.Text)
		if err != nil {
			t.Fatal(err)
		}
		for i, name := range c.Columns {
			if name == "" {
				c.Columns[i] = fmt.Sprintf("column_%d", i+1)
			}
		}
		rows, bad, err := tryTable(t, bucket, "a.csv", string(text), string(c.Format), texty(c.Columns...))
		var refused []string
		if err != nil {
			refused = []string{err.Error()}
		}
		for _, row := range bad {
			refused = append(refused, fmt.Sprintf("line %d: %s", row.Line, row.Reason))
		}
		if want := refusals[c.Name]; strings.Join(refused, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s: %q\nrefused: %q\nwant %q", c.Name, text, refused, want)
		}
		// What is a row is one of the collection's, and none that was not refused is missing.
		next := 0
		for _, row := range rows {
			for next < len(c.Rows) && !same(row, c.Rows[next]) {
				next++
			}
			if next == len(c.Rows) {
				t.Errorf("%s: %q\nrow %q is none of %q", c.Name, text, row, c.Rows)
				break
			}
			next++
		}
		if len(refused) == 0 && len(rows) != len(c.Rows) {
			t.Errorf("%s: %q\n%d rows, want %q", c.Name, text, len(rows), c.Rows)
		}
	}
	if len(cases) < 150 {
		t.Errorf("only %d cases", len(cases))
	}
}

func same(row []any, want []string) bool {
	for i := range row {
		if len(row) != len(want) || row[i] != any(want[i]) {
			return false
		}
	}
	return true
}
