package event

import (
	"fmt"
	"strings"
)

// jsonLevel is the fields that columns have in an object: in an event itself, or in
// one that is nested in it.
type jsonLevel struct {
	fields []jsonField
	byName map[string]int
	// follow[i+1] is the field that came after field i in earlier events, follow[0] the
	// one that came first: producers write their fields in one order, so the guess is
	// nearly always right and one comparison finds the field. A wrong guess costs only
	// time.
	follow []int
	stamp  uint64 // of the last event that has something else than this object
}

// jsonField is a field of an object.
type jsonField struct {
	// token is the field as producers nearly always spell it, "name":, or empty if the
	// name has to be escaped.
	token string
	path  string
	// column is what its value fills, level what the fields of its object do. One of
	// them may be nil.
	column *column
	level  *jsonLevel
}

// newLevel returns the fields of events.
func newLevel(c *Cells) *jsonLevel {
	root := new(jsonLevel)
	for i := range c.cols {
		if col := &c.cols[i]; col.from == nil {
			root.add("", col.name, col)
		}
	}
	if len(root.fields) == 0 { // all columns are from around events
		root.at("", "").column = &column{skip: true}
	}
	root.learn()
	return root
}

// maxDots bounds the dots of a name that may be a path: it has twice as many readings for
// each.
const maxDots = 10

func isPath(name string) bool { return strings.Count(name, ".") <= maxDots }

// add adds the fields that fill a column, whose name at the level is rest: one of that
// name, and the last of each path that its dots can stand for.
func (l *jsonLevel) add(path, rest string, c *column) {
	l.at(path, rest).column = c
	for i, ch := range rest {
		if ch != '.' || !isPath(c.name) {
			continue
		}
		f := l.at(path, rest[:i])
		if f.level == nil {
			f.level = new(jsonLevel)
		}
		f.level.add(f.path+".", rest[i+1:], c)
	}
}

// at returns the field of a name, which it adds.
func (l *jsonLevel) at(path, name string) *jsonField {
	if i, known := l.byName[name]; known {
		return &l.fields[i]
	}
	if l.byName == nil {
		l.byName = make(map[string]int)
	}
	l.byName[name] = len(l.fields)
	f := jsonField{path: path + name}
	if quoted := appendString(nil, name); len(quoted) == len(name)+2 {
		f.token = string(quoted) + ":"
	}
	l.fields = append(l.fields, f)
	return &l.fields[len(l.fields)-1]
}

// learn makes the first guesses.
func (l *jsonLevel) learn() {
	l.follow = make([]int, len(l.fields)+1)
	for i := range l.fields {
		l.follow[i] = i
		if inner := l.fields[i].level; inner != nil && inner.follow == nil {
			inner.learn()
		}
	}
}

// within reads the value of a field whose object has columns.
func (d *jsonFormat) within(f *jsonField, b []byte, p int) int {
	switch {
	case p >= len(b) || b[p] != '{':
		next := d.pass(b, p, d.depth)
		if next >= 0 && b[p] != 'n' {
			d.blameWithin(f, p, kindAt(b, p))
		}
		return next
	case d.depth == maxDepth:
		return d.tooDeep(p)
	}
	if f.column != nil && !f.column.skip {
		d.blame(f.column, p, "object")
	}
	d.depth++
	p = d.fields(f.level, b, p)
	d.depth--
	return p
}

// blameWithin holds something that is no object against the columns of its fields that
// have no value yet.
func (d *jsonFormat) blameWithin(parent *jsonField, at int, found string) {
	if parent.level.stamp == d.stamp { // repeated fields cost no more than their bytes
		return
	}
	parent.level.stamp = d.stamp
	for i := range d.cols {
		c := &d.cols[i]
		if c.from == nil && !c.skip && c.stamp != d.stamp && strings.HasPrefix(c.name, parent.path+".") && isPath(c.name) {
			d.claim(c, astray)
			c.at, c.found, c.element, c.parent = at, found, 0, parent.path
		}
	}
}

// kindAt says what kind of value stands at p.
func kindAt(b []byte, p int) string {
	switch ch := b[p]; {
	case ch == '"':
		return "string"
	case ch == '{':
		return "object"
	case ch == '[':
		return "array"
	case ch == 't' || ch == 'f':
		return "bool"
	}
	return "number"
}

// tooDeep refuses an event for its nesting.
func (d *jsonFormat) tooDeep(p int) int {
	cause := fmt.Sprintf("nested deeper than %d levels", maxDepth)
	d.Refuse(fmt.Sprintf("%s at byte %d", cause, p), cause)
	return -1
}
