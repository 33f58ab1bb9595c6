package event

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/thalweg/thalweg/pipeline/table"
)

// Sample finds the columns of rows, and their types, by looking at some of them. A
// type is the first of int64, float64, bool, timestamp and string that all values have;
// rows that were not looked at may have others.
type Sample struct {
	times *timestampParser
	cells Cells // reads numbers
	cols  []sampled
	at    map[string]int
	of    *CSVRows // that csv reads
	csv   *csvFormat
	texts []sampledText
}

// sampledText is a field of a record.
type sampledText struct {
	text []byte
	null bool
}

// sampled is what the values of a column can be.
type sampled struct {
	name string
	// not are the types that some value is none of; seen: there was a value.
	not   map[table.Type]bool
	seen  bool
	list  *sampled // the elements, where all values are lists
	other string   // what a value is that no column has
	depth int      // of the object that the field is in; -1: of an element of a list
	// fields are how many columns there are of an object's fields.
	fields int
}

const (
	// sampledDepth and sampledFields bound the objects whose fields are columns: deeper
	// ones, and those with more fields, which are keys rather, are of no use as columns.
	sampledDepth  = 8
	sampledFields = 200
	// MaxColumns bounds the columns of a dataset, each of which takes a kilobyte or two to
	// look at: as many as Arrow IPC may have.
	MaxColumns = 100_000
)

// sampledTypes are the types that values are tried for, in order.
var sampledTypes = []table.Type{table.Int64, table.Float64, table.Bool, table.Timestamp, table.String}

// NewSample returns an empty sample of rows whose timestamps have these formats.
func NewSample(timeFormats []string, zone *time.Location) *Sample {
	if zone == nil {
		zone = time.UTC
	}
	return &Sample{times: newTimestampParser(timeFormats, zone), at: make(map[string]int)}
}

// column returns the column of a name, which it adds.
func (s *Sample) column(name string) *sampled {
	i, ok := s.at[name]
	if !ok {
		i = len(s.cols)
		s.at[name] = i
		s.cols = append(s.cols, sampled{name: name, not: make(map[table.Type]bool)})
	}
	return &s.cols[i]
}

// Len returns how many columns were found: one more than MaxColumns if there are more.
func (s *Sample) Len() int { return len(s.cols) }

// Columns adds columns, in order, of which rows may have no value, while there are no more
// than MaxColumns.
func (s *Sample) Columns(names []string) {
	for _, name := range names {
		if s.column(name); len(s.cols) > MaxColumns {
			return
		}
	}
}

// CSV looks at a record of the columns of f. One that cannot be read counts for none.
func (s *Sample) CSV(record []byte, f *CSVRows) {
	if s.of != f {
		s.of, s.csv, s.cells.comma = f, newCSV(new(Cells), f), f.DecimalComma
	}
	n := 0
	problem := s.csv.split(record, func(text []byte, quoted bool) {
		if n++; n > len(f.Columns) {
			return // it is no row
		}
		if n > len(s.texts) {
			s.texts = append(s.texts, sampledText{})
		}
		s.texts[n-1] = sampledText{append(s.texts[n-1].text[:0], text...), string(text) == *f.NullText && (!quoted || len(text) == 0)}
	})
	if problem != "" || n != len(f.Columns) {
		return
	}
	for i, field := range s.texts[:n] {
		if !field.null {
			s.text(s.column(f.Columns[i]), field.text)
		}
	}
}

// text looks at a value of which nothing but its text is known.
func (s *Sample) text(c *sampled, text []byte) {
	c.seen = true
	number := text
	if s.cells.comma {
		number = s.cells.pointed(text)
	}
	_, noInt := textInt(number)
	_, noFloat := textFloat(number)
	_, noTime := s.times.parse(text)
	switch digits := bytes.TrimLeft(number, "+-"); {
	case len(digits) > 1 && digits[0] == '0' && isDigit(digits[1]):
		c.not[table.Int64], c.not[table.Float64] = true, true // a code
	case noInt != "" && len(bytes.TrimLeft(digits, "0123456789")) == 0:
		c.not[table.Int64], c.not[table.Float64] = true, true // no float64 has all its digits
	}
	c.not[table.Int64] = c.not[table.Int64] || noInt != "" || bytes.ContainsAny(number, ".eE")
	c.not[table.Float64] = c.not[table.Float64] || noFloat != ""
	c.not[table.Bool] = c.not[table.Bool] || !bytes.EqualFold(text, []byte("true")) && !bytes.EqualFold(text, []byte("false"))
	c.not[table.Timestamp] = c.not[table.Timestamp] || !noTime
}

// JSON looks at an object. One that cannot be read counts for none.
func (s *Sample) JSON(record []byte) {
	if record = bytes.TrimSpace(record); len(record) > 0 && record[0] == '{' && json.Valid(record) {
		s.object("", 0, record)
	}
}

// object looks at the fields of an object, whose columns' names begin with path.
func (s *Sample) object(path string, depth int, object []byte) {
	d := json.NewDecoder(bytes.NewReader(object))
	_, _ = d.Token() // it is valid
	for d.More() && len(s.cols) <= MaxColumns {
		name, _ := d.Token()
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return
		}
		before := len(s.cols)
		c := s.column(path + name.(string))
		if c.depth = depth; depth > 0 && len(s.cols) > before {
			parent := s.column(path[:len(path)-1])
			if parent.fields++; parent.fields > sampledFields {
				parent.other = manyFields
			}
		}
		s.json(c, value)
	}
}

// json looks at a value of JSON.
func (s *Sample) json(c *sampled, value []byte) {
	if string(value) == "null" {
		return
	}
	before := c.seen && c.list == nil
	c.seen = true
	only := func(types ...table.Type) {
		for _, t := range sampledTypes {
			c.not[t] = c.not[t] || !slices.Contains(types, t)
		}
	}
	switch value[0] {
	case '"':
		var text string
		if only(table.String, table.Timestamp); json.Unmarshal(value, &text) != nil {
			return
		}
		_, ok := s.times.parse([]byte(text))
		c.not[table.Timestamp] = c.not[table.Timestamp] || !ok
	case 't', 'f':
		only(table.Bool)
	case '{':
		only()
		if c.other = cmp.Or(c.other, "struct<…>"); c.depth >= 0 && c.depth < sampledDepth && c.other != manyFields && c.name != "" {
			s.object(c.name+".", c.depth+1, value)
			return // the columns may have moved
		}
	case '[':
		only()
		var elements []json.RawMessage
		if json.Unmarshal(value, &elements) != nil {
			return
		}
		if before {
			c.other = mixedLists
		}
		if c.list == nil {
			c.list = &sampled{not: make(map[table.Type]bool), depth: -1}
		}
		for _, e := range elements {
			s.json(c.list, e)
		}
		return
	default:
		if _, problem := exactInt(value); problem != "" {
			only(table.Float64)
		} else {
			only(table.Int64, table.Float64)
		}
	}
	if c.list != nil && c.other == "" {
		c.other = mixedLists
	}
}

const (
	mixedLists = "lists beside other values"
	manyFields = "struct<…> with very many fields"
)

// kind returns the type of a column, or what it is instead.
func (c *sampled) kind() (t table.Type, other string) {
	if c.other != "" {
		return "", c.other
	}
	if c.list != nil {
		if of, _ := c.list.kind(); c.list.list == nil && (of == table.Int64 || of == table.Float64 || of == table.Bool) {
			return table.Type(fmt.Sprintf("list<%s>", of)), ""
		}
		return "", "list<…>"
	}
	if !c.seen {
		return table.String, ""
	}
	for _, t := range sampledTypes {
		if !c.not[t] {
			return t, ""
		}
	}
	return "", "values of several types"
}

// Schema returns the columns, in the order in which they came.
func (s *Sample) Schema() (out table.Schema) {
	for i := range s.cols {
		c := &s.cols[i]
		t, other := c.kind()
		if s.inManyFields(c) {
			continue
		}
		if c.name == table.RowColumn || c.name == "" {
			other = string(t) + " whose name is taken, or none"
		}
		if other != "" {
			out.Unsupported = append(out.Unsupported, table.UnsupportedColumn{Name: c.name, Type: other})
		} else {
			out.Columns = append(out.Columns, table.Column{Name: c.name, Type: t, Nullable: true})
		}
	}
	return out
}

// inManyFields reports whether a column is a field of an object that has too many.
func (s *Sample) inManyFields(c *sampled) bool {
	for i, ch := range c.name {
		if at, known := s.at[c.name[:i]]; ch == '.' && c.depth > 0 && known && s.cols[at].other == manyFields {
			return true
		}
	}
	return false
}
