package clean

import (
	"testing"
)

func TestCaseMapsLetterByLetter(t *testing.T) {
	in := []string{"jFk", "o'hare FIELD", "école", "ß", "ǆ2A", "st. john’s"}
	for to, want := range map[string][]string{
		"upper": {"JFK", "O'HARE FIELD", "ÉCOLE", "ß", "Ǆ2A", "ST. JOHN’S"},
		"lower": {"jfk", "o'hare field", "école", "ß", "ǆ2a", "st. john’s"},
		"title": {"Jfk", "O'hare Field", "École", "ß", "ǅ2a", "St. John’s"},
	} {
		c, mem := chainOf(t, columns("s", "string"), stepOf(&Case{Columns: []string{"s"}, To: to}))
		input, output := [][]any{{nil}}, [][]any{{nil, int64(0)}}
		changed := int64(0)
		for i, s := range in {
			input = append(input, []any{s})
			output = append(output, []any{want[i], int64(i + 1)})
			if s != want[i] {
				changed++
			}
		}
		rows, rep := apply(t, c, mem, input...)
		check(t, to, rows, output)
		check(t, to+" changed", rep.Changed, map[string]int64{"1 case s": changed})
	}
}
