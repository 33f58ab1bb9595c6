package dataset

import (
	"fmt"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg/arrowtype"
)

// unusable is the type of a column that nobody can read, which matters only where
// somebody asks for it. Its text says why.
type unusable struct {
	arrow.NullType
	why string
}

func (u *unusable) ID() arrow.Type { return arrow.EXTENSION }
func (u *unusable) String() string { return u.why }

// union returns the columns of all objects, those of the first before those that
// only later ones have. An object that lacks a column, or has it of type null, has
// nulls there. Where objects have types of several families, and where one has the
// name twice, the column is unusable. Within a family, each object keeps its type;
// integers beside numbers are one with them, as a missing value makes floats of a
// column of integers in many a tool. The gaps are those of the columns, in order.
func union(files []discovered) (*arrow.Schema, []Gap) {
	type column struct {
		arrow.Field
		of      int // the object that Type is of
		in      int // how many objects have it
		latest  int // of them
		refused bool
		gap     Gap
		filled  int // the latest object with it whose type is not null
	}
	// lacked notes that the objects between the latest that fills a column and one
	// with that index do not.
	lacked := func(c *column, next int) {
		for i := c.filled + 1; i < next; i++ {
			if o := files[i].object; o.Rows > 0 {
				c.gap.Add(o)
			}
		}
		c.filled = next
	}
	var columns []*column
	byName := make(map[string]*column)
	for i, f := range files {
		for _, have := range f.fields {
			c := byName[have.Name]
			if c == nil {
				c = &column{Field: have, of: i, latest: -1, gap: Gap{Column: have.Name}, filled: -1}
				byName[have.Name] = c
				columns = append(columns, c)
			}
			c.Nullable = c.Nullable || have.Nullable
			_, c.refused = c.Type.(*unusable)
			switch {
			case c.refused:
			case c.latest == i:
				c.Type = &unusable{why: fmt.Sprintf("%s twice in object %s", arrowtype.Name(have.Type), f.object.Key)}
			case c.Type.ID() == arrow.NULL:
				c.Type, c.of = have.Type, i
			case family(c.Type) == integer && family(have.Type) == number:
				c.Type, c.of = have.Type, i // a float64 to who binds it, who refuses integers that are none
			case family(c.Type) == number && family(have.Type) == integer:
			case have.Type.ID() != arrow.NULL && family(have.Type) != family(c.Type):
				c.Type = &unusable{why: fmt.Sprintf("%s in object %s and %s in object %s, which must be one", arrowtype.Name(c.Type), files[c.of].object.Key, arrowtype.Name(have.Type), f.object.Key)}
			}
			if c.latest != i {
				c.latest = i
				c.in++
			}
			if have.Type.ID() != arrow.NULL {
				lacked(c, i)
			}
		}
	}
	fields := make([]arrow.Field, len(columns))
	var gaps []Gap
	for i, c := range columns {
		c.Nullable = c.Nullable || c.in < len(files)
		fields[i] = c.Field
		if lacked(c, len(files)); c.gap.Objects > 0 {
			gaps = append(gaps, c.gap)
		}
	}
	return arrow.NewSchema(fields, nil), gaps
}

// maxNamed is how many objects a Gap names.
const maxNamed = 3

const integer, number, words = "integer", "number", "text"

// family names the types that are one to whoever reads a column: numbers of any
// width, points in time of any unit, strings however they are kept, and lists of these.
func family(t arrow.DataType) string {
	switch t.ID() {
	case arrow.INT8, arrow.INT16, arrow.INT32, arrow.INT64, arrow.UINT8, arrow.UINT16, arrow.UINT32, arrow.UINT64:
		return integer
	case arrow.FLOAT16, arrow.FLOAT32, arrow.FLOAT64, arrow.DECIMAL128, arrow.DECIMAL256:
		return number
	case arrow.TIMESTAMP, arrow.DATE32, arrow.DATE64:
		return "timestamp"
	case arrow.TIME32, arrow.TIME64:
		return "time"
	case arrow.STRING, arrow.LARGE_STRING:
		return words
	case arrow.DICTIONARY:
		if family(t.(*arrow.DictionaryType).ValueType) == words {
			return words
		}
	case arrow.LIST:
		return "list of " + family(t.(*arrow.ListType).Elem())
	}
	return t.String()
}
