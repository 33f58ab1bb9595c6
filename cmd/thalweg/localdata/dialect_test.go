package localdata

import (
	"bytes"
	"encoding/json"
	"testing"
)

func TestTheDialectOfCSVIsToldByItsFirstLines(t *testing.T) {
	for text, want := range map[string]string{
		"a,b\n1,2\n":                     `{}`,
		"a;b\n1,5;2,5\n-3,25;4\n":        `{"decimal_comma":true,"delimiter":";"}`,
		"a;b;c\n1,5;2.5;x\n":             `{"delimiter":";"}`,
		"1,5;2,5\n3,25;4,0\n":            `{"columns":["column_1","column_2"],"decimal_comma":true,"delimiter":";","header":false}`,
		"a\tb\n1\t2\n":                   `{"delimiter":"\t"}`,
		"a|b\nx|y\n":                     `{"delimiter":"|"}`,
		"'a','b'\n'x,y','1'\n":           `{"quote":"'"}`,
		"a,b\nit's,o'clock\n":            `{}`,
		"\"a\",\"b;c;d\"\n\"x\",\"y\"\n": `{}`,
		"2001-01-01 10:00:00,12,ORD\n2001-01-02,3,LGA\n": `{"columns":["column_1","column_2","column_3"],"header":false}`,
		"1,x\n2,y\n":                          `{"columns":["column_1","column_2"],"header":false}`,
		"country,2001,2002\nUS,5,6\nDE,7,8\n": `{}`,
		"name,note\nx,y\n":                    `{}`,
		"id,amount\n1,\n2,5\n":                `{}`,
		"a;b\nx, y;one, two\nz;three\n":       `{"delimiter":";"}`,
		"a,b\n":                               `{}`,
		"1,2\n":                               `{}`,
		"":                                    `{}`,
	} {
		var lines [][]byte
		for line := range bytes.Lines([]byte(text)) {
			lines = append(lines, bytes.TrimRight(line, "\n"))
		}
		if got, _ := json.Marshal(dialect(lines)); string(got) != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}
