package dataset

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/thalweg/thalweg"
)

// maxPartitions bounds the columns that folders fill: those of more names are no
// partitions, such as folders that are called in base64.
const maxPartitions = 64

// nullPartition is the value of a folder whose rows have none, as Hive writes it.
const nullPartition = "__HIVE_DEFAULT_PARTITION__"

// Partition is what a folder of an object's key says of its rows: year=2001.
type Partition struct {
	Name, Value string
	Null        bool
}

// Partitions returns what the folders of an object's key say, in their order, with
// percent escapes undone. Those that the pattern spells out are among them.
func Partitions(key string) (found []Partition) {
	folders := strings.Split(key, "/")
	for _, folder := range folders[:len(folders)-1] {
		name, value, ok := strings.Cut(folder, "=")
		if name = unescaped(name); ok && name != "" {
			found = append(found, Partition{name, unescaped(value), value == nullPartition})
		}
	}
	return found
}

// unescaped undoes percent escapes; a text that has others than those stays as it is.
func unescaped(text string) string {
	if plain, err := url.PathUnescape(text); err == nil {
		text = plain
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}

// partitioned notes the names that the folders of any object have.
func (m *Manifest) partitioned() error {
	known := make(map[string]bool)
	for _, o := range m.Objects {
		all := Partitions(o.Key)
		for i, p := range all {
			if slices.ContainsFunc(all[:i], func(q Partition) bool { return q.Name == p.Name }) {
				return &thalweg.Error{Op: "discover", Kind: thalweg.Invalid, Subject: objectSubject(o.Key), Err: fmt.Errorf("its folders say what %s is twice", p.Name)}
			}
			if !known[p.Name] {
				if len(known) == maxPartitions {
					return &thalweg.Error{Op: "discover", Kind: thalweg.Invalid, Subject: objectSubject(o.Key), Err: fmt.Errorf("its folder %s= is that of one more column than the %d that folders fill at most", p.Name, maxPartitions),
						Hint: "call folders that are no columns something without '=', or take fewer in by the pattern of the source"}
				}
				known[p.Name] = true
				m.Partitions = append(m.Partitions, p.Name)
			}
		}
	}
	return nil
}
