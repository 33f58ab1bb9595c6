package event

import (
	"fmt"
	"slices"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/spelling"
)

// AvroFields returns the names of the fields of the record that texts describe,
// as Schemas returns them; Invalid where they describe none.
func AvroFields(texts ...string) ([]string, error) {
	t, err := parseAvro(texts...)
	if err == nil && t.kind != avroRecord {
		err = fmt.Errorf("it is one of %s, not of a record", t.name)
	}
	if err != nil {
		return nil, &thalweg.Error{Op: "read avro schema", Kind: thalweg.Invalid, Err: err}
	}
	return t.fields, nil
}

// note keeps what to say of events of a registered schema that lack a column
// which may not be null: the schema has no field for it, maybe one that is spelt
// nearly so.
func (f *avroFormat) note(p *avroProgram, id uint32, fields []string) {
	free := slices.DeleteFunc(slices.Clone(fields), func(name string) bool { _, known := f.byName[name]; return known })
	for i := range f.cols {
		c := &f.cols[i]
		if c.skip || c.from != nil || c.nullable || slices.Contains(fields, c.name) {
			continue
		}
		near := ""
		if name := spelling.Nearest(c.name, slices.Values(free)); name != "" {
			near = fmt.Sprintf(", the nearest is %q", name)
		}
		if p.lacks == nil {
			p.lacks = make(map[int]string)
		}
		p.lacks[i] = fmt.Sprintf(": schema %d has no such field%s", id, near)
	}
}
