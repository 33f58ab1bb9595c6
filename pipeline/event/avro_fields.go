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

// lacking returns by position what to say of events that lack a column which may
// not be null: the schema has no field for it, maybe one that is spelt nearly so.
func (f *avroFormat) lacking(schema string, fields []string) map[int]string {
	free := slices.DeleteFunc(slices.Clone(fields), func(name string) bool { _, known := f.byName[name]; return known })
	lacks := make(map[int]string)
	for i := range f.cols {
		c := &f.cols[i]
		if c.skip || c.from != nil || c.nullable || slices.Contains(fields, c.name) {
			continue
		}
		lacks[i] = fmt.Sprintf(": %s has no such field", schema)
		if name := spelling.Nearest(c.name, slices.Values(free)); name != "" {
			lacks[i] += fmt.Sprintf(", the nearest is %q", name)
		}
	}
	return lacks
}
