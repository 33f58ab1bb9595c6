package evaluation

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/thalweg/thalweg/pipeline/metric"
)

const (
	// maxTableClasses is how many classes a table of a confusion matrix has; of more the
	// confusions with the most rows are listed.
	maxTableClasses = 20
	maxConfusions   = 20
	// maxNameRunes is how much of a class's name a table has.
	maxNameRunes = 24
)

// unconfused says why rows with so many classes have no confusion matrix; "" where they do.
func unconfused(classes int) string {
	if classes <= metric.MaxConfused {
		return ""
	}
	return fmt.Sprintf("there is no confusion matrix: the label has %d classes, more than %d", classes, metric.MaxConfused)
}

// ConfusionRows shows the confusion matrix as rows of cells, the first their heads: a row
// for each class of the label, with the rows that are taken for each class; of very many
// classes the most frequent confusions. There are none where rows were not counted.
func (m *Measured) ConfusionRows() (rows [][]string) {
	if len(m.Confusion) == 0 {
		return nil
	}
	if len(m.Classes) > maxTableClasses {
		return m.confusions()
	}
	head := []string{`label \ prediction`}
	for _, name := range m.Classes {
		head = append(head, className(name))
	}
	rows = [][]string{append(head, "right")}
	for k, counts := range m.Confusion {
		cells, of := []string{className(m.Classes[k])}, int64(0)
		for _, n := range counts {
			cells, of = append(cells, fmt.Sprint(n)), of+n
		}
		rows = append(rows, append(cells, share(counts[k], of)))
	}
	return rows
}

// confusions lists the pairs of different classes that have the most rows.
func (m *Measured) confusions() [][]string {
	type pair struct {
		label, taken int
		rows, of     int64
	}
	var all []pair
	for i, counts := range m.Confusion {
		of := int64(0)
		for _, n := range counts {
			of += n
		}
		for j, n := range counts {
			if i != j && n > 0 {
				all = append(all, pair{i, j, n, of})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b pair) int { return cmp.Compare(b.rows, a.rows) })
	rows := [][]string{{"label", "prediction", "rows", "of the label's"}}
	for _, p := range all[:min(len(all), maxConfusions)] {
		rows = append(rows, []string{className(m.Classes[p.label]), className(m.Classes[p.taken]), fmt.Sprint(p.rows), share(p.rows, p.of)})
	}
	return rows
}

// ConfusionTable is ConfusionRows as a text of so many bytes at most: where a matrix does
// not fit, the most frequent confusions.
func (m *Measured) ConfusionTable(most int) string {
	rows := m.ConfusionRows()
	if len(rows) == 0 {
		return ""
	}
	text := TableText(rows, most)
	if strings.HasSuffix(text, "…") {
		text = TableText(m.confusions(), most)
	}
	return text
}

func share(n, of int64) string {
	if of == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(n)/float64(of))
}

// className is the beginning of a name on one line.
func className(name string) string {
	printed := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, name)
	runes := []rune(strings.Join(strings.Fields(printed), " "))
	if len(runes) > maxNameRunes {
		return string(runes[:maxNameRunes]) + "…"
	}
	return cmp.Or(string(runes), `""`)
}
